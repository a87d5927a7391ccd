"""`cfbench show`: everything that is known of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, RunArgument
from cfbench.cli.view import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.leaderboard.scoring import By, RunErrors, Slice
    from cfbench.runs.record import Record, Tuned

BY: tuple[By, ...] = ("rating", "user-activity")


def show(
    run: RunArgument,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Show everything that is known of a run: its record, learning curve, and errors by rating and by user activity.

    Example: cfbench show last
    """
    from cfbench.leaderboard.scoring import slices
    from cfbench.runs.record import Results, read_curve

    record, folder = Results(results).find(run)
    curve, errors = read_curve(folder), errors_of(record, folder)
    parts: dict[By, list[Slice]] = {} if errors is None else {by: slices([errors], by) for by in BY}
    if json:
        told = {by: [part._asdict() for part in of] for by, of in parts.items()}
        console.print_json(record.model_dump(mode="json") | {"curve": curve, "slices": told})
        return
    _print(_facts(record), curve, parts)
    if record.scored and errors is None:
        console.say(f"no errors by slice: the ratings of {record.request.dataset.name} it was scored on are not here")
    console.result(str(folder))


def errors_of(record: Record, folder: Path) -> RunErrors | None:
    """The run's errors, when it has any and the ratings it was scored on are here; raises `RecordError`."""
    from cfbench.data import card, store
    from cfbench.leaderboard import scoring

    asked = record.request
    if not record.scored or asked.dataset.name not in card.names():
        return None
    one = card.load(asked.dataset.name)
    if not store.is_ready(one):
        return None
    data = store.open_dataset(one)
    split = data.split(asked.split.name)
    if split.fingerprint != asked.split.fingerprint:
        return None
    return scoring.errors(folder, scoring.truth(data.ratings, split))


def _print(facts: dict[str, str], curve: list[dict[str, Any]], parts: dict[By, list[Slice]]) -> None:
    from rich.table import Table

    from cfbench.cli.view import curves, slices

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    console.out().print(table, markup=False)
    if curve:
        console.result("")
        for line in curves.curve(curve, width=min(console.out().width, 100)):
            console.out().print(line, markup=False, no_wrap=True)
    for by, of in parts.items():
        slices.show(of, by)


def _facts(record: Record) -> dict[str, str]:
    asked, o, machine = record.request, record.outcome, record.machine
    facts = {
        "run": record.run,
        "status": o.status + (f": {o.message}" if o.message else ""),
        "plugin": f"{asked.plugin.name} ({asked.plugin.title}; {asked.plugin.package})",
        "data set": f"{asked.dataset.name}, version {asked.dataset.card_version}, {asked.dataset.fingerprint[:12]}",
        "split": f"{asked.split.name}, {asked.split.fingerprint[:12]}",
        "parts": ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in asked.split.report.items()),
        "test RMSE": numbers.score(o.rmse),
        "test MAE": numbers.score(o.mae),
        "validation RMSE": numbers.score(o.valid_rmse)
        + (f" in epoch {o.best_epoch} of {o.epochs}" if o.epochs else ""),
        "parameters": numbers.count(o.parameters),
        "fit": f"{numbers.duration(o.fit_seconds)} ({numbers.duration(o.fit_cpu_seconds)} of processor time)",
        "predict": numbers.duration(o.predict_seconds),
        "peak memory": numbers.megabytes(o.peak_memory),
        "seed": str(asked.seed),
        "device": asked.device + (f" ({machine.accelerator})" if machine.accelerator else ""),
        "preset": asked.preset or "none",
    }
    if asked.tuned:
        facts["tuned"] = _search(asked.tuned)
    config = {f"  {name}": f"{numbers.hyper(value)} ({asked.origins[name]})" for name, value in asked.config.items()}
    threads = f", {machine.threads} threads" if machine.threads else ""
    return facts | {"config": ""} | config | {
        "begun": f"{asked.started:%Y-%m-%d %H:%M:%S} UTC",
        "machine": f"{machine.processor}, {machine.cores} cores{threads}, {machine.system}",
        "versions": ", ".join(f"{name} {v}" for name, v in {"python": machine.python, **machine.libraries}.items()),
    }  # fmt: skip


def _search(tuned: Tuned) -> str:
    where = f"the validation part of {tuned.dataset}, {tuned.split}"
    best = f"best {numbers.score(tuned.valid_rmse)} (study {tuned.study})"
    return f"{tuned.trials} trials in {numbers.duration(tuned.seconds)} on {where}: {best}"
