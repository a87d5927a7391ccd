"""How far predictions are from ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Scores


def rmse(predictions: Scores, ratings: Scores) -> float:
    """Root mean squared error √(Σ (p - r)² / n) over all ratings, in float64; NaN without ratings.

    >>> rmse(np.float32([3, 4]), np.float32([4, 2])) == ((1 + 4) / 2) ** 0.5
    True
    """
    return float(np.sqrt(np.mean(_errors(predictions, ratings) ** 2))) if len(ratings) else float("nan")


def mae(predictions: Scores, ratings: Scores) -> float:
    """Mean absolute error Σ |p - r| / n over all ratings, in float64; NaN without ratings.

    >>> mae(np.float32([3, 4]), np.float32([4, 2]))
    1.5
    """
    return float(np.mean(np.abs(_errors(predictions, ratings)))) if len(ratings) else float("nan")


def _errors(predictions: Scores, ratings: Scores) -> NDArray[np.float64]:
    return predictions.astype(np.float64) - ratings.astype(np.float64)
