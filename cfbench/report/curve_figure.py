"""Learning curves: the mean over the seeds, within a band from the lowest to the highest seed.

The mean ends where the shortest seed ends; a longer one goes on as a thin line. A seed whose training diverged has a
thin line of its own, which ends in ×.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.report import numbers
from cfbench.report.drawing import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cfbench.report.drawing import Sketch

START = 0.25
"""This share of the epochs does not decide the range of a drawing: the first epochs are far above all others."""
LONG = 60
"""A drawing of more epochs has a logarithmic axis."""


@dataclass(frozen=True, eq=False)
class CurveLine:
    """The learning curves of a model, one a seed."""

    label: str
    series: int
    """The number of its look, the same in all drawings that belong together."""
    curves: NDArray[np.float64]
    """(seeds, epochs) the RMSE; NaN where there is none."""
    diverged: NDArray[np.bool_]
    """(seeds,) whether the training diverged."""

    @property
    def seeds(self) -> NDArray[np.float64]:
        """The curves of the seeds that did not diverge."""
        return self.curves[~self.diverged]

    @property
    def shared(self) -> NDArray[np.int64]:
        """The numbers of the epochs, from 0, in which all these seeds have a value; none without a seed."""
        found = np.isfinite(self.seeds).all(axis=0) if len(self.seeds) else np.zeros(0, bool)
        return np.flatnonzero(found)


def curve_matrix(curves: Sequence[Mapping[int, float | None]]) -> NDArray[np.float64]:
    """(seeds, epochs) the values of curves by epoch, counted from 1; NaN where a curve has no finite value."""
    matrix = np.full((len(curves), max((epoch for curve in curves for epoch in curve), default=0)), np.nan)
    for row, curve in zip(matrix, curves, strict=True):
        for epoch, value in curve.items():
            row[epoch - 1] = math.nan if value is None or not math.isfinite(value) else value
    return matrix


def draw_curves(lines: Sequence[CurveLine]) -> Picture | None:
    """The validation RMSE of models by epoch, with the best epoch of each; None without a curve."""
    if value_range(lines) is None:
        return None
    epochs = max(line.curves.shape[1] for line in lines)

    def paint(sketch: Sketch) -> None:
        from matplotlib.ticker import LogLocator

        axes = sketch.figure.subplots()
        paint_curves(sketch, axes, lines, "validation RMSE")
        for line in lines:
            _mark_best(sketch, axes, line)
        if epochs > LONG:
            axes.set_xscale("log", subs=())
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(visible=True, axis="y")
        sketch.legend(axes)

    return Picture("validation RMSE of each model by epoch", lambda width: max(2.1, 0.545 * width), paint)


def paint_curves(sketch: Sketch, axes: Any, lines: Sequence[CurveLine], name: str) -> None:
    """Paint curves on axes; `name` is that of their values."""
    low, high = value_range(lines) or (None, None)
    for place, line in enumerate(lines):
        style, tip = sketch.palette.style(line.series), sketch.tip(line.label)
        shared, looks = line.shared, {"color": style.colour, "dashes": style.dashes, "gid": tip}
        values = line.seeds[:, shared]
        if len(values) > 1:
            axes.fill_between(shared + 1, values.min(0), values.max(0), color=style.colour, alpha=0.18, linewidth=0)
        mean = values.mean(0) if len(values) else []
        marks = (0.12 * (place + 0.5) / len(lines), 0.12)  # at other places on each line
        axes.plot(shared + 1, mean, **looks, marker=style.marker, markersize=3.2, markevery=marks, label=line.label)
        for curve in line.seeds:
            _paint_thin(axes, curve, looks, shared[-1] if len(shared) else 0)
        for curve in line.curves[line.diverged]:
            end = _paint_thin(axes, curve, looks, 0)
            height = np.nan if high is None else float(np.clip(curve[end] if end is not None else high, low, high))
            axes.plot((end or 0) + 1, height, marker="x", color=style.colour, markersize=7, clip_on=False, zorder=3)
    axes.set(xlabel="epoch", ylabel=name, ylim=(low, high))
    axes.margins(x=0.03)


def _paint_thin(axes: Any, curve: NDArray[np.float64], looks: dict[str, Any], first: int) -> int | None:
    """Paint what a seed has from an epoch on, if that is more than a point; return its last epoch, both from 0."""
    epochs = np.flatnonzero(np.isfinite(curve))
    rest = epochs[epochs >= first]
    if len(rest) > 1:
        axes.plot(rest + 1, curve[rest], **looks, linewidth=0.7)
    return int(epochs[-1]) if len(epochs) else None


def _mark_best(sketch: Sketch, axes: Any, line: CurveLine) -> None:
    """Mark the epoch in which the mean over the seeds is smallest."""
    shared = line.shared
    if not len(shared):
        return
    style, mean = sketch.palette.style(line.series), line.seeds[:, shared].mean(0)
    epoch, value = int(shared[mean.argmin()]) + 1, float(mean.min())
    seeds = f", the mean of {len(line.seeds)} seeds" if len(line.seeds) > 1 else ""
    tip = sketch.tip(f"{line.label}: best epoch {epoch}, validation RMSE {numbers.score(value)}{seeds}")
    axes.plot(epoch, value, marker="o", markersize=7, fillstyle="none", color=style.colour, gid=tip, zorder=3)


def value_range(lines: Sequence[CurveLine]) -> tuple[float, float] | None:
    """The lowest and the highest RMSE to show, None without one.

    The first epochs do not decide the highest, nor do diverged seeds if others exist.
    """
    seeds = [curve for line in lines for curve in line.seeds] or [curve for line in lines for curve in line.curves]
    ends = [(curve, int(np.isfinite(curve).nonzero()[0].max(initial=-1)) + 1) for curve in seeds]
    late = [curve[int(START * end) : end] for curve, end in ends]
    values = np.concatenate(late) if late else np.zeros(0)
    if not np.isfinite(values).any():
        return None
    low, high = min(float(np.nanmin(curve)) for curve, end in ends if end), float(np.nanmax(values))
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin
