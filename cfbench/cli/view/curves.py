"""A learning curve, drawn with characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN, VALID, BOTH = "·", "•", "◉"
_MARGIN = 9  # characters to the left of the first column


def draw_curve(epochs: Sequence[dict[str, Any]], *, width: int, height: int = 12) -> list[str]:
    """The training (·) and validation (•) RMSE over epochs, as lines of at most `width` characters.

    A column is one epoch or, when there are more epochs than columns, the last of several epochs.
    """
    columns = max(width - _MARGIN, 10)
    shown = epochs
    if len(epochs) > columns:
        shown = [epochs[(column + 1) * len(epochs) // columns - 1] for column in range(columns)]
    values = [value for epoch in epochs for value in (epoch["train_rmse"], epoch["valid_rmse"]) if value is not None]
    low, high = min(values), max(values)
    labels = {0: f"{high:.4f}", height - 1: f"{low:.4f}"}
    grid = _draw_grid(shown, low, high, height)
    lines = [f"{labels.get(index, ''):>6} │{''.join(row)}".rstrip() for index, row in enumerate(grid)]
    first, last = str(shown[0]["epoch"]), str(shown[-1]["epoch"])
    lines.append(f"{'':6} └{'─' * len(shown)}")
    lines.append(f"{'':8}{first}{last:>{max(len(shown) - len(first), len(last) + 1)}}")
    legend = f"RMSE by epoch: {TRAIN} training"
    if any(epoch["valid_rmse"] for epoch in epochs):
        legend += f", {VALID} validation"
    return [*lines, f"{'':8}{legend}"]


def _draw_grid(epochs: Sequence[dict[str, Any]], low: float, high: float, height: int) -> list[list[str]]:
    """`height` rows with one character for each epoch; `high` is in the first row and `low` in the last."""
    grid = [[" "] * len(epochs) for _ in range(height)]
    for column, epoch in enumerate(epochs):
        for value, mark in ((epoch["train_rmse"], TRAIN), (epoch["valid_rmse"], VALID)):
            if value is not None:
                row = round((high - value) / (high - low or 1.0) * (height - 1))
                grid[row][column] = mark if grid[row][column] == " " else BOTH
    return grid
