"""The RMSE over slices of the test ratings, as numbers and bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.view import tables
from cfbench.cli.view.tables import Column
from cfbench.report import numbers
from cfbench.report.explanations import row_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.ranking import RankedRow
    from cfbench.leaderboard.scoring import Slice

HEADINGS: dict[SliceBy, str] = {
    "user-activity": "user's ratings",
    "item-popularity": "item's ratings",
    "rating": "rating",
}
"""What the labels of the slices are; the first two are numbers of training ratings."""
_BAR_WIDTHS = (24, 12, 6, 0)  # characters, from the one that is tried first


def slice_columns(rows: list[RankedRow], bar_width: int, by: SliceBy) -> list[Column]:
    """A table with one row for each slice and one column for each model.

    Each RMSE has a bar of at most `bar_width` characters. All models have the same slices, because all of them are
    scored on the same test ratings.
    """
    rows_with_slices = [row for row in rows if row.slices.get(by)]
    if not rows_with_slices:
        return []
    largest = max(part.rmse for row in rows_with_slices for part in row.slices[by])
    slices = rows_with_slices[0].slices[by]
    columns = [
        Column(HEADINGS[by], [part.label for part in slices]),
        Column("tested", [f"{part.ratings:,}" for part in slices], priority=1, right=True),
    ]
    headings = row_labels(rows_with_slices)
    for index, (heading, row) in enumerate(zip(headings, rows_with_slices, strict=True)):
        cells = [_cell(part.rmse, largest, bar_width) for part in row.slices[by]]
        columns.append(Column(heading, cells, priority=index))
    return columns


def _cell(rmse: float, largest: float, bar_width: int) -> str:
    return f"{numbers.score(rmse)} {tables.bar(rmse / largest if largest else 0.0, bar_width)}".rstrip()


def print_board_slices(rows: list[RankedRow], by: SliceBy, names: str | None = None) -> None:
    """Print the slices of all models in the width of the terminal.

    `names` chooses columns, whose names commas separate. Raises `UnknownNameError`.
    """
    width = console.out().width
    if names:
        tables.print_table(_columns_in(rows, by, width), names)
        return
    for table in board_slices(rows, by, width):
        console.out().print(table, crop=False)


def board_slices(rows: list[RankedRow], by: SliceBy, width: int) -> list[Table]:
    """The slices of all models: one column for each model or, where there is no room, one row."""
    columns = _columns_in(rows, by, width)
    if tables.table_width(columns) <= width:
        return [tables.rich_table(columns)] if columns else []
    return [tables.rich_table(part) for part in tables.divide(tables.transpose(columns), width)]


def _columns_in(rows: list[RankedRow], by: SliceBy, width: int) -> list[Column]:
    """The columns with the widest bars that fit, or without bars."""
    for bar_width in _BAR_WIDTHS:
        columns = slice_columns(rows, bar_width, by)
        if tables.table_width(columns) <= width:
            break
    return columns


def run_slices(parts: Sequence[Slice], by: SliceBy, width: int) -> Table:
    """The slices of one run, with the widest bars that fit."""
    largest = max(part.rmse for part in parts)
    for bar_width in _BAR_WIDTHS:
        columns = [
            Column(HEADINGS[by], [part.label for part in parts]),
            Column("tested", [f"{part.ratings:,}" for part in parts], right=True),
            Column("RMSE", [_cell(part.rmse, largest, bar_width) for part in parts]),
        ]
        if tables.table_width(columns) <= width:
            break
    return tables.rich_table(columns)
