"""Slope One: predicts from mean rating differences between items (surprise).

D. Lemire and A. Maclachlan, "Slope One Predictors for Online Rating-Based Collaborative Filtering", SDM 2005,
section 3.1: r̂(u, i) = mean of u + mean of dev(i, j) over the items j of u. The deviation dev(i, j) is how much higher
i is rated than j, on average over the users who rated both. Items j without such a user are ignored.

Surprise computes with integers, so it sees ratings in steps of their scale. Half stars would be lost otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import Config, Plugin
from cfbench.plugins._surprise import Matrices, convert_ratings, group_by_row, whole_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.contract import Context, State
    from cfbench.ratings import Codes, Pairs, Ratings, Scores


CELL_BYTES = 17
"""For each pair of items: a deviation, the number of users who rated both, and whether it is 0; measured: 17.0."""


class SlopeOneConfig(Config):
    """`slopeone` has no hyper-parameters."""


class SlopeOne:
    """The deviations of all pairs of items, and the means of the users."""

    def __init__(self, config: SlopeOneConfig) -> None:
        del config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing is random)
        """Compute the deviations with surprise; raises `ConfigError` when they need more memory than there is."""
        import surprise

        self._training = convert_ratings(train, whole_units(train.scale))
        algorithm = surprise.SlopeOne()
        matrices = Matrices(self._training.ratings.n_items, CELL_BYTES, "use a data set with fewer items")
        algorithm.fit(self._training.trainset(matrices))
        self._deviations = algorithm.dev  # (items, items)
        self._deviations[algorithm.freq == 0] = np.nan
        self._user_means = np.asarray(algorithm.user_mean)  # (users,)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions; a pair with an unknown user or item is predicted as μ."""
        users, items = self._training.inner_ids(pairs)
        scores = np.full(len(pairs), self._training.mean)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        rows = self._training.by_user
        for positions, cells in group_by_row(users[known], rows):
            group = known[positions]
            scores[group] = self._user_means[users[group]] + self._mean_deviations(items[group], rows.columns[cells])
        return self._training.units.to_scale(scores)

    def _mean_deviations(self, items: Codes, rated: Codes) -> NDArray[np.float64]:
        """(n,) mean of dev(i, j) over the items j in `rated` (m,) that have a deviation, for each i in `items` (n,)."""
        deviations = self._deviations[items[:, None], rated]  # (n, m)
        counts = np.count_nonzero(~np.isnan(deviations), axis=1)
        return np.asarray(np.nansum(deviations, axis=1) / np.maximum(counts, 1))

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions as for a training user with these ratings; ratings of unknown items are ignored."""
        rated_ids, target_ids = self._training.item_ids[items], self._training.item_ids[targets]
        known_items, known_targets = rated_ids >= 0, target_ids >= 0
        scores = np.full(len(targets), self._training.mean)
        if known_items.any():
            user_mean = self._training.units.to_surprise(ratings)[known_items].mean(dtype=np.float64)
            deviations = self._mean_deviations(target_ids[known_targets], rated_ids[known_items])
            scores[known_targets] = user_mean + deviations
        return self._training.units.to_scale(scores)

    def state(self) -> State:
        """Nothing: `restore` fits again. With a million ratings that takes ten seconds; a matrix takes up to 300 MB."""
        return {}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the state is empty)
        """Fit again."""
        self.fit(train, train.take(np.arange(0)), context)

    @property
    def parameters(self) -> int:
        """One deviation per pair of items with a user in common, and one mean per user."""
        n_items = len(self._deviations)
        n_deviations = (int(np.count_nonzero(~np.isnan(self._deviations))) - n_items) // 2
        return n_deviations + len(self._user_means)


PLUGIN = Plugin(
    title="Slope One (surprise)",
    paper="Lemire, Maclachlan, Slope One Predictors for Online Rating-Based Collaborative Filtering, SDM 2005",
    config=SlopeOneConfig,
    build=SlopeOne,
    random=False,
)
