"""What `cfbench tune` prints: the result of a study, and of all tuned plugins."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from cfbench import advice
from cfbench.cli import console
from cfbench.report.numbers import NONE, duration, hyper_parameter, score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from cfbench.runs.record import Record
    from cfbench.runs.setup import Setup
    from cfbench.tuning.plan import StudyPlan
    from cfbench.tuning.summary import BestTrial, StudySummary


def print_summary(summary: StudySummary, setup: Setup, results: Path) -> None:
    """Print the best config and the command that runs it, on standard output."""
    from cfbench.tuning.study import format_count

    plan, best = summary.plan, summary.best
    counts = ", ".join(f"{count} {name}" for name, count in summary.counts.items() if count)
    console.result(
        f"{plan.plugin} on {plan.dataset}, split {plan.split}: {format_count(summary.trials)} ({counts}) "
        f"in {duration(summary.seconds)}, recorded in {summary.storage}"
    )
    if best is None:
        return
    gain = _describe_gain(summary.start_rmse, best.valid_rmse)
    console.result(f"best: trial {best.trial}, validation RMSE {best.valid_rmse:.4f}{gain}")
    console.out().print(_config_table(plan, best, summary.importances))
    words = ["run", plan.plugin, *_run_options(best, setup)]
    command = advice.command(*words, dataset=plan.dataset, split=plan.split, results=results)
    console.result(f"run it: {command}")


def warn_of_edges(summary: StudySummary, options: list[str], results: Path) -> None:
    """Say which best values lie at an edge of their range, and the command that searches wider with these options."""
    from cfbench.tuning.edges import wider_search

    for edge in summary.edges:
        console.say(f"warning: {edge}")
    if summary.edges:
        command = wider_search(summary.plan, list(summary.edges), summary.study, options, results)
        console.say(f"search wider: {command}")


def _run_options(best: BestTrial, setup: Setup) -> list[str]:
    """The options that make `cfbench run` use the best config."""
    from cfbench.runs.rerun import config_options

    options = ["--no-preset", *(["--refit"] if setup.refit else [])]
    return options + config_options(setup.plugin.config, best.config, setup.device)


def _describe_gain(start_rmse: float | None, best_rmse: float) -> str:
    if start_rmse is None:
        return "; the start config did not finish"
    if start_rmse == best_rmse:
        return ", that of the start config"
    return f", {start_rmse - best_rmse:.4f} better than the {start_rmse:.4f} of the start config"


def _config_table(plan: StudyPlan, best: BestTrial, importances: dict[str, float]) -> Table:
    """The hyper-parameters that were searched, the most important first."""
    table = _table("hyper-parameter", "start", "best", "importance")
    for name in dict.fromkeys([*importances, *plan.space]):
        importance = f"{importances[name]:.0%}" if name in importances else ""
        table.add_row(name, _short(plan.start[name]), _short(best.config[name]), importance)
    return table


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else hyper_parameter(value)


def print_tuned_plugins(summaries: list[StudySummary]) -> None:
    """Print a table of the tuned plugins, the smallest validation RMSE first; with the test RMSE of their runs."""
    table = _table("plugin", "trials", "time", "start", "best", "better by", "test RMSE")
    for summary in sorted(summaries, key=lambda summary: summary.best.valid_rmse if summary.best else inf):
        table.add_row(
            summary.plan.plugin, str(summary.trials), duration(summary.seconds), score(summary.start_rmse),
            score(summary.best.valid_rmse if summary.best else None), score(summary.improvement),
            _mean_test_rmse(summary.runs or ()),
        )  # fmt: skip
    console.out().print(table)


def _mean_test_rmse(runs: Sequence[Record]) -> str:
    scores = [record.outcome.rmse for record in runs if record.outcome.rmse is not None]
    return f"{sum(scores) / len(scores):.4f} of {len(scores)}" if scores else NONE


def _table(*headings: str) -> Table:
    """An empty table of these headings, whose cells are folded where they are too wide."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
