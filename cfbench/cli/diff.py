"""`cfbench diff`: what sets two runs apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, RunArgument
from cfbench.cli.view import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.leaderboard.intervals import Comparison
    from cfbench.runs.record import Record

_SCORES = ("status", "rmse", "mae", "valid_rmse", "epochs", "best_epoch", "parameters", "fit_seconds",
           "predict_seconds", "peak_memory")  # fmt: skip


def diff(
    run: RunArgument,
    other: Annotated[
        str,
        typer.Argument(metavar="RUN", help="The run it is compared with.", autocompletion=completion.runs),
    ],
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Show where two runs differ: data, config, machine, versions and scores, with a paired test over users.

    The test needs two runs of one split, and its ratings.

    Example: cfbench diff 3f2a last
    """
    from cfbench.runs.record import Results

    kept = Results(results)
    (one, place), (two, elsewhere) = kept.find(run), kept.find(other)
    differing = _differing(_facts(one), _facts(two))
    tested, reason = _tested(one, place, two, elsewhere)
    if json:
        rows = {name: list(values) for name, values in differing.items()}
        console.print_json({"runs": [one.run, two.run], "differing": rows, "test": tested and tested._asdict()})
        return
    _print(one.run, two.run, differing)
    if tested is None:
        console.say(reason)
        return
    told = f"{numbers.signed(tested.low)} to {numbers.signed(tested.high)}, p {numbers.p_value(tested.p)}"
    console.result(
        f"RMSE of the first minus the second: {numbers.signed(tested.difference)} (95 %: {told}; over users)"
    )


def _facts(record: Record) -> dict[str, Any]:
    """All of a record that can be compared, flat."""
    asked, outcome, machine = record.request, record.outcome, record.machine
    return {
        "plugin": asked.plugin.name, "package": asked.plugin.package, "data set": asked.dataset.name,
        "ratings": asked.dataset.fingerprint[:12], "split": asked.split.name,
        "cut": asked.split.fingerprint[:12], "preset": asked.preset, "seed": asked.seed, "device": asked.device,
        **{f"config {name}": value for name, value in asked.config.items()},
        "machine": f"{machine.processor}, {machine.cores} cores", "threads": machine.threads,
        "accelerator": machine.accelerator, "python": machine.python,
        **{f"version {name}": value for name, value in machine.libraries.items()},
        **{name: getattr(outcome, name) for name in _SCORES},
    }  # fmt: skip


def _differing(one: dict[str, Any], two: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not the same in both; None where only one has it."""
    pairs = {name: (one.get(name), two.get(name)) for name in {**one, **two}}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def _tested(one: Record, place: Path, two: Record, elsewhere: Path) -> tuple[Comparison | None, str]:
    """The paired test, or why there is none."""
    from cfbench.cli.show import errors_of
    from cfbench.leaderboard.intervals import compare
    from cfbench.leaderboard.scoring import user_sums

    if one.request.split.fingerprint != two.request.split.fingerprint:
        return None, "no paired test: the runs met different test ratings"
    errors = [errors_of(record, folder) for record, folder in ((one, place), (two, elsewhere))]
    known = [user_sums([of], "rmse") for of in errors if of is not None]
    if len(known) < 2 or known[0].present.sum() < 2:
        return None, "no paired test: a run has no score, or the ratings it was scored on are not here"
    return compare(*known), ""


def _print(one: str, two: str, differing: dict[str, tuple[Any, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for run in (one, two):
        table.add_column(run, overflow="fold")
    for name, values in differing.items():
        table.add_row(name, *(_cell(value) for value in values))
    console.out().print(table, markup=False)


def _cell(value: Any) -> str:
    if value is None:
        return numbers.NONE
    return f"{value:.6g}" if isinstance(value, float) else numbers.hyper(value)
