"""`cfbench compare --fail-if-worse`: the check for continuous integration."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, get_args

import typer

from cfbench.cli import console
from cfbench.cli.dataset_choice import dataset_card
from cfbench.leaderboard import Metric, SliceBy
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Collection

    from cfbench.leaderboard.baseline import BaselineCheck
    from cfbench.runs.results import Results


def slices_or_allowance(text: str | None, *, checks: bool) -> tuple[SliceBy | None, float]:
    """Return the slices that `--by` names or, where a run `checks` the leaderboard, by how much it may be worse.

    Raises `BadParameter`.
    """
    for name in get_args(SliceBy):
        if text == name and not checks:
            return name, 0.0
    expected = "a number such as .001" if checks else f"one of {', '.join(get_args(SliceBy))}"
    try:
        number = 0.0 if text is None else float(text)
    except ValueError:
        raise typer.BadParameter(f"--by {text}: expected {expected}") from None
    if text is not None and not checks:
        raise typer.BadParameter(f"--by {text}: expected {expected}; a number needs --fail-if-worse RUN")
    if not isfinite(number) or number < 0:
        raise typer.BadParameter(f"--by {text}: expected a number that is not negative")
    return None, number


def check_leaderboard(
    run: str, results: Results, *, dataset: str | None, split: str | None, metric: Metric, plugins: Collection[str],
    allowed: float, json: bool,
) -> None:  # fmt: skip
    """Print one line that compares the leaderboard of a run with the run; exit with status 1 if it is worse.

    `dataset` and `split` are those of the run by default. Raises `BadParameter`, and what `check_baseline` raises.
    """
    from cfbench.leaderboard.baseline import check_baseline

    if metric == "user-rmse":
        raise typer.BadParameter("--fail-if-worse compares scores of the records: --metric rmse or mae")
    baseline, _ = results.find(run)
    card = dataset_card(dataset or baseline.request.dataset.name)
    check = check_baseline(
        card, split or baseline.request.split.name, results, baseline, metric=metric, plugins=plugins, allowed=allowed
    )
    line = _describe(check, metric.upper(), baseline.run)
    if json:
        console.print_json({
            "run": check.newest.run, "plugin": check.row.plugin, "metric": metric, "score": check.score,
            "baseline_run": baseline.run, "baseline": check.baseline, "allowed": allowed, "worse": check.is_worse,
        })  # fmt: skip
    if check.is_worse:
        console.error(line)
        raise typer.Exit(1)
    if not json:
        console.result(line)


def _describe(check: BaselineCheck, metric: str, baseline: str) -> str:
    """Say in one line how a row compares with the baseline."""
    row, other = check.row, f"run {baseline}, {metric} {numbers.score(check.baseline)}"
    if check.score is None:
        newest = f"its newest run, {check.newest.run}, is {check.newest.outcome.status}"
        return f"{row.plugin} has no score: {newest}; compared with {other}"
    runs = f"{len(row.seeds)} seeds, newest run" if len(row.seeds) > 1 else "run"
    name = f"{row.plugin} ({runs} {check.newest.run}), {metric} {numbers.score(check.score)}"
    difference = numbers.difference(check.score - check.baseline)
    verdict = "is worse than" if check.is_worse else "is not worse than"
    return f"{name}, {verdict} {other}: {difference}, allowed {numbers.score(check.allowed)}"
