"""Regularised biases: the mean, how generous each user is, how well liked each item is.

r̂(u, i) = μ + b_u + b_i, fitted by alternating between users and items, each step the exact minimiser over one side of
Σ (r - μ - b_u - b_i)² + λ_u Σ b_u² + λ_i Σ b_i² (Koren, "Factor in the Neighbors", TKDD 4(1), 2010, §2.1). An unseen
user or item has bias 0, so every pair has a sensible prediction. Many models lean on it where they know nothing.
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

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes, *, user_reg: float = 15.0) -> Scores:
        """(n,) predictions of `asked` for a new user who gave `items` (m,) these `ratings` (m,)."""
        generosity = float((ratings - self.mean - self.items[items]).sum()) / (user_reg + len(items))
        scores: Scores = (self.mean + generosity + self.items[asked]).astype(np.float32)
        return scores


def mean(train: Ratings) -> float:
    """μ of the training ratings; the middle of the scale when there are none."""
    if not len(train):
        return (train.scale.low + train.scale.high) / 2
    return float(train.ratings.mean(dtype=np.float64))


def fit(train: Ratings, *, user_reg: float = 15.0, item_reg: float = 10.0, sweeps: int = 10) -> Biases:
    """Alternate `sweeps` times, items first; `user_reg` and `item_reg` act as so many ratings of bias 0."""
    middle = mean(train)
    user_counts = np.maximum(activity(train.users, train.n_users) + user_reg, 1)
    item_counts = np.maximum(activity(train.items, train.n_items) + item_reg, 1)
    of_users, of_items = np.zeros(train.n_users), np.zeros(train.n_items)
    for _ in range(sweeps):
        of_items = _sums(train.ratings, middle, train.items, train.users, of_users, len(of_items)) / item_counts
        of_users = _sums(train.ratings, middle, train.users, train.items, of_items, len(of_users)) / user_counts
    return Biases(middle, of_users, of_items)


def _sums(
    ratings: Scores, middle: float, codes: Codes, others: Codes, of_others: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """(count,) Σ (r - μ - b) by code, where b is the other side's bias; a block at a time, for NumPy makes copies."""
    sums = np.zeros(count)
    for rows in blocks(len(codes), 1_000_000):
        rest = ratings[rows] - (middle + of_others[others[rows]])
        sums += np.bincount(codes[rows], weights=rest, minlength=count)
    return sums
