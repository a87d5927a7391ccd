"""The drawings of a leaderboard's page: score against cost, learning curves, and errors by slice."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

from cfbench.report import numbers
from cfbench.report.drawing import drawing_style
from cfbench.report.inline_svg import ACCENT, INK, MUTED, RULE, SERIES, Sketch, page_style
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cfbench.leaderboard.scoring import Slice

Box: TypeAlias = "tuple[float, float, float, float]"
"""A rectangle: left, bottom, right, top, in points."""
DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (2.5, 1)), (0, (8, 2)))
"""A line of its own for each colour, for black and white."""
LEAST_SECONDS = 0.01
"""A model without a fit has a place on the logarithmic axis too."""
_LETTER, _LINE = 5.2, 11.0  # the size of a letter of a label, in points
MOST_LABELS = 40
"""So many points of models get a label, where there is room."""
START = 0.25
"""This share of the epochs does not decide the range of the curves: the first epochs are far above all others."""


@dataclass(frozen=True)
class CostPoint:
    """A model in the drawing of score against cost."""

    label: str
    seconds: float
    score: float
    on_front: bool
    """Whether no other model is both at least as good and fitted at least as fast."""


@dataclass(frozen=True)
class Line:
    """The learning curves of a model, one a seed: (epoch, validation RMSE)."""

    label: str
    series: int
    """The number of its colour, the same in all drawings of a page."""
    seeds: tuple[tuple[tuple[int, float], ...], ...]


@dataclass(frozen=True)
class SlicedModel:
    """The errors of a model over slices of the test ratings."""

    label: str
    slices: tuple[Slice, ...]


@contextmanager
def sketch(width: float, height: float) -> Iterator[tuple[Sketch, Any]]:
    """A drawing of this size in inches, and its axes; within it, all drawings have one style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with drawing_style(), mpl.rc_context(page_style()):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield Sketch(figure), figure.subplots()


def draw_costs(points: Sequence[CostPoint], metric: str, name: str) -> str:
    """The score of each model against the seconds of its fit, with the Pareto front; empty without a point."""
    if not points:
        return ""
    with sketch(6.6, 4.1) as (drawing, axes):
        low, high = robust_range([point.score for point in points])
        margin = 0.08 * (high - low) or 0.01
        top = high + margin
        axes.set(xscale="log", ylim=(low - margin, top), xlabel="seconds of fitting, with members", ylabel=metric)
        axes.margins(x=0.16)
        axes.grid(visible=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        front = sorted((point for point in points if point.on_front), key=_seconds)
        axes.step([_seconds(p) for p in front], [p.score for p in front], where="post", color=ACCENT, linewidth=1.2)
        for point in points:
            tip = f"{point.label}: {metric} {numbers.score(point.score)}, fit {numbers.duration(point.seconds)}"
            axes.plot(
                _seconds(point), min(point.score, top), linestyle="none", marker="^" if point.score > top else "o",
                markersize=6, clip_on=False, gid=drawing.tip(tip), color=ACCENT if point.on_front else MUTED,
                markerfacecolor=ACCENT if point.on_front else "none",
            )  # fmt: skip
        _label_points(drawing, axes, points, top)
        return drawing.svg(name, f"{metric} of each model against the seconds of its fit")


def _seconds(point: CostPoint) -> float:
    return max(point.seconds, LEAST_SECONDS)


def _label_points(drawing: Sketch, axes: Any, points: Sequence[CostPoint], top: float) -> None:
    """Write the labels that find room beside their points, those of the Pareto front and of good models first."""
    drawing.figure.draw_without_rendering()
    places = {point: (_seconds(point), min(point.score, top)) for point in points}
    centres = {point: axes.transData.transform(place) * 72 / drawing.figure.dpi for point, place in places.items()}
    taken = {point: _box(centre[0], centre[1], 8, 8) for point, centre in centres.items()}
    labels: list[Box] = []
    for point in sorted(points, key=lambda point: (not point.on_front, point.score))[:MOST_LABELS]:
        width = _LETTER * len(point.label)
        others = [box for other, box in taken.items() if other is not point] + labels
        for dx, dy in _offsets(width):
            x, y = centres[point]
            box = _box(x + dx + width / 2, y + dy, width, _LINE)
            if not any(_overlap(box, other) for other in others):
                labels.append(box)
                axes.annotate(
                    "x", places[point], (dx, dy - 3), textcoords="offset points", fontsize=9, annotation_clip=False,
                    color=INK if point.on_front else MUTED, gid=drawing.text(point.label),
                )  # fmt: skip
                break


def _offsets(width: float) -> list[tuple[float, float]]:
    """Where the label of a point may begin, from the point: beside it, above, below, or in a corner."""
    left = -6 - width
    sides = [(7, 0), (left - 1, 0), (-width / 2, 10), (-width / 2, -10)]
    return [*sides, (6, 9), (6, -9), (left, 9), (left, -9)]


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def draw_curves(lines: Sequence[Line], name: str) -> str:
    """The validation RMSE of models over epochs, a line for each seed; empty without a curve."""
    late = [
        value for line in lines for seed in line.seeds for _, value in seed[int(START * len(seed)) :] if isfinite(value)
    ]
    if not late:
        return ""
    with sketch(6.6, 3.6) as (drawing, axes):
        margin = 0.04 * (max(late) - min(late)) or 0.01
        for line in lines:
            colour, dashes = _look(line.series)
            for seed in line.seeds:
                epochs, values = zip(*seed, strict=True)
                axes.plot(epochs, values, color=colour, linestyle=dashes, linewidth=1.3, gid=drawing.tip(line.label))
            best = min(line.seeds[0], key=lambda point: point[1])
            tip = f"{line.label}: best epoch {best[0]}, validation RMSE {numbers.score(best[1])}"
            axes.plot(*best, marker="o", markersize=5, color=colour, gid=drawing.tip(tip))
        axes.set(xlabel="epoch", ylabel="validation RMSE", ylim=(min(late) - margin, max(late) + margin))
        if max(epoch for line in lines for seed in line.seeds for epoch, _ in seed) > 60:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(visible=True, axis="y")
        return drawing.svg(name, "validation RMSE of each model by epoch")


def _look(series: int) -> tuple[str, Any]:
    """The colour and the dashes of a series, counted from 1; those after the last colour are grey."""
    colour = SERIES[series - 1] if series <= len(SERIES) else MUTED
    return colour, DASHES[(series - 1) % len(DASHES)]


def draw_slices(models: Sequence[SlicedModel], axis: str, name: str) -> str:
    """The RMSE of models over slices; the first ones have colours, the others are grey. Empty without slices."""
    if not models:
        return ""
    labels = [part.label for part in models[0].slices]
    with sketch(3.9, 3.2) as (drawing, axes):
        for number, model in reversed(list(enumerate(models, 1))):
            colour, dashes = _look(number) if number <= len(SERIES) else (RULE, "solid")
            axes.plot(
                range(len(labels)), [part.rmse for part in model.slices], color=colour, linestyle=dashes, markersize=3,
                gid=drawing.tip(model.label), marker="o" if number <= len(SERIES) else None,
                linewidth=1.5 if number <= len(SERIES) else 1,
            )  # fmt: skip
        axes.set(xlabel=axis, ylabel="RMSE")
        axes.set_xticks(range(len(labels)), ["0" * len(label) for label in labels])
        for tick, label in zip(axes.get_xticklabels(), labels, strict=True):
            tick.set(rotation=90 if len(labels) > 6 else 0, gid=drawing.text(label))
        axes.grid(visible=True, axis="y")
        return drawing.svg(name, f"RMSE of each model by {axis}")
