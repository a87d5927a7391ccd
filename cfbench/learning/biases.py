"""Regularised biases: the mean rating, each user's deviation from it, and each item's.

r̂(u, i) = μ + b_u + b_i minimises Σ (r - μ - b_u - b_i)² + λ_u Σ b_u² + λ_i Σ b_i² by alternating between users and
items, each step being the exact minimum over one side (Koren, "Factor in the Neighbors", TKDD 4(1), 2010, §2.1). An
unseen user or item has bias 0, so that every pair has a sensible prediction. Many models use it for such pairs.
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


def fit(train: Ratings, *, user_reg: float = 15.0, item_reg: float = 10.0, sweeps: int = 10) -> Biases:
    """Alternate `sweeps` times, items first; `user_reg` and `item_reg` act like that many ratings without deviation."""
    middle = mean(train)
    user_counts = np.maximum(activity(train.users, train.n_users) + user_reg, 1)
    item_counts = np.maximum(activity(train.items, train.n_items) + item_reg, 1)
    user_biases, item_biases = np.zeros(train.n_users), np.zeros(train.n_items)
    for _ in range(sweeps):
        item_sums = _deviation_sums(train.ratings, middle, train.items, train.users, user_biases, len(item_biases))
        item_biases = item_sums / item_counts
        user_sums = _deviation_sums(train.ratings, middle, train.users, train.items, item_biases, len(user_biases))
        user_biases = user_sums / user_counts
    return Biases(middle, user_biases, item_biases)


def _deviation_sums(
    ratings: Scores, middle: float, codes: Codes, others: Codes, other_biases: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """(count,) Σ (r - μ - b) for each code, where b is the other side's bias; in blocks, because NumPy makes copies."""
    sums = np.zeros(count)
    for rows in blocks(len(codes), 1_000_000):
        deviations = ratings[rows] - (middle + other_biases[others[rows]])
        sums += np.bincount(codes[rows], weights=deviations, minlength=count)
    return sums
