"""timeSVD++: SVD++ whose users and items change over time.

Y. Koren, "Collaborative Filtering with Temporal Dynamics", KDD 2009, sections 3 and 4. With the time t of a rating,

    r̂(u, i, t) = μ + b_u + a_u dev_u(t) + b_u,t + (b_i + b_i,Bin(t)) (c_u + c_u,t) + q_i · (p_u(t) + z_u)
    dev_u(t) = sign(t - t_u) |t - t_u|^β, where t_u is the mean time of u's training ratings
    p_u(t) = p_u + a_uk dev_u(t)          z_u = |N(u)|^(-1/2) Σ_(j ∈ N(u)) y_j, as in SVD++

b_u,t and c_u,t belong to one day of one user, b_i,Bin(t) to one of the bins into which the whole time is cut. c_u is
near 1. dev_u(t) is divided by its largest possible value, so that learning rates do not depend on the length of the
data. The paper's day-specific factors p_u,k,t are left out: they cost k parameters for each day of each user.

A day without a training rating of the user has b_u,t = c_u,t = 0. Without a time, each term is predicted as its mean
over the training ratings of the user, or of the item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Plugin, Tunable
from cfbench.learning import biases
from cfbench.learning.lazy import sgd, sgd_passes
from cfbench.plugins.svdpp import SVDppConfig, fold_in, make_cells, make_factors, make_steps, multiply, user_vectors
from cfbench.ratings import activity, blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cfbench.contract import Side
    from cfbench.learning.sgd import SGDModel
    from cfbench.learning.sgd_passes import DateFactors, DateSteps
    from cfbench.ratings import Codes, Pairs, Ratings, Scores, Times

    Floats = NDArray[np.float64]

SECONDS = 86_400
"""Seconds of a day."""


@dataclass(frozen=True)
class Calendar:
    """Which day of a user, which bin and which dev_u(t) a time is; all of it follows from the training ratings."""

    first: int
    """The earliest time."""
    span: float
    """Days from the earliest to the latest time."""
    user_means: Floats
    """(n_users,) t_u, in days since the earliest time."""
    user_days: NDArray[np.int64]
    """(days,) the days of all users that have a training rating, ascending: user × `day_count` + day."""
    day_count: int
    day_length: float
    bin_count: int
    beta: float

    @staticmethod
    def of(train: Ratings, times: Times, config: TimeSVDppConfig) -> Calendar:
        """The calendar of the training ratings."""
        first = int(times.min()) if len(times) else 0
        since = (times - first) / SECONDS  # (n,) days
        span = max(float(since.max(initial=0)), 1e-9)
        counts = np.maximum(activity(train.users, train.n_users), 1)
        user_means = np.bincount(train.users, since, train.n_users) / counts
        day_count = int(span / config.day_length) + 1
        user_days = np.unique(train.users.astype(np.int64) * day_count + (since / config.day_length).astype(np.int64))
        return Calendar(
            first, span, user_means, user_days, day_count, config.day_length, config.bin_count, config.beta
        )  # fmt: skip

    def since(self, times: Times) -> Floats:
        """(n,) days since the earliest training rating; a time outside training counts as its first or last one."""
        return np.clip((times - self.first) / SECONDS, 0, self.span)

    def deviations(self, users: Codes, times: Times) -> NDArray[np.float32]:
        """(n,) dev_u(t), between -1 and 1."""
        from_mean = (self.since(times) - self.user_means[users]) / self.span
        return (np.sign(from_mean) * np.abs(from_mean) ** self.beta).astype(np.float32)

    def bins(self, times: Times) -> Codes:
        """(n,) the bin of each time."""
        return np.minimum(self.since(times) / self.span * self.bin_count, self.bin_count - 1).astype(np.int32)

    def days(self, users: Codes, times: Times) -> Codes:
        """(n,) the index of the user's day in `user_days`; `len(user_days)` for a day without training ratings."""
        day = np.floor((times - self.first) / SECONDS / self.day_length).astype(np.int64)
        inside = (day >= 0) & (day < self.day_count)
        keys = users.astype(np.int64) * self.day_count + np.clip(day, 0, self.day_count - 1)
        at = np.searchsorted(self.user_days, keys)
        known = inside & (at < len(self.user_days))
        known[known] = self.user_days[at[known]] == keys[known]
        return np.where(known, at, len(self.user_days)).astype(np.int32)


class TimeSVDpp:
    """The parameters of timeSVD++, in units of `sgd.unit`; zeros for what has no training rating."""

    def __init__(self, config: TimeSVDppConfig, train: Ratings, rng: np.random.Generator) -> None:
        self._config, self._train = config, train
        self._mean, self._unit = biases.mean(train), sgd.unit(train.scale)
        times = np.zeros(len(train), np.int64) if train.times is None else train.times
        self._calendar = Calendar.of(train, times, config)
        by_cell = np.lexsort((train.items, train.users))
        self._cells, self._users = make_cells(train, self._mean), train.users[by_cell]
        self._dates = sgd_passes.Dates(
            self._calendar.deviations(self._users, times[by_cell]), self._calendar.days(self._users, times[by_cell]),
            self._calendar.bins(times[by_cell]),
        )  # fmt: skip
        self._factors = make_factors(train, rng, factors=config.factors, init_std=config.init_std)
        self._date_factors = self._make_date_factors()

    def _make_date_factors(self) -> DateFactors:
        n_users, n_items, n_days = self._train.n_users, self._train.n_items, len(self._calendar.user_days) + 1
        drifting = self._config.factors if self._config.factor_drift else 0
        shapes = (n_users, (n_users, drifting), n_days, (n_items, self._config.bin_count), n_users, n_days)
        return sgd_passes.DateFactors(*(np.zeros(shape, np.float32) for shape in shapes))

    @property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """Biases, factors and what changes them over time, by name."""
        arrays = self._factors._asdict() | self._date_factors._asdict()
        return {name: array for name, array in arrays.items() if array.size}  # without drift one array is empty

    def learn(self, rng: np.random.Generator, rate: float) -> float:
        """One pass: users in random order, the ratings of a user by item code."""
        order = rng.permutation(np.flatnonzero(self._train.seen_users).astype(np.int32))
        squares = sgd_passes.timesvdpp_pass(
            order, self._cells, self._dates, self._factors, self._date_factors, make_steps(self._config, rate),
            make_date_steps(self._config, rate),
        )  # fmt: skip
        return squares / max(1, len(self._train))

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) r̂."""
        scores = np.empty(len(pairs), np.float32)
        for rows in blocks(len(pairs), 2**18):
            users, items = pairs.users[rows], pairs.items[rows]
            if pairs.times is None:
                terms = self._mean_terms().take(users, items)
            else:
                terms = self._terms(users, items, pairs.times[rows])
            scores[rows] = self._mean + self._unit * self._on_top(users, items, terms)
        return scores

    def _on_top(self, users: Codes, items: Codes, terms: Terms) -> NDArray[np.float32]:
        """(n,) r̂ - μ."""
        user_biases = self._factors.user_biases[users] + self._date_factors.user_slopes[users] * terms.deviations
        item_biases = self._factors.item_biases[items] + terms.bin_biases
        scales = 1 + self._date_factors.user_scales[users] + terms.day_scales
        products = multiply(self._cells, self._factors, users, items)
        if self._config.factor_drift:
            slopes = self._date_factors.factor_slopes[users]  # (n, k)
            products += terms.deviations * np.einsum("nk,nk->n", slopes, self._factors.items[items])
        return user_biases + terms.day_biases + item_biases * scales + products

    def _terms(self, users: Codes, items: Codes, times: Times) -> Terms:
        days, bins = self._calendar.days(users, times), self._calendar.bins(times)
        return Terms(
            self._calendar.deviations(users, times), self._date_factors.day_biases[days],
            self._date_factors.day_scales[days], self._date_factors.bin_biases[items, bins],
        )  # fmt: skip

    def _mean_terms(self) -> Terms:
        """The mean of each term over the training ratings of each user (n_users,) or of each item (n_items,)."""
        users, items, n_users = self._users, self._cells.items, self._train.n_users
        days, bin_biases = self._dates.days, self._date_factors.bin_biases[items, self._dates.bins]
        return Terms(
            means(users, self._dates.deviations, n_users), means(users, self._date_factors.day_biases[days], n_users),
            means(users, self._date_factors.day_scales[days], n_users), means(items, bin_biases, self._train.n_items),
        )  # fmt: skip

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions for a new user without times, as in `svdpp`."""
        values = (ratings - self._mean) / self._unit
        item_biases = self._factors.item_biases + self._mean_terms().bin_biases
        on_top = fold_in(self._config, self._factors, item_biases, (items, values, targets))
        scores: Scores = (self._mean + self._unit * on_top).astype(np.float32)
        return scores

    def embeddings(self, side: Side) -> NDArray[np.float32]:
        """(n, k) q_i, or p_u + |N(u)|^(-1/2) Σ y_j, with the mean drift of p_u over the user's training ratings."""
        if side == "item":
            return self._factors.items.copy()
        vectors = user_vectors(self._cells, self._factors)
        if self._config.factor_drift:
            vectors += self._mean_terms().deviations[:, None] * self._date_factors.factor_slopes
        return vectors


@dataclass(frozen=True)
class Terms:
    """What a time adds: dev_u(t), b_u,t, c_u,t and b_i,Bin(t)."""

    deviations: NDArray[np.float32]
    day_biases: NDArray[np.float32]
    day_scales: NDArray[np.float32]
    bin_biases: NDArray[np.float32]

    def take(self, users: Codes, items: Codes) -> Terms:
        """The terms of pairs, from those of all users and items."""
        return Terms(self.deviations[users], self.day_biases[users], self.day_scales[users], self.bin_biases[items])


def means(codes: Codes, values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(count,) the mean value of each code; 0 without values."""
    sums = np.bincount(codes, values, count)
    return (sums / np.maximum(activity(codes, count), 1)).astype(np.float32)


def make_date_steps(config: TimeSVDppConfig, rate: float) -> DateSteps:
    """Learning rates, times `rate`, and penalties."""
    penalties = (config.drift_reg, config.drift_reg, config.day_reg, config.bin_reg, config.scale_reg)
    return sgd_passes.DateSteps(*map(np.float32, (rate * config.bias_lr, rate * config.lr, *penalties)))


class TimeSVDppConfig(SVDppConfig):
    """Hyper-parameters of `timesvdpp`: those of `svdpp`, and those of its dates."""

    beta: Annotated[float, Tunable(0.2, 1)] = Field(0.4, gt=0, le=2, description="β, the power of a user's drift")
    factor_drift: Annotated[bool, Tunable(choices=(True, False))] = Field(
        True, description="user factors drift, not only user biases"
    )
    bin_count: Annotated[PositiveInt, Tunable(1, 100, log=True)] = Field(
        30, description="time bins of an item, over the whole time of the data"
    )
    day_length: Annotated[float, Tunable(0.001, 10, log=True)] = Field(
        1.0, gt=0, description="length of a user's day, in days: 0.01 tells sessions of the same day apart"
    )
    drift_reg: Annotated[float, Tunable(1e-3, 0.3, log=True)] = Field(
        0.02, ge=0, description="λ of the slopes of user biases and user factors"
    )
    day_reg: Annotated[float, Tunable(0.01, 10, log=True)] = Field(
        0.3, ge=0, description="λ of b_u,t; a day's penalty counts once per rating, so it shrinks b_u,t by 1 / (1 + λ)"
    )
    bin_reg: Annotated[float, Tunable(0.01, 10, log=True)] = Field(2.0, ge=0, description="λ of b_i,Bin(t), likewise")
    scale_reg: Annotated[float, Tunable(0.01, 10, log=True)] = Field(0.02, ge=0, description="λ of c_u - 1 and c_u,t")


def build(config: TimeSVDppConfig) -> SGDModel:
    """The model of section 4."""

    def create(train: Ratings, rng: np.random.Generator) -> TimeSVDpp:
        return TimeSVDpp(config, train, rng)

    return sgd.SGDModel(create, epochs=config.epochs, patience=config.patience, decay=config.decay)


PLUGIN = Plugin(
    title="timeSVD++: SVD++ with users and items that change over time",
    paper="Koren, Collaborative Filtering with Temporal Dynamics, KDD 2009",
    config=TimeSVDppConfig,
    build=build,
    uses_times=True,
    fixed_epochs=True,
    quick={"factors": 5, "epochs": 60, "lr": 0.03, "bias_lr": 0.03, "implicit_lr": 0.03, "decay": 0.98},
)
