"""A run that is copied to a tracker while it learns, and what a tracker that fails or hangs does to it: nothing."""

import importlib.util
import re
import threading
from pathlib import Path

import pytest

from cfbench.runs.results import Results
from cfbench.tracking import live

pytestmark = pytest.mark.usefixtures("learner")


def last_run():
    return Results(Path("results")).find("last")


def test_a_tracker_is_told_of_the_request_every_epoch_and_the_record(terminal, notes):
    result = terminal("run learner --rate 0.25 --log-to tensorboard")
    assert result.status == 0
    record, folder = last_run()
    assert notes.calls == [("begin", record.request), ("add", 1), ("add", 2), ("add", 3), ("end", record, folder)]
    assert record.request.config["rate"] == 0.25
    notes.calls.clear()
    assert "already finished" in terminal("run learner --rate 0.25 --skip-finished --log-to tensorboard").err
    assert notes.calls == []


def test_the_epochs_of_a_second_fit_are_not_told(terminal, notes):
    assert terminal("run learner --refit --log-to tensorboard").status == 0
    record, folder = last_run()
    assert record.outcome.refit.epochs == 2
    assert notes.calls == [("begin", record.request), ("add", 1), ("add", 2), ("add", 3), ("end", record, folder)]


def test_every_fold_is_a_run_of_its_own(terminal, notes):
    assert terminal("run learner --split 5fold --log-to tensorboard").status == 0
    begun = [call[1].split.name for call in notes.calls if call[0] == "begin"]
    assert begun == [f"5fold-{number}" for number in range(1, 6)]
    assert [call[0] for call in notes.calls] == 5 * ["begin", "add", "add", "add", "end"]


@pytest.mark.parametrize("call", ["begin", "add", "end"])
def test_a_tracker_that_fails_costs_one_warning_and_nothing_else(terminal, notes, call):
    notes.faults[call] = ValueError("the disk\nis full")
    result = terminal("run learner --log-to tensorboard")
    assert result.status == 0
    record, _ = last_run()
    assert (record.outcome.status, record.outcome.epochs) == ("finished", 3)
    (warning,) = [line for line in result.err.splitlines() if "the notes" in line]
    again = f"`cfbench export tensorboard {record.run}`"
    assert warning == (
        f"cannot write to the notes: the disk is full; the run goes on, and {again} copies it once it has ended"
    )
    assert [each[0] for each in notes.calls][-1] == call


def test_a_tracker_that_hangs_holds_up_a_run_for_its_patience_only(terminal, notes, monkeypatch):
    released = threading.Event()
    notes.begin = lambda request: released.wait(60)
    monkeypatch.setattr(live, "PATIENCE", 0.05)
    result = terminal("run learner --log-to tensorboard")
    released.set()
    assert result.status == 0
    assert last_run()[0].outcome.status == "finished"
    (warning,) = [line for line in result.err.splitlines() if "the notes" in line]
    assert warning.startswith("the notes has not answered for 0.05 seconds; the run goes on, and `cfbench export ")


def test_an_interrupted_run_is_stopped_there_and_comes_whole_when_it_is_resumed(terminal, notes, learner):
    learner.stop = 3
    assert terminal("run learner --log-to mlflow").status == 130
    assert [call[0] for call in notes.calls] == ["begin", "add", "add", "stop"]
    notes.calls.clear()
    learner.stop = 0
    (run,) = Results(Path("results")).unfinished()
    assert terminal(f"run --resume {run} --log-to mlflow").status == 0
    assert [call[:2] for call in notes.calls[1:4]] == [("add", 1), ("add", 2), ("add", 3)]
    assert notes.calls[-1][1].run == run


@pytest.mark.parametrize("line", ["run learner --log-to tensorboard", "export mlflow last"])
def test_a_missing_library_is_one_line(terminal, monkeypatch, line):
    real = importlib.util.find_spec
    missing = {"tensorboard", "mlflow"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else real(name))
    result = terminal(line)
    assert result.status == 2
    remedy = r"is not installed; install it with: .*pip install 'cfbench-recsys\[tracking\]'\n"
    assert re.fullmatch(rf"error: (tensorboard|mlflow) {remedy}", result.err)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run learner --log-to wandb", "unknown tracker 'wandb'; expected tensorboard or mlflow"),
        ("export tensorboard", "which runs? name one or several, as in `cfbench export tensorboard last`"),
        ("export mlflow last --split random90", "a run has its own data set and split; give only runs and --out"),
        ("export predictions one two --out p.csv", "predictions takes one run, but 2 are given"),
    ],
)
def test_a_wrong_command_line_is_one_line(terminal, line, message):
    result = terminal(line)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
