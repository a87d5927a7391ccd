"""`cfbench show`: the whole record of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.scoring import Slice
    from cfbench.runs.costs import Cost
    from cfbench.runs.record import Record
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
    from cfbench.report.record_facts import record_facts

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record_facts(record, cost).items():
        table.add_row(name, value)
    console.out().print(table)
    if curve:
        console.result("")
        print_run_curve(record, curve)
    for by, parts in slices.items():
        print_slices(parts, by)
