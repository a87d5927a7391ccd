"""k nearest neighbours: a user's ratings foretold by similar users, or by similar items, as scikit-surprise does it.

J. Herlocker, J. Konstan, A. Borchers, J. Riedl, "An Algorithmic Framework for Performing Collaborative Filtering",
SIGIR 1999 (users); B. Sarwar, G. Karypis, J. Konstan, J. Riedl, "Item-Based Collaborative Filtering Recommendation
Algorithms", WWW 2001 (items); Y. Koren, "Factor in the Neighbors", ACM TKDD 4(1), 2010, sections 2.1 and 2.2
(`kind = "baseline"`, `similarity = "pearson_baseline"`).

Among the users x' that rated item y, the k most similar to x are chosen, and of those the ones with a similarity above
0 vote: r̂(x, y) = a(x, y) + Σ s(x, x') (r(x', y) - a(x', y)) / Σ s(x, x'), where a is 0 (basic), the mean of x
(centered) or the baseline estimate μ + b_x + b_y. `orientation = "item"` exchanges users and items. Of equally similar
neighbours those with the lower code are taken, as surprise takes those that come first in its lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.errors import ConfigError
from cfbench.plugins._surprise import MemoryModel, bias, grouped, require_memory

if TYPE_CHECKING:
    from cfbench.contract import Context
    from cfbench.ratings import Codes, Ratings, Scores

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
USER_REG = 15.0  # of surprise's baseline estimates
MATRICES = {"msd": 3, "cosine": 5, "pearson": 7, "pearson_baseline": 5}  # that surprise fills


class KNNConfig(Config):
    """Hyper-parameters of `knn`; the defaults are surprise's."""

    kind: Annotated[Literal["basic", "centered", "baseline"], Tunable(choices=("basic", "centered", "baseline"))] = (
        Field("basic", description="what a neighbour's rating is counted from: 0, its mean, or its baseline estimate")
    )
    orientation: Annotated[Literal["user", "item"], Tunable(choices=("user", "item"))] = Field(
        "user", description="neighbours are users who rated the item, or items the user rated"
    )
    similarity: Annotated[
        Literal["msd", "cosine", "pearson", "pearson_baseline"],
        Tunable(choices=("msd", "cosine", "pearson", "pearson_baseline")),
    ] = Field("msd", description="over what two neighbours both rated (or were rated by)")
    k: Annotated[PositiveInt, Tunable(5, 200, log=True)] = Field(40, description="neighbours at most")
    min_k: Annotated[PositiveInt, Tunable(1, 10)] = Field(1, description="with fewer neighbours a(x, y) stands alone")
    min_support: Annotated[PositiveInt, Tunable(1, 10)] = Field(
        1, description="with fewer common ratings two are not similar"
    )
    shrinkage: Annotated[float, Tunable(1, 1000, log=True)] = Field(
        100.0, ge=0, description="of pearson_baseline: pulls similarities with few common ratings to 0"
    )


class KNN(MemoryModel):
    """Neighbours and what they vote; x and y are user and item, or item and user, by orientation."""

    def __init__(self, config: KNNConfig) -> None:
        self._config = config
        self._by_user = config.orientation == "user"

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:
        """Let surprise compare all pairs. Raises `ConfigError` when the similarity is undefined or too large."""
        try:
            super().fit(train, valid, context)
        except ZeroDivisionError as fault:
            what = self._config.similarity
            raise ConfigError(
                f"--similarity {what}: two {self._config.orientation}s have a norm of 0 over their common ratings, "
                f"where it is undefined; take msd or pearson"
            ) from fault

    def algorithm(self, seed: int) -> Any:  # noqa: ARG002 (nothing is random)
        """`surprise.KNNBasic`, `KNNWithMeans` or `KNNBaseline`."""
        import surprise

        config, ratings = self._config, self.training.ratings
        n = ratings.n_users if self._by_user else ratings.n_items
        other = "item" if self._by_user else "user"
        require_memory(MATRICES[config.similarity], n, "knn", f"take --orientation {other} or a smaller data set")
        kinds = {
            "basic": surprise.KNNBasic, "centered": surprise.KNNWithMeans, "baseline": surprise.KNNBaseline,
        }  # fmt: skip
        options = {
            "name": config.similarity, "user_based": self._by_user, "min_support": config.min_support,
            "shrinkage": config.shrinkage,
        }  # fmt: skip
        return kinds[config.kind](k=config.k, min_k=config.min_k, sim_options=options, verbose=False)

    def take(self, algorithm: Any) -> None:
        """Keep similarities (X, X), and what each vote is counted from."""
        training = self.training
        rows_x, self._rows = self._turned(training.by_user, training.by_item)  # the second: one row a y
        self._similarities: Floats = algorithm.sim
        counts = np.diff(rows_x.starts)
        self._means: Floats = np.add.reduceat(rows_x.values.astype(np.float64), rows_x.starts[:-1]) / counts
        if algorithm.bu is not None:
            self._user_biases, self._item_biases = algorithm.bu, algorithm.bi
        y = np.repeat(np.arange(len(self._rows), dtype=np.int32), np.diff(self._rows.starts))
        users, items = self._turned(self._rows.columns, y)
        self._votes: Floats = self._rows.values - self._anchor(users, items)

    def _turned(self, of_user: Any, of_item: Any) -> tuple[Any, Any]:
        """User's and item's as x's and y's, and the other way round."""
        return (of_user, of_item) if self._by_user else (of_item, of_user)

    def _anchor(self, users: Codes, items: Codes) -> Floats:
        """(n,) a(x, y)."""
        if self._config.kind == "baseline":
            return self.training.mean + bias(self._user_biases, users) + bias(self._item_biases, items)
        if self._config.kind == "centered":
            x: Codes = self._turned(users, items)[0]
            return self._means[x]
        return np.zeros(len(users))

    def estimate(self, users: Codes, items: Codes) -> Floats:
        """(n,) a pair with an unknown user or item is μ, or the baseline estimate."""
        known = (users >= 0) & (items >= 0)
        x, y = self._turned(users[known], items[known])
        votes, enough = np.zeros(len(x)), np.zeros(len(x), bool)
        for places, row in grouped(y, self._rows):
            near = self._similarities[x[places][:, None], self._rows.columns[row]]
            votes[places], enough[places] = self._vote(near, self._votes[row])
        return self._scores(self._anchor(users, items), known, votes, enough)

    def _scores(self, anchors: Floats, known: Flags, votes: Floats, enough: Flags) -> Floats:
        """(n,) from the anchors (n,) of all pairs and the votes (m,) for the known ones."""
        alone = np.full(len(anchors), self.training.mean) if self._config.kind == "basic" else anchors
        scores = anchors.copy() if self._config.kind == "baseline" else np.full(len(anchors), self.training.mean)
        scores[known] = np.where(enough, anchors[known] + votes, alone[known])
        return scores

    def _vote(self, near: Floats, votes: Floats) -> tuple[Floats, Flags]:
        """(a,) the means of `votes` (n,) weighted by the k highest in each row of `near` (a, n); and if min_k voted."""
        k = self._config.k
        if near.shape[1] > k:
            bar = np.partition(near, -k, axis=1)[:, -k, None]
            above, level = near > bar, near == bar
            spare = k - np.count_nonzero(above, axis=1, keepdims=True)  # for the first of those at the bar
            near = np.where(above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= spare)), near, 0.0)
        near = np.maximum(near, 0.0)
        total = near.sum(axis=1)
        enough = np.count_nonzero(near, axis=1) >= self._config.min_k
        return near @ votes / np.where(total > 0, total, 1.0), enough

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes) -> Scores:
        """(n,) as for a user of the training set who gave these ratings, all else being as it was learned.

        Ratings of items without a training rating are passed over.
        """
        given, wanted = self.training.items[items], self.training.items[asked]
        order = np.argsort(given)[np.count_nonzero(given < 0) :]
        if not len(order):
            return self.units.meant(self.estimate(np.full(len(asked), -1, np.int32), wanted))
        given, gave = given[order], ratings[order].astype(np.float64)
        known = wanted >= 0
        ask = self._ask_users if self._by_user else self._ask_items
        votes, enough = ask(given, gave, wanted[known])
        return self.units.meant(self._scores(self._anchor_of_new(given, gave, wanted), known, votes, enough))

    def _anchor_of_new(self, given: Codes, gave: Floats, items: Codes) -> Floats:
        """(n,) a(x, y) of a new user and `items`."""
        if self._config.kind == "centered" and self._by_user:
            return np.full(len(items), gave.mean())
        if self._config.kind == "baseline":
            return self.training.mean + self._bias_of_new(given, gave) + bias(self._item_biases, items)
        return self._anchor(np.full(len(items), -1, np.int32), items)

    def _bias_of_new(self, given: Codes, gave: Floats) -> float:
        """What the last of surprise's alternations would give the user."""
        rest = gave - self.training.mean - self._item_biases[given]
        return float(rest.sum() / (USER_REG + len(given)))

    def _ask_items(self, given: Codes, gave: Floats, wanted: Codes) -> tuple[Floats, Flags]:
        """(n,) the votes of the given items on the wanted ones, and whether enough voted."""
        return self._vote(self._similarities[wanted[:, None], given], gave - self._anchor_of_new(given, gave, given))

    def _ask_users(self, given: Codes, gave: Floats, wanted: Codes) -> tuple[Floats, Flags]:
        """(n,) the votes of similar users on the wanted items, and whether enough voted."""
        near = self._similar_users(given, gave)
        votes, enough = np.zeros(len(wanted)), np.zeros(len(wanted), bool)
        for places, row in grouped(wanted, self._rows):
            votes[places], enough[places] = self._vote(near[self._rows.columns[row]][None], self._votes[row])
        return votes, enough

    def _similar_users(self, given: Codes, gave: Floats) -> Floats:
        """(users,) similarities of a new user."""
        starts, lengths = self._rows.starts[given], np.diff(self._rows.starts)[given]
        cells = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        others, items = self._rows.columns[cells], np.repeat(given, lengths)
        mine, theirs = np.repeat(gave, lengths), self._rows.values[cells].astype(np.float64)
        if self._config.similarity == "pearson_baseline":
            level = self.training.mean + self._item_biases[items]
            mine = mine - level - self._bias_of_new(given, gave)
            theirs = theirs - level - self._user_biases[others]
        return similarities(self._config, mine, theirs, others, len(self._similarities))

    @property
    def parameters(self) -> int:
        """One similarity a pair, and the means or biases."""
        n = len(self._similarities)
        counts = self.training.ratings.n_users + self.training.ratings.n_items
        return n * (n - 1) // 2 + {"basic": 0, "centered": n, "baseline": counts}[self._config.kind]


def similarities(config: KNNConfig, mine: Floats, theirs: Floats, others: Codes, n: int) -> Floats:
    """(n,) similarities of one user to n others, from their common ratings: mine, theirs (c,) and whose (c,).

    The formulas are those of `surprise.similarities`; what has none is not similar.
    """

    def total(values: Floats) -> Floats:
        return np.bincount(others, values, minlength=n).astype(np.float64, copy=False)

    counts = total(np.ones_like(mine))
    support = config.min_support
    with np.errstate(divide="ignore", invalid="ignore"):
        if config.similarity == "msd":
            found = 1 / (total((mine - theirs) ** 2) / counts + 1)
        else:
            cross, own, their = total(mine * theirs), total(mine**2), total(theirs**2)
            if config.similarity == "pearson":
                sums, their_sums = total(mine), total(theirs)
                cross = counts * cross - sums * their_sums
                own, their = counts * own - sums**2, counts * their - their_sums**2
            found = cross / np.sqrt(own * their)
        if config.similarity == "pearson_baseline":
            support = max(2, support)
            found *= (counts - 1) / (counts - 1 + config.shrinkage)
    return np.where((counts >= support) & np.isfinite(found), found, 0.0)


PLUGIN = Plugin(
    title="k nearest neighbours (surprise)",
    paper="Herlocker, Konstan, Borchers, Riedl, An Algorithmic Framework for Collaborative Filtering, SIGIR 1999",
    config=KNNConfig,
    build=KNN,
)
