"""The answer of a leaderboard in plain English: which model is best, whether that is sure, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.leaderboard.row import IMPORTED, KNOWS_DATE, ONE_SEED
from cfbench.report import numbers
from cfbench.report.explanations import METRIC_NAMES, SAMPLES, row_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.ranking import RankedBoard, RankedRow

MOST_NAMES = 4


@dataclass(frozen=True)
class Headline:
    """The answer: one sentence, and what a reader of it should know."""

    answer: str
    details: tuple[str, ...]


def write_headline(ranked_board: RankedBoard) -> Headline:
    """The answer of a leaderboard."""
    rows = ranked_board.placed_rows
    if not rows:
        return Headline("No model has a score on this split yet.", ())
    names = row_labels(rows)
    score = f"{METRIC_NAMES[ranked_board.metric]} {numbers.score(rows[0].score)}"
    tied = [name for name, row in zip(names, rows, strict=True) if row.tied]
    return Headline(
        f"{names[0]} predicts best, with {score}{_how_sure(ranked_board, rows, tied)}; {_cost(rows[0])}.",
        tuple(_details(ranked_board, rows, names)),
    )


def _how_sure(ranked_board: RankedBoard, rows: Sequence[RankedRow], tied: Sequence[str]) -> str:
    if len(rows) == 1:
        return ", but no other model was run"
    if ranked_board.tests is None:
        reason = "one user is no sample" if ranked_board.has_ratings else "the ratings are not downloaded"
        return f", but whether that is sure is not known, because {reason}"
    if not tied:
        seed = " for its one seed" if rows[0].row.one_seed else ""
        return f", and that is sure{seed}: every other model is significantly worse"
    verb = "does" if len(tied) == 1 else "do"
    return f", but that is not sure: {_listed(tied)} {verb} not differ significantly from it"


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, or the first ones and the number of the others."""
    if len(names) > MOST_NAMES:
        return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more models"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _cost(best: RankedRow) -> str:
    if best.row.fit_seconds is None:
        return "what it costs is not known"
    members = f", with its {numbers.count(best.row.members)} members" if best.row.members else ""
    return f"its fit takes {numbers.duration(best.row.fit_seconds)} on {best.row.devices}{members}"


def _details(ranked_board: RankedBoard, rows: Sequence[RankedRow], names: Sequence[str]) -> list[str]:
    """What the answer leaves out: how far away the others are, for what the tests hold, and doubts of the best row."""
    best, details = rows[0], []
    if len(rows) > 1:
        second = rows[1]
        gap = f"{names[1]} is next, {numbers.score((second.score or 0) - (best.score or 0))} behind"
        if second.to_best is not None:
            gap += f" (95 %: {numbers.score(second.to_best.low)} to {numbers.score(second.to_best.high)})"
        details.append(f"{gap}, and its fit takes {numbers.duration(second.row.fit_seconds)}.")
    if ranked_board.tests is not None:
        details.append(f"Intervals and tests hold for {SAMPLES[ranked_board.clusters]}.")
    if best.row.one_seed:
        details.append(f"{names[0]} was run with {ONE_SEED}; another seed can give another score.")
    if best.row.uses_times:
        details.append(f"{names[0]} {KNOWS_DATE} of each rating that it predicts.")
    if best.row.uses_imports:
        details.append(f"{names[0]} has {IMPORTED} predictions; how they were made is not known.")
    details += dict.fromkeys(doubt.detail for record in best.row.records for doubt in record.outcome.doubts)
    return details
