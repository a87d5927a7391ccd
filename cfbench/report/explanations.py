"""What the marks and notes of a leaderboard mean, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.leaderboard.row import IMPORTED, KNOWS_DATE, MET_TEST, ONE_SEED, REFIT
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cfbench.leaderboard import Clusters
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow

TIED, FRONT = "≈", "●"
SAMPLES: dict[Clusters, str] = {
    "user": "other users like these, the same items",
    "item": "other items like these, the same users",
    "both": "other users and items like these",
}
"""For what the intervals and tests hold."""


@dataclass(frozen=True)
class Mark:
    """A sign or a note in a leaderboard, and what it means."""

    name: str
    meaning: str

    @property
    def line(self) -> str:
        """Both, as one line."""
        return f"{self.name}{'' if self.name in {TIED, FRONT} else ':'} {self.meaning}"


def explain_intervals(ranked_board: RankedBoard) -> list[Mark]:
    """For what the intervals hold, when there are any."""
    if not any(row.interval for row in ranked_board.rows):
        return []
    marks = [Mark("95 %, to best, places", f"for {SAMPLES[ranked_board.clusters]}")]
    if any(row.row.sd is not None for row in ranked_board.rows):
        marks.append(Mark("± seeds", "the spread over seeds, which 95 %, to best and places include"))
    return marks


def explain_marks(rows: Sequence[RankedRow], *, pareto: bool = False) -> list[Mark]:
    """The meaning of each mark and note that a row has; `pareto` if the table marks the Pareto front."""
    return [*_explain_signs(rows, pareto=pareto), *_explain_notes(rows)]


def _explain_signs(rows: Sequence[RankedRow], *, pareto: bool) -> Iterator[Mark]:
    if any(row.tied for row in rows):
        yield Mark(TIED, "does not differ significantly from the best: paired tests of all pairs, step-down max-t, 5 %")
    if any(row.row.one_seed for row in rows):
        yield Mark(ONE_SEED, "the numbers hold for this seed; another seed can give others")
    if pareto:
        yield Mark(FRONT, "no other model is both at least as good and fitted at least as fast")


def _explain_notes(rows: Sequence[RankedRow]) -> Iterator[Mark]:
    if any(row.row.refit for row in rows):
        yield Mark(
            REFIT,
            "once validation had chosen, the model was fitted again to training and validation ratings; its "
            "validation RMSE is that of the first fit",
        )
    if any(row.row.met_test for row in rows):
        yield Mark(
            MET_TEST,
            f"the preset was chosen on another split, where {_shares_met(rows)} test ratings of this one were training "
            "or validation ratings; the record of a run counts them",
        )
    if any(row.row.uses_times for row in rows):
        yield Mark(KNOWS_DATE, "the model is given the time of each rating that it predicts")
    for row in (row.row for row in rows if row.row.members):
        members = numbers.count(row.members)
        yield Mark(row.plugin, f"its cost and its parameters include those of its members ({members})")
    if any(row.row.uses_imports for row in rows):
        yield Mark(IMPORTED, "the predictions were made elsewhere; how the model was trained is not known")


def _shares_met(rows: Sequence[RankedRow]) -> str:
    """Which share of the test ratings the choices of presets have seen: `10 % of the`, or `some`."""
    shares = sorted({f"{row.row.test_share_met:.0%}" for row in rows if row.row.test_share_met is not None})
    return f"{' to '.join(dict.fromkeys((shares[0], shares[-1])))} of the" if shares else "some"
