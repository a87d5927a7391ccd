"""The leaderboard's table in a page: its headings, its lines with marks, its forest plot, and the matrix of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfbench.leaderboard.columns import table_columns
from cfbench.leaderboard.ranking import ALPHA
from cfbench.report import numbers
from cfbench.report.cells import cell
from cfbench.report.explanations import (
    COLUMN_MEANINGS,
    TIED,
    Mark,
    explain_marks,
    explain_source,
    row_labels,
)
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.columns import BoardColumn
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow

MOST_PAIRS = 20
"""The matrix of pairs has so many of the best models: more would not be readable."""
MAIN = {"", "plugin", "95 %", "places", "to best", "± seeds", "fit", "settings", "config"}
"""The headings that every page shows; the others appear on request."""
_IN_PLUGIN = {"note", "run"}  # these are part of the cell of the plugin, or of the record of the run


@dataclass(frozen=True)
class BoardHeading:
    """A column of the table."""

    text: str
    meaning: str
    is_number: bool
    is_extra: bool
    """Whether it appears only on request."""


@dataclass(frozen=True)
class BoardCell:
    """A value of the table, as text and for sorting, with its marks."""

    text: str
    order: str
    """A number, or the text itself; empty for an unknown value."""
    marks: tuple[Mark, ...] = ()
    meaning: str = ""
    """What the whole text means, where it needs an explanation."""


@dataclass(frozen=True)
class Forest:
    """An interval as a drawing of the width 100; what lies outside ends at the edge."""

    low: float
    middle: float
    high: float
    is_cut: bool
    """Whether the score itself lies outside."""


@dataclass(frozen=True)
class BoardLine:
    """A row of the table."""

    anchor: str
    label: str
    cells: tuple[BoardCell, ...]
    forest: Forest | None
    is_best: bool


@dataclass(frozen=True)
class BoardTable:
    """The whole table; `ends` are the scores at the edges of the forest plot."""

    headings: tuple[BoardHeading, ...]
    lines: tuple[BoardLine, ...]
    ends: tuple[str, str] | None


def build_table(ranked_board: RankedBoard) -> BoardTable:
    """The table of a leaderboard, without the columns in which no row has a value."""
    rows = ranked_board.rows
    columns = [column for column in table_columns(ranked_board.metric) if column.heading not in _IN_PLUGIN]
    texts = {column: [cell(column, row) for row in rows] for column in columns}
    columns = [column for column in columns if any(text not in ("", numbers.NONE) for text in texts[column])]
    ends = _forest_ends(rows)
    lines = [tuple(_cell(column, row, texts[column][index]) for column in columns) for index, row in enumerate(rows)]
    return BoardTable(
        tuple(_heading(column) for column in columns),
        tuple(
            BoardLine(f"model-{number}", label, cells, _forest(row, ends), row.place == 1)
            for number, (row, label, cells) in enumerate(zip(rows, row_labels(rows), lines, strict=True), 1)
        ),
        None if ends is None else (numbers.score(ends[0]), numbers.score(ends[1])),
    )


def _heading(column: BoardColumn) -> BoardHeading:
    text = column.heading or ""
    meaning = COLUMN_MEANINGS.get("score" if column.key == "score" else text, "")
    if column.key == "score":
        meaning = f"{COLUMN_MEANINGS.get(text, '')}: {meaning}"
    is_number = column.right or column.kind == "place"
    return BoardHeading(text or "place", meaning, is_number, text not in MAIN and column.key != "score")


def _cell(column: BoardColumn, row: RankedRow, text: str) -> BoardCell:
    order = _order(column.value(row), text)
    if column.heading == "plugin":
        return BoardCell(text, order, _row_marks(row))
    if column.heading == "config":
        return BoardCell(text, order, meaning=explain_source(row.row))
    if column.kind == "gap" and row.tied:
        (mark,) = [mark for mark in explain_marks([row]) if mark.name == TIED]
        return BoardCell(text.removeprefix(f"{TIED} "), order, (mark,))
    return BoardCell(text, order)


def _row_marks(row: RankedRow) -> tuple[Mark, ...]:
    """The notes of a row with their meaning; an ensemble has one that tells the number of its members."""
    explained = {mark.name: mark.meaning for mark in explain_marks([row])}
    notes = [Mark(note, explained.get(note, _MEANINGS.get(note, ""))) for note in row.row.notes]
    if row.row.members:
        notes.append(Mark(f"{row.row.members} members", explained[row.row.plugin]))
    return tuple(notes)


_MEANINGS = {
    "test RMSE is implausibly low": "the score is lower than the noise of such ratings allows; the record has numbers",
    "own validation RMSE is wrong": "the plugin reported another validation RMSE than its predictions have",
    "diverged": "the training errors became infinite, so there is no score",
    "predictions lost": "the record has a score, but its predictions are missing or damaged",
}


def _order(value: Any, text: str) -> str:
    """By what a cell is sorted: its first number, or its text."""
    while isinstance(value, tuple):
        value = value[0]
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return repr(value)
    return "" if value is None else text


def _forest_ends(rows: Sequence[RankedRow]) -> tuple[float, float] | None:
    """The scores at both edges of the forest plot: those of all intervals that are not far above the others."""
    intervals = [row.interval for row in rows if row.interval is not None]
    if not intervals:
        return None
    _, high = robust_range([interval.high for interval in intervals])
    low = min(interval.low for interval in intervals)
    return low, max(high, low + 1e-6)


def _forest(row: RankedRow, ends: tuple[float, float] | None) -> Forest | None:
    if row.interval is None or ends is None or row.score is None:
        return None
    low, middle, high = (
        100 * min(max((value - ends[0]) / (ends[1] - ends[0]), 0), 1)
        for value in (row.interval.low, row.score, row.interval.high)
    )
    return Forest(round(low, 1), round(middle, 1), round(high, 1), row.score > ends[1])


@dataclass(frozen=True)
class PairCell:
    """The difference of two models: the one of the row minus the one of the column."""

    difference: str
    interval: str
    p: str
    is_tied: bool


@dataclass(frozen=True)
class PairMatrix:
    """The differences of the best models: line i has one cell for each of the models before it."""

    labels: tuple[str, ...]
    lines: tuple[tuple[PairCell, ...], ...]
    left_out: int


def build_pairs(ranked_board: RankedBoard) -> PairMatrix | None:
    """The matrix of all pairs of the best models; None where the tests could not be computed."""
    tests = ranked_board.tests
    if tests is None or len(tests.scores) < 2:
        return None
    shown = min(len(tests.scores), MOST_PAIRS)
    lines = []
    for row in range(shown):
        comparisons = [tests.compare(row, column) for column in range(row)]
        lines.append(
            tuple(
                PairCell(
                    numbers.difference(each.difference),
                    f"{numbers.difference(each.low)} to {numbers.difference(each.high)}",
                    numbers.p_value(each.p),
                    each.p >= ALPHA,
                )
                for each in comparisons
            )
        )
    return PairMatrix(tuple(row_labels(ranked_board.rows)[:shown]), tuple(lines), len(tests.scores) - shown)
