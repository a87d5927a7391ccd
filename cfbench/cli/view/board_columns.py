"""The columns of a leaderboard's table on the terminal, with their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli.view.tables import Column
from cfbench.leaderboard.columns import table_columns
from cfbench.report.cells import cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.columns import BoardColumn
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow


def columns_of(ranked_board: RankedBoard, *, pareto: bool = False) -> list[BoardColumn]:
    """The columns of a leaderboard's table."""
    k = None if ranked_board.items is None else ranked_board.items.task.k
    return table_columns(ranked_board.metric, pareto=pareto, k=k)


def format_columns(columns: Sequence[BoardColumn], rows: Sequence[RankedRow]) -> list[Column]:
    """The columns with one cell for each row."""
    return [
        Column(
            heading=column.heading or "", cells=[cell(column, row) for row in rows], priority=column.priority,
            right=column.right, keep=column.keep, key=column.key or "",
        )
        for column in columns
    ]  # fmt: skip
