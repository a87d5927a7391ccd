"""Scores with what their doubt is computed from: how far each falls when one user, item or rating is left out.

This is the delete-one jackknife over clusters (Efron & Stein, The jackknife estimate of variance, Annals of Statistics
1981; Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11). The errors of one user resemble each
other, so whole users are left out; the same holds for items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard import Clusters

Floats: TypeAlias = NDArray[np.float64]
Cluster: TypeAlias = Literal["user", "item", "rating"]
"""What is left out at a time. `rating` is the cell where a user and an item meet."""
CLUSTERINGS: dict[Clusters, tuple[Cluster, ...]] = {
    "user": ("user",), "item": ("item",), "both": ("user", "item", "rating"),
}  # fmt: skip
"""The clusters whose variances an interval combines; for both, the variance over ratings is subtracted."""


@dataclass(frozen=True, eq=False)
class PartSums:
    """The score of one run on one test part, as sums by cluster: √(total / count), or the plain ratio.

    Shapes: `sums`, `counts` and `ratings` (clusters,). For RMSE `sums` are the squared errors, `counts` their number.
    The score without a cluster is that of `total - sums` and `count - counts`.
    """

    sums: Floats
    counts: Floats
    ratings: Floats
    """How many test ratings each cluster has."""
    total: float
    count: float
    root: bool

    @property
    def score(self) -> float:
        """The score with all clusters."""
        return float(self._score(np.array([self.total]), np.array([self.count]))[0])

    @property
    def effects(self) -> Floats:
        """(clusters,) how far the score falls without each cluster; 0 where no rating would be left."""
        left = self.count - self.counts
        without = self._score(np.maximum(self.total - self.sums, 0), np.maximum(left, 1))
        return np.where(left > 0, self.score - without, 0.0)

    def _score(self, sums: Floats, counts: Floats) -> Floats:
        ratio = sums / counts
        return np.sqrt(ratio) if self.root else ratio


@dataclass(frozen=True, eq=False)
class Estimate:
    """The score of a row of a leaderboard: the mean over its seeds of the mean over its folds."""

    effects: tuple[Floats, ...]
    """For each clustering, (clusters,) how far the score falls without each cluster that has test ratings.

    Cluster c is the same user, item or rating in all estimates that are compared.
    """
    seed_scores: Floats
    """(seeds,) the score of each seed."""

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(self.seed_scores.mean())

    @property
    def defined(self) -> bool:
        """Whether the doubt can be computed: one user is no sample of users."""
        return min(map(len, self.effects)) > 1

    @property
    def seed_variance(self) -> float:
        """The variance of the score over seeds; 0 for one seed, whose variance is unknown."""
        seeds = len(self.seed_scores)
        return float(self.seed_scores.var(ddof=1) / seeds) if seeds > 1 else 0.0

    @property
    def seed_freedom(self) -> int:
        """The degrees of freedom of `seed_variance`."""
        return max(len(self.seed_scores) - 1, 1)


def estimate(seeds: Sequence[Sequence[dict[Cluster, PartSums]]]) -> Estimate:
    """The estimate of a row from the sums of each run: `seeds[s][f]` belongs to seed s and fold f."""
    parts = len(seeds) * len(seeds[0])
    effects = tuple(_add_effects(seeds, cluster) / parts for cluster in seeds[0][0])
    any_cluster = next(iter(seeds[0][0]))
    seed_scores = [np.mean([sums[any_cluster].score for sums in folds]) for folds in seeds]
    return Estimate(effects, np.array(seed_scores))


def _add_effects(seeds: Sequence[Sequence[dict[Cluster, PartSums]]], cluster: Cluster) -> Floats:
    """(clusters,) the sums of the effects over all runs; each rating is in the test part of one fold only."""
    folds = [[sums[cluster] for sums in fold] for fold in zip(*seeds, strict=True)]
    effects = [np.sum([sums.effects for sums in fold], axis=0) for fold in folds]
    if cluster == "rating":
        return np.concatenate(effects)
    present = np.any([fold[0].ratings > 0 for fold in folds], axis=0)
    total: Floats = np.sum(effects, axis=0)[present]
    return total
