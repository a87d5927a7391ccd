"""k nearest neighbours of a user or an item (surprise).

J. Herlocker, J. Konstan, A. Borchers, J. Riedl, "An Algorithmic Framework for Performing Collaborative Filtering",
SIGIR 1999 (users); B. Sarwar, G. Karypis, J. Konstan, J. Riedl, "Item-Based Collaborative Filtering Recommendation
Algorithms", WWW 2001 (items); Y. Koren, "Factor in the Neighbors", ACM TKDD 4(1), 2010, sections 2.1 and 2.2
(`kind = "baseline"`, `similarity = "pearson_baseline"`).

With `orientation = "user"`, x is the user and y the item of a pair. With `orientation = "item"` it is the other way
round. The neighbours x' of x are the k most similar to x among those with a rating of y, if their similarity s is above
0. Of equally similar ones, surprise takes the one with the lower code. A prediction is

    r̂(x, y) = a(x, y) + Σ s(x, x') (r(x', y) - a(x', y)) / Σ s(x, x')

The offset a(x, y) is 0 (basic), the mean of x (centered) or the baseline estimate μ + b_x + b_y (baseline).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.errors import ConfigError
from cfbench.plugins._similarities import CommonRatings, compute_similarities
from cfbench.plugins._surprise import Matrices, convert_ratings, group_by_row, same_units, take_biases

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from cfbench.contract import Context, State
    from cfbench.ratings import Codes, Pairs, Ratings, Scores

    Floats: TypeAlias = NDArray[np.float64]

T = TypeVar("T")
USER_REG = 15.0
"""L2 penalty on user biases in the baseline estimates of surprise."""
CELL_BYTES = {"msd": 24, "cosine": 40, "pearson": 56, "pearson_baseline": 40}
"""Bytes for each pair of users or items in the matrices that surprise fills to compute each similarity."""


class KNNConfig(Config):
    """Hyper-parameters of `knn`; the defaults are those of surprise."""

    kind: Annotated[Literal["basic", "centered", "baseline"], Tunable(choices=("basic", "centered", "baseline"))] = (
        Field("basic", description="what is subtracted from a neighbour's rating: 0, its mean or its baseline estimate")
    )
    orientation: Annotated[Literal["user", "item"], Tunable(choices=("user", "item"))] = Field(
        "user", description="neighbours are other users who rated the item, or other items that the user rated"
    )
    similarity: Annotated[
        Literal["msd", "cosine", "pearson", "pearson_baseline"],
        Tunable(choices=("msd", "cosine", "pearson", "pearson_baseline")),
    ] = Field("msd", description="how two users or items are compared over the ratings that they have in common")
    k: Annotated[PositiveInt, Tunable(5, 200, log=True)] = Field(40, description="maximum number of neighbours")
    min_k: Annotated[PositiveInt, Tunable(1, 10)] = Field(
        1, description="with fewer neighbours, the prediction is the mean or the baseline estimate"
    )
    min_support: Annotated[PositiveInt, Tunable(1, 10)] = Field(
        1, description="with fewer common ratings, the similarity is 0"
    )
    shrinkage: Annotated[float, Tunable(1, 1000, log=True)] = Field(
        100.0, ge=0, description="pulls pearson_baseline similarities towards 0 if there are few common ratings"
    )


class KNN:
    """The similarities of all pairs of users or items; x and y are those of the module's formula."""

    def __init__(self, config: KNNConfig) -> None:
        self._config = config
        self._by_user = config.orientation == "user"

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing is random)
        """Compute the similarities with surprise.

        Raises `ConfigError` when a similarity is undefined or when they need more memory than there is.
        """
        self._training = convert_ratings(train, same_units(train.scale))
        config, ratings = self._config, self._training.ratings
        n_x, other_orientation = (ratings.n_users, "item") if self._by_user else (ratings.n_items, "user")
        advice = f"use --orientation {other_orientation} or a smaller data set"
        matrices = Matrices(n_x, CELL_BYTES[config.similarity], advice)
        algorithm = create_algorithm(config)
        try:
            algorithm.fit(self._training.trainset(matrices))
        except ZeroDivisionError as fault:
            raise ConfigError(
                f"--similarity {config.similarity}: the common ratings of two {config.orientation}s have a norm of 0, "
                f"expected a norm above 0; use --similarity msd or --similarity pearson"
            ) from fault
        self._similarities: Floats = algorithm.sim  # (x, x)
        self._user_biases, self._item_biases = algorithm.bu, algorithm.bi  # None unless a baseline is used
        self._prepare_rows()

    def _prepare_rows(self) -> None:
        """Compute the mean of every x, and r(x', y) - a(x', y) for every training rating."""
        rows_by_x, self._rows = self._orient(self._training.by_user, self._training.by_item)  # self._rows: a row per y
        sums = np.add.reduceat(rows_by_x.values.astype(np.float64), rows_by_x.starts[:-1])
        self._means: Floats = sums / np.diff(rows_by_x.starts)  # (x,)
        y = np.repeat(np.arange(len(self._rows), dtype=np.int32), np.diff(self._rows.starts))
        users, items = self._orient(self._rows.columns, y)
        self._residuals: Floats = self._rows.values - self._offsets(users, items)  # (ratings,)

    def _orient(self, of_user: T, of_item: T) -> tuple[T, T]:
        """Turn (user, item) into (x, y), and (x, y) into (user, item)."""
        return (of_user, of_item) if self._by_user else (of_item, of_user)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions; a pair with an unknown user or item is predicted as μ or by the baseline estimate."""
        users, items = self._training.inner_ids(pairs)
        return self._training.units.to_scale(self._estimate(users, items))

    def _estimate(self, users: Codes, items: Codes) -> Floats:
        """(n,) predictions for inner ids."""
        known = np.flatnonzero((users >= 0) & (items >= 0))
        x, y = self._orient(users[known], items[known])
        residuals = np.full(len(users), np.nan)
        for positions, cells in group_by_row(y, self._rows):
            similarities = self._similarities[x[positions][:, None], self._rows.columns[cells]]
            residuals[known[positions]] = self._weighted_means(similarities, self._residuals[cells])
        return self._add_offsets(residuals, self._offsets(users, items), known)

    def _offsets(self, users: Codes, items: Codes) -> Floats:
        """(n,) a(x, y)."""
        if self._config.kind == "baseline":
            user_biases, item_biases = take_biases(self._user_biases, users), take_biases(self._item_biases, items)
            return self._training.mean + user_biases + item_biases
        if self._config.kind == "centered":
            x, _ = self._orient(users, items)
            return np.asarray(self._means[x])
        return np.zeros(len(users))

    def _weighted_means(self, similarities: Floats, residuals: Floats) -> Floats:
        """(a,) for each row of similarities (a, n), the mean of residuals (n,) over its neighbours, weighted by them.

        It is NaN in a row with fewer than `min_k` neighbours.
        """
        weights = np.maximum(keep_highest(similarities, self._config.k), 0.0)
        sums = weights.sum(axis=1)
        enough = np.count_nonzero(weights, axis=1) >= self._config.min_k
        return np.where(enough, weights @ residuals / np.where(sums > 0, sums, 1.0), np.nan)

    def _add_offsets(self, residuals: Floats, offsets: Floats, known: NDArray[np.int64]) -> Floats:
        """(n,) predictions from a(x, y) (n,) and the neighbours' residuals (n,), which are NaN without enough of them.

        `known` are the pairs whose user and item have training ratings.
        """
        without_neighbours = np.full(len(offsets), self._training.mean)
        if self._config.kind == "baseline":
            without_neighbours = offsets
        elif self._config.kind == "centered":
            without_neighbours[known] = offsets[known]
        return np.where(np.isnan(residuals), without_neighbours, offsets + residuals)

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions as for a training user with these ratings; all similarities and biases of training stay.

        Ratings of items without a training rating are ignored.
        """
        rated_ids, target_ids = self._training.item_ids[items], self._training.item_ids[targets]
        order = np.argsort(rated_ids)  # surprise prefers the lower code among equally similar items
        order = order[rated_ids[order] >= 0]
        if not len(order):
            unknown_user = np.full(len(targets), -1, np.int32)
            return self._training.units.to_scale(self._estimate(unknown_user, target_ids))
        new_user = NewRatings(rated_ids[order], ratings[order].astype(np.float64))
        known = np.flatnonzero(target_ids >= 0)
        residuals = np.full(len(targets), np.nan)
        from_neighbours = self._residuals_from_users if self._by_user else self._residuals_from_items
        residuals[known] = from_neighbours(new_user, target_ids[known])
        scores = self._add_offsets(residuals, self._new_offsets(new_user, target_ids), known)
        return self._training.units.to_scale(scores)

    def _new_offsets(self, new_user: NewRatings, items: Codes) -> Floats:
        """(n,) a(x, y) of the new user and `items`."""
        if self._config.kind == "baseline":
            return self._training.mean + self._new_bias(new_user) + take_biases(self._item_biases, items)
        if self._config.kind == "centered" and self._by_user:
            return np.full(len(items), new_user.ratings.mean())
        return self._offsets(np.full(len(items), -1, np.int32), items)  # here a(x, y) does not depend on the user

    def _new_bias(self, new_user: NewRatings) -> float:
        """The user bias that the last alternation of surprise would give the new user."""
        residuals = new_user.ratings - self._training.mean - self._item_biases[new_user.items]
        return float(residuals.sum() / (USER_REG + len(residuals)))

    def _residuals_from_items(self, new_user: NewRatings, items: Codes) -> Floats:
        """(n,) residuals for `items` from similar items that the new user rated; NaN without enough of them."""
        similarities = self._similarities[items[:, None], new_user.items]
        return self._weighted_means(similarities, new_user.ratings - self._new_offsets(new_user, new_user.items))

    def _residuals_from_users(self, new_user: NewRatings, items: Codes) -> Floats:
        """(n,) residuals for `items` from users who are similar to the new user; NaN without enough of them."""
        similarities = self._similarities_to_users(new_user)
        residuals = np.full(len(items), np.nan)
        for positions, cells in group_by_row(items, self._rows):
            row = similarities[self._rows.columns[cells]][None]
            residuals[positions] = self._weighted_means(row, self._residuals[cells])
        return residuals

    def _similarities_to_users(self, new_user: NewRatings) -> Floats:
        """(users,) similarities of the new user to every training user."""
        rows = self._rows
        cells = np.concatenate([np.arange(rows.starts[item], rows.starts[item + 1]) for item in new_user.items])
        counts = np.diff(rows.starts)[new_user.items]
        items, users = np.repeat(new_user.items, counts), rows.columns[cells]
        new, training = np.repeat(new_user.ratings, counts), rows.values[cells].astype(np.float64)
        if self._config.similarity == "pearson_baseline":
            item_baselines = self._training.mean + self._item_biases[items]
            new = new - item_baselines - self._new_bias(new_user)
            training = training - item_baselines - self._user_biases[users]
        common = CommonRatings(new, training, users, len(self._similarities))
        return compute_similarities(self._config.similarity, common, self._config.min_support, self._config.shrinkage)

    def state(self) -> State:
        """Nothing: `restore` fits again. With a million ratings that takes ten seconds; a matrix takes up to 300 MB."""
        return {}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the state is empty)
        """Fit again."""
        self.fit(train, train.take(np.arange(0)), context)

    @property
    def parameters(self) -> int:
        """One similarity per pair of x, and the means or biases."""
        n_x = len(self._similarities)
        n_biases = self._training.ratings.n_users + self._training.ratings.n_items
        return n_x * (n_x - 1) // 2 + {"basic": 0, "centered": n_x, "baseline": n_biases}[self._config.kind]


def create_algorithm(config: KNNConfig) -> Any:
    """The algorithm of surprise before it is fitted."""
    import surprise

    kinds = {"basic": surprise.KNNBasic, "centered": surprise.KNNWithMeans, "baseline": surprise.KNNBaseline}
    options = {
        "name": config.similarity, "user_based": config.orientation == "user", "min_support": config.min_support,
        "shrinkage": config.shrinkage,
    }  # fmt: skip
    return kinds[config.kind](k=config.k, min_k=config.min_k, sim_options=options, verbose=False)


def keep_highest(values: Floats, k: int) -> Floats:
    """(a, n) the k highest values of each row of `values` (a, n), and 0 elsewhere; the first of equal values win."""
    if values.shape[1] <= k:
        return values
    threshold = np.partition(values, -k, axis=1)[:, -k, None]  # (a, 1)
    above, equal = values > threshold, values == threshold
    room = k - np.count_nonzero(above, axis=1, keepdims=True)
    first_equal = equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room)
    return np.where(above | first_equal, values, 0.0)


@dataclass(frozen=True)
class NewRatings:
    """The ratings of a new user: inner ids of the items (m,), ascending, and the ratings (m,)."""

    items: Codes
    ratings: Floats


PLUGIN = Plugin(
    title="k nearest neighbours (surprise)",
    paper="Herlocker, Konstan, Borchers, Riedl, An Algorithmic Framework for Collaborative Filtering, SIGIR 1999",
    config=KNNConfig,
    build=KNN,
    random=False,
)
