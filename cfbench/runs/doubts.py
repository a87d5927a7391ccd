"""What makes the scores of a run doubtful: marks for the record, the leaderboard and the person who made the run.

A plugin's own validation RMSE chose its epoch, so it is compared with that of the model's predictions. A test RMSE is
marked when no honest model is likely to reach it. A mark is no verdict: it says what somebody should look at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cfbench.runs.record import Doubt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cfbench.contract import Epoch
    from cfbench.ratings import Ratings, Scale, Scores

    Floats: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-3
"""The share by which two computations of one RMSE may differ: in bfloat16 a prediction is as coarse as 0.02."""
BELOW_VALIDATION = 0.9
"""A test RMSE below this share of the validation RMSE is doubtful if the difference is no chance."""
STANDARD_ERRORS = 4
"""No chance: the mean squared errors are so many standard errors apart. They count ratings as independent, which those
of one user are not; so the number is larger than the usual 2 or 3."""


def agree(one: float, other: float) -> bool:
    """Whether two RMSEs are the same but for rounding."""
    return math.isclose(one, other, rel_tol=TOLERANCE)


def chosen_epoch(curve: Sequence[Epoch], valid_rmse: float | None) -> Epoch | None:
    """Return the epoch that the model holds: the best one, or the last one if only that has this validation RMSE."""
    best = best_epoch(curve)
    if best is None or best.valid_rmse is None or valid_rmse is None or agree(best.valid_rmse, valid_rmse):
        return best
    last = curve[-1]
    return last if last.valid_rmse is not None and agree(last.valid_rmse, valid_rmse) else best


def best_epoch(curve: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch with the lowest validation RMSE; without a validation part the last one."""
    validated = [epoch for epoch in curve if epoch.valid_rmse is not None]
    return min(validated, key=lambda epoch: epoch.valid_rmse or 0.0, default=curve[-1] if curve else None)


def doubt_epoch(curve: Sequence[Epoch], valid_rmse: float) -> Iterator[Doubt]:
    """Doubt the learning curve if the epoch that the model holds reported another validation RMSE."""
    epoch = chosen_epoch(curve, valid_rmse)
    if epoch is not None and epoch.valid_rmse is not None and not agree(epoch.valid_rmse, valid_rmse):
        yield Doubt(
            kind="own validation RMSE is wrong",
            detail=f"the model reported a validation RMSE of {epoch.valid_rmse:.4f} in its best epoch {epoch.epoch}, "
            f"but that of its predictions is {valid_rmse:.4f}",
        )


def doubt_cross_fit(own: float, fitted: float) -> Iterator[Doubt]:
    """Doubt the validation RMSE of a model that was fitted to the validation ratings (`FittedOnValid`).

    Its `own` RMSE is that of predictions which did not use the rating they predict, and nobody else can compute it. But
    it cannot be below `fitted`, that of the final predictions: these were fitted to the very ratings they predict.
    """
    if own < fitted and not agree(own, fitted):
        yield Doubt(
            kind="own validation RMSE is wrong",
            detail=f"the model reports a validation RMSE of {own:.4f} without the rating that is predicted, "
            f"which is below the {fitted:.4f} of its predictions fitted to these ratings",
        )


@dataclass(frozen=True, eq=False)
class PartErrors:
    """The squared errors (n,) of a part's predictions."""

    squares: Floats

    @classmethod
    def of(cls, predictions: Scores, part: Ratings) -> PartErrors:
        """The squared errors of predictions of a part."""
        return cls((predictions.astype(np.float64) - part.ratings) ** 2)

    @property
    def rmse(self) -> float:
        """The root of their mean."""
        return math.sqrt(self.squares.mean())

    @property
    def variance_of_mean(self) -> float:
        """The variance of their mean; 0 for a single error."""
        return float(self.squares.var() / len(self.squares))


def doubt_score(test: PartErrors, valid: PartErrors | None, scale: Scale) -> Iterator[Doubt]:
    """Doubt a test RMSE below the rounding of the scale, or far below the validation RMSE.

    Who rounds an opinion to a step s of the scale is off by s/√12 on average (the standard deviation of a uniform
    distribution), so that even a model which knew every opinion exactly would hardly come below it.
    """
    kind, floor = "test RMSE is implausibly low", scale.step / math.sqrt(12)
    if test.rmse < floor:
        yield Doubt(
            kind=kind,
            detail=f"the test RMSE of {test.rmse:.4f} is below {floor:.4f}, the error of rounding to steps of "
            f"{scale.step:g}: does the model know the test ratings?",
        )
    elif valid is not None and test.rmse < BELOW_VALIDATION * valid.rmse:
        error = math.sqrt(test.variance_of_mean + valid.variance_of_mean)
        if valid.rmse**2 - test.rmse**2 > STANDARD_ERRORS * error:
            yield Doubt(
                kind=kind,
                detail=f"the test RMSE of {test.rmse:.4f} is far below the validation RMSE of {valid.rmse:.4f}: "
                "does the model know the test ratings?",
            )
