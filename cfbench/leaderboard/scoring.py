"""The scores of stored runs, computed from their predictions and the test ratings.

A record keeps scores and predictions, but no ratings, because licences forbid passing ratings on. When the data set is
downloaded, this module computes every other score from the predictions and the ratings: no run has to be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cfbench.data.parts import TRAIN
from cfbench.errors import RecordError
from cfbench.leaderboard.estimates import CLUSTERINGS, Estimate, PartSums, estimate
from cfbench.ratings import activity
from cfbench.runs.arrays import read_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.data.split import Split
    from cfbench.leaderboard import Clusters, Metric, SliceBy
    from cfbench.leaderboard.estimates import Cluster, Floats
    from cfbench.ratings import Ratings, Scale, Scores
    from cfbench.runs.record import Record

ACTIVITY_STARTS = (0, 1, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
"""The smallest number of training ratings in each slice by activity. Users and items that training has not seen have
the slice 0 for themselves."""
_MAX_SINGLE_VALUES = 20  # a scale with more steps is divided into ten spans
_SPANS = 10


class Slice(NamedTuple):
    """Some of the test ratings: what they share, how many they are, and the RMSE over them."""

    label: str
    ratings: int
    rmse: float


@dataclass(frozen=True)
class _RatingSlices:
    """The slices of a rating scale: one for each value or, when the scale has too many values, ten spans."""

    starts: list[float]
    """(slices + 1,) where each slice begins, and where the last one ends."""
    single_values: bool

    @classmethod
    def of_scale(cls, scale: Scale) -> _RatingSlices:
        steps = round((scale.high - scale.low) / scale.step) if scale.step else 0
        single_values = 0 < steps < _MAX_SINGLE_VALUES
        count = steps + 1 if single_values else _SPANS
        width = scale.step if single_values else (scale.high - scale.low) / _SPANS
        return cls([scale.low + k * width for k in range(count + 1)], single_values)

    @property
    def labels(self) -> list[str]:
        if self.single_values:
            return [f"{value:g}" for value in self.starts[:-1]]
        return [f"{low:g}–{high:g}" for low, high in pairwise(self.starts)]

    def index(self, ratings: Scores) -> NDArray[np.int64]:
        """(n,) the slice of each rating."""
        steps = (ratings - self.starts[0]) / (self.starts[1] - self.starts[0])
        if self.single_values:
            nearest: NDArray[np.int64] = np.rint(steps).astype(np.int64)
            return nearest
        last = len(self.starts) - 2  # the highest rating ends the last span
        spans: NDArray[np.int64] = np.minimum(steps, last).astype(np.int64)
        return spans


@dataclass(frozen=True, eq=False)
class TestPart:
    """The test part of a split, and how much training has seen of its users and items."""

    split: Split
    ratings: Ratings
    user_activity: NDArray[np.int64]
    """(n_users,) how many training ratings each user has."""
    item_popularity: NDArray[np.int64]
    """(n_items,) how many training ratings each item has."""

    @cached_property
    def ratings_per_user(self) -> NDArray[np.int64]:
        """(n_users,) how many test ratings each user has."""
        return activity(self.ratings.users, self.ratings.n_users)

    def add_by(self, cluster: Cluster, values: Floats | None = None) -> Floats:
        """(clusters,) the sum of a value of each test rating over each cluster; without values their number."""
        if cluster == "rating":
            return np.ones(len(self.ratings)) if values is None else values
        table, by_user = self.ratings, cluster == "user"
        codes, count = (table.users, table.n_users) if by_user else (table.items, table.n_items)
        return np.bincount(codes, values, count).astype(np.float64)

    def slice_labels(self, by: SliceBy) -> list[str]:
        """The labels of all possible slices; they are the same for all splits of a data set."""
        if by == "rating":
            return _RatingSlices.of_scale(self.ratings.scale).labels
        spans = (f"{low:,}–{above - 1:,}" for low, above in pairwise(ACTIVITY_STARTS[1:]))
        return ["none", *spans, f"{ACTIVITY_STARTS[-1]:,} and more"]

    @cached_property
    def _slice_indexes(self) -> dict[SliceBy, NDArray[np.int64]]:
        """What `slice_index` has computed: all runs of a leaderboard have the same slices."""
        return {}

    def slice_index(self, by: SliceBy) -> NDArray[np.int64]:
        """(n,) the slice of each test rating, as an index into `slice_labels`."""
        if by not in self._slice_indexes:
            self._slice_indexes[by] = self._find_slices(by)
        return self._slice_indexes[by]

    def _find_slices(self, by: SliceBy) -> NDArray[np.int64]:
        if by == "rating":
            return _RatingSlices.of_scale(self.ratings.scale).index(self.ratings.ratings)
        if by == "user-activity":
            train_ratings = self.user_activity[self.ratings.users]
        else:
            train_ratings = self.item_popularity[self.ratings.items]
        index: NDArray[np.int64] = np.searchsorted(ACTIVITY_STARTS, train_ratings, side="right") - 1
        return index


def build_test_part(ratings: Ratings, split: Split) -> TestPart:
    """The test part of a split of these ratings."""
    train = split.parts == TRAIN
    user_activity = activity(ratings.users[train], ratings.n_users)
    item_popularity = activity(ratings.items[train], ratings.n_items)
    return TestPart(split, split.test(ratings), user_activity, item_popularity)


@dataclass(frozen=True, eq=False)
class RunErrors:
    """The errors of a stored run: prediction minus rating, (n,) float64, one for each test rating."""

    test_part: TestPart
    errors: Floats

    def sum_by(self, cluster: Cluster, metric: Metric) -> PartSums:
        """The sums by user, item or rating that the metric consists of."""
        if metric == "user-rmse":
            return self._sum_user_rmse(cluster)
        losses, part = np.abs(self.errors) if metric == "mae" else self.errors**2, self.test_part
        sums, counts = part.add_by(cluster, losses), part.add_by(cluster)
        return PartSums(sums, counts, counts, float(losses.sum()), len(losses), root=metric == "rmse")

    def _sum_user_rmse(self, cluster: Cluster) -> PartSums:
        """The sums of the mean over users of each user's RMSE.

        Without one rating the sum of these RMSEs loses what the RMSE of its user loses, or all of it if the user has no
        other rating, and then there is one user less. An item has one rating of a user at most, so the losses add up.
        """
        part, users, squares = self.test_part, self.test_part.ratings.users, self.errors**2
        counts, sums = part.ratings_per_user, part.add_by("user", squares)
        by_user, present = np.sqrt(sums / np.maximum(counts, 1)), (counts > 0).astype(np.float64)
        total, number = float(by_user.sum()), float(present.sum())
        if cluster == "user":
            return PartSums(by_user, present, present, total, number, root=False)
        others = counts[users] - 1
        without = np.sqrt(np.maximum(sums[users] - squares, 0) / np.maximum(others, 1)) * (others > 0)
        losses, alone = by_user[users] - without, (others == 0).astype(np.float64)
        lost, gone = part.add_by(cluster, losses), part.add_by(cluster, alone)
        return PartSums(lost, gone, part.add_by(cluster), total, number, root=False)

    def sum_by_slice(self, by: SliceBy) -> tuple[Floats, NDArray[np.int64]]:
        """(slices,) the sums of squared errors, and how many test ratings each slice has."""
        index, slices = self.test_part.slice_index(by), len(self.test_part.slice_labels(by))
        sums = np.bincount(index, self.errors**2, slices).astype(np.float64)
        return sums, np.bincount(index, minlength=slices)


def read_errors(folder: Path, test_part: TestPart) -> RunErrors:
    """Read the errors of the run in a folder; raises `RecordError` when its predictions do not fit the test part."""
    predictions = read_predictions(folder)
    ratings = test_part.ratings.ratings
    if len(predictions) != len(ratings):
        raise RecordError(
            f"{folder} holds {len(predictions):,} predictions, expected {len(ratings):,}, one for each test rating of "
            f"{test_part.split.name}; run the model again"
        )
    return RunErrors(test_part, predictions.astype(np.float64) - ratings.astype(np.float64))


def find_errors(record: Record, folder: Path) -> RunErrors | None:
    """The errors of a run, or None when it has no score or its ratings are not downloaded; raises `RecordError`."""
    from cfbench.data import card, store

    request = record.request
    if not record.scored or request.dataset.name not in card.names():
        return None
    dataset_card = card.load(request.dataset.name)
    if not store.is_ready(dataset_card):
        return None
    dataset = store.open_dataset(dataset_card)
    split = dataset.split(request.split.name)
    if split.fingerprint != request.split.fingerprint:
        return None
    return read_errors(folder, build_test_part(dataset.ratings, split))


def estimate_score(seeds: Sequence[Sequence[RunErrors]], metric: Metric, clusters: Clusters = "user") -> Estimate:
    """The score of a row with what its doubt is computed from; `seeds[s][f]` are the errors of seed s on fold f."""
    return estimate([[{c: run.sum_by(c, metric) for c in CLUSTERINGS[clusters]} for run in folds] for folds in seeds])


def score_slices(runs: Sequence[RunErrors], by: SliceBy) -> list[Slice]:
    """The RMSE of each slice over all runs together, because one fold alone may have no rating of a slice.

    Slices without a test rating are left out.
    """
    run_sums, run_counts = zip(*(run.sum_by_slice(by) for run in runs), strict=True)
    sums, counts = np.sum(run_sums, axis=0).tolist(), np.sum(run_counts, axis=0).tolist()
    folds = len({id(run.test_part) for run in runs})
    labels = runs[0].test_part.slice_labels(by)
    return [
        # runs with different seeds repeat the same test ratings, which count once
        Slice(label, count * folds // len(runs), (total / count) ** 0.5)
        for label, total, count in zip(labels, sums, counts, strict=True)
        if count
    ]


def score_new(runs: Sequence[RunErrors], by: SliceBy) -> float | None:
    """The RMSE over the test ratings of users (or items) without a training rating; None when there are none."""
    if not any(run.test_part.split.report["cold_ratings"] for run in runs):
        return None
    return next((part.rmse for part in score_slices(runs, by) if part.label == "none"), None)
