"""SCORING: the predictions of stored runs beside the test ratings they were made for.

A record keeps its scores and its predictions, never ratings: licences forbid passing those on. With the data set at
hand, whatever can be asked of a run's errors is computed again from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from cfbench.data.parts import TRAIN
from cfbench.errors import RecordError
from cfbench.leaderboard.intervals import UserSums
from cfbench.ratings import activity
from cfbench.runs.arrays import read_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.data.split import Split
    from cfbench.leaderboard.intervals import Floats
    from cfbench.ratings import Ratings

Metric: TypeAlias = Literal["rmse", "mae", "user-rmse"]
By: TypeAlias = Literal["user-activity", "item-popularity", "rating"]
COUNTS = (0, 1, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
"""Where slices by the number of training ratings begin; 0 is a slice of its own: what training never met."""
_VALUES = 20  # a scale of more values is cut into ten spans


class Slice(NamedTuple):
    """Some of the test ratings: what they share, how many there are, and the RMSE over them."""

    label: str
    ratings: int
    rmse: float


@dataclass(frozen=True, eq=False)
class TestPart:
    """The test part of a split, and what training met of its users and items."""

    split: Split
    test: Ratings
    met: tuple[NDArray[np.int64], NDArray[np.int64]]
    """(n_users,) and (n_items,) how many training ratings each has."""

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(n_users,) how many test ratings each has."""
        return activity(self.test.users, self.test.n_users)

    def labels(self, by: By) -> list[str]:
        """The slices there can be; the same for all splits of a data set."""
        if by == "rating":
            values, step = _values(self.test)
            return [f"{value:g}" if step else f"{value:g}–{top:g}" for value, top in values]
        spans = (f"{low:,}–{above - 1:,}" for low, above in pairwise(COUNTS[1:]))
        return ["none", *spans, f"{COUNTS[-1]:,} and more"]

    def places(self, by: By) -> NDArray[np.int64]:
        """(n,) the slice of each test rating."""
        if by == "rating":
            values, step = _values(self.test)
            low, width = self.test.scale.low, values[0][1] - values[0][0]
            steps = (self.test.ratings - low) / width
            whole: NDArray[np.int64] = (np.rint(steps) if step else np.minimum(steps, len(values) - 1)).astype(np.int64)
            return whole
        codes, met = ((self.test.users, self.met[0]), (self.test.items, self.met[1]))[by == "item-popularity"]
        places: NDArray[np.int64] = np.searchsorted(COUNTS, met[codes], side="right") - 1
        return places


def truth(ratings: Ratings, split: Split) -> TestPart:
    """What a split's runs are held to."""
    train = split.parts == TRAIN
    met = activity(ratings.users[train], ratings.n_users), activity(ratings.items[train], ratings.n_items)
    return TestPart(split, split.test(ratings), met)


def _values(ratings: Ratings) -> tuple[list[tuple[float, float]], bool]:
    """Where each slice by rating begins and ends, and whether it is one value of a scale with few."""
    low, high, step = ratings.scale.low, ratings.scale.high, ratings.scale.step
    steps = round((high - low) / step) if step else 0
    few = 0 < steps < _VALUES
    count, width = (steps + 1, step) if few else (10, (high - low) / 10)
    return [(low + k * width, low + (k + 1) * width) for k in range(count)], few


@dataclass(frozen=True, eq=False)
class RunErrors:
    """What a stored run's predictions are off by: prediction minus rating, (n,) float64, one a test rating."""

    truth: TestPart
    errors: Floats

    def by_user(self, metric: Metric) -> tuple[Floats, Floats]:
        """(n_users,) sums and counts of which the metric is made; see `statistics.UserSums`."""
        users, counts = self.truth.test.users, self.truth.counts
        off = np.abs(self.errors) if metric == "mae" else self.errors**2
        sums = np.bincount(users, off, len(counts)).astype(np.float64)
        if metric != "user-rmse":
            return sums, counts.astype(np.float64)
        return np.sqrt(sums / np.maximum(counts, 1)), (counts > 0).astype(np.float64)

    def by_slice(self, by: By) -> tuple[Floats, NDArray[np.int64]]:
        """(slices,) sums of squared errors, and counts."""
        places, n = self.truth.places(by), len(self.truth.labels(by))
        return np.bincount(places, self.errors**2, n).astype(np.float64), np.bincount(places, minlength=n)


def errors(folder: Path, truth: TestPart) -> RunErrors:
    """The errors of the run in that folder; raises `RecordError` when its predictions are not of these ratings."""
    predictions = read_predictions(folder)
    if len(predictions) != len(truth.test):
        raise RecordError(
            f"{folder} holds {len(predictions):,} predictions, expected {len(truth.test):,}, one a test rating of "
            f"{truth.split.name}; the run has to be made anew"
        )
    return RunErrors(truth, predictions.astype(np.float64) - truth.test.ratings.astype(np.float64))


def user_sums(runs: Sequence[RunErrors], metric: Metric) -> UserSums:
    """A score over several runs, each a part."""
    sums, counts = zip(*(run.by_user(metric) for run in runs), strict=True)
    return UserSums(np.stack(sums, axis=1), np.stack(counts, axis=1), root=metric == "rmse")


def slices(runs: Sequence[RunErrors], by: By) -> list[Slice]:
    """The slices with any test ratings, over all runs together: a fold may have none of a slice."""
    sums, counts = (np.sum(column, axis=0) for column in zip(*(run.by_slice(by) for run in runs), strict=True))
    folds = len({id(run.truth) for run in runs})  # seeds meet the same ratings again
    each = zip(runs[0].truth.labels(by), sums.tolist(), counts.tolist(), strict=True)
    return [Slice(label, n * folds // len(runs), (total / n) ** 0.5) for label, total, n in each if n]
