"""The part that the plugins on scikit-surprise share: they fit with surprise and predict with NumPy.

N. Hug, "Surprise: A Python library for recommender systems", JOSS 5(52), 2020.

Surprise numbers only the users and items that have a training rating; it calls these numbers inner ids. The codes of
cfbench number all users and items of the data set, so `TrainingData` maps codes to inner ids. Surprise predicts one
pair at a time in Python. The plugins compute the same predictions for many pairs at once, from the arrays that
surprise learned. They do not clip predictions to the scale, because the harness does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cfbench.contract import DivergedError
from cfbench.memory import require_memory
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cfbench.contract import Context, Side, State
    from cfbench.ratings import Codes, Pairs, Ratings, Scale, Scores, SparseRows

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The units in which surprise sees a rating r: (r - zero) / unit, rounded to a whole number if `whole`."""

    zero: float = 0.0
    unit: float = 1.0
    whole: bool = False

    def to_surprise(self, ratings: Scores) -> Scores:
        """(n,) ratings as surprise sees them."""
        converted = (ratings.astype(np.float64) - self.zero) / self.unit
        return (np.rint(converted) if self.whole else converted).astype(np.float32)

    def to_scale(self, scores: Floats) -> Scores:
        """(n,) predictions of surprise in the unit of the rating scale."""
        return (self.zero + self.unit * scores).astype(np.float32)


def same_units(scale: Scale) -> Units:  # noqa: ARG001 (other functions of this kind use the scale)
    """Units in which surprise sees the ratings unchanged."""
    return Units()


def whole_units(scale: Scale) -> Units:
    """Units in which every rating is a whole number, for algorithms that surprise computes in C integers.

    Without them 3.5 would silently become 3. One unit is a step of the scale, or about a millionth of a scale without
    steps. Ratings that are whole numbers already do not change.
    """
    unit = scale.step or (scale.high - scale.low) / 2**20
    return Units(float(np.remainder(scale.low, unit)), unit, whole=True)


LIST_BYTES = 310
"""Bytes of memory per rating in the lists of surprise while they are made; measured: 303."""
ADVICE = "use a smaller data set, or a plugin that keeps ratings in arrays, such as als"


@dataclass(frozen=True)
class Matrices:
    """Square matrices that an algorithm of surprise fills."""

    n: int
    """Number of rows, and of columns."""
    cell_bytes: int
    """Bytes of all matrices together for each of their n × n cells, at the most that the memory holds at once."""
    advice: str
    """What to do when the memory is too small."""

    @property
    def nbytes(self) -> int:
        """The size of all of them."""
        return self.cell_bytes * self.n**2

    def __str__(self) -> str:
        return f"matrices of {self.n:,} × {self.n:,}"


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training ratings in the units and under the inner ids of surprise. Inner ids are in the order of the codes."""

    ratings: Ratings
    user_ids: Codes
    """(users of the data set,) inner id of each user code, or -1 if the user has no training rating."""
    item_ids: Codes
    """(items of the data set,) inner id of each item code, or -1 if the item has no training rating."""
    units: Units

    @cached_property
    def mean(self) -> float:
        """The mean of all training ratings, in the units of surprise."""
        return float(self.ratings.ratings.mean(dtype=np.float64))

    @cached_property
    def by_user(self) -> SparseRows:
        """One row per user."""
        return self.ratings.rows("user")

    @cached_property
    def by_item(self) -> SparseRows:
        """One row per item."""
        return self.ratings.rows("item")

    def inner_ids(self, pairs: Pairs) -> tuple[Codes, Codes]:
        """(n,) inner ids of the users and (n,) of the items; -1 where there is no training rating."""
        return self.user_ids[pairs.users], self.item_ids[pairs.items]

    def trainset(self, matrices: Matrices | None = None) -> Any:
        """The same ratings as a `surprise.Trainset`, whose raw ids are the codes of cfbench.

        `matrices` will be filled beside it. Raises `ConfigError` when both need more memory than is available.
        """
        from surprise import Trainset

        needed, parts, advice = LIST_BYTES * len(self.ratings), f"{len(self.ratings):,} ratings as Python lists", ADVICE
        if matrices is not None:
            needed += matrices.nbytes
            parts, advice = f"{parts} and {matrices}", matrices.advice
        require_memory(needed, f"a fit with surprise ({parts})", advice)
        scale = self.ratings.scale
        trainset = Trainset(
            _to_lists(self.by_user), _to_lists(self.by_item), self.ratings.n_users, self.ratings.n_items,
            len(self.ratings), (scale.low, scale.high), _to_raw_ids(self.user_ids), _to_raw_ids(self.item_ids),
        )  # fmt: skip
        trainset._global_mean = self.mean  # noqa: SLF001 (otherwise surprise loops over all ratings in Python)
        return trainset


def convert_ratings(train: Ratings, units: Units) -> TrainingData:
    """Give the training part inner ids and the units of surprise."""
    user_ids, item_ids = _number(train.seen_users), _number(train.seen_items)
    ratings = replace(
        train, users=user_ids[train.users], items=item_ids[train.items], ratings=units.to_surprise(train.ratings),
        n_users=int(user_ids.max()) + 1, n_items=int(item_ids.max()) + 1, times=None, held_out=None,
        known_fingerprint=None,
    )  # fmt: skip
    return TrainingData(ratings, user_ids, item_ids, units)


def _number(seen: NDArray[np.bool_]) -> Codes:
    return np.where(seen, np.cumsum(seen) - 1, -1).astype(np.int32)


def _to_lists(rows: SparseRows) -> dict[int, list[tuple[int, float]]]:
    cells = list(zip(rows.columns.tolist(), rows.values.tolist(), strict=True))
    return {row: cells[start:end] for row, (start, end) in enumerate(pairwise(rows.starts.tolist()))}


def _to_raw_ids(inner_ids: Codes) -> dict[int, int]:
    return {code: inner_id for inner_id, code in enumerate(np.flatnonzero(inner_ids >= 0).tolist())}


class SurpriseModel:
    """A model that consists of the arrays which an algorithm of surprise learns.

    `create_algorithm(seed)` returns the algorithm before it is fitted. `array_names` are the attributes of the fitted
    algorithm that the model stores. `estimate(training, arrays, users, items)` returns (n,) predictions in the units of
    surprise for (n,) inner ids, -1 for an unknown user or item. `choose_units(scale)` gives these units.
    `user_factors(training, arrays)` returns the factors of all inner ids of users, if the model has factors of both.
    """

    def __init__(
        self,
        create_algorithm: Callable[[int], Any],
        array_names: tuple[str, ...],
        estimate: Callable[[TrainingData, State, Codes, Codes], Floats],
        choose_units: Callable[[Scale], Units] = same_units,
        user_factors: Callable[[TrainingData, State], Floats] | None = None,
    ) -> None:
        self._create_algorithm, self._array_names = create_algorithm, array_names
        self._estimate, self._choose_units, self._user_factors = estimate, choose_units, user_factors

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (it does not stop early)
        """Fit with surprise; raises `DivergedError` when an array is not finite. `valid` is not used."""
        self._training = convert_ratings(train, self._choose_units(train.scale))
        algorithm = self._create_algorithm(context.seed % 2**32)  # the largest seed of NumPy's old generator is 2³² - 1
        algorithm.fit(self._training.trainset())
        self._arrays: State = {name: np.asarray(getattr(algorithm, name)) for name in self._array_names}
        diverged = [name for name, array in self._arrays.items() if not np.isfinite(array).all()]
        if diverged:
            raise DivergedError(f"{', '.join(diverged)} became NaN or infinite; lower the learning rate", usable=False)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) the predictions of surprise without clipping."""
        users, items = self._training.inner_ids(pairs)
        return self._training.units.to_scale(self._estimate(self._training, self._arrays, users, items))

    def embeddings(self, side: Side) -> NDArray[np.float32] | None:
        """(n, k) the factors, 0 for a user or item without a training rating; None if the model has none."""
        if self._user_factors is None:
            return None
        training, arrays = self._training, self._arrays
        by_user = side == "user"
        factors = self._user_factors(training, arrays) if by_user else arrays["qi"]
        ids = training.user_ids if by_user else training.item_ids
        vectors = np.where(ids[:, None] >= 0, factors[ids], 0)
        return vectors.astype(np.float32)

    def state(self) -> State:
        """The arrays that surprise learned; they have one row per user or item with a training rating."""
        return self._arrays

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing is random)
        """Restore the arrays."""
        self._training = convert_ratings(train, self._choose_units(train.scale))
        self._arrays = state

    @property
    def parameters(self) -> int:
        """The number of values in all arrays."""
        return sum(array.size for array in self._arrays.values())


FACTORS = ("pu", "qi")
"""Names that surprise gives to p_u (users, factors) and q_i (items, factors)."""
BIASES = ("bu", "bi")
"""Names that surprise gives to b_u (users,) and b_i (items,)."""


def plain_user_factors(training: TrainingData, arrays: State) -> Floats:  # noqa: ARG001 (other models use it)
    """(users, factors) p_u."""
    return arrays["pu"]


def estimate_by_biases(training: TrainingData, arrays: State, users: Codes, items: Codes) -> Floats:
    """(n,) μ + b_u + b_i; the bias of an unknown user or item is 0."""
    return training.mean + take_biases(arrays["bu"], users) + take_biases(arrays["bi"], items)


def estimate_by_factors(training: TrainingData, arrays: State, users: Codes, items: Codes) -> Floats:
    """(n,) q_i · p_u, on top of μ + b_u + b_i if the arrays have biases.

    The biases and factors of an unknown user or item are 0. Without biases, a pair with one of them is predicted as μ.
    """
    products = multiply_factors(arrays["pu"], arrays["qi"], users, items)
    if "bu" in arrays:
        return estimate_by_biases(training, arrays, users, items) + products
    return np.where((users >= 0) & (items >= 0), products, training.mean)


def take_biases(biases: Floats, ids: Codes) -> Floats:
    """(n,) the bias of each inner id; 0 for -1."""
    return np.where(ids >= 0, biases[ids], 0.0)


def multiply_factors(user_factors: Floats, item_factors: Floats, users: Codes, items: Codes) -> Floats:
    """(n,) inner products of the factors of each pair; 0 where the user or the item is unknown."""
    products = np.zeros(len(users))
    known = np.flatnonzero((users >= 0) & (items >= 0))
    for block in blocks(len(known), 2**16):
        rows = known[block]
        products[rows] = np.einsum("nf,nf->n", user_factors[users[rows]], item_factors[items[rows]])
    return products


def group_by_row(row_ids: Codes, rows: SparseRows, max_cells: int = 2**20) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Yield the positions in `row_ids` that have the same row id, and the cells of that row in `rows`.

    Many positions come in several groups, so that positions × row length is at most `max_cells`.
    """
    order = np.argsort(row_ids, kind="stable")
    distinct, counts = np.unique(row_ids, return_counts=True)
    ends = np.cumsum(counts)
    for row_id, start, end in zip(distinct.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True):
        cells = slice(rows.starts[row_id], rows.starts[row_id + 1])
        for block in blocks(end - start, max(1, max_cells // (cells.stop - cells.start))):
            yield order[start:end][block], cells
