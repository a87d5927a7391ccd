"""What is measured of an arm: values of its curve, and what becomes of seeds that diverged."""

import math
from types import SimpleNamespace

import pytest

from cfbench.contract import Epoch
from cfbench.experiments.definition import Arm, PublishedValue
from cfbench.experiments.measures import ArmReport, SeedRun


def seed_run(valid, *, status="finished", rmse=0.93, train=(1.0, 0.8, 0.7)):
    """A run with this learning curve."""
    curve = tuple(Epoch(k, len(valid), t, v, 1.0) for k, (t, v) in enumerate(zip(train, valid, strict=False), 1))
    outcome = SimpleNamespace(status=status, rmse=rmse, parameters=12)
    return SeedRun(SimpleNamespace(outcome=outcome), curve)


def test_a_curve_has_a_best_a_last_and_a_distance_between_them():
    run = seed_run([1.0, 0.9, 0.95])
    assert [run.value(measure) for measure in ("test", "best", "final", "train", "parameters")] == [
        0.93,
        0.9,
        0.95,
        0.7,
        12,
    ]
    assert run.value("overfit") == pytest.approx(0.05)


def test_a_run_that_diverged_has_a_best_but_no_end():
    run = seed_run([1.0, 0.9], status="diverged")
    assert (run.value("test"), run.value("best")) == (0.93, 0.9)
    assert all(math.isinf(run.value(measure)) for measure in ("final", "overfit", "train"))
    assert math.isinf(seed_run([], status="diverged", rmse=None).value("test"))


def test_a_model_without_a_curve_has_only_its_test_rmse():
    run = seed_run([])
    assert run.value("test") == 0.93
    assert all(math.isnan(run.value(measure)) for measure in ("best", "final", "overfit", "train"))


def test_seeds_that_diverged_are_counted_beside_the_mean_of_the_others():
    runs = (seed_run([1.0, 0.9]), seed_run([1.0, 0.7]), seed_run([1.0], status="diverged"))
    value = ArmReport(Arm(label="a"), "random90", True, runs, None).measured("final")
    assert (value.mean, value.seeds, value.diverged) == (pytest.approx(0.8), 2, 1)


def published_on(split, *values):
    arm = Arm(label="a", published=tuple(PublishedValue(measure="test", source="t", **value) for value in values))
    value = ArmReport(arm, split, True, (), None).published("test")
    return None if value is None else value.value


def test_the_papers_value_is_that_of_the_split_or_the_only_one():
    of_3m, of_full = {"value": 0.97, "split": "3m"}, {"value": 0.93, "split": "full"}
    assert published_on("3m", of_3m, of_full) == 0.97
    assert published_on("time90", of_3m) == 0.97
    assert published_on("time90", of_3m, of_full) is None
    assert published_on("time90", {"value": 0.9}) == 0.9
