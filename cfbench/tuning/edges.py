"""Best values at an edge of their range: the search would have gone further, so a wider range may hold better ones."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from cfbench import advice
from cfbench.contract import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cfbench.contract import Plugin, Tunable
    from cfbench.tuning.plan import StudyPlan
    from cfbench.tuning.space import Dimension

MARGIN = 0.03
"""A value closer to the end of its range than this share of it, on a log scale if the range has one, is at the edge."""
WIDER = (0.5, 0.2, 0.1, 0.05)
"""Shares of the range by which it may grow; the first that the hyper-parameter's own bounds allow is used."""


@dataclass(frozen=True)
class Edge:
    """A hyper-parameter whose best value is at an edge of its range."""

    name: str
    value: float
    side: Literal["low", "high"]
    range: str
    """The range that was searched."""
    wider: str
    """A wider range, as `--range` takes it: `lr=0.001:0.1:log`."""

    def __str__(self) -> str:
        return f"{self.name}: the best value, {self.value:.4g}, is at the {self.side} edge of the range {self.range}"


def find_edges(plugin: Plugin[Any], plan: StudyPlan, best: dict[str, Any]) -> list[Edge]:
    """The edges at which the config `best` lies; none where the hyper-parameter's own bounds allow no wider range."""
    return [edge for name, dimension in plan.space.items() for edge in _edges(plugin, name, dimension, best[name])]


def _edges(plugin: Plugin[Any], name: str, dimension: Dimension, value: Any) -> Iterator[Edge]:
    span = dimension.range
    if span.low is None or span.high is None or not isinstance(value, int | float):
        return
    length = _position(span.high, span) - _position(span.low, span)
    at = _position(value, span)
    if at - _position(span.low, span) <= MARGIN * length:
        yield from _edge(plugin, name, dimension, value, "low")
    if _position(span.high, span) - at <= MARGIN * length:
        yield from _edge(plugin, name, dimension, value, "high")


def _position(value: float, span: Tunable) -> float:
    """Where a value lies on the scale of its range."""
    return log(max(value, 1e-300)) if span.log else float(value)


def _edge(
    plugin: Plugin[Any], name: str, dimension: Dimension, value: float, side: Literal["low", "high"]
) -> Iterator[Edge]:
    """The edge, if the range can grow at this side."""
    span = dimension.range
    low, high = span.low or 0.0, span.high or 0.0
    for share in WIDER:
        growth = share * (_position(high, span) - _position(low, span)) * (-1 if side == "low" else 1)
        end = low if side == "low" else high
        new_end = end * exp(growth) if span.log else end + growth
        new_end = round(new_end) if dimension.integer else float(f"{new_end:.3g}")
        if new_end != end and _is_valid(plugin, name, new_end):
            ends = (new_end, high) if side == "low" else (low, new_end)
            text = f"{name}={ends[0]:g}:{ends[1]:g}" + (":log" if span.log else "")
            yield Edge(name, value, side, str(dimension), text)
            return


def _is_valid(plugin: Plugin[Any], name: str, value: float) -> bool:
    try:
        plugin.config.model_validate({name: value})
    except ValidationError:
        return False
    return True


def wider_search(plan: StudyPlan, edges: list[Edge], study: str, options: list[str], results: Path) -> str:
    """The command of a study with wider ranges, under a name of its own; `options` are those of the same command.

    Ranges that the command line had set, and values that it had fixed, stay.
    """
    wider = {edge.name: edge.wider for edge in edges}
    fixed = [f"--fix={name}={format_value(plan.start[name])}" for name in plan.fixed]
    ranges = [f"--range={text}" for text in wider.values()]
    words = ["tune", plan.plugin, "--study", f"{study}-wider", *options, *fixed, *ranges]
    return advice.command(*words, dataset=plan.dataset, split=plan.split, results=results)
