"""The scores of models with their intervals, best first: a forest plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfbench.report import numbers
from cfbench.report.drawing import Picture
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.intervals import Interval
    from cfbench.report.drawing import Sketch

_LINE = 0.17  # the height of a model in inches


@dataclass(frozen=True)
class ForestRow:
    """A model with its score."""

    label: str
    score: float
    interval: Interval | None
    is_tied: bool
    """Whether it is the best one, or does not differ significantly from it."""


def draw_forest(rows: Sequence[ForestRow], metric: str) -> Picture | None:
    """The score of each model with its 95 % interval, from top to bottom; None without a model.

    A model that lies far above the others has an arrow at the edge, and its score in numbers.
    """
    if not rows:
        return None
    has_tests = any(row.interval is not None for row in rows)

    def paint(sketch: Sketch) -> None:
        axes = sketch.figure.subplots()
        low, high = _range(rows)
        axes.set(xlim=(low, high), ylim=(len(rows) - 0.4, -0.6), xlabel=metric + ", 95 % interval" * has_tests)
        for place, row in enumerate(rows):
            _paint_row(sketch, axes, place, row, high)
        _write_labels(sketch, axes, rows)
        if has_tests:
            axes.axvline(rows[0].score, color=sketch.palette.rule, linewidth=0.8, zorder=0)
            _paint_key(sketch, axes)
        axes.grid(visible=True, axis="x")

    words = f"{metric} of each model" + ", with 95 % intervals" * has_tests
    return Picture(words, lambda _: 0.55 + _LINE * len(rows), paint)


def _range(rows: Sequence[ForestRow]) -> tuple[float, float]:
    """The scores at the edges: those of all intervals that are not far above the others."""
    intervals = [row.interval or (row.score, row.score) for row in rows]
    low, (_, high) = min(each[0] for each in intervals), robust_range([each[1] for each in intervals])
    margin = 0.03 * (high - low) or 0.01
    return low - margin, high + margin


def _paint_row(sketch: Sketch, axes: Any, place: int, row: ForestRow, high: float) -> None:
    colour = sketch.palette.accent if row.is_tied else sketch.palette.muted
    tip = sketch.tip(f"{row.label}: {numbers.score(row.score)}, 95 % {numbers.interval(row.interval)}")
    if row.interval is not None:
        axes.hlines(place, row.interval.low, row.interval.high, colors=colour, linewidth=1.4)
    is_outside = row.score > high
    axes.plot(
        min(row.score, high), place, linestyle="none", marker=">" if is_outside else "o", markersize=4.5, color=colour,
        markerfacecolor=colour if row.is_tied else "white", clip_on=False, gid=tip, zorder=3,
    )  # fmt: skip


def _write_labels(sketch: Sketch, axes: Any, rows: Sequence[ForestRow]) -> None:
    """Write the names on the left, and the scores on the right."""
    labels = [sketch.text(row.label) for row in rows]
    axes.set_yticks(range(len(rows)), [label["text"] for label in labels])
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set(gid=label.get("gid"), color=sketch.palette.ink)
    scores = axes.secondary_yaxis("right")
    scores.set_yticks(range(len(rows)), [numbers.score(row.score) for row in rows])
    for side in (axes, scores):
        side.tick_params(axis="y", length=0)
        side.spines[["left", "right"]].set_visible(False)


def _paint_key(sketch: Sketch, axes: Any) -> None:
    """Explain the two kinds of points."""
    for colour, face, label in (
        (sketch.palette.accent, sketch.palette.accent, "best, or not significantly different from it"),
        (sketch.palette.muted, "white", "significantly worse"),
    ):
        axes.plot([], [], marker="o", markersize=4.5, color=colour, markerfacecolor=face, label=label)
    sketch.legend(axes)
