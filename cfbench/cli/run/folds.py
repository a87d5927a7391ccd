"""`cfbench run PLUGIN --split 5fold`: all folds of a cross-validation, and the mean over them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.view import numbers

if TYPE_CHECKING:
    from cfbench.data.store import Dataset
    from cfbench.runs.record import Record, Request, Results


def run_folds(family: str, folds: list[Request], dataset: Dataset, kept: Results, *, json: bool) -> None:
    """Run what is not finished, a line a fold, then print the means over the folds."""
    done = [_fold(asked, dataset, kept, f"{at} of {len(folds)}") for at, asked in enumerate(folds, 1)]
    scored = [record for record in done if record.scored]
    rmse, mae = (
        statistics.mean(getattr(record.outcome, name) for record in scored) if len(scored) == len(folds) else None
        for name in ("rmse", "mae")
    )
    if json:
        console.print_json(
            {"split": family, "rmse": rmse, "mae": mae, "runs": [r.model_dump(mode="json") for r in done]}
        )
    elif rmse is None:
        console.result(f"no mean: {len(scored)} of {len(folds)} folds have a score; try a lower learning rate")
    else:
        console.result(
            f"{folds[0].plugin.name} on {folds[0].dataset.name}, {family}: test RMSE {rmse:.4f}, MAE {mae:.4f}, "
            f"mean of {len(folds)} folds"
        )


def _fold(asked: Request, dataset: Dataset, kept: Results, place: str) -> Record:
    from cfbench.runs import run as harness

    with console.run_progress(
        f"{asked.plugin.name} {asked.split.name} ({place})",
        lambda stop: f"stopped in {asked.split.name} after epoch {stop.epoch}; the same command goes on from there",
    ) as watcher:
        record, there = harness.ensure(asked, dataset, kept, watcher)
    told = f"test RMSE {numbers.score(record.outcome.rmse)}, fitted in {numbers.duration(record.outcome.fit_seconds)}"
    console.say(f"{asked.split.name}: {told}, run {record.run}" + (", already there" if there else ""))
    return record
