"""What learning curves say about an arm that is worse than a claim says."""

from types import SimpleNamespace

import pytest

from cfbench.cli.view.experiment_page import verdict_lines
from cfbench.contract import Epoch
from cfbench.experiments.claims import EqualClaim, OrderClaim
from cfbench.experiments.definition import Arm
from cfbench.experiments.measures import ArmReport, SeedRun
from cfbench.experiments.verdict import judge


def arm(label, valid, train, *, status="finished", **config):
    """An arm with three seeds whose curves differ by .001; without `valid` it has none."""
    runs = []
    for seed in range(3):
        rows = zip(train, valid, strict=True)
        curve = tuple(Epoch(k, len(valid), t, v + seed / 1000, 1.0) for k, (t, v) in enumerate(rows, 1))
        outcome = SimpleNamespace(status=status, rmse=None, parameters=1)
        runs.append(SeedRun(SimpleNamespace(outcome=outcome, request=SimpleNamespace(config=config)), curve))
    return ArmReport(Arm(label=label), "random90", True, tuple(runs), None)


def lines(worse, better, measure="best"):
    """What is said about the claim that the worse arm is better."""
    claim = OrderClaim(text="claim", kind="order", measure=measure, order=[["worse"], ["better"]])
    verdict = judge(claim, "random90", {"worse": worse, "better": better}, {})
    assert verdict.decision == "does not hold"
    return verdict_lines(verdict)


BETTER = arm("better", [1.0, 0.9, 0.95], [1.0, 0.8, 0.7], dropout=0.5)


def test_an_arm_that_fits_less_well_underfits_and_may_have_ended_too_early():
    effect, reason = lines(arm("worse", [1.2, 1.1, 1.0], [1.1, 1.05, 0.9], dropout=0.5), BETTER)
    assert effect.startswith("worse − better: +0.1000")
    assert reason == (
        "worse also fits the training ratings less well than better (training RMSE 0.9000 against 0.8000); its "
        "validation RMSE was still falling when training ended, after epoch 3"
    )


def test_an_arm_that_fits_better_overfits():
    _, reason = lines(arm("worse", [1.2, 1.0, 1.1], [0.9, 0.6, 0.5], dropout=0.5), BETTER)
    assert reason == (
        "worse overfits: it fits the training ratings better than better (training RMSE 0.6000 against 0.8000)"
    )


def test_the_last_epochs_are_compared_where_the_claim_is_about_them():
    _, reason = lines(arm("worse", [1.2, 1.0, 1.1], [0.9, 0.6, 0.75], dropout=0.5), BETTER, "final")
    assert "also fits the training ratings less well" in reason
    assert "0.7500 against 0.7000" in reason


def test_fits_under_different_dropout_do_not_compare():
    _, reason = lines(arm("worse", [1.2, 1.0, 1.1], [0.9, 0.6, 0.5], dropout=0.8), BETTER)
    assert reason == "worse has other noise in training than better, so that their fits do not compare"


@pytest.mark.parametrize("labels", [("worse", "better"), ("better", "worse")])
def test_the_arm_that_is_worse_is_explained_where_both_should_be_alike(labels):
    worse = arm("worse", [1.2, 1.1, 1.0], [1.1, 1.05, 0.9], dropout=0.5)
    claim = EqualClaim(text="claim", kind="equal", measure="best", arms=labels, margin=0.01, because="tiny")
    verdict = judge(claim, "random90", {"worse": worse, "better": BETTER}, {})
    assert verdict_lines(verdict)[1].startswith("worse also fits the training ratings less well than better")


@pytest.mark.parametrize(
    ("worse", "measure"),
    [
        (arm("worse", [1.2, 1.0], [1.0, 0.9], status="diverged"), "final"),
        (arm("worse", [1.2, 1.0], [1.0, 0.9]), "train"),
    ],
)
def test_nothing_is_said_where_curves_tell_nothing(worse, measure):
    claim = OrderClaim(text="claim", kind="order", measure=measure, order=[["worse"], ["better"]])
    (effect,) = judge(claim, "random90", {"worse": worse, "better": BETTER}, {}).effects
    assert effect.reason is None
