"""The figure of an experiment on a data set: learning curves, or what was measured beside the paper's values.

A curve is the mean over the seeds, within a band from the lowest to the highest seed. A seed whose training diverged
has a thin line of its own, which ends in ×. Bars of measures are the intervals of the report.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cfbench.report.drawing import STYLES, drawing_style, save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.experiments.claims import Measure
    from cfbench.experiments.definition import Panel
    from cfbench.experiments.measures import ArmReport
    from cfbench.experiments.report import ExperimentReport, SplitReport

    Painter: TypeAlias = Callable[[Any], None]
    """Draws one panel on its matplotlib axes."""

CURVE_NAMES = {"train": "training RMSE", "valid": "validation RMSE"}
MEASURE_NAMES: dict[Measure, str] = {
    "test": "test RMSE", "best": "best validation RMSE", "final": "last validation RMSE",
    "overfit": "last − best validation RMSE", "train": "last training RMSE", "parameters": "parameters",
}  # fmt: skip
START = 0.25
"""This share of the epochs does not decide the range of a panel: the first epochs are far above all others."""


def draw_experiment(report: ExperimentReport, path: Path, command: str) -> None:
    """Write the figure to a .png or .svg file, with a row of panels for each split; raises `WriteError`.

    `command` is the command line that draws it.
    """
    from matplotlib.figure import Figure

    rows = [_panels(split, report.grid.experiment.panels) for split in report.splits]
    columns = max(map(len, rows))
    height = 0.6 + max(_height(split, report.grid.experiment.panels) for split in report.splits) * len(rows)
    with drawing_style():
        figure = Figure(figsize=(1 + 3.5 * columns if columns > 1 else 5, height), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for split, painters, row in zip(report.splits, rows, grid, strict=True):
            for axes, paint in zip(row, painters, strict=False):
                paint(axes)
            row[0].set_title(f"{report.grid.dataset}, {split.split}", loc="left", fontsize=10)
        if any(panel.curve for panel in report.grid.experiment.panels):
            _add_legend(figure, grid[0][0])
        save(figure, path, command)


def curve_matrix(arm: ArmReport, part: Literal["train", "valid"]) -> NDArray[np.float64]:
    """(seeds, epochs) the RMSE of the training or validation ratings; NaN after the end of a run."""
    curves = [[getattr(epoch, f"{part}_rmse") for epoch in run.curve] for run in arm.runs]
    matrix = np.full((len(curves), max(map(len, curves), default=0)), np.nan)
    for row, curve in zip(matrix, curves, strict=True):
        row[: len(curve)] = [math.nan if value is None else value for value in curve]
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def _height(split: SplitReport, panels: Sequence[Panel]) -> float:
    """The height in inches of the panels of a split: dots need as many lines as there are arms."""
    return 3 if any(panel.curve or panel.joined for panel in panels) else 0.8 + 0.3 * len(split.arms)


def _panels(split: SplitReport, panels: Sequence[Panel]) -> list[Painter]:
    """The panels of a split; the paper's values have one of their own, because they are for other data."""
    painters: list[Painter] = []
    for panel in panels:
        if panel.curve is not None:
            painters.append(partial(_draw_curves, arms=split.arms, part=panel.curve))
        elif panel.measure is not None:
            draw = _draw_joined if panel.joined else _draw_dots
            name, labels = MEASURE_NAMES[panel.measure], [arm.arm.label for arm in split.arms]
            painters.append(partial(draw, labels=labels, points=_measured(split.arms, panel.measure), name=name))
            published = [arm.published(panel.measure) for arm in split.arms]
            if any(published):
                values = np.array([[value.value if value else math.nan] * 3 for value in published])
                again = labels if panel.joined else [""] * len(labels)
                painters.append(partial(draw, labels=again, points=values, name=f"the paper's {name}, other data"))
    return painters


def _measured(arms: Sequence[ArmReport], measure: Measure) -> NDArray[np.float64]:
    """(arms, 3) the mean of a measure, and the ends of its interval; NaN without a value."""
    values = [arm.measured(measure) for arm in arms]
    return np.array([[value.mean, value.low, value.high] for value in values])


def _draw_curves(axes: Any, arms: Sequence[ArmReport], part: Literal["train", "valid"]) -> None:
    matrices = [curve_matrix(arm, part) for arm in arms]
    low, high = value_range(arms, matrices)
    for number, (arm, matrix) in enumerate(zip(arms, matrices, strict=True)):
        style, n_epochs = STYLES[number % len(STYLES)], matrix.shape[1]
        epochs, diverged = np.arange(1, n_epochs + 1), np.array([run.diverged for run in arm.runs], bool)
        mean, lowest, highest = (_over_seeds(function, matrix[~diverged]) for function in (np.mean, np.min, np.max))
        step = max(1, n_epochs // 8)
        axes.fill_between(epochs, lowest, highest, color=style.colour, alpha=0.18, linewidth=0)
        axes.plot(
            epochs, mean, color=style.colour, marker=style.marker, dashes=style.dashes, markersize=4,
            markevery=(number * step // max(1, len(arms)), step), label=_label(arm),
        )  # fmt: skip
        for row in matrix[diverged]:
            last = int(np.isfinite(row).sum())
            axes.plot(epochs, row, color=style.colour, linewidth=0.7, dashes=style.dashes)
            end = np.nan if high is None else np.clip(row[last - 1] if last else high, low, high)
            axes.plot(max(last, 1), end, marker="x", color=style.colour, markersize=8, clip_on=False, zorder=3)
    axes.set(xlabel="epoch", ylabel=CURVE_NAMES[part], ylim=(low, high))
    axes.margins(x=0.01)


def _over_seeds(function: Any, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(epochs,) a function of the seeds that have a value in an epoch; NaN where none has one."""
    columns = (column[np.isfinite(column)] for column in matrix.T)
    return np.array([function(column) if len(column) else math.nan for column in columns])


def value_range(
    arms: Sequence[ArmReport], matrices: Sequence[NDArray[np.float64]]
) -> tuple[float, float] | tuple[None, None]:
    """The lowest and the highest RMSE to show. The first epochs do not count, nor do diverged seeds if others exist."""
    rows = [(run.diverged, row[int(len(row) * START) :]) for arm, m in zip(arms, matrices, strict=True)
            for run, row in zip(arm.runs, m, strict=True)]  # fmt: skip
    values = np.concatenate([row for diverged, row in rows if not diverged] or [row for _, row in rows] or [[]])
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or 0.01
    return low - margin, high + margin


def _label(arm: ArmReport) -> str:
    diverged = f" ({arm.diverged} of {len(arm.runs)} diverged)" if arm.diverged else ""
    return f"{arm.arm.label}{diverged if arm.runs else ' (no run yet)'}"


def _draw_dots(axes: Any, labels: Sequence[str], points: NDArray[np.float64], name: str) -> None:
    """Arms from top to bottom, the measure to the right."""
    for place, (mean, low, high) in enumerate(points):
        axes.plot([low, high], [place, place], color=STYLES[0].colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        axes.plot(mean, place, color=STYLES[0].colour, marker="o", markersize=5)
    axes.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.5), xlabel=name)
    axes.grid(axis="x", alpha=0.3)


def _draw_joined(axes: Any, labels: Sequence[str], points: NDArray[np.float64], name: str) -> None:
    """Arms from left to right, the measure upwards, and a line through the arms."""
    places = np.arange(len(labels))
    axes.fill_between(places, points[:, 1], points[:, 2], color=STYLES[0].colour, alpha=0.18, linewidth=0)
    axes.plot(places, points[:, 0], color=STYLES[0].colour, marker="o", markersize=5)
    axes.set(xticks=places, ylabel=name)
    axes.set_xticklabels(labels, rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.3)


def _add_legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) > 16 else 4
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), frameon=False,
                  fontsize=8, handlelength=3.5)  # fmt: skip
