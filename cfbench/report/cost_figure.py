"""The score of models against the seconds of their fit, with the Pareto front."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from cfbench.report import numbers
from cfbench.report.drawing import Picture
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.intervals import Interval
    from cfbench.report.drawing import Sketch

Box: TypeAlias = "tuple[float, float, float, float]"
"""A rectangle: left, bottom, right, top, in points."""
LEAST_SECONDS = 0.01
"""A model without a fit has a place on the logarithmic axis too."""
MOST_LABELS = 40
"""So many points of models get a label, where there is room."""
_LETTER, _LINE = 0.6, 1.2  # the width of a letter and the height of a line, in sizes of letters


@dataclass(frozen=True)
class CostPoint:
    """A model in the drawing of score against cost."""

    label: str
    seconds: float
    score: float
    on_front: bool
    """Whether no other model is both at least as good and fitted at least as fast."""
    interval: Interval | None = None

    @property
    def x(self) -> float:
        """The seconds, or what the axis shows in their place."""
        return max(self.seconds, LEAST_SECONDS)


def draw_costs(points: Sequence[CostPoint], metric: str) -> Picture | None:
    """The score of each model against the seconds of its fit, with intervals and the Pareto front; None without one."""
    if not points:
        return None

    def paint(sketch: Sketch) -> None:
        axes = sketch.figure.subplots()
        low, top = _range(points)
        axes.set(xscale="log", xlim=_times(points), ylim=(low, top), xlabel="seconds of fitting, with members",
                 ylabel=metric)  # fmt: skip
        axes.grid(visible=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        _paint_points(sketch, axes, points, metric, top)
        sketch.legend(axes)
        _label_points(sketch, axes, points, top)

    return Picture(f"{metric} of each model against the seconds of its fit", lambda w: max(2.3, 0.62 * w), paint)


def _range(points: Sequence[CostPoint]) -> tuple[float, float]:
    """The scores at the bottom and at the top: a model that is far above the others does not count."""
    low, high = robust_range([point.score for point in points])
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def _times(points: Sequence[CostPoint]) -> tuple[float, float]:
    """The seconds at the left and at the right, with room for labels."""
    first, last = min(point.x for point in points), max(point.x for point in points)
    room = max(2.0, (last / first) ** 0.16)
    return first / room, last * room


def _paint_points(sketch: Sketch, axes: Any, points: Sequence[CostPoint], metric: str, top: float) -> None:
    accent, muted = sketch.palette.accent, sketch.palette.muted
    front = sorted((point for point in points if point.on_front), key=lambda point: point.x)
    axes.step([p.x for p in front], [p.score for p in front], where="post", color=accent, linewidth=1.2,
              label="Pareto front")  # fmt: skip
    bounded = [(point, point.interval) for point in points if point.interval is not None and point.score <= top]
    axes.vlines([p.x for p, _ in bounded], [ends.low for _, ends in bounded], [ends.high for _, ends in bounded],
                colors=[accent if p.on_front else muted for p, _ in bounded], linewidth=0.8, alpha=0.55,
                label="95 % interval" if bounded else None)  # fmt: skip
    for point in points:
        tip = f"{point.label}: {metric} {numbers.score(point.score)}, fit {numbers.duration(point.seconds)}"
        axes.plot(
            point.x, min(point.score, top), linestyle="none", marker="^" if point.score > top else "o", markersize=5.5,
            clip_on=False, gid=sketch.tip(tip), color=accent if point.on_front else muted,
            markerfacecolor=accent if point.on_front else "none",
        )  # fmt: skip


def _label_points(sketch: Sketch, axes: Any, points: Sequence[CostPoint], top: float) -> None:
    """Write the labels that find room beside their points, those of the Pareto front and of good models first."""
    import matplotlib as mpl

    size = mpl.rcParams["xtick.labelsize"]
    sketch.figure.draw_without_rendering()
    places = {point: (point.x, min(point.score, top)) for point in points}
    centres = {point: axes.transData.transform(place) * 72 / sketch.figure.dpi for point, place in places.items()}
    taken = {point: _box(centre[0], centre[1], 8, 8) for point, centre in centres.items()}
    room = (0.0, 0.0, *(sketch.figure.get_size_inches() * 72))
    labels = _line_boxes([centres[point] for point in sorted(points, key=lambda p: p.x) if point.on_front])
    for point in sorted(points, key=lambda point: (not point.on_front, point.score))[:MOST_LABELS]:
        width = _LETTER * size * len(point.label)
        others = [box for other, box in taken.items() if other is not point] + labels
        for dx, dy in _offsets(width):
            x, y = centres[point]
            box = _box(x + dx + width / 2, y + dy, width, _LINE * size)
            if _inside(box, room) and not any(_overlap(box, other) for other in others):
                labels.append(box)
                axes.annotate(
                    xy=places[point], xytext=(dx, dy - size / 3), textcoords="offset points", annotation_clip=False,
                    color=sketch.palette.ink if point.on_front else sketch.palette.muted, in_layout=False,
                    fontsize=size,
                    **sketch.text(point.label),
                )  # fmt: skip
                break


def _offsets(width: float) -> list[tuple[float, float]]:
    """Where the label of a point may begin, from the point: beside it, above, below, or in a corner."""
    left = -6 - width
    sides = [(7, 0), (left - 1, 0), (-width / 2, 10), (-width / 2, -10)]
    return [*sides, (6, 9), (6, -9), (left, 9), (left, -9)]


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _line_boxes(centres: Sequence[Any]) -> list[Box]:
    """The boxes of the line through the Pareto front: it goes to the right, then down to the next point."""
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(centres):
        boxes += [_box((x + next_x) / 2, y, next_x - x, 2), _box(next_x, (y + next_y) / 2, 2, y - next_y)]
    return boxes


def _inside(box: Box, room: Box) -> bool:
    return box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]


def _overlap(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
