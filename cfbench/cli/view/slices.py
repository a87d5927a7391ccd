"""RunErrors over slices of the test ratings, as numbers and bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.view import numbers, tables
from cfbench.cli.view.tables import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.ranking import RankedRow
    from cfbench.leaderboard.scoring import Slice

HEADINGS = {"user-activity": "user's ratings", "item-popularity": "item's ratings", "rating": "rating"}
"""The first two count ratings in training."""


def columns(ranks: list[RankedRow], width: int, by: str) -> list[Column]:
    """A row a slice and a column a model, each number with a bar up to `width` wide; the worst model gives way first.

    All models have met the same test ratings, so they have the same slices.
    """
    sliced = [standing for standing in ranks if standing.slices]
    if not sliced:
        return []
    most = max(part.rmse for standing in sliced for part in standing.slices)
    names = [standing.row.plugin for standing in sliced]
    first = sliced[0].slices
    return [
        Column(HEADINGS[by], [part.label for part in first]),
        Column("tested", [f"{part.ratings:,}" for part in first], rank=1, right=True),
        *(
            Column(
                name if names.count(name) == 1 else f"{name} {standing.row.last.run.rpartition('-')[2]}",
                [_cell(part.rmse, most, width) for part in standing.slices], rank=at,
            )
            for at, (name, standing) in enumerate(zip(names, sliced, strict=True))
        ),
    ]  # fmt: skip


def _cell(rmse: float, most: float, width: int) -> str:
    return f"{numbers.score(rmse)} {tables.bar(rmse / most if most else 0.0, width)}".rstrip()


def fitting(ranks: list[RankedRow], width: int, by: str) -> list[Column]:
    """With bars as wide as there is room, or with none and as many models as there is room for."""
    for bars in (24, 12, 6, 0):
        whole = columns(ranks, bars, by)
        kept = tables.fitting(whole, width)
        if len(kept) == len(whole):
            break
    return kept


def show(parts: Sequence[Slice], by: str) -> None:
    """Print the slices of one run."""
    most = max(part.rmse for part in parts)
    cells = [[part.label for part in parts], [f"{part.ratings:,}" for part in parts],
             [_cell(part.rmse, most, 24) for part in parts]]  # fmt: skip
    headings = (HEADINGS[by], "tested", "RMSE")
    console.out().print(
        tables.on_terminal([Column(h, c, right=h == "tested") for h, c in zip(headings, cells, strict=True)])
    )
