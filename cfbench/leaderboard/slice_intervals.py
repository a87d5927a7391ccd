"""The interval of the RMSE of each slice of the test ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.leaderboard.estimates import CLUSTERINGS, PartSums, estimate
from cfbench.leaderboard.intervals import interval
from cfbench.leaderboard.scoring import build_test_part, read_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.data.store import Dataset
    from cfbench.leaderboard import Clusters, SliceBy
    from cfbench.leaderboard.estimates import Cluster, Floats
    from cfbench.leaderboard.intervals import Interval
    from cfbench.leaderboard.row import Row
    from cfbench.leaderboard.scoring import RunErrors
    from cfbench.runs.results import Results


def read_seeds(row: Row, results: Results, dataset: Dataset) -> list[list[RunErrors]]:
    """The errors of each seed and fold of a row; raises `RecordError`."""
    names = {record.request.split.name for record in row.records}
    parts = {name: build_test_part(dataset.ratings, dataset.split(name)) for name in names}
    return [
        [read_errors(results.place(record.request), parts[record.request.split.name]) for record in records]
        for records in row.seeds.values()
    ]


def slice_intervals(
    seeds: Sequence[Sequence[RunErrors]], by: SliceBy, clusters: Clusters = "user"
) -> tuple[Interval, ...]:
    """The interval of each slice that `score_slices` scores; both ends are NaN where one user has all its ratings.

    The ratings of all folds are one part, because one fold alone may have no rating of a slice.
    """
    labels = seeds[0][0].test_part.slice_labels(by)
    used = [number for number in range(len(labels)) if any(_in_slice(run, by, number).any() for run in seeds[0])]
    return tuple(
        interval(estimate([[{c: _sum_slice(folds, by, number, c) for c in CLUSTERINGS[clusters]}] for folds in seeds]))
        for number in used
    )


def _in_slice(run: RunErrors, by: SliceBy, number: int) -> Floats:
    """(n,) 1 for each test rating of the slice, 0 for the others."""
    marks: Floats = (run.test_part.slice_index(by) == number).astype(np.float64)
    return marks


def _sum_slice(folds: Sequence[RunErrors], by: SliceBy, number: int, cluster: Cluster) -> PartSums:
    """The sums of the squared errors of a slice, over all folds together."""
    marks = [_in_slice(run, by, number) for run in folds]
    squares = [mark * run.errors**2 for mark, run in zip(marks, folds, strict=True)]
    total, count = float(sum(map(np.sum, squares))), float(sum(map(np.sum, marks)))
    sums, counts = (_add_folds(folds, values, cluster) for values in (squares, marks))
    if cluster == "rating":
        sums, counts = sums[counts > 0], counts[counts > 0]
    return PartSums(sums, counts, counts, total, count, root=True)


def _add_folds(folds: Sequence[RunErrors], values: Sequence[Floats], cluster: Cluster) -> Floats:
    """(clusters,) the sums over all folds: users and items are the same in each, ratings are not."""
    parts = [run.test_part.add_by(cluster, each) for run, each in zip(folds, values, strict=True)]
    added: Floats = np.concatenate(parts) if cluster == "rating" else np.sum(parts, axis=0)
    return added
