"""The rows of a leaderboard in order, each with the uncertainty of its score and its comparison with the best row.

The scores are those in the records. Intervals, tests and slices are computed from the predictions and the test
ratings; when the data set is not downloaded, they are None.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cfbench import advice
from cfbench.data import card as cards
from cfbench.data import store
from cfbench.data.progress import SilentListener
from cfbench.errors import RecordError, UsageError
from cfbench.leaderboard.board import build_board
from cfbench.leaderboard.intervals import compare, interval
from cfbench.leaderboard.pairs import compare_all
from cfbench.leaderboard.scoring import build_test_part, estimate_score, read_errors, score_new, score_slices
from cfbench.runs.results import warn_of_skipped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from cfbench.data.card import Card
    from cfbench.data.progress import ProgressListener
    from cfbench.data.store import Dataset
    from cfbench.leaderboard import Clusters, Metric, SliceBy
    from cfbench.leaderboard.board import Leaderboard
    from cfbench.leaderboard.estimates import Estimate
    from cfbench.leaderboard.intervals import Comparison, Interval
    from cfbench.leaderboard.item_ranking import ItemRanking, ItemRankings
    from cfbench.leaderboard.pairs import PairTests, PlaceRange
    from cfbench.leaderboard.row import Row
    from cfbench.leaderboard.scoring import RunErrors, Slice, TestPart
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results

SILENT = SilentListener()
ALPHA = 0.05
"""A row whose adjusted p-value is at least this is tied with the best row."""


@dataclass(frozen=True)
class RankedRow:
    """A row, its place, and its statistics; scores of several seeds and folds are means."""

    row: Row
    score: float | None
    """The score in the metric of the leaderboard; None for a row that is not ranked."""
    place: int | None = None
    interval: Interval | None = None
    to_best: Comparison | None = None
    """The comparison of this row with the best row."""
    p: float | None = None
    """The p-value of the difference from the best row, adjusted for all pairs of rows (step-down max-t)."""
    places: PlaceRange | None = None
    """The places that the row may have, given which differences between all rows are significant."""
    user_rmse: float | None = None
    new_users: float | None = None
    """The RMSE over the test ratings of users without a training rating."""
    new_items: float | None = None
    """The RMSE over the test ratings of items without a training rating."""
    slices: Mapping[SliceBy, tuple[Slice, ...]] = field(default_factory=dict)
    """The RMSE over slices of the test ratings, for each requested way to slice them."""
    items: ItemRanking | None = None
    """How well the row's models rank items, where that was computed."""
    on_front: bool = False
    """Whether no other row is both at least as good and fitted at least as fast: the Pareto front."""

    @property
    def tied(self) -> bool:
        """Whether this is not the best row, and the test finds no difference from the best row."""
        return self.p is not None and self.p >= ALPHA and self.place != 1


@dataclass(frozen=True)
class RankedBoard:
    """A leaderboard whose rows are ranked by a metric."""

    board: Leaderboard
    card: Card
    metric: Metric
    clusters: Clusters
    rows: list[RankedRow]
    has_ratings: bool
    """Whether the data set is downloaded, so that intervals and tests could be computed."""
    tests: PairTests | None = None
    """The tests of all pairs of ranked rows, in the order of their places; None where they could not be computed."""
    items: ItemRankings | None = None
    """What the rows' item rankings measure, where they were computed."""

    @property
    def placed_rows(self) -> list[RankedRow]:
        """The rows with a place, best first."""
        return [row for row in self.rows if row.place is not None]


def load_ranked_board(  # noqa: PLR0913 (each is an option of `compare`)
    dataset: str,
    split: str,
    results: Results,
    *,
    metric: Metric = "rmse",
    clusters: Clusters = "user",
    by: Collection[SliceBy] = (),
    plugins: Collection[str] = (),
    runs: Collection[str] = (),
    all_runs: bool = False,
    listener: ProgressListener = SILENT,
) -> RankedBoard:
    """Build the leaderboard of a data set and split and rank its rows; nothing is downloaded for it.

    `clusters` says of what the test ratings are a sample; `by` adds slices to the rows; `plugins`, `runs` and
    `all_runs` are those of `build_board`; `listener` receives how many rows are scored. Raises `UnknownNameError`, and
    `UsageError` when the metric or the slices need a data set that is not downloaded.
    """
    card = cards.load(dataset)
    data = store.open_dataset(card) if store.is_ready(card) else None
    fingerprints = None if data is None else {name: data.split(name).fingerprint for name in card.expand_split(split)}
    board = build_board(card, split, results, fingerprints, plugins=plugins, runs=runs, all_runs=all_runs)
    rows, tests = rank_and_test(board, results, data, metric=metric, clusters=clusters, by=by, listener=listener)
    return RankedBoard(board, card, metric, clusters, rows, has_ratings=data is not None, tests=tests)


def rank_rows(board: Leaderboard, results: Results, dataset: Dataset | None, **options: Any) -> list[RankedRow]:
    """The rows that `rank_and_test` gives, which has the same options."""
    return rank_and_test(board, results, dataset, **options)[0]


def rank_and_test(
    board: Leaderboard,
    results: Results,
    dataset: Dataset | None,
    *,
    metric: Metric = "rmse",
    clusters: Clusters = "user",
    by: Collection[SliceBy] = (),
    listener: ProgressListener = SILENT,
) -> tuple[list[RankedRow], PairTests | None]:
    """The rows in the order of the metric, followed by those that are not ranked, and the tests of all pairs.

    `dataset` is None when it is not downloaded. `by` adds the RMSE over slices of the test ratings. Raises
    `UsageError`.
    """
    unranked_rows = [row for row in board.rows if not row.ranked]
    tests = None
    if dataset is not None:
        test_parts = {name: build_test_part(dataset.ratings, dataset.split(name)) for name in board.fingerprints}
        reader = _ErrorReader(results, test_parts)
        ranked_rows, tests = _score_from_predictions(board, reader, metric, clusters, by, listener)
        unranked_rows += reader.lost_rows
        warn_of_skipped(reader.faults)
    elif by or metric == "user-rmse":
        raise UsageError(
            f"{'--by' if by else 'user-rmse'} is computed from the ratings, and data set {board.dataset!r} is not "
            f"downloaded; `{advice.command('download', board.dataset)}` gets it"
        )
    else:
        ranked_rows = [RankedRow(row, row.rmse if metric == "rmse" else row.mae) for row in board.ranked]
    order = sorted(range(len(ranked_rows)), key=lambda index: _score_order(ranked_rows[index]))
    ranked_rows = [ranked_rows[index] for index in order]
    front = _front_places(ranked_rows)
    placed_rows = [replace(row, place=place, on_front=place in front) for place, row in enumerate(ranked_rows, 1)]
    return placed_rows + [RankedRow(row, None) for row in unranked_rows], tests and tests.in_order(order)


def _score_order(row: RankedRow) -> tuple[float | None, datetime]:
    return row.score, row.row.newest.request.started


@dataclass
class _ErrorReader:
    """Reads the errors of rows, and keeps what could not be read."""

    results: Results
    test_parts: dict[str, TestPart]
    faults: list[RecordError] = field(default_factory=list)
    lost_rows: list[Row] = field(default_factory=list)
    """The rows of which no seed is left."""

    def read(self, row: Row) -> tuple[Row, list[list[RunErrors]]]:
        """The errors of each seed and fold of a row, and the row without the seeds whose predictions cannot be read."""
        seeds, lost, errors = {}, [], []
        for seed, records in row.seeds.items():
            try:
                errors.append([self._read_run(record) for record in records])
                seeds[seed] = records
            except RecordError as fault:
                self.faults.append(fault)
                lost += records
        if lost:
            row = replace(row, seeds=seeds, others=[*row.others, *lost])
        if not seeds:
            self.lost_rows.append(row)
        return row, errors

    def _read_run(self, record: Record) -> RunErrors:
        return read_errors(self.results.place(record.request), self.test_parts[record.request.split.name])


def _score_from_predictions(
    board: Leaderboard,
    reader: _ErrorReader,
    metric: Metric,
    clusters: Clusters,
    by: Collection[SliceBy],
    listener: ProgressListener,
) -> tuple[list[RankedRow], PairTests | None]:
    """The ranked rows with scores, intervals and tests from the predictions, in the order of the leaderboard.

    Only the errors of one row's runs are in memory at a time; their sums stay.
    """
    rows, estimates = [], []
    for number, stored_row in enumerate(board.ranked):
        listener.progress("scoring models", number, len(board.ranked))
        row, seeds = reader.read(stored_row)
        if seeds:
            estimates.append(estimate_score(seeds, metric, clusters))
            rows.append(_score_row(row, seeds, estimates[-1].score, by))
    listener.progress("scoring models", len(board.ranked), len(board.ranked))
    listener.progress("comparing all pairs", 0, 1)
    return _doubt(rows, estimates)


def _doubt(rows: list[RankedRow], estimates: list[Estimate]) -> tuple[list[RankedRow], PairTests | None]:
    """The rows with their intervals, the places they may have, and their comparisons with the best row."""
    if not rows or not estimates[0].defined:
        return rows, None
    best = min(range(len(rows)), key=lambda index: estimates[index].score)
    tests = compare_all(estimates)
    doubted = [
        replace(
            row,
            interval=interval(estimate),
            to_best=compare(estimate, estimates[best]),
            p=float(p),
            places=places,
        )
        for row, estimate, p, places in zip(rows, estimates, tests.p[best], tests.places(ALPHA), strict=True)
    ]
    return doubted, tests


def _score_row(row: Row, seeds: list[list[RunErrors]], score: float, by: Collection[SliceBy]) -> RankedRow:
    """The row with its scores."""
    runs = [run for folds in seeds for run in folds]
    return RankedRow(
        row,
        score,
        user_rmse=statistics.mean(run.sum_by("user", "user-rmse").score for run in runs),
        new_users=score_new(runs, "user-activity"),
        new_items=score_new(runs, "item-popularity"),
        slices={each: tuple(score_slices(runs, each)) for each in by},
    )


def _front_places(ranked_rows: list[RankedRow]) -> set[int]:
    """The places, from 1, of the rows that no other row beats in both score and seconds of fitting."""
    candidates = []
    for place, ranked_row in enumerate(ranked_rows, 1):
        seconds = ranked_row.row.fit_seconds
        if seconds is not None:
            candidates.append((ranked_row.score, seconds, place))
    fastest = float("inf")
    front: set[int] = set()
    for _, seconds, place in sorted(candidates):
        if seconds < fastest:
            fastest = seconds
            front.add(place)
    return front
