"""`cfbench show`: the whole record of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from cfbench.leaderboard import SliceBy
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
    from cfbench.cli.view.curve_page import curves_page
    from cfbench.runs.arrays import read_curve

    curves = [(record, read_curve(folder)) for record, folder in runs]
    if json:
        console.print_json([record.model_dump(mode="json") | {"curve": curve} for record, curve in curves])
    else:
        _print_all(curves_page(curves, console.out().width))


def _show_one(record: Record, folder: Path, results: Results, *, json: bool) -> None:
    from cfbench.cli.view.run_pages import run_page
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
    _print_all(run_page(record, cost, curve, slices, console.out().width))
    if record.scored and errors is None:
        name = record.request.dataset.name
        console.say(f"no errors by slice: the ratings of {name} that the run was scored on are not downloaded")
    console.result(str(folder))


def _print_all(page: Sequence[RenderableType]) -> None:
    for part in page:
        console.out().print(part, crop=False)
