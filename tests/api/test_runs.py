"""`cfbench.run`, `Run` and `register`: the results are those of the command line, in silence."""

import logging
import signal
import threading
import warnings

import numpy as np
import polars as pl
import pytest
import torch

import cfbench
from cfbench.contract import Config, Epoch, Plugin
from cfbench.errors import ConfigError, DeviceError, PluginError, RunWarning, StoppedRunError, UsageError
from cfbench.runs import registry
from cfbench.runs.results import Results

SMALL = {"hidden": (8,), "epochs": 3, "batch_size": 16}
FLAGS = "--hidden 8 --epochs 3 --batch-size 16 --seed 4"


class Three:
    """Predicts 3, in two epochs."""

    parameters = 1

    def __init__(self, config):
        pass

    def fit(self, train, valid, context):
        for epoch in (1, 2):
            context.report(Epoch(epoch, 2, 1.0, 1.0, 0.0))

    def predict(self, pairs):
        return np.full(len(pairs), 3, np.float32)

    def state(self):
        return {"three": np.array([3.0])}

    def restore(self, state, train, context):
        pass


THREE = Plugin("three", "none", Config, Three, random=False)


@pytest.fixture
def three(terminal, monkeypatch):
    """Register the plugin `three`, whose score is worse than that of the mean, and ignore the warning of that."""
    monkeypatch.setattr(registry, "_registered", {})
    cfbench.register("three", THREE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        yield terminal


def comparable(record):
    """A record without what differs from run to run: its id, its times, its costs."""
    data = record.model_dump(mode="json", exclude={"machine"})
    del data["request"]["run"], data["request"]["started"]
    costs = ("fit_seconds", "fit_cpu_seconds", "predict_seconds", "peak_memory", "peak_device_memory")
    for cost in costs:
        del data["outcome"][cost]
    del data["files"]["curve.parquet"]  # it has seconds
    return data


@pytest.mark.filterwarnings("ignore::cfbench.errors.RunWarning")
def test_a_run_is_that_of_the_command_line_to_the_last_bit_and_prints_nothing(terminal, capsys):
    assert terminal(f"run deepae {FLAGS} --results theirs").status in (0, 1)
    theirs = cfbench.Run.open("last", results="theirs")
    capsys.readouterr()
    epochs = []
    ours = cfbench.run("deepae", "tiny", seed=4, progress=epochs.append, **SMALL)
    assert capsys.readouterr() == ("", "")
    assert comparable(ours.record) == comparable(theirs.record)
    assert ours.predictions.equals(theirs.predictions)
    assert ours.curve.drop("seconds").equals(theirs.curve.drop("seconds"))
    assert [(each.epoch, each.valid_rmse) for each in epochs] == ours.curve.select("epoch", "valid_rmse").rows()
    assert ours.config["hidden"] == [8]
    assert (ours.folder / "model.safetensors").read_bytes() == (theirs.folder / "model.safetensors").read_bytes()


def test_predictions_have_the_ids_of_the_source_and_the_stored_values(terminal):
    data = cfbench.load("tiny")
    run = cfbench.run("bias", data, split=data.split())
    stored = pl.read_parquet(run.folder / "predictions.parquet")["prediction"]
    assert run.predictions["prediction"].equals(stored)
    assert run.predictions.drop("prediction").equals(data.split().test)
    assert len(run.valid_predictions) == run.record.request.split.report["valid"]
    rmse = ((run.predictions["prediction"] - run.predictions["rating"]) ** 2).mean() ** 0.5
    assert run.scores.rmse == pytest.approx(rmse, rel=1e-6)
    assert run.curve.columns == ["epoch", "train_rmse", "valid_rmse", "seconds"]
    assert len(run.curve) == 0


def test_a_stored_run_opens_by_a_part_of_its_id(terminal, tmp_path):
    run = cfbench.run("bias", "tiny", results=tmp_path / "mine")
    again = cfbench.Run.open(run.id[-6:], results=str(tmp_path / "mine"))
    assert (again.id, again.scores, again.record) == (run.id, run.scores, run.record)
    assert repr(again) == f"<Run {run.id}: finished, test RMSE {run.scores.rmse:.4f}>"


def test_the_results_folder_is_that_of_the_environment(terminal, monkeypatch, tmp_path):
    monkeypatch.setenv("CFBENCH_RESULTS", str(tmp_path / "there"))
    run = cfbench.run("bias", "tiny")
    assert run.folder.is_relative_to(tmp_path / "there")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"refed": 1}, ConfigError, "no hyper-parameter 'refed'; did you mean 'refeed'?"),
        ({"refeed": "many"}, ConfigError, "--refeed: .* got 'many'"),
        ({"device": "gpu"}, DeviceError, "unknown device 'gpu'; expected auto, cpu, cuda, cuda:N or mps"),
        ({"seed": -1}, UsageError, "seed -1: expected a whole number from 0"),
        ({"split": "5fold"}, UsageError, "5fold means 5 splits"),
        ({"preset": "papr"}, UsageError, "no preset 'papr'"),
    ],
)
def test_bad_input_gets_the_error_of_the_command_line_before_anything_runs(terminal, options, kind, message):
    with pytest.raises(kind, match=message):
        cfbench.run("deepae", "tiny", **options)
    assert Results(terminal.folder / "results").unfinished_folders() == []


def test_an_equal_run_is_made_again_unless_finished_ones_are_skipped(terminal):
    first = cfbench.run("bias", "tiny")
    assert cfbench.run("bias", "tiny", skip_finished=True).id == first.id
    assert cfbench.run("bias", "tiny").id != first.id


def test_ctrl_c_leaves_a_run_that_the_same_call_and_the_command_line_resume(three):
    def interrupt(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="is stopped after epoch 1; the same call resumes it"):
        cfbench.run("three", "tiny", progress=interrupt)
    (stopped,) = Results(three.folder / "results").unfinished()
    assert cfbench.Run.open(stopped).status == "stopped"
    run = cfbench.run("three", "tiny")
    assert (run.id, run.status, run.record.outcome.resumed) == (stopped, "finished", 1)
    with pytest.raises(KeyboardInterrupt):
        cfbench.run("three", "tiny", progress=interrupt)
    (stopped,) = Results(three.folder / "results").unfinished()
    assert three(f"run --resume {stopped}").status == 0


def test_an_error_of_the_progress_function_passes_on_and_leaves_the_run_to_resume(three):
    def fail(epoch):
        raise ZeroDivisionError("in my plot")

    with pytest.raises(ZeroDivisionError, match="in my plot") as raised:
        cfbench.run("three", "tiny", progress=fail)
    assert "the same call resumes it" in raised.value.__notes__[0]
    assert cfbench.run("three", "tiny").record.outcome.resumed == 1


def test_a_fault_of_the_machine_is_an_error_of_the_tree(three, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Three, "fit", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoppedRunError, match=r"No space left on device: run .* is stopped; the same call resumes"):
            cfbench.run("three", "tiny")
    assert cfbench.run("three", "tiny").record.outcome.resumed == 1


def test_a_fault_of_a_plugin_is_a_plugin_error_and_a_failed_run(three, monkeypatch):
    monkeypatch.setattr(Three, "predict", lambda *_: 1 / 0)
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        cfbench.run("three", "tiny")
    assert cfbench.Run.open("last").status == "failed"


def test_what_to_know_about_scores_is_a_warning_and_a_note(three):
    with pytest.warns(RunWarning, match="validation RMSE") as caught:
        run = cfbench.run("three", "tiny")
    assert [str(warning.message) for warning in caught] == list(run.notes)
    assert caught[0].filename == __file__


def test_a_registered_plugin_is_known_by_its_source_and_can_be_replaced(three):
    location = registry.locate("three")
    assert (location.package, len(location.source)) == ("registered in Python", 64)
    cfbench.register("three", Plugin("another three", "none", Config, Three))
    assert cfbench.run("three", "tiny").record.request.plugin.title == "another three"
    assert "three" in registry.names()
    with pytest.raises(UsageError, match="has a plugin 'bias' already; choose another name"):
        cfbench.register("bias", THREE)
    with pytest.raises(PluginError, match="a name consists of a-z, 0-9 and -"):
        cfbench.register("My Model", THREE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cfbench.errors.RunWarning")
def test_a_run_leaves_the_process_as_it_was(terminal):
    def state():
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
        logs = (logging.root.level, list(logging.root.handlers), logging.root.manager.disable)
        numbers = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
        random = (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())  # noqa: NPY002 (the global one)
        return handlers, logs, numbers, random, list(warnings.filters), np.geterr(), threading.active_count()

    cfbench.run("deepae", "tiny", **SMALL)  # the first import of a library may add filters of warnings
    before = state()
    cfbench.run("deepae", "tiny", **SMALL)
    assert state() == before
