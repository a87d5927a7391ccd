"""Regularised biases: the mean rating, each user's deviation from it, and each item's.

r̂(u, i) = μ + b_u + b_i minimises Σ (r - μ - b_u - b_i)² + λ_u Σ b_u² + λ_i Σ b_i² by alternating between users and
items, each step being the exact minimum over one side (Koren, "Factor in the Neighbors", TKDD 4(1), 2010, §2.1). An
unseen user or item has bias 0, so that every pair has a sensible prediction. Many models use it for such pairs.

With `popularity`, b_i = a_0 + a_1 log c_i + d_i for an item with c_i ratings, and the penalty is λ_i Σ d_i².
People often rate what is good, so an item with few ratings shrinks to this line and not to 0. Among the training
ratings, each is one of the c_i ratings of its item; a rating to predict is one more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cfbench.ratings import activity, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Pairs, Ratings, Scores


@dataclass(frozen=True)
class Biases:
    """μ and the biases, in the scale's unit; `users` (n_users,), `items` (n_items,) float64."""

    mean: float
    users: NDArray[np.float64]
    items: NDArray[np.float64]

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) μ + b_u + b_i."""
        return (self.mean + self.users[pairs.users] + self.items[pairs.items]).astype(np.float32)

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes, *, user_reg: float = 15.0) -> Scores:
        """(n,) predictions of `targets` (n,) for a new user who gave `items` (m,) these `ratings` (m,)."""
        user_bias = float((ratings - self.mean - self.items[items]).sum()) / (user_reg + len(items))
        scores: Scores = (self.mean + user_bias + self.items[targets]).astype(np.float32)
        return scores


def mean(train: Ratings) -> float:
    """μ, the mean of the training ratings; the middle of the scale when there are none."""
    if not len(train):
        return (train.scale.low + train.scale.high) / 2
    return float(train.ratings.mean(dtype=np.float64))


def fit(
    train: Ratings, *, user_reg: float = 15.0, item_reg: float = 10.0, sweeps: int = 10, popularity: bool = False
) -> Biases:
    """Alternate `sweeps` times, items first; `user_reg` and `item_reg` act like that many ratings without deviation."""
    middle = mean(train)
    user_counts = np.maximum(activity(train.users, train.n_users) + user_reg, 1)
    counts = activity(train.items, train.n_items)
    item_counts = np.maximum(counts + item_reg, 1)
    user_biases, item_biases = np.zeros(train.n_users), np.zeros(train.n_items)
    slope = 0.0
    for _ in range(sweeps):
        item_sums = _deviation_sums(train.ratings, middle, train.items, train.users, user_biases, len(item_biases))
        line = np.zeros(train.n_items)
        if popularity:
            line, slope = _popularity_line(item_sums, counts, item_reg)
        item_biases = line + (item_sums - counts * line) / item_counts
        user_sums = _deviation_sums(train.ratings, middle, train.users, train.items, item_biases, len(user_biases))
        user_biases = user_sums / user_counts
    one_more = np.log1p(counts) - np.log(np.maximum(counts, 1))
    return Biases(middle, user_biases, item_biases + slope * one_more)


def _popularity_line(
    sums: NDArray[np.float64], counts: NDArray[np.int64], reg: float
) -> tuple[NDArray[np.float64], float]:
    """(n_items,) a_0 + a_1 log c_i, and a_1: the exact minimum, together with d_i, for these sums of deviations.

    With d_i at its minimum, the objective is a sum of squares over items with weights c_i / (c_i + λ_i). For an item
    without ratings the line is that of one rating.
    """
    rated = counts > 0
    if np.unique(counts[rated]).size < 2:  # no line through one point
        return np.zeros(len(counts)), 0.0
    means, weights = sums[rated] / counts[rated], counts[rated] / (counts[rated] + reg)
    slope, start = np.polyfit(np.log(counts[rated]), means, 1, w=np.sqrt(weights))
    return start + slope * np.log(np.maximum(counts, 1)), float(slope)


def _deviation_sums(
    ratings: Scores, middle: float, codes: Codes, others: Codes, other_biases: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """(count,) Σ (r - μ - b) for each code, where b is the other side's bias; in blocks, because NumPy makes copies."""
    sums = np.zeros(count)
    for rows in blocks(len(codes), 1_000_000):
        deviations = ratings[rows] - (middle + other_biases[others[rows]])
        sums += np.bincount(codes[rows], weights=deviations, minlength=count)
    return sums
