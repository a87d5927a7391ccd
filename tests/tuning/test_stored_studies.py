"""`cfbench studies rm`: a study that no process works on can be removed, with all of its files."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cfbench.tuning.locks import WorkerLocks
from cfbench.tuning.study import open_or_create

FOLDER = Path("results", ".studies")


@pytest.fixture
def add_study(register_bowl, study_file, make_plan):
    """A function that begins a study of that name without a trial, and returns its file."""
    register_bowl()
    plan = make_plan()

    def add(name):
        study = study_file(name)
        open_or_create(name, study.url, plan)
        return study

    return add


def names(terminal, options=""):
    return [row["study"] for row in json.loads(terminal(f"studies --json {options}").out)]


def test_a_study_is_removed_with_all_of_its_files_and_the_others_stay(terminal, tune, add_study):
    add_study("a.db")
    tune("bowl --trials 1 --study a")
    with closing(sqlite3.connect(FOLDER / "a.db")) as held:
        held.execute("SELECT * FROM trials").fetchall()  # while it is open, SQLite keeps the files beside the database
        check_removal(terminal)
    assert {path.name for path in FOLDER.iterdir()} <= {f"a.db.db{end}" for end in ("", "-wal", "-shm", ".locks")}
    add_study("a")
    assert names(terminal) == ["a", "a.db"]


def check_removal(terminal):
    """Compare the sizes that are shown of study `a` with those of its files, and remove it."""
    size = sum(path.stat().st_size for path in FOLDER.glob("a.db*") if path.is_file() and ".db.db" not in path.name)
    first, second = json.loads(terminal("studies --json").out)
    assert (first["study"], first["bytes"], second["study"]) == ("a", size, "a.db")
    assert f" {size / 1000:.1f} kB" in terminal("studies").out
    answer = terminal("studies rm a --yes")
    assert (answer.status, answer.err) == (0, f"removed study a (1 trial, {size / 1000:.1f} kB)\n")
    assert names(terminal) == ["a.db"]


def test_without_a_terminal_nothing_is_removed_unless_yes_is_given(terminal, add_study):
    add_study("a")
    answer = terminal("studies rm a")
    assert answer.status == 2
    assert "needs --yes" in answer.err
    assert names(terminal) == ["a"]


def test_a_study_in_which_a_process_works_is_not_removed(terminal, add_study, start_trial, dead_process):
    study = add_study("a")
    opened = study.open()
    start_trial(opened, dead_process(study))
    start_trial(opened, "another-machine:17-there")
    answer = terminal("studies rm a --yes")
    assert answer.status == 1
    assert answer.err == ("error: study a is running in process 17 on another-machine; stop it with Ctrl-C first\n")
    assert names(terminal) == ["a"]


def test_a_study_whose_process_is_between_two_trials_is_not_removed(terminal, add_study):
    with WorkerLocks.of_study("a", add_study("a").url).hold("here"):
        answer = terminal("studies rm a --yes")
    assert answer.status == 1
    assert "study a is running in process " in answer.err
    assert terminal("studies rm a --yes").status == 0
    assert not list(FOLDER.iterdir())


def test_a_study_whose_process_was_killed_is_removed(terminal, add_study, start_trial, dead_process):
    study = add_study("a")
    start_trial(study.open(), dead_process(study))
    assert terminal("studies rm a --yes").status == 0
    assert names(terminal) == []


def test_an_unknown_study_is_an_error_that_suggests_a_known_one(terminal, add_study):
    add_study("mine")
    answer = terminal("studies rm mne --yes")
    assert answer.status == 2
    assert answer.err == "error: no study 'mne'; did you mean 'mine'?\n"


def test_damaged_studies_hide_no_other_and_can_be_removed(terminal, add_study):
    add_study("a")
    for name, content in (("empty", b""), ("broken", b"no database, but long enough to look at" * 100)):
        (FOLDER / f"{name}.db").write_bytes(content)
    answer = terminal("studies")
    assert answer.status == 0
    assert "bowl" in answer.out
    for name in ("empty", "broken"):
        assert f"`cfbench studies rm {name}` removes the file" in answer.err
        assert terminal(f"studies rm {name} --yes").status == 0
        assert not list(FOLDER.glob(f"{name}*"))
    assert names(terminal) == ["a"]


def test_a_study_in_a_shared_database_is_removed_alone(terminal, register_bowl, make_plan):
    register_bowl()
    for name in ("a", "b"):
        open_or_create(name, "sqlite:///shared.db", make_plan())
    answer = terminal("studies rm a --storage sqlite:///shared.db --yes")
    assert answer.err == "removed study a (0 trials)\n"
    assert names(terminal, "--storage sqlite:///shared.db") == ["b"]


def test_options_before_rm_are_refused_since_they_would_be_ignored(terminal):
    answer = terminal("studies --results elsewhere rm a")
    assert answer.status == 2
    assert "write the options after the command: studies rm --results" in answer.err
