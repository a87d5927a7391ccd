"""SCORES: how far predictions are from ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Scores


def rmse(predictions: Scores, ratings: Scores) -> float:
    """Root mean squared error √(Σ (p - r)² / n) over all ratings, in float64; NaN when there are none.

    >>> rmse(np.float32([3, 4]), np.float32([4, 2])) == ((1 + 4) / 2) ** 0.5
    True
    """
    return float(np.sqrt(np.mean(_errors(predictions, ratings) ** 2))) if len(ratings) else float("nan")


def mae(predictions: Scores, ratings: Scores) -> float:
    """Mean absolute error Σ |p - r| / n over all ratings, in float64; NaN when there are none.

    >>> mae(np.float32([3, 4]), np.float32([4, 2]))
    1.5
    """
    return float(np.mean(np.abs(_errors(predictions, ratings)))) if len(ratings) else float("nan")


def user_rmse(predictions: Scores, ratings: Scores, users: Codes) -> float:
    """The mean over users of each one's RMSE, so that all users count alike; NaN when there are no ratings.

    >>> user_rmse(np.float32([3, 4, 4]), np.float32([4, 4, 2]), np.int32([7, 7, 9])) == (0.5**0.5 + 2) / 2
    True
    """
    counts = np.bincount(users)
    squares = np.bincount(users, _errors(predictions, ratings) ** 2)[counts > 0]
    return float(np.mean(np.sqrt(squares / counts[counts > 0]))) if len(ratings) else float("nan")


def _errors(predictions: Scores, ratings: Scores) -> NDArray[np.float64]:
    return predictions.astype(np.float64) - ratings.astype(np.float64)
