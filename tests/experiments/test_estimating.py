"""The time of a grid comes from finished runs of an arm, or from a fit that is given up after two epochs."""

import time

import pytest

from cfbench.contract import Config, Epoch, Plugin
from cfbench.data import card, store
from cfbench.experiments import definition
from cfbench.experiments.estimating import TRIAL_EPOCHS, ArmTimes, estimate_times
from cfbench.experiments.grid import plan_grid
from cfbench.experiments.stored import StoredRuns
from cfbench.runs.results import Results
from cfbench.runs.run import SilentRunListener

EPOCHS, PAUSE = 500, 0.02
EXPERIMENT = """
name = "slow"
title = "Slow"
setup = "One arm."
claims = [{ text = "c", kind = "stable", arms = ["slow", "mean"] }]
arms = [{ label = "slow", plugin = "slow" }, { label = "mean", plugin = "mean" }]
scales.tiny.seeds = 3
"""


class Slow:
    """A model whose 500 epochs would take ten seconds, or that fails."""

    parameters = 1
    epochs = 0
    fails = False

    def fit(self, train, valid, context):
        for epoch in range(1, EPOCHS + 1):
            if Slow.fails:
                raise RuntimeError("no")
            time.sleep(PAUSE)
            Slow.epochs = epoch
            context.report(Epoch(epoch, EPOCHS, 1.0, 1.0, epoch * PAUSE))


@pytest.fixture
def grid_and_runs(terminal, register, monkeypatch):
    register("slow", Plugin("s", "p", Config, lambda _: Slow()))
    monkeypatch.setattr(Slow, "fails", False)
    path = terminal.folder / "slow.toml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    grid = plan_grid(definition.load(str(path)), "tiny")
    return grid, StoredRuns(Results(terminal.folder / "results"), store.open_dataset(card.load("tiny")))


def test_a_trial_is_given_up_and_promises_the_time_of_all_epochs(grid_and_runs):
    grid, stored = grid_and_runs
    times = ArmTimes()
    missing = estimate_times(grid, times, stored, lambda _: None)
    assert missing == list(grid.runs)
    assert Slow.epochs == TRIAL_EPOCHS
    slow = [run for run in missing if run.arm.label == "slow"]
    assert times.left(slow) >= 3 * EPOCHS * PAUSE * 0.9
    assert times.left([*slow, *slow]) == times.left(slow)  # of two experiments
    assert times.left(run for run in missing if run.arm.label == "mean") < 1


def test_a_finished_run_is_better_than_a_trial(grid_and_runs):
    grid, stored = grid_and_runs
    run = next(run for run in grid.runs if run.arm.label == "mean")
    record = stored.make(run.planned, SilentRunListener()).record
    lines = []
    times = ArmTimes()
    missing = estimate_times(grid, times, stored, lines.append)
    assert run not in missing
    assert [line.split(" on ")[0] for line in lines] == ["'slow'"]
    assert times.left([run]) == pytest.approx(record.outcome.fit_seconds + record.outcome.predict_seconds)


def test_the_times_of_runs_correct_the_promises_of_trials(grid_and_runs):
    grid, stored = grid_and_runs
    slow, mean = grid.runs[:2]
    times = ArmTimes()
    times.guess(slow, 100.0)
    times.guess(mean, 10.0)
    assert times.left([slow, mean]) == 110
    record = stored.make(mean.planned, SilentRunListener()).record
    outcome = record.outcome.model_copy(update={"fit_seconds": 4.0, "predict_seconds": 1.0})
    times.learn(mean, record.model_copy(update={"outcome": outcome}))
    assert times.left([mean]) == 5
    assert times.left([slow]) == pytest.approx(50)


def test_a_plugin_that_fails_in_its_trial_has_an_unknown_time(grid_and_runs, monkeypatch):
    grid, stored = grid_and_runs
    monkeypatch.setattr(Slow, "fails", True)
    lines = []
    times = ArmTimes()
    missing = estimate_times(grid, times, stored, lines.append)
    assert any("'slow' on random90: its time is unknown: plugin 'slow' failed in fit" in line for line in lines)
    assert times.left(run for run in missing if run.arm.label == "slow") == 0


def test_an_arm_without_a_run_or_a_trial_is_unknown(grid_and_runs):
    grid, _ = grid_and_runs
    assert not ArmTimes().knows(grid.runs[0])
