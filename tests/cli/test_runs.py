"""`cfbench runs`: the list of all runs, and the commands that remove some."""

import json
import os
import pty
import random
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from cfbench.cli import progress
from cfbench.runs.results import Results

RESULTS = Path("results")


def stored(terminal, options=""):
    return json.loads(terminal(f"runs {options} --json").out)


def ids(terminal, options=""):
    return [run["run"] for run in stored(terminal, options)]


@pytest.fixture
def interrupt(terminal, monkeypatch):
    """A function that leaves a run of bias interrupted, as Ctrl-C does, and returns its id."""

    def leave(options=""):
        def stop(self, run):
            raise KeyboardInterrupt

        before = set(ids(terminal))
        with monkeypatch.context() as patch:
            patch.setattr(progress.RunProgress, "begin", stop)
            terminal(f"run bias {options}")
        (run,) = set(ids(terminal)) - before
        return run

    return leave


@pytest.fixture
def working_process():
    """A function that starts a process which works on a run, until it is killed."""
    processes = []

    def start(run):
        code = (
            "import sys, time; from pathlib import Path; from cfbench.runs.results import Results\n"
            f"with Results(Path('results')).lock({run!r}): print('locked', flush=True); time.sleep(600)"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "locked\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_list_has_finished_and_unfinished_runs_of_all_splits_with_their_bytes(terminal, interrupt):
    terminal("run bias")
    terminal("run mean --split 5fold-2")
    interrupted = interrupt("--split random80")
    runs = stored(terminal)
    assert {(run["plugin"], run["split"]): run["status"] for run in runs} == {
        ("bias", "random90"): "finished", ("mean", "5fold-2"): "finished", ("bias", "random80"): "interrupted",
    }  # fmt: skip
    assert all(datetime.fromisoformat(run["started"]).tzinfo for run in runs)
    assert interrupted in [run["run"] for run in runs if run["status"] == "interrupted"]
    for run in runs:
        assert run["bytes"] == sum(file.stat().st_size for file in Path(run["folder"]).iterdir())
    page = terminal("runs")
    assert all(run["run"] in page.out for run in runs)
    assert "3 runs, " in page.out
    assert f"`cfbench run --resume {interrupted}` resumes such a run" in page.err


def test_filters_choose_the_runs(terminal, interrupt):
    terminal("run bias")
    terminal("run mean --split 5fold-2")
    terminal("run mean --split 5fold-3@7")
    interrupt()
    for options, count in (
        ("--dataset tiny", 4), ("--dataset other", 0), ("--split 5fold", 1), ("--split 5fold@7", 1),
        ("--split 5fold-2", 1), ("--plugin bias", 2), ("--plugin bias --status finished", 1),
        ("--status interrupted", 1), ("--status running", 0),
    ):  # fmt: skip
        assert len(ids(terminal, options)) == count, options
    assert "no run of 4 in results matches" in terminal("runs --dataset other").err


def test_without_runs_the_list_says_how_to_make_one(terminal):
    assert "no runs in results; `cfbench run bias` makes one" in terminal("runs").err
    assert stored(terminal) == []


def test_a_run_with_an_unreadable_record_is_listed_and_can_be_removed(terminal):
    terminal("run bias")
    (folder,) = RESULTS.glob("tiny/random90/bias/*")
    (folder / "record.json").write_text("{")
    (run,) = stored(terminal)
    assert (run["run"], run["dataset"], run["status"]) == (folder.name, "tiny", "unreadable")
    assert terminal(f"runs rm {folder.name} --yes").status == 0
    assert not folder.exists()


def test_an_unfinished_run_without_a_readable_request_is_listed_and_can_be_discarded(terminal, interrupt):
    damaged, empty = interrupt("--seed 1"), interrupt("--seed 2")
    (RESULTS / ".unfinished" / damaged / "request.json").write_text("{")
    (RESULTS / ".unfinished" / empty / "request.json").unlink()
    assert {run["run"]: (run["status"], run["plugin"]) for run in stored(terminal)} == {
        damaged: ("interrupted", None), empty: ("interrupted", None),
    }  # fmt: skip
    assert terminal("runs discard --all --yes").status == 0
    assert ids(terminal) == []


def test_rm_removes_the_named_runs_and_no_other(terminal):
    for seed in range(3):
        terminal(f"run bias --seed {seed}")
    first, second, third = ids(terminal)
    result = terminal(f"runs rm {first[-4:]} last --yes")
    assert result.status == 0
    assert f"removed {first} (" in result.err
    assert ids(terminal) == [second]
    assert not list(RESULTS.glob(".unfinished/.*"))
    assert third not in terminal("compare --all-runs --json").out


def test_one_wrong_id_removes_nothing(terminal):
    terminal("run bias")
    (run,) = ids(terminal)
    result = terminal(f"runs rm {run} nope --yes")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "no finished run 'nope'" in result.err
    assert ids(terminal) == [run]


def test_removal_needs_yes_where_there_is_no_terminal_to_ask_on(terminal, interrupt):
    terminal("run bias")
    finished, unfinished = ids(terminal)[0], interrupt()
    for line in (f"runs rm {finished}", f"runs discard {unfinished}", "runs discard --all"):
        result = terminal(line)
        assert result.status == 2
        assert "needs --yes, because there is no terminal to ask on; nothing was removed" in result.err
    assert set(ids(terminal)) == {finished, unfinished}


@pytest.mark.parametrize(("answer", "status", "stays"), [(b"n\n", 1, True), (b"\x04", 130, True), (b"y\n", 0, False)])
def test_a_terminal_is_asked(terminal, answer, status, stays):
    terminal("run bias")
    (run,) = ids(terminal)
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cfbench", "runs", "rm", run], stdin=screen, stdout=screen, stderr=screen
    )
    text = b""
    while b"[y/N]" not in text:
        text += os.read(keyboard, 1000)
    os.write(keyboard, answer)
    assert process.wait() == status
    os.close(keyboard)
    os.close(screen)
    assert ids(terminal) == ([run] if stays else [])


def test_a_run_that_a_process_works_on_stays_until_the_process_is_killed(terminal, interrupt, working_process):
    running, idle = interrupt("--seed 1"), interrupt("--seed 2")
    process = working_process(running)
    assert {run["run"]: run["status"] for run in stored(terminal)} == {running: "running", idle: "interrupted"}
    refused = terminal(f"runs discard {idle} {running} --yes")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert f"a process is working on run {running}; stop it with Ctrl-C" in refused.err
    assert set(ids(terminal)) == {running, idle}
    result = terminal("runs discard --all --yes")
    assert f"{running} stays: a process is working on it" in result.err
    assert ids(terminal) == [running]
    process.kill()
    process.wait()
    assert terminal("runs discard --all --yes").status == 0
    assert ids(terminal) == []
    assert "no interrupted runs in results" in terminal("runs discard --all").err


def test_each_command_names_the_other_for_a_run_of_the_other_kind(terminal, interrupt):
    terminal("run bias")
    finished, unfinished = ids(terminal)[0], interrupt()
    refused = terminal(f"runs rm {unfinished} --yes")
    assert f"run {unfinished} is unfinished; `cfbench runs discard {unfinished}` removes it" in refused.err
    refused = terminal(f"runs discard {finished} --yes")
    assert f"run {finished} is finished; `cfbench runs rm {finished}` removes it" in refused.err


def test_a_removal_that_is_killed_shows_no_half_run_and_the_next_run_cleans_up(terminal):
    terminal("run bias")
    (run,) = ids(terminal)
    code = (
        "import os, shutil; from cfbench import cli; shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        f"cli.main(['runs', 'rm', {run!r}, '--yes'])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert ids(terminal) == []
    assert terminal(f"show {run}").status == 2
    assert list(RESULTS.glob(f".unfinished/.{run}.*/{run}/record.json"))
    terminal("run mean")
    assert not list(RESULTS.glob(".unfinished/.*"))


def test_an_ensemble_that_loses_a_member_is_named(terminal):
    terminal("run bias")
    terminal("run ensemble")
    (member,), (ensemble,) = ids(terminal, "--plugin bias"), ids(terminal, "--plugin ensemble")
    assert f"run {ensemble} blends one of them" in terminal(f"runs rm {member} --yes").err


def test_options_before_the_command_are_refused_because_the_command_would_ignore_them(terminal):
    terminal("run bias")
    result = terminal("runs --results elsewhere rm last --yes")
    assert result.status == 2
    assert "write the options after the command: runs rm --results …" in result.err
    assert len(ids(terminal)) == 1


def test_discard_needs_ids_or_all(terminal):
    for line in ("runs discard", "runs discard --all 3f2a"):
        assert "give the ids of unfinished runs, or --all" in terminal(line).err


def test_a_failed_rename_removes_nothing(terminal, monkeypatch):
    terminal("run bias")

    def fail(self, target):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        result = terminal("runs rm last --yes")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "the file system is read-only" in result.err
    (folder,) = (run["folder"] for run in stored(terminal))
    assert Results(RESULTS).find("last")[1] == Path(folder)


@pytest.mark.slow
def test_removals_that_are_killed_at_random_moments_leave_whole_runs_only(terminal):
    terminal("run bias")
    (kept,) = RESULTS.glob("tiny/random90/bias/*")
    files = {file.name: file.read_bytes() for file in kept.iterdir()}
    moments = random.Random(7)
    killed = 0
    for number in range(40):
        copy = kept.with_name(f"20200101-000000-bias-{number:04x}")
        copy.mkdir()
        for name, content in files.items():
            (copy / name).write_bytes(content.replace(kept.name.encode(), copy.name.encode()))
        code = (
            "import sys; from cfbench import cli; sys.stdout.write('ready\\n'); sys.stdout.flush()\n"
            f"cli.main(['runs', 'rm', {copy.name!r}, '--yes'])"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.readline()
        time.sleep(moments.uniform(0.2, 0.6) if number % 4 else 0)
        process.kill()
        process.communicate()
        killed += process.returncode == -9
        assert {run["run"]: run["status"] for run in stored(terminal)} in (
            {kept.name: "finished"}, {kept.name: "finished", copy.name: "finished"},
        )  # fmt: skip
        if copy.exists():
            assert {file.name for file in copy.iterdir()} == set(files)
            assert terminal(f"runs rm {copy.name} --yes").status == 0
        assert {file.name: file.read_bytes() for file in kept.iterdir()} == files
    assert killed >= 10
    terminal("run mean")
    assert not list(RESULTS.glob(".unfinished/.*"))
