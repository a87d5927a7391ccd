"""What the marks and notes of a leaderboard mean, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.leaderboard.row import IMPORTED, KNOWS_DATE, MET_TEST, ONE_SEED, REFIT
from cfbench.report import numbers
from cfbench.runs.record import FEWEST_TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cfbench.leaderboard import Clusters, Metric
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.leaderboard.row import Row

TIED, FRONT = "≈", "●"
SAMPLES: dict[Clusters, str] = {
    "user": "other users like these, the same items",
    "item": "other items like these, the same users",
    "both": "other users and items like these",
}
"""For what the intervals and tests hold."""
METRIC_NAMES: dict[Metric, str] = {"rmse": "RMSE", "mae": "MAE", "user-rmse": "user RMSE"}
COLUMN_MEANINGS = {
    "plugin": "the model, with its notes",
    "score": "the mean over seeds and folds, on the test ratings; smaller is better",
    "95 %": "the 95 % confidence interval of the score",
    "places": "the places that the model may have, given which differences are significant",
    "to best": "how much larger the score is than that of the best model; ≈ if the two do not differ significantly",
    "p": "the p-value of the difference from the best model, adjusted for all pairs",
    "± seeds": "the standard deviation over seeds, and how many seeds there are",
    "RMSE": "the root of the mean squared error",
    "MAE": "the mean absolute error",
    "user RMSE": "the mean over users of the RMSE of each user",
    "new users": "the RMSE over ratings of users without a training rating",
    "new items": "the RMSE over ratings of items without a training rating",
    "coverage": "the share of the test ratings whose user and item both have training ratings",
    "valid": "the RMSE on the validation ratings, which choose among configs",
    "fit": "the wall time of fitting, with that of all members",
    "energy": "an estimate of the electricity of fitting, with that of all members; a record says what was guessed",
    "predict": "the wall time of predicting the test ratings",
    "memory": "the largest resident memory of a run",
    "parameters": "the numbers that the model has learned, with those of its members",
    "config": "where the hyper-parameters came from",
    "settings": "the hyper-parameters in which the rows of this model differ",
    "device": "what computed",
    "seed": "the seeds of the runs",
    "run": "the end of the newest run's id",
}
"""What the columns of a leaderboard mean, by their headings."""


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


def explain_all(ranked_board: RankedBoard) -> tuple[Mark, ...]:
    """The meaning of everything that a leaderboard's rows are marked with, also of a config that a search found."""
    rows = ranked_board.rows
    marks = [*explain_intervals(ranked_board), *explain_marks(rows)]
    if any(record.request.tuned for row in rows for record in row.row.shown_records):
        few = f"searched, of fewer than {FEWEST_TRIALS}"
        marks.append(Mark("tuned", f"a search of so many trials chose the config by the validation RMSE; {few}"))
    return tuple(marks)


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


def explain_source(row: Row) -> str:
    """What the origin of a row's config means: `tuned (30 trials)`, a preset, flags, or the default."""
    tuned = next((record.request.tuned for record in row.shown_records if record.request.tuned), None)
    meanings = []
    if tuned is not None:
        found = f"a search of {tuned.trials} trials chose hyper-parameters by the validation RMSE"
        few = "" if tuned.trials >= FEWEST_TRIALS else f"; it is called tuned from {FEWEST_TRIALS} trials on"
        meanings.append(found + few)
    if "preset" in row.source:
        meanings.append("a preset that comes with the plugin gives values")
    if "flags" in row.source:
        meanings.append("the command line gave values")
    if row.is_imported:
        meanings.append("the predictions were made elsewhere; how the model was trained is not known")
    return "; ".join(meanings) or "the values with which the plugin comes; nothing was searched on these data"


def row_labels(rows: Sequence[RankedRow]) -> list[str]:
    """The name of each row's plugin, with the end of a run id where several rows have the same plugin."""
    counts = Counter(row.row.plugin for row in rows)
    return [
        row.row.plugin if counts[row.row.plugin] == 1 else f"{row.row.plugin} {row.row.newest.run.rpartition('-')[2]}"
        for row in rows
    ]
