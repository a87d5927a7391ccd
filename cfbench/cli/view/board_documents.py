"""A leaderboard as a document: CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from cfbench.cli.view import board_columns, slices, tables
from cfbench.leaderboard.columns import csv_rows

if TYPE_CHECKING:
    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow


def csv_text(rows: list[RankedRow], *, by: SliceBy | None) -> str:
    """The rows as CSV, with all digits: one line for each row or, with `by`, for each slice of each row."""
    lines = csv_rows(rows, by)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, lines[0] if lines else ["place"], lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in line.items()}
        )
    return stream.getvalue()


def document(ranked_board: RankedBoard, form: str, *, by: SliceBy | None, pareto: bool, names: str | None) -> str:
    """The table in Markdown or LaTeX, with all columns that have a value, or with those that `names` chooses."""
    if by:
        columns = slices.slice_columns(ranked_board.rows, 0, by)
    else:
        every = board_columns.format_columns(board_columns.columns_of(ranked_board, pareto=pareto), ranked_board.rows)
        columns = every if names else tables.drop_empty(every)
    if names:
        columns = tables.choose(columns, names)
    if form == "md":
        return tables.markdown(columns)
    board = ranked_board.board
    return f"% {board.dataset}, split {board.split}; needs the package booktabs\n{tables.latex(columns)}"
