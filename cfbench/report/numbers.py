"""Numbers as people read them; a dash stands for an unknown one."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "–"


def score(value: float | None) -> str:
    """A score with four decimals, as papers report it."""
    return NONE if value is None or isnan(value) else f"{value:.4f}"


def difference(value: float | None) -> str:
    """A difference of scores, with its sign."""
    return NONE if value is None or isnan(value) else f"{value:+.4f}"


def count(number: int | None) -> str:
    """A whole number with commas."""
    return NONE if number is None else f"{number:,}"


def seeds(number: int) -> str:
    """A number of seeds, such as `3 seeds`."""
    return "1 seed" if number == 1 else f"{number} seeds"


def share(value: float | None) -> str:
    """A fraction in per cent."""
    return NONE if value is None else f"{value:.2%}"


def megabytes(number: int | None) -> str:
    """A number of bytes, in millions."""
    return NONE if number is None else f"{number / 1e6:,.0f} MB"


def watt_hours(value: float | None) -> str:
    """An amount of electricity with three digits."""
    return NONE if value is None else f"{value:,.0f} Wh" if value >= 1000 else f"{value:.3g} Wh"


def p_value(p: float | None) -> str:
    """A p-value with three decimals."""
    if p is None or isnan(p):
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Both ends of an interval, with the decimals of `score`."""
    return NONE if ends is None or isnan(ends[0]) else f"{score(ends[0])}–{score(ends[1])}"


def duration(seconds: float | None) -> str:
    """A time such as `24.1 s`, `3 m 05 s` or `2 h 10 m`."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def settings(values: Mapping[str, object]) -> str:
    """Hyper-parameters with their values, such as `hidden=16,8 lr=0.01`."""
    return " ".join(f"{name}={hyper_parameter(value)}" for name, value in values.items())


def hyper_parameter(value: object) -> str:
    """A hyper-parameter's value as it is written on the command line."""
    from cfbench.contract import format_value

    return format_value(value)
