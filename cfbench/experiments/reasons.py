"""Why an arm has a higher error than another one, as far as their learning curves tell."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cfbench.contract import Epoch
    from cfbench.experiments.claims import Measure
    from cfbench.experiments.measures import ArmReport

NOISE = ("dropout", "input_dropout", "noise")
"""The training RMSE is taken while these act: it tells how well a model fits only beside one with the same noise."""


@dataclass(frozen=True)
class Reason:
    """What the learning curves of an arm say about its higher validation or test RMSE than that of another arm."""

    arm: str
    other: str
    """The arm that is better."""
    fit: Literal["underfits", "overfits", "unknown"]
    """Beside the other arm: a higher training RMSE, a lower one, or one with another noise."""
    train: float
    """Its training RMSE in the epoch that the claim is about, the mean over seeds."""
    other_train: float
    """That of the better arm."""
    unfinished: int | None
    """The last epoch, if the validation RMSE of every seed was lowest in it: training ended too early."""


def find_reason(worse: ArmReport, better: ArmReport, measure: Measure) -> Reason | None:
    """Read the learning curves of two arms; None where they do not tell anything about a measure."""
    if measure not in ("test", "best", "final"):
        return None
    epochs, others = _epochs(worse, measure), _epochs(better, measure)
    if not epochs or not others:
        return None
    train, other_train = (mean(epoch.train_rmse for epoch in each) for each in (epochs, others))
    fit: Literal["underfits", "overfits", "unknown"] = "unknown"
    if _noise(worse) == _noise(better):
        fit = "underfits" if train > other_train else "overfits"
    return Reason(worse.arm.label, better.arm.label, fit, train, other_train, _last_epoch_if_best(worse))


def _epochs(arm: ArmReport, measure: Measure) -> list[Epoch]:
    """The epoch of each seed that a measure is of; none where a seed has no such epoch."""
    epochs = [run.last_epoch if measure == "final" else run.best_epoch for run in arm.runs]
    found = [epoch for epoch in epochs if epoch is not None]
    return found if len(found) == len(epochs) else []


def _noise(arm: ArmReport) -> list[object]:
    config = arm.runs[0].record.request.config
    return [config.get(name) for name in NOISE]


def _last_epoch_if_best(arm: ArmReport) -> int | None:
    if any(run.best_epoch is None or run.best_epoch != run.last_epoch for run in arm.runs):
        return None
    return max(len(run.curve) for run in arm.runs)
