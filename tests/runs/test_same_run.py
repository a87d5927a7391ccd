"""Several processes that are started for the same run at the same moment make it once."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from cfbench.data import card, store
from cfbench.runs.results import Results
from cfbench.runs.run import SilentRunListener, ensure
from cfbench.runs.same_run import only_process
from cfbench.runs.setup import configure, new_request


def finished_runs(split="random90"):
    return [record.run for record in Results(Path("results")).records("tiny", split)]


@pytest.fixture
def request_of(terminal):
    """A function that returns the request for a run of a plugin with a seed."""
    tiny = store.open_dataset(card.load("tiny"))

    def request(seed=0):
        return new_request(configure("bias", dataset="tiny", flags={}, preset=None), tiny, tiny.split("random90"), seed)

    return request


def test_the_same_run_is_made_by_one_process_at_a_time(request_of):
    inside = []

    def enter(request):
        with only_process(request, Results(Path("results")), lambda: None):
            inside.append(request.run)
            time.sleep(0.2)
            inside.append(request.run)

    with ThreadPoolExecutor(3) as pool:  # the locks exclude threads as they exclude processes
        list(pool.map(enter, [request_of(), request_of(), request_of()]))
    assert inside[0::2] == inside[1::2]
    assert len(set(inside)) == 3


def test_runs_with_other_seeds_are_made_at_the_same_time(request_of):
    both_inside = Barrier(2)

    def enter(request):
        with only_process(request, Results(Path("results")), lambda: None):
            both_inside.wait(60)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(enter, [request_of(seed=1), request_of(seed=2)]))


def test_a_run_that_another_process_finishes_meanwhile_is_not_made_again(request_of, terminal):
    class Finisher(SilentRunListener):
        def wait(self):
            terminal("run bias")
            lock.__exit__(None, None, None)

    results, tiny = Results(Path("results")), store.open_dataset(card.load("tiny"))
    lock = only_process(request_of(), results, lambda: None)
    lock.__enter__()
    record, existed = ensure(request_of(), tiny, results, Finisher())
    assert existed
    assert finished_runs() == [record.run]


HOLDER = """
import sys, time
from pathlib import Path
from cfbench.runs.record import Request
from cfbench.runs.results import Results
from cfbench.runs.same_run import only_process
with only_process(Request.model_validate_json(sys.argv[1]), Results(Path("results")), lambda: None):
    print("holds", flush=True)
    time.sleep(600)
"""


def test_a_process_says_that_it_waits_and_makes_the_run_when_the_other_is_killed(request_of, start_cfbench):
    command = [sys.executable, "-c", HOLDER, request_of().model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holds\n"
        waiting = start_cfbench("run", "bias", "--skip-finished")
        lines = iter(waiting.stderr.readline, "")
        assert any(line == "bias waits for another process, which makes the same run\n" for line in lines)
        assert finished_runs() == []
        holder.kill()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert len(finished_runs()) == 1


@pytest.mark.slow
def test_a_sweep_makes_the_runs_of_other_processes_last(request_of, start_cfbench):
    Path("s.toml").write_text('datasets = ["tiny"]\nseeds = [0, 1]\n[[plugins]]\nname = "bias"\n', encoding="utf-8")
    command = [sys.executable, "-c", HOLDER, request_of(seed=0).model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holds\n"
        sweep = start_cfbench("sweep", "s.toml")
        lines = [sweep.stderr.readline() for _ in range(3)]
        holder.kill()
    assert lines[0] == "1/2 bias on tiny, random90, no preset, seed 0: another process makes this run\n"
    assert lines[1].startswith("2/2 bias on tiny, random90, no preset, seed 1: test RMSE")
    assert lines[2].startswith("1/2 bias on tiny, random90, no preset, seed 0 waits for another process")
    assert "1/2 bias on tiny, random90, no preset, seed 0: test RMSE" in sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 0
    assert len(finished_runs()) == 2


@pytest.mark.slow
def test_eight_processes_that_skip_finished_runs_make_one(terminal, start_cfbench):
    processes = [start_cfbench("run", "bias", "--skip-finished") for _ in range(8)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    assert len(finished_runs()) == 1
    assert not list(Path("results", ".unfinished").iterdir())


@pytest.mark.slow
def test_eight_processes_with_the_same_sweep_make_each_run_once(terminal, start_cfbench):
    Path("s.toml").write_text('datasets = ["tiny"]\nseeds = [0, 1, 2]\n[[plugins]]\nname = "bias"\n', encoding="utf-8")
    processes = [start_cfbench("sweep", "s.toml") for _ in range(8)]
    errors = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    assert len(finished_runs()) == 3
    assert not list(Path("results", ".unfinished").iterdir())


@pytest.mark.slow
def test_one_of_eight_processes_that_resume_a_run_ends_it(request_of, start_cfbench):
    results = Results(Path("results"))
    run = request_of().run
    results.create(request_of().model_copy(update={"run": run}))
    processes = [start_cfbench("run", "--resume", run) for _ in range(8)]
    errors = [process.communicate(timeout=600)[1] for process in processes]
    refused = [error for error, process in zip(errors, processes, strict=True) if process.returncode]
    assert len(refused) == 7, errors
    assert all(re.fullmatch(r"error: .*(another process is working on|is finished).*\n", error) for error in refused)
    assert finished_runs() == [run]
    assert not list(Path("results", ".unfinished").iterdir())
