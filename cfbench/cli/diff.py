"""`cfbench diff`: the differences between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, RunArgument
from cfbench.report import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.leaderboard.intervals import Comparison
    from cfbench.runs.record import Record


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
    from cfbench.cli.view.run_pages import differences_table
    from cfbench.report.run_differences import find_differences
    from cfbench.runs.costs import Costs
    from cfbench.runs.results import Results

    stored_runs = Results(results)
    (first, first_folder), (second, second_folder) = stored_runs.find(run), stored_runs.find(other)
    costs = Costs(stored_runs)
    differences = find_differences((first, costs.of(first)), (second, costs.of(second)))
    comparison, reason = _compare_errors(first, first_folder, second, second_folder)
    if json:
        rows = {name: list(values) for name, values in differences.items()}
        test = None if comparison is None else comparison._asdict()
        console.print_json({"runs": [first.run, second.run], "differing": rows, "test": test})
        return
    console.out().print(differences_table(first.run, second.run, differences))
    if comparison is None:
        console.say(reason)
    else:
        console.result(_describe_comparison(comparison))


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
