"""Whether a leaderboard has become worse than a stored run, for continuous integration.

Both scores come from the records, so the data set need not be downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Literal, TypeAlias

from cfbench.errors import UsageError
from cfbench.leaderboard.board import build_board
from cfbench.leaderboard.row import start_order

if TYPE_CHECKING:
    from collections.abc import Collection

    from cfbench.data.card import Card
    from cfbench.leaderboard.row import Row
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results

RecordMetric: TypeAlias = Literal["rmse", "mae"]
"""The scores that a record holds."""


@dataclass(frozen=True)
class BaselineCheck:
    """A row of the leaderboard beside the baseline."""

    row: Row
    newest: Record
    """The newest run of the row, whatever its result."""
    score: float | None
    """None if the newest run of the row has none, because it failed or diverged."""
    baseline: float
    allowed: float
    """By how much the score may be larger than the baseline."""

    @property
    def is_worse(self) -> bool:
        """Whether the row has no score, or its score is too large. Differences of rounding do not count."""
        return self.score is None or self.score - self.baseline > self.allowed + 1e-9


def check_baseline(
    card: Card,
    split: str,
    results: Results,
    baseline: Record,
    *,
    metric: RecordMetric = "rmse",
    plugins: Collection[str] = (),
    allowed: float = 0.0,
) -> BaselineCheck:
    """Compare a row with the run `baseline`: the best row or, with `plugins`, their row with the newest run.

    The run itself does not count in any row. Raises `UsageError` if there is no such row, or if the run is one of
    another split or has no score; `UnknownNameError`.
    """
    facts, name = baseline.request, baseline.run
    if (facts.dataset.name, [facts.split.name]) != (card.name, card.expand_split(split)):
        place = f"{facts.dataset.name}, split {facts.split.name}"
        raise UsageError(f"run {name} is a run of {place}; it cannot be compared with {card.name}, split {split}")
    score: float | None = getattr(baseline.outcome, metric)
    if score is None:
        raise UsageError(f"run {name} is {baseline.outcome.status} and has no score; name a run that has one")
    fingerprints = {facts.split.name: facts.split.fingerprint}
    board = build_board(card, split, results, fingerprints, plugins=plugins, all_runs=bool(plugins))
    rows = [row for row in (_without(row, name) for row in board.rows) if row.shown_records]
    if plugins and rows:
        row = max(rows, key=lambda row: start_order(_newest(row)))
        return BaselineCheck(row, _newest(row), _score(row, metric) if _newest(row).scored else None, score, allowed)
    ranked = [row for row in rows if row.ranked]
    if not ranked:
        raise UsageError(
            f"no other run of {card.name}, split {split}, has a score that run {name} can be compared with"
        )
    best = min(ranked, key=lambda row: _score(row, metric) or inf)
    return BaselineCheck(best, _newest(best), _score(best, metric), score, allowed)


def _without(row: Row, run: str) -> Row:
    """The row without a run."""
    seeds = {seed: records for seed, records in row.seeds.items() if all(record.run != run for record in records)}
    return replace(row, seeds=seeds, others=[record for record in row.others if record.run != run])


def _newest(row: Row) -> Record:
    return max((*row.records, *row.others), key=start_order)


def _score(row: Row, metric: RecordMetric) -> float | None:
    return row.rmse if metric == "rmse" else row.mae
