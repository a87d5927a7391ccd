"""The drawings of a tuning study: its history, and the values of all trials as parallel coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from cfbench.report import numbers
from cfbench.report.board_figures import sketch
from cfbench.report.inline_svg import ACCENT, INK, MUTED, RULE
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_AXES = 8
"""The most hyper-parameters that are drawn, the most important first."""
BEST_SHARE = 0.1
"""This share of the trials, those with the smallest error, is drawn in colour."""


@dataclass(frozen=True)
class TrialPoint:
    """A finished trial: its number, its validation RMSE, and where its values lie on the axes, from 0 to 1."""

    number: int
    valid_rmse: float
    places: tuple[float, ...]


@dataclass(frozen=True)
class SearchAxis:
    """A hyper-parameter that was searched, and the ends of its range as text."""

    name: str
    low: str
    high: str


def draw_history(points: Sequence[TrialPoint], name: str) -> str:
    """The validation RMSE of each trial, and the best so far; empty without a finished trial."""
    if not points:
        return ""
    with sketch(6.6, 2.7) as (drawing, axes):
        low, high = robust_range([point.valid_rmse for point in points])
        margin = 0.08 * (high - low) or 0.01
        for point in points:
            tip = f"trial {point.number}: validation RMSE {numbers.score(point.valid_rmse)}"
            is_above = point.valid_rmse > high + margin
            axes.plot(
                point.number, min(point.valid_rmse, high + margin), linestyle="none", marker="^" if is_above else "o",
                markersize=4, color=MUTED, clip_on=False, gid=drawing.tip(tip),
            )  # fmt: skip
        best = list(accumulate((point.valid_rmse for point in points), min))
        axes.step([point.number for point in points], best, where="post", color=ACCENT, linewidth=1.5)
        axes.set(xlabel="trial", ylabel="validation RMSE", ylim=(low - margin, high + margin))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=True, axis="y")
        return drawing.svg(name, "validation RMSE of each trial, and the best so far")


def draw_parallel(points: Sequence[TrialPoint], axes_of: Sequence[SearchAxis], name: str) -> str:
    """A line for each trial through its values, in colour for the best ones; empty with less than two axes."""
    shown = axes_of[:MOST_AXES]
    if len(shown) < 2 or not points:
        return ""
    order = sorted(points, key=lambda point: -point.valid_rmse)
    first_best = len(order) - max(1, round(BEST_SHARE * len(order)))
    with sketch(6.6, 3.1) as (drawing, axes):
        columns = range(len(shown))
        for rank, point in enumerate(order):
            is_best = rank >= first_best
            tip = f"trial {point.number}: validation RMSE {numbers.score(point.valid_rmse)}"
            axes.plot(
                columns, point.places[: len(shown)], color=ACCENT if is_best else RULE, gid=drawing.tip(tip),
                linewidth=1.6 if is_best else 0.9,
            )  # fmt: skip
        for column, axis in enumerate(shown):
            axes.vlines(column, 0, 1, color=MUTED, linewidth=0.8, zorder=0)
            for text, height, colour in ((axis.low, -0.08, MUTED), (axis.high, 1.03, MUTED), (axis.name, -0.18, INK)):
                axes.text(column, height, "x", ha="center", fontsize=8.5, color=colour, gid=drawing.text(text))
        axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(-0.22, 1.12))
        axes.axis("off")
        return drawing.svg(name, "hyper-parameters of each trial, the best ones in colour")
