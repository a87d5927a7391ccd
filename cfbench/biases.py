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

    from cfbench.ratings import Codes, Ratings, Scores


@dataclass(frozen=True)
class Biases:
    """μ and the biases, in the scale's unit; `users` (n_users,), `items` (n_items,) float64."""

    mean: float
    users: NDArray[np.float64]
    items: NDArray[np.float64]

    def predict(self, users: Codes, items: Codes) -> Scores:
        """(n,) μ + b_u + b_i."""
        return (self.mean + self.users[users] + self.items[items]).astype(np.float32)

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes, *, user_reg: float = 15.0) -> Scores:
        """(n,) predictions of `asked` for a new user who gave `items` (m,) these `ratings` (m,)."""
        generosity = float((ratings - self.mean - self.items[items]).sum()) / (user_reg + len(items))
        scores: Scores = (self.mean + generosity + self.items[asked]).astype(np.float32)
        return scores


def fit(train: Ratings, *, user_reg: float = 15.0, item_reg: float = 10.0, sweeps: int = 10) -> Biases:
    """Alternate `sweeps` times, items first; `user_reg` and `item_reg` act as so many ratings of bias 0.

    The mean of a training set without ratings is the middle of the scale.
    """
    if not len(train):
        middle = (train.scale.low + train.scale.high) / 2
        return Biases(middle, np.zeros(train.n_users), np.zeros(train.n_items))
    mean = float(train.ratings.mean(dtype=np.float64))
    user_weights = np.maximum(activity(train.users, train.n_users) + user_reg, 1)
    item_weights = np.maximum(activity(train.items, train.n_items) + item_reg, 1)
    of_users, of_items = np.zeros(train.n_users), np.zeros(train.n_items)
    for _ in range(sweeps):
        of_items = _sums(train, train.items, train.users, mean, of_users, train.n_items) / item_weights
        of_users = _sums(train, train.users, train.items, mean, of_items, train.n_users) / user_weights
    return Biases(mean, of_users, of_items)


def _sums(
    train: Ratings, codes: Codes, others: Codes, mean: float, of_others: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """(count,) what is left of the ratings beside the mean and the others' biases, added up a code.

    A block at a time: the residuals of 100 million ratings are never there all at once.
    """
    sums = np.zeros(count)
    for rows in blocks(len(train), 1_000_000):
        rest = train.ratings[rows] - mean - of_others[others[rows]]
        sums += np.bincount(codes[rows], weights=rest, minlength=count)
    return sums
