"""The report of an experiment on the terminal: the table of its arms, and the verdicts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.view import tables
from cfbench.cli.view.tables import Column
from cfbench.report import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.experiments.claims import Measure
    from cfbench.experiments.measures import ArmReport
    from cfbench.experiments.reasons import Reason
    from cfbench.experiments.report import ExperimentReport, SplitReport
    from cfbench.experiments.verdict import Effect, Verdict

HEADINGS: dict[Measure, str] = {
    "test": "test RMSE", "best": "best validation", "final": "last validation", "overfit": "last − best",
    "train": "train RMSE", "parameters": "parameters",
}  # fmt: skip


def print_report(report: ExperimentReport, results: Path) -> None:
    """Print the tables and verdicts of each split, and what is missing; its runs are in `results`."""
    from rich.text import Text

    out, experiment, dataset = console.out(), report.grid.experiment, report.grid.dataset
    for split in report.splits:
        protocol = f" ({split.protocol})" if split.protocol else ""
        out.print(
            Text.assemble((experiment.title, "bold"), f": {experiment.name} on {dataset}, {split.split}{protocol}")
        )
        tables.print_table(arm_columns(split, report.measures))
        for verdict in split.verdicts:
            console.result(f"{verdict.decision.upper()}: {verdict.claim.text}")
            for line in verdict_lines(verdict):
                console.result(f"    {line}")
    console.result(_state(report, results))


def _state(report: ExperimentReport, results: Path) -> str:
    """How many runs there are, and how to make the missing ones."""
    grid, seeds = report.grid, numbers.seeds(report.grid.seeds)
    text = f"{report.made} of {len(grid.runs)} runs of {grid.experiment.name} on {grid.dataset}, {seeds}"
    if not report.missing:
        return text
    if report.outdated:
        text += f" ({report.outdated} of the others were made by other code of their plugin, and do not count)"
    command = advice.command("experiment", "run", grid.experiment.word, dataset=grid.dataset, results=results)
    return f"{text}; the others: {command}"


def arm_columns(split: SplitReport, measures: tuple[Measure, ...]) -> list[Column]:
    """A row for each arm: each measure with its interval, and the paper's value beside it."""
    arms = split.arms
    columns = [
        Column("arm", [arm.arm.label for arm in arms]),
        Column("seeds", [str(len(arm.runs)) for arm in arms], 1, right=True, keep=True),
        Column("diverged", [str(arm.diverged or "") for arm in arms], 1, right=True),
    ]
    for place, measure in enumerate(measures, 1):
        heading = HEADINGS[measure]
        columns.append(Column(heading, [_measured(arm, measure) for arm in arms], 2 * place, right=True))
        paper = [_published(arm, measure) for arm in arms]
        columns.append(Column(f"paper: {heading}", paper, 2 * place + 1, right=True))
    return columns


def _measured(arm: ArmReport, measure: Measure) -> str:
    value = arm.measured(measure)
    if not value.seeds:
        return "diverged" if value.diverged else numbers.NONE
    if measure == "parameters":
        return numbers.count(round(value.mean))
    ends = "" if math.isnan(value.low) else f" ({numbers.interval((value.low, value.high))})"
    return numbers.score(value.mean) + ends + "*" * bool(value.diverged)


def _published(arm: ArmReport, measure: Measure) -> str:
    value = arm.published(measure)
    if value is None:
        return ""
    text = numbers.count(round(value.value)) if measure == "parameters" else f"{value.value:g}"
    return f"≈ {text}" if value.approximate else text


def verdict_lines(verdict: Verdict) -> list[str]:
    """The effects that tell most about a verdict, and why it is not `holds`."""
    shown = verdict.telling
    lines = [_effect_line(effect) for effect in shown]
    if verdict.decision == "does not hold":
        lines += dict.fromkeys(_reason_line(effect.reason) for effect in shown if effect.reason)
    others = len(verdict.effects) - len(shown)
    if others and lines:
        lines.append(f"and {others} more {'effect' if others == 1 else 'effects'}")
    return [*lines, verdict.too_few] if verdict.too_few else lines


def _effect_line(effect: Effect) -> str:
    if effect.quantity == "count":
        return f"{effect.label}: {effect.size:+.0f}"
    form = numbers.share if effect.quantity == "share" else numbers.difference
    ends = f"{form(effect.low)} to {form(effect.high)}"
    return f"{effect.label}: {form(effect.size)} ({ends}), over {effect.over}, {numbers.seeds(effect.seeds)}"


def _reason_line(reason: Reason) -> str:
    """What learning curves say about an arm that is worse than the claim says."""
    fits = f"(training RMSE {numbers.score(reason.train)} against {numbers.score(reason.other_train)})"
    text = {
        "underfits": f"{reason.arm} also fits the training ratings less well than {reason.other} {fits}",
        "overfits": f"{reason.arm} overfits: it fits the training ratings better than {reason.other} {fits}",
        "unknown": f"{reason.arm} has other noise in training than {reason.other}, so that their fits do not compare",
    }[reason.fit]
    if reason.unfinished is None:
        return text
    return f"{text}; its validation RMSE was still falling when training ended, after epoch {reason.unfinished}"
