"""Only a fault of its plugin makes a run fail. Any other leaves it as it is, and no fault loses a checkpoint."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from cfbench.cli import progress
from cfbench.contract import Config, Epoch, Plugin
from cfbench.data import card, store
from cfbench.errors import ConfigError, DataError, MemoryLimitError, PluginError, RecordError, WriteError
from cfbench.runs import arrays, publication, run
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

RESULTS = Results(Path("results"))
SMALL = "--hidden 16 --epochs 3 --batch-size 16"


class Resumable:
    """A model that counts two epochs in its checkpoint, and raises `fault` after the first one."""

    parameters = 1

    def __init__(self, fault):
        self._fault = fault

    def fit(self, train, valid, context):
        self.resumed = context.checkpoint.exists()
        context.checkpoint.write_text("one epoch")
        context.report(Epoch(1, 2, 1.0, 0.9, 0.1))
        if self._fault is not None:
            raise self._fault
        context.report(Epoch(2, 2, 1.0, 0.8, 0.2))

    def predict(self, pairs):
        return np.full(len(pairs), 3.0, np.float32)

    def state(self):
        return {"three": np.array([3.0])}


@pytest.fixture
def fit(terminal, register):
    """A function that starts a run whose model raises a fault, or resumes a run; returns the model and the result."""
    tiny = store.open_dataset(card.load("tiny"))

    def work(fault=None, resume=None):
        model = Resumable(fault)
        register("resumable", Plugin("r", "none", Config, lambda _: model))
        if resume is not None:
            return model, run.resume(resume, RESULTS, run.SilentRunListener())
        setup = configure("resumable", dataset="tiny", flags={}, preset=None)
        request = new_request(setup, tiny, tiny.split("random90"), 0)
        return model, run.start(request, tiny, RESULTS, run.SilentRunListener())

    return work


def caused_by(fault, cause):
    fault.__cause__ = cause
    return fault


OUTER_FAULTS = {
    "a file that is too large": (OSError(errno.EFBIG, "File too large", "x.bin"), "File too large: x.bin"),
    "a broken disk": (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    "a lost network folder": (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle"),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    "a full disk that cfbench notices": (WriteError("cannot write x: no space"), "cannot write x: no space"),
    "missing memory": (MemoryError("Unable to allocate 9 GiB"), "the memory is not enough: Unable to allocate 9 GiB"),
    "missing memory without a word": (MemoryError(), "the memory is not enough"),
    "memory that is too small": (MemoryLimitError("training needs 9 GB"), "training needs 9 GB"),
    "missing GPU memory": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."),
        "the memory is not enough: CUDA out of memory. Tried to allocate 9 GiB",
    ),
    "missing memory in torch": (RuntimeError("[enforce fail] can't allocate memory: 9 bytes"), "can't allocate memory"),
    "missing memory of CUDA's libraries": (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "ALLOC_FAILED"),
    "a file that Rust writes": (SafetensorError("I/O error: File too large (os error 27)"), "File too large"),
    "a damaged file of another run": (RecordError("record.json is damaged"), "record.json is damaged"),
    "damaged data": (DataError("ratings are damaged"), "ratings are damaged"),
    "an exception that the disk caused": (
        caused_by(RuntimeError("cannot save"), OSError(errno.EIO, "Input/output error")),
        "Input/output error",
    ),
}
PLUGIN_FAULTS = {
    "a wrong division": ZeroDivisionError("division by zero"),
    "wrong shapes": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    "a wrong index": IndexError("index 9 is out of bounds"),
    "a config that it refuses": ConfigError("needs a validation part"),
    "a broken rule": PluginError("predict returned a list"),
}


@pytest.mark.parametrize("name", OUTER_FAULTS)
def test_after_a_fault_of_the_machine_or_a_file_a_run_is_resumed_from_its_checkpoint(name, fit):
    fault, reason = OUTER_FAULTS[name]
    with pytest.raises(run.InterruptedRunError) as stop:
        fit(fault)
    assert reason in stop.value.reason
    assert "\n" not in stop.value.reason
    assert stop.value.epoch == 1
    assert RESULTS.records("tiny", "random90") == []
    stopped, folder = RESULTS.find(stop.value.run)
    assert (stopped.outcome.status, stopped.outcome.message) == ("stopped", stop.value.reason)
    assert (folder / "checkpoint.safetensors").read_text() == "one epoch"
    model, (record, place) = fit(resume=stop.value.run)
    assert model.resumed
    assert (record.run, record.outcome.status, record.outcome.resumed) == (stop.value.run, "finished", 1)
    assert {path.name for path in place.iterdir()} == {*record.files, "record.json"}


@pytest.mark.parametrize("name", PLUGIN_FAULTS)
def test_a_fault_of_the_plugin_fails_the_run_which_keeps_its_checkpoint_for_the_repaired_plugin(name, fit):
    with pytest.raises((PluginError, ConfigError)):
        fit(PLUGIN_FAULTS[name])
    (failed,) = RESULTS.records("tiny", "random90")
    assert failed.outcome.status == "failed"
    assert RESULTS.unfinished() == []
    model, (record, place) = fit(resume=failed.run)
    assert model.resumed
    assert (record.run, record.outcome.status) == (failed.run, "finished")
    assert {path.name for path in place.iterdir()} == {*record.files, "record.json"}
    assert "traceback.txt" not in record.files
    assert [each.run for each in RESULTS.records("tiny", "random90")] == [failed.run]


def test_a_failed_run_that_fails_again_when_it_is_resumed_stays_failed(fit):
    for resume in (None, "resumable"):
        with pytest.raises(PluginError, match="ZeroDivisionError"):
            fit(ZeroDivisionError("again"), resume=resume)
    (failed,) = RESULTS.records("tiny", "random90")
    assert (failed.outcome.status, failed.outcome.resumed) == ("failed", 1)


def test_a_bug_of_cfbench_keeps_its_traceback_and_the_run_can_be_resumed(fit, monkeypatch):
    def bug(*_):
        raise TypeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("cfbench.runs.work.score_model", bug)
        with pytest.raises(TypeError, match="a bug"):
            fit()
    (name,) = RESULTS.unfinished()
    assert fit(resume=name)[1][0].outcome.status == "finished"


@pytest.fixture
def stopped(terminal, monkeypatch):
    """The id of a run of deepae that Ctrl-C stopped after two of three epochs."""

    def interrupt(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "epoch", interrupt)
        assert terminal(f"run deepae {SMALL}").status == 130
    (name,) = RESULTS.unfinished()
    return name


def run_ids():
    return sorted(path.parent.name for path in Path("results").glob("*/*/*/*/record.json"))


def test_a_damaged_checkpoint_is_named_and_kept_and_the_run_can_begin_again_without_it(terminal, stopped):
    file = Path("results", ".unfinished", stopped, "checkpoint.safetensors")
    damaged = file.read_bytes()[:-9]
    file.write_bytes(damaged)
    result = terminal(f"run --resume {stopped}")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: checkpoint {file} cannot be resumed: ")
    assert "restore the file, or remove it to begin with the first epoch" in line
    assert line.endswith(f"; resume it with: cfbench run --resume {stopped}")
    assert file.read_bytes() == damaged
    file.unlink()
    assert terminal(f"run --resume {stopped}").status == 0


def test_a_config_that_the_installed_plugin_no_longer_takes_leaves_the_run_as_it_is(terminal, stopped):
    file = Path("results", ".unfinished", stopped, "request.json")
    before = file.read_text()
    request = json.loads(before)
    request["config"]["of_an_older_version"] = 1
    file.write_text(json.dumps(request))
    result = terminal(f"run --resume {stopped}")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert "no longer takes its config (of_an_older_version: " in line
    assert line.endswith(f": stopped; resume it with: cfbench run --resume {stopped}")
    file.write_text(before)
    assert terminal(f"run --resume {stopped}").status == 0


def test_a_limit_of_the_system_on_the_size_of_files_loses_nothing(terminal):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        result = terminal("run deepae --hidden 64 --epochs 3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.status == 1
    (name,) = RESULTS.unfinished()
    error = result.err.splitlines()[-1]
    assert re.search(rf"^error: cannot write .*checkpoint.*: stopped after .*cfbench run --resume {name}$", error)
    assert terminal(f"run --resume {name}").status == 0
    assert run_ids() == [name]


class Killed(BaseException):
    """As after a kill, nothing more is done."""


def kill(*_):
    raise Killed


@pytest.mark.parametrize("step", ["its record is written", "its checkpoints are removed", "its folder is moved"])
@pytest.mark.parametrize("command", ["compare", "run --resume", "run bias"])
def test_a_run_killed_once_it_is_complete_is_published_by_the_next_command(step, command, terminal, monkeypatch):
    move = publication.publish_folder
    with monkeypatch.context() as patch:
        if step == "its record is written":
            patch.setattr(publication, "move", kill)
        elif step == "its checkpoints are removed":
            patch.setattr(publication, "publish_folder", kill)
        else:
            patch.setattr(publication, "publish_folder", lambda *places: kill(move(*places)))
        with pytest.raises(Killed):
            terminal(f"run deepae {SMALL}")
    (name,) = run_ids() or RESULTS.unfinished()
    result = terminal(f"{command} {name}" if command == "run --resume" else command)
    assert result.status == (1 if command == "run --resume" and step == "its folder is moved" else 0)
    assert name in run_ids()
    record, folder = RESULTS.find(name)
    assert {path.name for path in folder.iterdir()} == {*record.files, "record.json"}
    assert arrays.read_state(folder)
    assert RESULTS.unfinished() == []
    assert "interrupted" not in terminal("compare").err


def test_a_complete_run_with_a_damaged_file_is_not_published_but_computed_again(terminal, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(publication, "publish_folder", kill)
        with pytest.raises(Killed):
            terminal(f"run deepae {SMALL}")
    (name,) = RESULTS.unfinished()
    Path("results", ".unfinished", name, "predictions.parquet").write_bytes(b"half")
    assert "interrupted: " in terminal("compare").err
    assert terminal(f"run --resume {name}").status == 0
    record, folder = RESULTS.find(name)
    assert record.outcome.status == "finished"
    assert len(arrays.read_predictions(folder)) > 100


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "record.json"])
def test_a_hidden_folder_that_could_not_be_removed_at_once_is_not_published(name, terminal, monkeypatch):
    real_rmtree, kept = shutil.rmtree, []

    def fail_once(path, *arguments, **options):
        if f".{name}." in str(path) and not kept:
            kept.append(path)
        else:
            real_rmtree(path, *arguments, **options)

    monkeypatch.setattr(shutil, "rmtree", fail_once)
    assert terminal(f"run deepae {SMALL}").status == 0
    assert kept
    record, folder = RESULTS.find(*run_ids())
    assert {path.name for path in folder.iterdir()} == {*record.files, "record.json"}


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("command", [f"run deepae {SMALL}", f"run deepae {SMALL} --skip-finished"])
def test_the_same_command_resumes_an_interrupted_run(how, command, terminal, stopped):
    if how == "killed":  # a killed process leaves no record
        Path("results", ".unfinished", stopped, "record.json").unlink()
    result = terminal(command)
    assert result.status == 0
    assert f"the same run was interrupted before: resuming {stopped}\n" in result.err
    assert run_ids() == [stopped]
    assert RESULTS.unfinished() == []


def test_a_command_that_differs_in_anything_does_not_resume_the_run(terminal, stopped):
    for difference in ("--seed 1", "--lr 0.003", "--split random90@3"):
        assert "resuming" not in terminal(f"run deepae {SMALL} {difference}").err
    assert RESULTS.unfinished() == [stopped]


def test_a_sweep_goes_on_after_missing_memory_and_makes_up_for_it_the_next_time(terminal, register):
    Path("s.toml").write_text('datasets = ["tiny"]\n[[plugins]]\nname = "resumable"\n[[plugins]]\nname = "bias"\n')
    register("resumable", Plugin("r", "none", Config, lambda _: Resumable(MemoryError())))
    result = terminal("sweep s.toml")
    (name,) = RESULTS.unfinished()
    assert result.status == 1
    assert f"the memory is not enough; run {name} can be resumed" in result.err
    assert len(run_ids()) == 1
    register("resumable", Plugin("r", "none", Config, lambda _: Resumable(None)))
    assert terminal("sweep s.toml").status == 0
    assert name in run_ids()
    assert len(run_ids()) == 2
