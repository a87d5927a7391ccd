"""STANDINGS: where each row of a leaderboard stands: how sure its score is, and whether it can be told from the best.

Scores are those the records hold. Intervals, tests and slices are computed from the predictions and the test ratings;
without the data set they are None.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cfbench.errors import UsageError
from cfbench.leaderboard.intervals import against_best, intervals
from cfbench.leaderboard.scoring import errors, slices, truth, user_sums

if TYPE_CHECKING:
    from cfbench.data.store import Dataset
    from cfbench.leaderboard.board import Leaderboard, Row
    from cfbench.leaderboard.intervals import Comparison, Interval, UserSums
    from cfbench.leaderboard.scoring import By, Metric, RunErrors, Slice, TestPart
    from cfbench.runs.results import Results

ALPHA = 0.05
"""SparseRows whose adjusted p-value is at least that cannot be told from the best."""


@dataclass(frozen=True)
class RankedRow:
    """A row and what is known of it; scores of several seeds and folds are means."""

    row: Row
    score: float | None
    """In the metric of the board."""
    place: int | None = None
    interval: Interval | None = None
    to_best: Comparison | None = None
    p: float | None = None
    """Of the difference to the best row, adjusted for all pairs of rows (Holm)."""
    user_rmse: float | None = None
    new_users: float | None = None
    """RMSE over the test ratings of users without a training rating."""
    new_items: float | None = None
    slices: tuple[Slice, ...] = ()
    on_front: bool = False
    """Whether no other row is both at least as good and fitted at least as fast."""

    @property
    def tied(self) -> bool:
        """Whether it cannot be told from the best row, and is not it."""
        return self.p is not None and self.p >= ALPHA and self.place != 1

    def as_dict(self) -> dict[str, Any]:
        """All of it, flat, for scripts."""
        row, asked = self.row, self.row.last.request
        low, high = self.interval or (None, None)
        gap = self.to_best
        return {
            "place": self.place, "plugin": row.plugin, "config_source": row.source, "score": self.score,
            "interval_low": low, "interval_high": high, "seeds": sorted(row.seeds), "sd": row.sd,
            "difference": gap and gap.difference, "difference_low": gap and gap.low,
            "difference_high": gap and gap.high, "p_value": self.p, "tied": self.tied,
            "rmse": row.rmse, "mae": row.mean(lambda o: o.mae), "user_rmse": self.user_rmse,
            "new_user_rmse": self.new_users, "new_item_rmse": self.new_items, "coverage": row.coverage,
            "valid_rmse": row.valid_rmse,
            "fit_seconds": row.mean(lambda o: o.fit_seconds), "predict_seconds": row.mean(lambda o: o.predict_seconds),
            "peak_memory": row.most("peak_memory"), "peak_device_memory": row.most("peak_device_memory"),
            "parameters": row.most("parameters"), "device": row.devices,
            "pareto": self.on_front, "note": row.note, "preset": asked.preset,
            "config": asked.config, "runs": [record.run for record in row.records or row.others],
        }  # fmt: skip


def rank_rows(
    board: Leaderboard, results: Results, dataset: Dataset | None, *, metric: Metric = "rmse", by: By | None = None
) -> list[RankedRow]:
    """The rows in the order of the metric, unranked ones last; raises `RecordError`, `UsageError`."""
    if dataset is None and (metric == "user-rmse" or by):
        raise UsageError(
            f"{'--by' if by else 'user-rmse'} is computed from the ratings, and data set {board.dataset!r} is not "
            f"here; `cfbench download {board.dataset}` gets it"
        )
    ranked = _told(board, metric) if dataset is None else _judged(board, results, dataset, metric, by)
    ranked.sort(key=lambda s: (s.score, s.row.last.request.started))
    front = _front(ranked)
    placed = [replace(s, place=at, on_front=at in front) for at, s in enumerate(ranked, 1)]
    return placed + [RankedRow(row, None) for row in board.rows if not row.ranked]


def _told(board: Leaderboard, metric: Metric) -> list[RankedRow]:
    """As the records say."""
    return [RankedRow(row, row.rmse if metric == "rmse" else row.mean(lambda o: o.mae)) for row in board.ranked]


def _judged(board: Leaderboard, results: Results, dataset: Dataset, metric: Metric, by: By | None) -> list[RankedRow]:
    """As the predictions say; the errors of one row's runs are in memory at a time."""
    truths = {name: truth(dataset.ratings, dataset.split(name)) for name in board.fingerprints if board.ranked}
    rows = [_row(row, results, truths, metric, by) for row in board.ranked]
    judged, sums = [standing for standing, _ in rows], [of for _, of in rows]
    if any(of.present.sum() < 2 for of in sums):  # one user is no sample of users
        return judged
    each = zip(judged, intervals(sums), against_best(sums), strict=True)
    return [replace(s, interval=interval, to_best=gap, p=p) for s, interval, (gap, p) in each]


def _row(
    row: Row, results: Results, truths: dict[str, TestPart], metric: Metric, by: By | None
) -> tuple[RankedRow, UserSums]:
    runs = [errors(results.place(r.request), truths[r.request.split.name]) for r in row.records]
    sums = user_sums(runs, metric)
    standing = RankedRow(
        row, sums.score, user_rmse=user_sums(runs, "user-rmse").score, new_users=_new(runs, "user-activity"),
        new_items=_new(runs, "item-popularity"), slices=tuple(slices(runs, by)) if by else (),
    )  # fmt: skip
    return standing, sums


def _new(runs: list[RunErrors], by: By) -> float | None:
    """The RMSE over what training never met, if there is any of it."""
    if not any(run.truth.split.report["cold_ratings"] for run in runs):
        return None
    return next((s.rmse for s in slices(runs, by) if s.label == "none"), None)


def _front(ranked: list[RankedRow]) -> set[int]:
    """The places that are not dominated in score and seconds of fitting."""
    known = [(s.score, s.row.mean(lambda o: o.fit_seconds), at) for at, s in enumerate(ranked, 1)]
    fastest = float("inf")
    front: set[int] = set()
    for _, seconds, at in sorted((score, seconds, at) for score, seconds, at in known if seconds is not None):
        if seconds < fastest:
            fastest, front = seconds, front | {at}
    return front
