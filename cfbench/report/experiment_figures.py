"""The figure of an experiment on a data set: learning curves, or what was measured beside the paper's values.

Bars of measures are the intervals of the report; `curve_figure` says what its curves are.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cfbench.report.curve_figure import CurveLine, curve_matrix, paint_curves
from cfbench.report.figure_files import paper_sketch, save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.experiments.claims import Measure
    from cfbench.experiments.definition import Panel
    from cfbench.experiments.measures import ArmReport
    from cfbench.experiments.report import ExperimentReport, SplitReport
    from cfbench.report.figure_files import FileSketch

    Painter: TypeAlias = Callable[[FileSketch, Any], None]
    """Paints one panel on its matplotlib axes."""

CURVE_NAMES = {"train": "training RMSE", "valid": "validation RMSE"}
MEASURE_NAMES: dict[Measure, str] = {
    "test": "test RMSE", "best": "best validation RMSE", "final": "last validation RMSE",
    "overfit": "last − best validation RMSE", "train": "last training RMSE", "parameters": "parameters",
}  # fmt: skip


def draw_experiment(report: ExperimentReport, paths: Sequence[Path], command: str) -> None:
    """Write the figure to files, with a row of panels for each split; raises `WriteError`.

    `command` is the command line that draws it.
    """
    rows = [_panels(split, report.grid.experiment.panels) for split in report.splits]
    columns = max(map(len, rows))
    height = 0.3 + max(_height(split, report.grid.experiment.panels) for split in report.splits) * len(rows)
    with paper_sketch(1 + 3.5 * columns if columns > 1 else 5, height, size=10) as sketch:
        grid = sketch.figure.subplots(len(rows), columns, squeeze=False)
        for split, painters, row in zip(report.splits, rows, grid, strict=True):
            for axes, paint in zip(row, painters, strict=False):
                paint(sketch, axes)
            row[0].set_title(f"{report.grid.dataset}, {split.split}", loc="left")
        if any(panel.curve for panel in report.grid.experiment.panels):
            sketch.legend(grid[0][0])
        save(sketch.figure, paths, command, report.grid.experiment.title)


def curve_lines(arms: Sequence[ArmReport], part: Literal["train", "valid"]) -> list[CurveLine]:
    """The curves of the training or validation ratings, a line for each arm."""
    return [
        CurveLine(
            _label(arm),
            number,
            curve_matrix([{epoch.epoch: getattr(epoch, f"{part}_rmse") for epoch in run.curve} for run in arm.runs]),
            np.array([run.diverged for run in arm.runs], bool),
        )
        for number, arm in enumerate(arms, 1)
    ]


def _height(split: SplitReport, panels: Sequence[Panel]) -> float:
    """The height in inches of the panels of a split: dots need as many lines as there are arms."""
    return 3 if any(panel.curve or panel.joined for panel in panels) else 0.8 + 0.3 * len(split.arms)


def _panels(split: SplitReport, panels: Sequence[Panel]) -> list[Painter]:
    """The panels of a split; the paper's values have one of their own, because they are for other data."""
    painters: list[Painter] = []
    for panel in panels:
        if panel.curve is not None:
            painters.append(partial(_paint_curves, arms=split.arms, part=panel.curve))
        elif panel.measure is not None:
            paint = _paint_joined if panel.joined else _paint_dots
            name, labels = MEASURE_NAMES[panel.measure], [arm.arm.label for arm in split.arms]
            painters.append(partial(paint, labels=labels, points=_measured(split.arms, panel.measure), name=name))
            published = [arm.published(panel.measure) for arm in split.arms]
            if any(published):
                values = np.array([[value.value if value else math.nan] * 3 for value in published])
                again = labels if panel.joined else [""] * len(labels)
                painters.append(partial(paint, labels=again, points=values, name=f"the paper's {name}, other data"))
    return painters


def _measured(arms: Sequence[ArmReport], measure: Measure) -> NDArray[np.float64]:
    """(arms, 3) the mean of a measure, and the ends of its interval; NaN without a value."""
    values = [arm.measured(measure) for arm in arms]
    return np.array([[value.mean, value.low, value.high] for value in values])


def _paint_curves(sketch: FileSketch, axes: Any, *, arms: Sequence[ArmReport], part: Literal["train", "valid"]) -> None:
    paint_curves(sketch, axes, curve_lines(arms, part), CURVE_NAMES[part])


def _label(arm: ArmReport) -> str:
    diverged = f" ({arm.diverged} of {len(arm.runs)} diverged)" if arm.diverged else ""
    return f"{arm.arm.label}{diverged if arm.runs else ' (no run yet)'}"


def _paint_dots(
    sketch: FileSketch, axes: Any, *, labels: Sequence[str], points: NDArray[np.float64], name: str
) -> None:
    """Arms from top to bottom, the measure to the right."""
    for place, (mean, low, high) in enumerate(points):
        axes.plot(
            [low, high], [place, place], color=sketch.palette.accent, linewidth=2, alpha=0.5, solid_capstyle="butt"
        )
        axes.plot(mean, place, color=sketch.palette.accent, marker="o", markersize=5)
    axes.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.5), xlabel=name)
    axes.grid(visible=True, axis="x")


def _paint_joined(
    sketch: FileSketch, axes: Any, *, labels: Sequence[str], points: NDArray[np.float64], name: str
) -> None:
    """Arms from left to right, the measure upwards, and a line through the arms."""
    places = np.arange(len(labels))
    axes.fill_between(places, points[:, 1], points[:, 2], color=sketch.palette.accent, alpha=0.18, linewidth=0)
    axes.plot(places, points[:, 0], color=sketch.palette.accent, marker="o", markersize=5)
    axes.set(xticks=places, ylabel=name)
    axes.set_xticklabels(labels, rotation=30, ha="right")
    axes.grid(visible=True, axis="y")
