"""The errors of models over slices of the test ratings."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.report.drawing import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.intervals import Interval
    from cfbench.leaderboard.scoring import Slice
    from cfbench.report.drawing import Sketch

DODGE = 0.5
"""Models with intervals stand side by side, on this share of the room of a slice."""
WIDE = 5.0
"""Several panels stand side by side in a figure of so many inches, else one below the other."""


@dataclass(frozen=True)
class SlicedModel:
    """The errors of a model over slices of the test ratings."""

    label: str
    slices: tuple[Slice, ...]
    intervals: tuple[Interval, ...] = ()
    """The interval of each slice, where they were computed."""


@dataclass(frozen=True)
class SlicePanel:
    """Models over the same slices; the first ones have colours, the others are grey."""

    axis: str
    """What the labels of the slices are."""
    models: tuple[SlicedModel, ...]


def draw_slices(panels: Sequence[SlicePanel]) -> Picture | None:
    """The RMSE of models over slices, a panel for each way to slice; None without models."""
    shown = [panel for panel in panels if panel.models]
    if not shown:
        return None

    def paint(sketch: Sketch) -> None:
        is_wide = sketch.figure.get_figwidth() >= WIDE
        grid = sketch.figure.subplots(*((1, len(shown)) if is_wide else (len(shown), 1)), squeeze=False).flat
        room = sketch.figure.get_figwidth() / (len(shown) if is_wide else 1)
        for panel, axes in zip(shown, grid, strict=True):
            _paint_panel(sketch, axes, panel, room)
        sketch.legend(grid[0])

    def height(width: float) -> float:
        return max(2.3, 0.82 * width / len(shown)) if width >= WIDE else max(2.1, 0.7 * width) * len(shown)

    axes = " and ".join(panel.axis for panel in shown)
    return Picture(f"RMSE of each model by {axes}", height, paint)


def _paint_panel(sketch: Sketch, axes: Any, panel: SlicePanel, room: float) -> None:
    """Paint a panel of a width in inches; labels that would touch each other stand upright."""
    import matplotlib as mpl

    labels = [sketch.text(part.label) for part in panel.models[0].slices]
    letters = len(labels) * (1 + max(len(label["text"]) for label in labels))
    is_tight = 0.6 * mpl.rcParams["xtick.labelsize"] / 72 * letters > 0.85 * room
    for number, model in enumerate(panel.models, 1):
        _paint_model(sketch, axes, model, number, len(panel.models))
    axes.set(xlabel=panel.axis, ylabel="RMSE", ylim=_range(panel.models))
    axes.set_xticks(range(len(labels)), [label["text"] for label in labels])
    for tick, label in zip(axes.get_xticklabels(), labels, strict=True):
        tick.set(rotation=90 if is_tight else 0, gid=label.get("gid"))
    axes.grid(visible=True, axis="y")


def _range(models: Sequence[SlicedModel]) -> tuple[float, float]:
    """The lowest and the highest RMSE to show: very wide intervals, those of few ratings, end at the edge."""
    scores = [part.rmse for model in models for part in model.slices]
    ends = [end for model in models for each in model.intervals for end in each if isfinite(end)]
    low, high = min(scores), max(scores)
    spread = 0.35 * (high - low)
    low, high = max(min([low, *ends]), low - spread), min(max([high, *ends]), high + spread)
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def _paint_model(sketch: Sketch, axes: Any, model: SlicedModel, number: int, count: int) -> None:
    has_colour = number <= len(sketch.palette.series)
    style, places = sketch.palette.style(number), np.arange(len(model.slices), dtype=float)
    if model.intervals:
        places += DODGE * ((number - 0.5) / count - 0.5)
        axes.vlines(places, [ends.low for ends in model.intervals], [ends.high for ends in model.intervals],
                    colors=style.colour, linewidth=0.8, alpha=0.6)  # fmt: skip
    axes.plot(
        places, [part.rmse for part in model.slices], color=style.colour if has_colour else sketch.palette.rule,
        dashes=style.dashes if has_colour else (), marker=style.marker if has_colour else None, markersize=3.2,
        linewidth=1.2 if has_colour else 1, gid=sketch.tip(model.label), label=model.label, zorder=2 + 1 / number,
    )  # fmt: skip
