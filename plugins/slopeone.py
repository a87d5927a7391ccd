"""Slope One: how much one item is rated above another, averaged over who rated both, as scikit-surprise fits it.

D. Lemire and A. Maclachlan, "Slope One Predictors for Online Rating-Based Collaborative Filtering", SDM 2005,
section 3.1: r̂(u, i) = mean of u + mean over u's items j of dev(i, j). Items j that nobody rated together with i are
passed over.

Surprise computes in whole numbers; ratings are shown to it in steps of their scale, so that half stars are not lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import Config, Plugin
from cfbench.plugins._surprise import MemoryModel, Units, grouped, require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Scale, Scores


class SlopeOneConfig(Config):
    """Hyper-parameters of `slopeone`: none."""


class SlopeOne(MemoryModel):
    """Mean of u + mean over its items of their deviations."""

    def __init__(self, config: SlopeOneConfig) -> None:
        del config

    def units_for(self, scale: Scale) -> Units:
        """Whole numbers."""
        return Units.of_steps(scale)

    def algorithm(self, seed: int) -> Any:  # noqa: ARG002 (nothing is random)
        """`surprise.SlopeOne`; raises `ConfigError` when its matrices are more than the memory."""
        import surprise

        require_memory(2, self.training.ratings.n_items, "slopeone", "take a data set with fewer items")
        return surprise.SlopeOne()

    def take(self, algorithm: Any) -> None:
        """Keep the deviations, (items, items), NaN where nobody rated both; and the users' means."""
        self._deviations = np.where(algorithm.freq > 0, algorithm.dev, np.nan)
        self._means = np.asarray(algorithm.user_mean)

    def estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """(n,) a pair with an unknown user or item is μ."""
        scores = np.full(len(users), self.training.mean)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        rows = self.training.by_user
        for places, row in grouped(users[known], rows):
            at = known[places]
            scores[at] = self._means[users[at]] + self._deviation(items[at], rows.columns[row])
        return scores

    def _deviation(self, items: Codes, rated: Codes) -> NDArray[np.float64]:
        """(n,) how much each item is rated above those `rated` (m,), on average over those with a deviation."""
        deviations = self._deviations[items[:, None], rated]  # (n, m)
        counts = np.count_nonzero(~np.isnan(deviations), axis=1)
        return np.asarray(np.nansum(deviations, axis=1) / np.maximum(counts, 1))

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes) -> Scores:
        """(n,) as for a user of the training set who gave these ratings; those of unknown items are passed over."""
        rated, wanted = self.training.items[items], self.training.items[asked]
        scores = np.full(len(asked), self.training.mean)
        if (rated >= 0).any():
            known = wanted >= 0
            mean = self.units.seen(ratings)[rated >= 0].mean(dtype=np.float64)
            scores[known] = mean + self._deviation(wanted[known], rated[rated >= 0])
        return self.units.meant(scores)

    @property
    def parameters(self) -> int:
        """One deviation a pair of items that somebody rated, and the users' means."""
        n = len(self._deviations)
        return (int(np.count_nonzero(~np.isnan(self._deviations))) - n) // 2 + len(self._means)


PLUGIN = Plugin(
    title="Slope One (surprise)",
    paper="Lemire, Maclachlan, Slope One Predictors for Online Rating-Based Collaborative Filtering, SDM 2005",
    config=SlopeOneConfig,
    build=SlopeOne,
)
