"""`cfbench run PLUGIN --split 5fold`: a run for each fold of a cross-validation, and the mean of their scores."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import typer

from cfbench.cli import console
from cfbench.cli.progress import after_epoch, run_progress
from cfbench.cli.run.log_to import make_run
from cfbench.report import numbers

if TYPE_CHECKING:
    from cfbench.data.store import Dataset
    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results
    from cfbench.tracking.tracker import Tracker


def run_folds(
    family: str,
    requests: list[Request],
    dataset: Dataset,
    results: Results,
    tracker: Tracker | None,
    *,
    seconds: float | None,
    json: bool,
) -> None:
    """Run the folds that are not finished yet, one request for each fold; then print the mean scores.

    In each fold the model may work so many `seconds`.
    """
    records = [
        _run_fold(request, dataset, results, tracker, f"{number} of {len(requests)}", seconds)
        for number, request in enumerate(requests, 1)
    ]
    rmse = _mean([record.outcome.rmse for record in records])
    mae = _mean([record.outcome.mae for record in records])
    if json:
        runs = [record.model_dump(mode="json") for record in records]
        console.print_json({"split": family, "rmse": rmse, "mae": mae, "runs": runs})
    elif rmse is not None:
        console.result(
            f"{requests[0].plugin.name} on {requests[0].dataset.name}, {family}: test RMSE {rmse:.4f}, MAE {mae:.4f}, "
            f"mean of {len(requests)} folds"
        )
    else:
        scored = sum(record.scored for record in records)
        console.result(f"no mean: {scored} of {len(requests)} folds have a score; try a lower learning rate")
    if rmse is None:
        raise typer.Exit(1)


def _mean(scores: list[float | None]) -> float | None:
    """Return the mean, or None when a fold has no score."""
    known = [score for score in scores if score is not None]
    return statistics.mean(known) if len(known) == len(scores) else None


def _run_fold(
    request: Request, dataset: Dataset, results: Results, tracker: Tracker | None, place: str, seconds: float | None
) -> Record:
    from cfbench.runs import run as harness

    fold = request.split.name
    with run_progress(
        f"{request.plugin.name} {fold} ({place})",
        lambda stop: f"stopped in {fold}{after_epoch(stop)}; the same command resumes it",
    ) as progress:
        record, was_finished = make_run(
            lambda listener: harness.ensure(request, dataset, results, listener, seconds=seconds),
            progress,
            tracker,
            results,
        )
    console.say_doubts(record)
    outcome = record.outcome
    scores = f"test RMSE {numbers.score(outcome.rmse)}, fitted in {numbers.duration(outcome.fit_seconds)}"
    console.say(f"{fold}: {scores}, run {record.run}" + (", already finished" if was_finished else ""))
    return record
