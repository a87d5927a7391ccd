"""The cells of a leaderboard: values of the columns that the leaderboard room declares, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.leaderboard.columns import BoardColumn, Kind
    from cfbench.leaderboard.ranking import RankedRow


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
    "energy": numbers.watt_hours,
}


def cell(column: BoardColumn, row: RankedRow) -> str:
    """The value of a column for a row, as people read it; empty where the row has none."""
    value = column.value(row)
    return value if isinstance(value, str) else _FORMATS[column.kind](value)
