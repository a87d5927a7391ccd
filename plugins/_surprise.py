"""Bridge to scikit-surprise: ratings in, what it learned out.

N. Hug, "Surprise: A Python library for recommender systems", JOSS 5(52), 2020.

Surprise reads lists of tuples, and numbers only the users and items that have a training rating; cfbench's codes count
the whole data set. `Training` is the training ratings under surprise's numbers. Predictions are computed from what
surprise learned, many pairs at once; they are its own with clipping off, as the harness clips.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import DivergedError
from cfbench.errors import ConfigError
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cfbench.contract import Context, State
    from cfbench.ratings import Codes, Pairs, Ratings, Scale, Scores, SparseRows


@dataclass(frozen=True)
class Units:
    """How surprise is to see a rating r: as (r - zero) / one, rounded if `whole`."""

    zero: float = 0.0
    one: float = 1.0
    whole: bool = False

    @staticmethod
    def of_steps(scale: Scale) -> Units:
        """Whole numbers, for what surprise computes in C integers, where 3.5 would silently become 3.

        One is a step of the scale, or a millionth of a scale without steps. Ratings that are whole already stay as
        they are.
        """
        one = scale.step or (scale.high - scale.low) / 2**20
        return Units(float(np.remainder(scale.low, one)), one, whole=True)

    def seen(self, ratings: Scores) -> Scores:
        """(n,) ratings as surprise sees them."""
        seen = (ratings.astype(np.float64) - self.zero) / self.one
        return (np.rint(seen) if self.whole else seen).astype(np.float32)

    def meant(self, seen: NDArray[np.float64]) -> Scores:
        """(n,) back on the scale."""
        return (self.zero + self.one * seen).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Training:
    """Training ratings in surprise's units, under surprise's numbers: users and items with a rating, in code order."""

    ratings: Ratings
    users: Codes
    """(users of the data set,) the number of each code, -1 without a training rating."""
    items: Codes
    """(items of the data set,) likewise."""

    @staticmethod
    def of(train: Ratings, units: Units) -> Training:
        """Number the users and items of a training part."""
        users, items = _numbers(train.seen_users), _numbers(train.seen_items)
        ratings = replace(
            train, users=users[train.users], items=items[train.items], ratings=units.seen(train.ratings),
            n_users=int(users.max()) + 1, n_items=int(items.max()) + 1, times=None, held_out=None,
            known_fingerprint=None,
        )  # fmt: skip
        return Training(ratings, users, items)

    @cached_property
    def mean(self) -> float:
        """Of all training ratings."""
        return float(self.ratings.ratings.mean(dtype=np.float64))

    @cached_property
    def by_user(self) -> SparseRows:
        """One row a user."""
        return self.ratings.rows("user")

    @cached_property
    def by_item(self) -> SparseRows:
        """One row an item."""
        return self.ratings.rows("item")

    def trainset(self) -> Any:
        """As a `surprise.Trainset`, whose raw ids are cfbench's codes."""
        from surprise import Trainset

        scale = self.ratings.scale
        trainset = Trainset(
            _lists(self.by_user), _lists(self.by_item), self.ratings.n_users, self.ratings.n_items, len(self.ratings),
            (scale.low, scale.high), _raw_ids(self.users), _raw_ids(self.items),
        )  # fmt: skip
        trainset._global_mean = self.mean  # noqa: SLF001 (saves a loop over all ratings)
        return trainset


def _numbers(seen: NDArray[np.bool_]) -> Codes:
    return np.where(seen, np.cumsum(seen) - 1, -1).astype(np.int32)


def _lists(rows: SparseRows) -> dict[int, list[tuple[int, float]]]:
    cells = list(zip(rows.columns.tolist(), rows.values.tolist(), strict=True))
    return {number: cells[first:end] for number, (first, end) in enumerate(pairwise(rows.starts.tolist()))}


def _raw_ids(numbers: Codes) -> dict[int, int]:
    return {code: number for number, code in enumerate(np.flatnonzero(numbers >= 0).tolist())}


class SurpriseModel(ABC):
    """What the plugins on surprise share: fit there, estimate here."""

    training: Training
    units: Units

    @abstractmethod
    def algorithm(self, seed: int) -> Any:
        """The surprise algorithm, not yet fitted."""

    @abstractmethod
    def take(self, algorithm: Any) -> None:
        """Keep what the fitted algorithm learned."""

    @abstractmethod
    def estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """(n,) in surprise's units, for pairs under surprise's numbers, -1 where it knows none."""

    def units_for(self, scale: Scale) -> Units:  # noqa: ARG002 (for those that override it)
        """How the ratings are shown to surprise: as they are."""
        return Units()

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing to stop early)
        """Let surprise fit; validation ratings are not used. Raises `DivergedError`, `ConfigError`."""
        self._prepare(train)
        algorithm = self.algorithm(context.seed % 2**32)  # surprise seeds NumPy's old generator
        algorithm.fit(self.training.trainset())
        self.take(algorithm)

    def _prepare(self, train: Ratings) -> None:
        self.units = self.units_for(train.scale)
        self.training = Training.of(train, self.units)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) what surprise predicts, with clipping off; a code without a training rating is unknown to it."""
        users, items = self.training.users[pairs.users], self.training.items[pairs.items]
        return self.units.meant(self.estimate(users, items))


class LearnedModel(SurpriseModel):
    """A model that is the arrays it learned."""

    arrays: dict[str, NDArray[Any]]

    @property
    @abstractmethod
    def learns(self) -> tuple[str, ...]:
        """The algorithm's attributes to keep."""

    def take(self, algorithm: Any) -> None:
        """Keep its arrays; raises `DivergedError` when they are not finite."""
        self.arrays = {name: np.asarray(getattr(algorithm, name)) for name in self.learns}
        wrong = [name for name, array in self.arrays.items() if not np.isfinite(array).all()]
        if wrong:
            raise DivergedError(f"{', '.join(wrong)} left the finite numbers; lower the learning rate", usable=False)

    def state(self) -> State:
        """What surprise learned, one row a user or item with a training rating."""
        return self.arrays

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing is random now)
        """Take the arrays back."""
        self._prepare(train)
        self.arrays = dict(state)

    @property
    def parameters(self) -> int:
        """All numbers of the arrays."""
        return sum(array.size for array in self.arrays.values())


class FactorModel(LearnedModel):
    """Factors of users and items whose inner product is a rating, on top of μ + b_u + b_i if `biased`."""

    def __init__(self, *, biased: bool) -> None:
        self._biased = biased

    @property
    def learns(self) -> tuple[str, ...]:
        """Factors, and biases if there are any."""
        return ("pu", "qi", "bu", "bi") if self._biased else ("pu", "qi")

    def estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """(n,) an unknown user or item has bias and factors 0; without biases its pairs are μ."""
        arrays, mean = self.arrays, self.training.mean
        dots = products(arrays["pu"], arrays["qi"], users, items)
        if not self._biased:
            return np.where((users >= 0) & (items >= 0), dots, mean)
        return mean + bias(arrays["bu"], users) + bias(arrays["bi"], items) + dots


class MemoryModel(SurpriseModel):
    """A model whose memory is the training ratings: its matrix over all pairs of users or items follows from them.

    The state is empty, and `restore` computes the matrix again: on a million ratings that takes some ten seconds,
    while a stored matrix takes up to 300 MB in every run's folder.
    """

    def state(self) -> State:
        """Nothing."""
        return {}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (it is empty)
        """Fit again, which draws nothing at random."""
        self.fit(train, train.take(np.arange(0)), context)


def bias(biases: NDArray[np.float64], numbers: Codes) -> NDArray[np.float64]:
    """(n,) the bias of each user or item; an unknown one has 0."""
    return np.where(numbers >= 0, biases[numbers], 0.0)


def products(
    user_factors: NDArray[np.float64], item_factors: NDArray[np.float64], users: Codes, items: Codes
) -> NDArray[np.float64]:
    """(n,) inner products of the factors of each pair; 0 where one of them is unknown."""
    dots = np.zeros(len(users))
    known = np.flatnonzero((users >= 0) & (items >= 0))
    for rows in blocks(len(known), 2**16):
        mine = known[rows]
        dots[mine] = np.einsum("nf,nf->n", user_factors[users[mine]], item_factors[items[mine]])
    return dots


def grouped(keys: Codes, rows: SparseRows, cells: int = 2**20) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Places in `keys` that ask for the same row of `rows`, and where that row is; places × its length ≤ `cells`."""
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    bounds = pairwise([*starts.tolist(), len(order)])
    for key, (first, end) in zip(distinct.tolist(), bounds, strict=True):
        row = slice(rows.starts[key], rows.starts[key + 1])
        for block in blocks(end - first, max(1, cells // (row.stop - row.start))):
            yield order[first:end][block], row


def require_memory(matrices: int, n: int, what: str, advice: str) -> None:
    """Raise `ConfigError` when so many n × n matrices of 8-byte numbers are more than the machine's memory."""
    if not hasattr(os, "sysconf"):  # Windows does not say
        return
    needed, there = matrices * n * n * 8, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ConfigError(
            f"{what} needs {matrices} matrices of {n:,} × {n:,}, {needed / 1e9:,.0f} GB, and this machine has "
            f"{there / 1e9:,.0f} GB; {advice}"
        )
