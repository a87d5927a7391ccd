"""Predictions as people and scripts read them: a table, CSV or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.view.rows import csv, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.cli.view.rows import Row
    from cfbench.data.store import Dataset
    from cfbench.ratings import Codes, Scores


def prediction_rows(dataset: Dataset, items: Codes, scores: Scores) -> list[Row]:
    """Return a row for each item: its id, the prediction clipped to the rating scale, and its title."""
    ids, titles = dataset.catalogue.items["id"], dataset.catalogue.items["title"]
    clipped = dataset.ratings.scale.clip(scores)
    return [
        {"item": ids[int(item)], "prediction": round(float(score), 4), "title": titles[int(item)] or ""}
        for item, score in zip(items, clipped, strict=True)
    ]


def print_predictions(rows: list[Row], *, json: bool, output: Path | None = None) -> None:
    """Print JSON, or a table on a terminal, or CSV to a pipe or to the file `output`."""
    if output is None or json:
        print_rows(rows, json=json)
        return
    from cfbench.files import write_atomically

    write_atomically(output, csv(rows))
    console.say(f"wrote {len(rows)} predictions to {output}")
