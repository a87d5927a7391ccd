"""A learning curve, drawn in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN, VALID, BOTH = "·", "•", "◉"


def curve(epochs: Sequence[dict[str, Any]], *, width: int, height: int = 12) -> list[str]:
    """Lines of text: training (·) and validation (•) RMSE over epochs, at most `width` wide.

    A column stands for one epoch or, when there are more epochs than room, for the last of several.
    """
    values = [value for epoch in epochs for value in (epoch["train_rmse"], epoch["valid_rmse"]) if value is not None]
    low, high = min(values), max(values)
    room = max(width - 9, 10)
    shown = epochs if len(epochs) <= room else [epochs[(k + 1) * len(epochs) // room - 1] for k in range(room)]
    grid = [[" "] * len(shown) for _ in range(height)]
    for at, epoch in enumerate(shown):
        for value, mark in ((epoch["train_rmse"], TRAIN), (epoch["valid_rmse"], VALID)):
            if value is not None:
                line = round((high - value) / (high - low or 1.0) * (height - 1))
                grid[line][at] = mark if grid[line][at] == " " else BOTH
    labels = {0: f"{high:.4f}", height - 1: f"{low:.4f}"}
    lines = [f"{labels.get(k, ''):>6} │{''.join(row)}".rstrip() for k, row in enumerate(grid)]
    first, last = str(shown[0]["epoch"]), str(shown[-1]["epoch"])
    lines.append(f"{'':6} └{'─' * len(shown)}")
    lines.append(f"{'':8}{first}{last:>{max(len(shown) - len(first), len(last) + 1)}}")
    told = f"RMSE by epoch: {TRAIN} training" + (
        f", {VALID} validation" if any(e["valid_rmse"] for e in epochs) else ""
    )
    return [*lines, f"{'':8}{told}"]
