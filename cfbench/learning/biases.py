"""Regularised biases: the mean rating, each user's deviation from it, and each item's.

r̂(u, i) = μ + b_u + b_i minimises Σ (r - μ - b_u - b_i)² + λ_u Σ b_u² + λ_i Σ b_i² by alternating between users and
items, each step being the exact minimum over one side (Koren, "Factor in the Neighbors", TKDD 4(1), 2010, §2.1). An
unseen user or item has bias 0, so that every pair has a sensible prediction. Many models use it for such pairs.

`fit` takes λ_u and λ_i as given. `fit_random_effects` estimates them, and knows that popular items are better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cfbench.ratings import activity, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Pairs, Ratings, Scores

TINY = 1e-12
"""The smallest variance, so that ratings without noise or without biases can be divided by it."""


@dataclass(frozen=True)
class Biases:
    """μ and the biases, in the scale's unit; `users` (n_users,), `items` (n_items,) float64."""

    mean: float
    users: NDArray[np.float64]
    items: NDArray[np.float64]
    user_reg: float = 15.0
    """λ_u, for the bias of a new user."""

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) μ + b_u + b_i."""
        return (self.mean + self.users[pairs.users] + self.items[pairs.items]).astype(np.float32)

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions of `targets` (n,) for a new user who gave `items` (m,) these `ratings` (m,)."""
        user_bias = float((ratings - self.mean - self.items[items]).sum()) / max(self.user_reg + len(items), 1)
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
    return Biases(middle, user_biases, item_biases, user_reg)


def fit_random_effects(train: Ratings, *, sweeps: int = 50) -> Biases:
    """Estimate the biases and their regularisation together, so that neither the scale nor the size matters.

    The model is r = μ + b_u + b_i + ε with b_u ~ N(0, τ_u²), b_i ~ N(a_0 + a_1 log c_i, τ_i²) and ε ~ N(0, σ²), where
    c_i is the item's number of ratings: people often rate what is good, so an item with few ratings shrinks to this
    line, not to μ. Each sweep is an EM step for the variances (Laird and Ware, "Random-Effects Models for Longitudinal
    Data", Biometrics 38, 1982) with the other side's biases held fixed; λ_u = σ²/τ_u² and λ_i = σ²/τ_i². It stops
    when both change by less than 1 %, at the latest after `sweeps`.

    Among the training ratings, each is one of the c_i ratings of its item. A rating to predict is one more: also an
    unseen item gets the line's value.
    """
    middle = mean(train)
    user_counts, item_counts = activity(train.users, train.n_users), activity(train.items, train.n_items)
    user_biases, item_biases = np.zeros(train.n_users), np.zeros(train.n_items)
    user_reg, item_reg, slope = 5.0, 5.0, 0.0
    for _ in range(sweeps if len(train) else 0):
        item_sums = _deviation_sums(train.ratings, middle, train.items, train.users, user_biases, train.n_items)
        line, slope = _popularity_line(item_sums, item_counts, item_reg)
        deviations = (item_sums - item_counts * line) / np.maximum(item_counts + item_reg, 1)
        item_biases = line + deviations
        user_sums = _deviation_sums(train.ratings, middle, train.users, train.items, item_biases, train.n_users)
        user_biases = user_sums / np.maximum(user_counts + user_reg, 1)
        noise = _noise_variance(
            train, Biases(middle, user_biases, item_biases), (user_counts, user_reg), (item_counts, item_reg)
        )
        before = np.array([user_reg, item_reg])
        user_reg = noise / _variance(user_biases, user_counts, user_reg, noise)
        item_reg = noise / _variance(deviations, item_counts, item_reg, noise)
        if np.allclose([user_reg, item_reg], before, rtol=0.01, atol=0):
            break
    one_more = np.log1p(item_counts) - np.log(np.maximum(item_counts, 1))
    return Biases(middle, user_biases, item_biases + slope * one_more, user_reg)


def _popularity_line(
    sums: NDArray[np.float64], counts: NDArray[np.int64], reg: float
) -> tuple[NDArray[np.float64], float]:
    """(n_items,) a_0 + a_1 log c_i, and a_1: the exact minimum, together with the items' deviations from it.

    `sums`: (n_items,) of an item's ratings minus μ and the users' biases. With the deviations at their minimum, the
    objective is a sum of squares over items with weights c_i / (c_i + λ_i). An item without ratings counts as one
    with one rating.
    """
    rated = counts > 0
    if np.unique(counts[rated]).size < 2:  # no line through one point
        return np.zeros(len(counts)), 0.0
    weights = counts[rated] / (counts[rated] + reg)
    slope, start = np.polyfit(np.log(counts[rated]), sums[rated] / counts[rated], 1, w=np.sqrt(weights))
    return start + slope * np.log(np.maximum(counts, 1)), float(slope)


def _variance(effects: NDArray[np.float64], counts: NDArray[np.int64], reg: float, noise: float) -> float:
    """τ²: the mean over rated users or items of the squared effect plus its posterior variance σ² / (c + λ)."""
    rated = counts > 0
    second_moments = effects[rated] ** 2 + noise / np.maximum(counts[rated] + reg, 1)
    return max(float(second_moments.mean()), TINY)


def _noise_variance(train: Ratings, fitted: Biases, *sides: tuple[NDArray[np.int64], float]) -> float:
    """σ²: the squared errors, divided by the number of ratings minus the effective number of biases.

    `sides`: the counts c and λ of users and of items, which have Σ c / (c + λ) effective biases.
    """
    squares = 0.0
    for rows in blocks(len(train), 1_000_000):
        errors = train.ratings[rows] - fitted.predict(train.pairs.take(rows))
        squares += float(np.square(errors, dtype=np.float64).sum())
    effective = sum(float((counts / np.maximum(counts + reg, 1)).sum()) for counts, reg in sides)
    return max(squares / max(len(train) - effective, 1), TINY)


def _deviation_sums(
    ratings: Scores, middle: float, codes: Codes, others: Codes, other_biases: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """(count,) Σ (r - μ - b) for each code, where b is the other side's bias; in blocks, because NumPy makes copies."""
    sums = np.zeros(count)
    for rows in blocks(len(codes), 1_000_000):
        deviations = ratings[rows] - (middle + other_biases[others[rows]])
        sums += np.bincount(codes[rows], weights=deviations, minlength=count)
    return sums
