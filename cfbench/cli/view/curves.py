"""Learning curves, drawn with characters: one run, or several in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from cfbench.report import numbers
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN, VALID, BOTH, BEST, ABOVE = "·", "•", "◉", "★", "▲"
SEVERAL = "*"
HEIGHT = 13
"""The rows of a picture, without its axis."""
_LABEL_EVERY = 3  # rows
_MARGIN = 9  # characters to the left of the first column


@dataclass(frozen=True)
class Curve:
    """An error over epochs."""

    name: str
    """What the legend calls it."""
    mark: str
    points: dict[int, float]
    """The error of each epoch that has a finite one."""
    best: int | None = None
    """The epoch whose mark is `best_mark`."""
    best_mark: str = BEST


def points_of(epochs: Sequence[dict[str, Any]], name: str) -> dict[int, float]:
    """The finite values of a column of a stored learning curve, by epoch."""
    values = {epoch.get("epoch"): epoch.get(name) for epoch in epochs}
    return {
        epoch: float(value)
        for epoch, value in values.items()
        if isinstance(epoch, int) and epoch > 0 and isinstance(value, int | float) and isfinite(value)
    }


def draw_run(epochs: Sequence[dict[str, Any]], best: int | None, *, width: int, height: int = HEIGHT) -> list[str]:
    """The training and validation RMSE of a run over epochs, as lines of at most `width` characters.

    `best` is the epoch that validation has chosen.
    """
    valid = Curve(f"{VALID} validation", VALID, points_of(epochs, "valid_rmse"), best)
    curves = [Curve(f"{TRAIN} training", TRAIN, points_of(epochs, "train_rmse")), valid]
    lines = draw_curves(curves, width=width, several=BOTH, height=height)
    legend = ", ".join(curve.name for curve in curves if curve.points)
    if best in valid.points:
        legend += f", {BEST} best epoch {best}: {numbers.score(valid.points[best])}"
    return [*lines, f"{'':8}RMSE by epoch: {legend}"] if lines else []


def draw_curves(curves: Sequence[Curve], *, width: int, several: str = SEVERAL, height: int = HEIGHT) -> list[str]:
    """The curves in one picture, as lines of at most `width` characters; none if no curve has a point.

    The axis and what explains the picture are below its `height` rows.

    A column is one epoch or, when there are more epochs than columns, the best or the last of several epochs. Errors
    far above the others, as in the first epochs, are marked at the upper edge. `several` marks where curves meet.
    """
    values = [value for curve in curves for value in curve.points.values()]
    if not values:
        return []
    low, high = robust_range(values)
    last = max(epoch for curve in curves for epoch in curve.points)
    columns = min(max(width - _MARGIN, 10), last)
    grid = [[" "] * columns for _ in range(height)]
    for curve in curves:
        _draw(curve, grid, last, (low, high), several)
    for curve in curves:  # nothing hides the best epochs
        if curve.best in curve.points:
            column, row = _column(curve.best, last, columns), _row(curve.points[curve.best], low, high, height)
            grid[row][column] = curve.best_mark
    rows = range(0, height, _LABEL_EVERY) if high > low else [0]
    labels = {row: numbers.score(high - row * (high - low) / (height - 1)) for row in rows}
    lines = [f"{labels.get(row, ''):>6} │{''.join(cells)}".rstrip() for row, cells in enumerate(grid)]
    lines.append(f"{'':6} └{'─' * columns}")
    lines.append(f"{'':8}1{last:>{max(columns - 1, len(str(last)) + 1)}}" if last > 1 else f"{'':8}1")
    if any(value > high for value in values):
        lines.append(f"{'':8}{ABOVE} above the picture: up to {numbers.score(max(values))}")
    return lines


def _draw(curve: Curve, grid: list[list[str]], last: int, ends: tuple[float, float], several: str) -> None:
    """Draw the marks of a curve; of several epochs in one column, the last counts, or the best of the curve."""
    by_column = {_column(epoch, last, len(grid[0])): epoch for epoch in sorted(curve.points)}
    if curve.best in curve.points:
        by_column[_column(curve.best, last, len(grid[0]))] = curve.best
    for column, epoch in by_column.items():
        value = curve.points[epoch]
        if value > ends[1]:
            grid[0][column] = ABOVE
        else:
            row = _row(value, *ends, len(grid))
            grid[row][column] = curve.mark if grid[row][column] == " " else several


def _column(epoch: int, last: int, columns: int) -> int:
    """The column of an epoch: every epoch has its own, or all columns have equally many."""
    return (epoch - 1) * columns // last


def _row(value: float, low: float, high: float, height: int) -> int:
    """The row of a value: `high` and what is above it are in the first row, and `low` is in the last."""
    return max(0, round((high - value) / (high - low or 1.0) * (height - 1)))
