"""`cfbench diff`: the differences between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, RunArgument
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.leaderboard.intervals import Comparison
    from cfbench.runs.costs import Cost
    from cfbench.runs.record import Record

_OUTCOMES = ("status", "rmse", "mae", "valid_rmse", "epochs", "best_epoch")
_COSTS = ("parameters", "fit_seconds", "predict_seconds", "peak_memory")


def diff(
    run: RunArgument,
    other: Annotated[
        str,
        typer.Argument(metavar="RUN", help="The run to compare it with.", autocompletion=completion.runs),
    ],
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Show where two runs differ: data, config, machine, versions and scores, with a paired test over users.

    The test needs two runs on the same split, and its ratings.

    Example: cfbench diff 3f2a last
    """
    from cfbench.runs.costs import Costs
    from cfbench.runs.results import Results

    stored_runs = Results(results)
    (first, first_folder), (second, second_folder) = stored_runs.find(run), stored_runs.find(other)
    costs = Costs(stored_runs)
    differences = _find_differences(_facts(first, costs.of(first)), _facts(second, costs.of(second)))
    comparison, reason = _compare_errors(first, first_folder, second, second_folder)
    if json:
        rows = {name: list(values) for name, values in differences.items()}
        test = None if comparison is None else comparison._asdict()
        console.print_json({"runs": [first.run, second.run], "differing": rows, "test": test})
        return
    _print_differences(first.run, second.run, differences)
    if comparison is None:
        console.say(reason)
    else:
        console.result(_describe_comparison(comparison))


def _facts(record: Record, cost: Cost) -> dict[str, Any]:
    """Everything in a record that can be compared, and the cost with members, by the name of its line."""
    request, outcome, machine = record.request, record.outcome, record.machine
    return {
        "imported": None if request.imported is None else request.imported.test.name,
        "plugin": request.plugin.name, "package": request.plugin.package, "source": request.plugin.source[:12],
        "data set": request.dataset.name, "ratings": request.dataset.fingerprint[:12], "split": request.split.name,
        "cut": request.split.fingerprint[:12], "preset": request.preset, "refit": request.refit, "seed": request.seed,
        "device": request.device,
        **{f"config {name}": value for name, value in request.config.items()},
        "machine": f"{machine.processor}, {machine.cores} cores", "threads": machine.threads,
        "accelerator": machine.accelerator, "python": machine.python,
        **{f"version {name}": value for name, value in machine.libraries.items()},
        **{name: getattr(outcome, name) for name in _OUTCOMES},
        **{name: getattr(cost, name) for name in _COSTS},
    }  # fmt: skip


def _find_differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The facts that differ, with both values; a value is None where only the other record has the fact."""
    pairs = {name: (first.get(name), second.get(name)) for name in {**first, **second}}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def _compare_errors(
    first: Record, first_folder: Path, second: Record, second_folder: Path
) -> tuple[Comparison | None, str]:
    """The paired test, or None and the reason why there is none."""
    from cfbench.leaderboard.intervals import compare
    from cfbench.leaderboard.scoring import estimate_score, find_errors

    if first.request.split.fingerprint != second.request.split.fingerprint:
        return None, "no paired test: the runs were scored on different test ratings"
    errors = [find_errors(first, first_folder), find_errors(second, second_folder)]
    estimates = [estimate_score([[run_errors]], "rmse") for run_errors in errors if run_errors is not None]
    if len(estimates) < 2 or not estimates[0].defined:
        return None, "no paired test: a run has no score, or the ratings it was scored on are not downloaded"
    return compare(*estimates), ""


def _describe_comparison(comparison: Comparison) -> str:
    difference, low, high = map(numbers.difference, (comparison.difference, comparison.low, comparison.high))
    p = numbers.p_value(comparison.p)
    interval = f"95 %: {low} to {high}, p {p}; over users, for these two seeds"
    return f"RMSE of the first minus the second: {difference} ({interval})"


def _print_differences(first: str, second: str, differences: dict[str, tuple[Any, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for run in (first, second):
        table.add_column(run, overflow="fold")
    for name, values in differences.items():
        table.add_row(name, *_cells(name, values))
    console.out().print(table)


_FORMATS: dict[str, Callable[[Any], str]] = {
    "rmse": numbers.score, "mae": numbers.score, "valid_rmse": numbers.score, "parameters": numbers.count,
    "fit_seconds": numbers.duration, "predict_seconds": numbers.duration, "peak_memory": numbers.megabytes,
}  # fmt: skip


def _cells(name: str, values: tuple[Any, Any]) -> list[str]:
    """Both values as other tables round them, or with more digits where that would make them equal."""
    for write in (_FORMATS.get(name, _six_digits), _six_digits, numbers.hyper_parameter):
        cells = [numbers.NONE if value is None else write(value) for value in values]
        if cells[0] != cells[1]:
            break
    return cells


def _six_digits(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else numbers.hyper_parameter(value)
