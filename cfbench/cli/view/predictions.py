"""Predictions as people and scripts read them: a table, CSV or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cfbench.cli import console

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.store import Dataset
    from cfbench.ratings import Codes, Scores

PredictionRow: TypeAlias = "dict[str, str | float]"
"""The columns `item`, `prediction` and `title`, after `user` where there are several users."""


def prediction_rows(dataset: Dataset, items: Codes, scores: Scores) -> list[PredictionRow]:
    """Return a row for each item: its id, the prediction clipped to the rating scale, and its title."""
    ids, titles = dataset.catalogue.items["id"], dataset.catalogue.items["title"]
    clipped = dataset.ratings.scale.clip(scores)
    return [
        {"item": ids[int(item)], "prediction": round(float(score), 4), "title": titles[int(item)] or ""}
        for item, score in zip(items, clipped, strict=True)
    ]


def print_predictions(rows: list[PredictionRow], *, json: bool, output: Path | None = None) -> None:
    """Print JSON, or a table on a terminal, or CSV to a pipe or to the file `output`."""
    if json:
        console.print_json(rows)
    elif output or not console.out().is_terminal:
        _write_csv(rows, output)
    else:
        _print_table(rows)


def _write_csv(rows: list[PredictionRow], output: Path | None) -> None:
    import polars as pl

    from cfbench.files import write_atomically

    text = pl.DataFrame(rows).write_csv()
    if output is None:
        console.document(text)
    else:
        write_atomically(output, text)
        console.say(f"wrote {len(rows)} predictions to {output}")


def _print_table(rows: list[PredictionRow]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="right" if heading == "prediction" else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.out().print(table)  # a title may look like markup: [REC]
