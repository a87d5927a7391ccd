"""`cfbench show`: the whole record of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption
from cfbench.cli.view import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.scoring import Slice
    from cfbench.runs.costs import Cost
    from cfbench.runs.machine import Machine
    from cfbench.runs.record import Exposure, ImportedFacts, Outcome, Record, Refit, Request, Tuned
    from cfbench.runs.results import Results

SLICES: tuple[SliceBy, ...] = ("rating", "user-activity")


def show(
    run: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="The run's id, a part of its id, or `last`. Several runs: their learning "
                       "curves in one picture.", autocompletion=completion.runs, show_default=False),
    ],
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Show the whole record of a run, its learning curve, and its errors by rating and by user activity.

    Of several runs it shows the learning curves in one picture.

    Examples: cfbench show last; cfbench show 3f2a 07c1
    """
    from cfbench.runs.results import Results

    stored_runs = Results(results)
    found = {record.run: (record, folder) for record, folder in map(stored_runs.find, run)}
    if len(found) > 1:
        _show_curves(list(found.values()), json=json)
    else:
        _show_one(*next(iter(found.values())), stored_runs, json=json)


def _show_curves(runs: list[tuple[Record, Path]], *, json: bool) -> None:
    from cfbench.cli.view.curve_page import print_curves
    from cfbench.runs.arrays import read_curve

    curves = [(record, read_curve(folder)) for record, folder in runs]
    if json:
        console.print_json([record.model_dump(mode="json") | {"curve": curve} for record, curve in curves])
    else:
        print_curves(curves)


def _show_one(record: Record, folder: Path, results: Results, *, json: bool) -> None:
    from cfbench.leaderboard.scoring import find_errors, score_slices
    from cfbench.runs.arrays import read_curve
    from cfbench.runs.costs import Costs

    cost = Costs(results).of(record)
    curve, errors = read_curve(folder), find_errors(record, folder)
    slices = {} if errors is None else {by: score_slices([errors], by) for by in SLICES}
    if json:
        slice_data = {by: [part._asdict() for part in parts] for by, parts in slices.items()}
        facts = record.model_dump(mode="json") | {"cost": asdict(cost)}
        console.print_json(facts | {"curve": curve, "slices": slice_data})
        return
    _print_page(record, cost, curve, slices)
    if record.scored and errors is None:
        name = record.request.dataset.name
        console.say(f"no errors by slice: the ratings of {name} that the run was scored on are not downloaded")
    console.result(str(folder))


def _print_page(record: Record, cost: Cost, curve: list[dict[str, Any]], slices: dict[SliceBy, list[Slice]]) -> None:
    from rich.table import Table

    from cfbench.cli.view.curve_page import print_run_curve
    from cfbench.cli.view.slices import print_slices

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(record, cost).items():
        table.add_row(name, value)
    console.out().print(table)
    if curve:
        console.result("")
        print_run_curve(record, curve)
    for by, parts in slices.items():
        print_slices(parts, by)


def _facts(record: Record, cost: Cost) -> dict[str, str]:
    """The lines of the page, by their names."""
    request = record.request
    if request.imported is not None:
        return _imported_facts(record, request.imported)
    facts = _data_facts(record) | _score_facts(record.outcome) | _cost_facts(cost)
    if cost.members:
        facts["members"] = _describe_members(record.outcome, cost)
    facts |= {
        "seed": str(request.seed),
        "device": _with_detail(request.device, record.machine.accelerator),
        "preset": request.preset or "none",
    } | _exposure_facts(request.exposure)
    if request.tuned:
        facts["tuned"] = _describe_search(request.tuned)
    return (
        facts
        | _config_facts(request)
        | {"started": f"{request.started:%Y-%m-%d %H:%M:%S} UTC"}
        | _machine_facts(record.machine)
    )


def _imported_facts(record: Record, imported: ImportedFacts) -> dict[str, str]:
    """The lines of a run whose predictions were made elsewhere: it has no costs, and no config."""
    request, files = record.request, [file for file in (imported.test, imported.valid) if file is not None]
    return _data_facts(record) | _score_facts(record.outcome) | {
        "plugin": f"{request.plugin.name} ({request.plugin.title})",
        "imported from": ", ".join(f"{file.name} (SHA-256 {file.sha256[:12]})" for file in files),
        "imported": f"{request.started:%Y-%m-%d %H:%M:%S} UTC",
        "seed": str(request.seed),
    }  # fmt: skip


def _data_facts(record: Record) -> dict[str, str]:
    """The run, its plugin, and the ratings it learned from."""
    request, outcome = record.request, record.outcome
    plugin, dataset, split = request.plugin, request.dataset, request.split
    return {
        "run": record.run,
        "status": f"{outcome.status}: {outcome.message}" if outcome.message else outcome.status,
        "plugin": f"{plugin.name} ({plugin.title}; {plugin.package}, source {plugin.source[:12] or 'unknown'})",
        "data set": f"{dataset.name}, version {dataset.card_version}, {dataset.fingerprint[:12]}",
        "split": f"{split.name}, {split.fingerprint[:12]}",
        "parts": ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in split.report.items()),
    }


def _score_facts(outcome: Outcome) -> dict[str, str]:
    """The scores."""
    valid_rmse = numbers.score(outcome.valid_rmse)
    if outcome.epochs:
        valid_rmse += f" in epoch {outcome.best_epoch} of {outcome.epochs}"
    if outcome.refit:
        valid_rmse += ", by the first fit"
    return {
        "test RMSE": numbers.score(outcome.rmse),
        "test MAE": numbers.score(outcome.mae),
        "validation RMSE": valid_rmse,
        **_refit_facts(outcome.refit),
        **({"warning": outcome.warning} if outcome.warning else {}),
        **({"doubtful": "; ".join(doubt.detail for doubt in outcome.doubts)} if outcome.doubts else {}),
    }


def _cost_facts(cost: Cost | Outcome) -> dict[str, str]:
    """The size of the model, and what the run took."""
    wall_time, processor_time = numbers.duration(cost.fit_seconds), numbers.duration(cost.fit_cpu_seconds)
    return {
        "parameters": numbers.count(cost.parameters),
        "fit": f"{wall_time} ({processor_time} of processor time)",
        "predict": numbers.duration(cost.predict_seconds),
        "peak memory": numbers.megabytes(cost.peak_memory),
    }


def _describe_members(outcome: Outcome, cost: Cost) -> str:
    """Say that the cost includes the members, or why it is unknown, and what the run took without them."""
    count, alone = numbers.count(cost.members), ", ".join(f"{k} {v}" for k, v in _cost_facts(outcome).items())
    if cost.missing:
        gone = f"{len(cost.missing)} of {count}: {', '.join(cost.missing)}"
        return f"missing from the results are {gone}; so the cost is unknown; without members: {alone}"
    return f"{count}; the cost above includes theirs; without members: {alone}"


def _exposure_facts(exposure: Exposure | None) -> dict[str, str]:
    if exposure is None:
        return {}
    counts = f"{exposure.validated:,} as validation, {exposure.trained:,} as training ratings"
    seen = exposure.validated + exposure.trained
    return {
        "test ratings met": f"the preset's choice on {exposure.split} has seen {seen:,} of {exposure.test:,}: {counts}"
    }


def _refit_facts(refit: Refit | None) -> dict[str, str]:
    if refit is None:
        return {}
    epochs = f", {refit.epochs} epochs" if refit.epochs else ""
    seconds = numbers.duration(refit.seconds)
    return {"second fit": f"to {refit.ratings:,} training and validation ratings{epochs}, {seconds} of the fit"}


def _config_facts(request: Request) -> dict[str, str]:
    """Each hyper-parameter, and where its value came from."""
    values = {}
    for name, value in request.config.items():
        values[f"  {name}"] = f"{numbers.hyper_parameter(value)} ({request.origins.get(name, 'unknown')})"
    return {"config": ""} | values


def _machine_facts(machine: Machine) -> dict[str, str]:
    threads = f", {machine.threads} threads" if machine.threads else ""
    versions = {"python": machine.python, **machine.libraries}
    return {
        "machine": f"{machine.processor}, {machine.cores} cores{threads}, {machine.system}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _with_detail(text: str, detail: str | None) -> str:
    return f"{text} ({detail})" if detail else text


def _describe_search(tuned: Tuned) -> str:
    validation_part = f"the validation part of {tuned.dataset}, {tuned.split}"
    best = f"best {numbers.score(tuned.valid_rmse)} (study {tuned.study})"
    return f"{tuned.trials} trials in {numbers.duration(tuned.seconds)} on {validation_part}: {best}"
