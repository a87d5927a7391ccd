"""The cells of a leaderboard: values of the columns that the leaderboard room declares, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.cli.view import numbers
from cfbench.cli.view.tables import Column
from cfbench.leaderboard.columns import table_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cfbench.leaderboard.columns import BoardColumn, Kind
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow


def _place(place: int | None) -> str:
    return "" if place is None else numbers.count(place)


def _places(places: tuple[int, int] | None) -> str:
    if places is None:
        return numbers.NONE
    first, last = places
    return str(first) if first == last else f"{first}–{last}"


def _mark(marked: bool) -> str:
    return "●" if marked else ""


def _gap(gap: tuple[float, bool]) -> str:
    difference, tied = gap
    return f"≈ {numbers.difference(difference)}" if tied else numbers.difference(difference)


def _deviation(deviation: tuple[float, int]) -> str:
    sd, seeds = deviation
    return f"{sd:.4f} ({seeds})"


_FORMATS: dict[Kind, Callable[[Any], str]] = {
    "place": _place,
    "places": _places,
    "text": str,
    "mark": _mark,
    "score": numbers.score,
    "interval": numbers.interval,
    "gap": _gap,
    "p-value": numbers.p_value,
    "deviation": _deviation,
    "share": numbers.share,
    "duration": numbers.duration,
    "memory": numbers.megabytes,
    "count": numbers.count,
}


def columns_of(ranked_board: RankedBoard, *, pareto: bool = False) -> list[BoardColumn]:
    """The columns of a leaderboard's table."""
    k = None if ranked_board.items is None else ranked_board.items.task.k
    return table_columns(ranked_board.metric, pareto=pareto, k=k)


def format_columns(columns: Sequence[BoardColumn], rows: Sequence[RankedRow]) -> list[Column]:
    """The columns with one cell for each row."""
    return [
        Column(
            heading=column.heading or "", cells=[_cell(column, row) for row in rows], priority=column.priority,
            right=column.right, keep=column.keep, key=column.key or "",
        )
        for column in columns
    ]  # fmt: skip


def _cell(column: BoardColumn, row: RankedRow) -> str:
    value = column.value(row)
    return value if isinstance(value, str) else _FORMATS[column.kind](value)
