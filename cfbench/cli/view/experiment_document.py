"""The reports of experiments as a page in Markdown: docs/reproduction.md is this page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli.view import experiment_page, tables
from cfbench.cli.view.tables import Column
from cfbench.experiments.grid import plan_grid
from cfbench.experiments.netflix_hours import DEVICE, netflix_hours
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cfbench.experiments.claims import Claim
    from cfbench.experiments.definition import Experiment, ExperimentScale
    from cfbench.experiments.report import ExperimentReport
    from cfbench.experiments.verdict import Verdict

INTRODUCTION = """\
# The paper, tested

Kuchaiev and Ginsburg, "Training Deep AutoEncoders for Collaborative Filtering" (arXiv:1708.01715), make claims about
deep autoencoders on the Netflix Prize. This page tests them on other data, and lists the commands for the Netflix
Prize. `make reproduce` makes all of it from nothing: it downloads the data, makes the runs that are missing, and
writes this page with `cfbench experiment report --format md`.

A claim **holds** if the 95 % interval of every difference that it is about lies where the claim says. It **does not
hold** if one of them is significantly the other way round, after Holm's correction. Otherwise it is **undecided**: an
interval covers no difference, or seeds are missing, because one seed decides nothing. The interval of a test RMSE is
over users and seeds, that of a learning curve's value over seeds. A seed whose training diverged counts as infinitely
bad; where that happens, seeds are compared by their ranks. In the figures, a curve is the mean over seeds, and its band
reaches from the lowest to the highest seed; a seed whose training diverged has a thin line that ends in ×.

The paper's values are for the Netflix Prize. They stand beside the measured ones for their order, not for their size;
≈ marks a value that was read off a figure, and * a mean without the seeds that diverged.
"""

NETFLIX = """\
## The Netflix Prize

`cfbench download netflix` gets the data, and `cfbench download netflix --from-file PATH` takes a copy of your own.
Each experiment has the paper's recipe there: 100 epochs, batches of 128 users, the learning rate halved after epochs
24, 36, 48, 66 and 72. The commands continue after an interruption, and `cfbench experiment report` adds the runs to
this page.

The hours are computed, not measured: an {device} needs at least so many for all training iterations, if each matrix
product and each optimizer step runs at the device's published peak, in float32. Small kernels and validation make a run
slower, by a factor that only a measurement tells: each command estimates its time from a short trial before it starts,
and `cfbench bench deepae --device cuda` compares a device with its own roofline. Weights, momentum, gradients and
ratings of the largest network take about 2 GB on the device. On two cores without a GPU, an epoch of it takes 349 s and
6.2 GB of memory (docs/performance.md), so that a run of 100 epochs takes about 10 hours.
"""


def page(
    experiments: Sequence[Experiment], reports: Sequence[ExperimentReport], figures: Mapping[ExperimentReport, Path]
) -> str:
    """The whole page: an introduction, all verdicts, a section for each experiment, and the Netflix Prize.

    `figures` has the file of a report's figure, relative to the page, for each report that has one.
    """
    parts = [INTRODUCTION, "## All verdicts\n", _verdicts(reports)]
    for experiment in experiments:
        parts += _section(experiment, [report for report in reports if report.grid.experiment is experiment], figures)
    parts += [NETFLIX.format(device=DEVICE), _netflix_table(experiments)]
    return "\n".join(parts)


def _verdicts(reports: Sequence[ExperimentReport]) -> str:
    """A row for each claim, and a column for each data set."""
    datasets = list(dict.fromkeys(report.grid.dataset for report in reports))
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    for report in reports:
        for verdict in report.verdicts:
            row = cells.setdefault((report.grid.experiment.name, verdict.claim.text), {})
            where = f"{verdict.split}: " if len(report.splits) > 1 else ""
            row.setdefault(report.grid.dataset, []).append(f"{where}{verdict.decision} ({_seeds(verdict)})")
    return tables.markdown([
        Column("experiment", [name for name, _ in cells]),
        Column("claim", [text for _, text in cells]),
        *(Column(name, ["; ".join(row.get(name, [])) for row in cells.values()]) for name in datasets),
    ])  # fmt: skip


def _seeds(verdict: Verdict) -> str:
    if verdict.claim.kind == "exact":
        return "exact"
    return numbers.seeds(verdict.seeds)


def _section(
    experiment: Experiment, reports: Sequence[ExperimentReport], figures: Mapping[ExperimentReport, Path]
) -> Iterator[str]:
    yield f"## {experiment.title}\n"
    yield f"{experiment.setup}\n"
    yield "".join(f"- {claim.text} ({_source(claim)})\n" for claim in experiment.claims)
    for report in reports:
        yield from _results(report)
        if report in figures:
            yield f"![{experiment.title}, {report.grid.dataset}]({figures[report].as_posix()})\n"


def _source(claim: Claim) -> str:
    if claim.origin == "ours":
        return "a claim of this project, not of the paper"
    return f"{'the reference implementation' if claim.origin == 'reference' else 'the paper'}, {claim.where}"


def _results(report: ExperimentReport) -> Iterator[str]:
    """The tables and verdicts of an experiment on one data set, with the command that makes them."""
    grid = report.grid
    for split in report.splits:
        yield f"### {grid.experiment.name} on {grid.dataset}, {split.split}\n"
        yield f"{_recipe(grid.experiment.scale(grid.dataset))}\n"
        yield tables.markdown(tables.drop_empty(experiment_page.arm_columns(split, report.measures)))
        for verdict in split.verdicts:
            lines = "".join(f"  - {line}\n" for line in experiment_page.verdict_lines(verdict))
            yield f"- **{verdict.decision}**: {verdict.claim.text}\n{lines}"
    yield f"{report.made} of {len(grid.runs)} runs, {numbers.seeds(grid.seeds)}:\n"
    yield f"    cfbench experiment run {grid.experiment.name} --dataset {grid.dataset}\n"


def _recipe(scale: ExperimentScale) -> str:
    """What differs from the recipe of the paper, and why."""
    settings = [f"{plugin} {numbers.settings(values)}" for plugin, values in scale.overrides.items()]
    if not settings:
        return "The recipe of the paper."
    return f"Unlike in the paper: {', '.join(settings)}. {scale.why}".rstrip()


def _netflix_table(experiments: Sequence[Experiment]) -> str:
    """A row for each experiment that has a grid for the Netflix Prize."""
    made_for_it = [experiment for experiment in experiments if experiment.is_made_for("netflix")]
    costs = [netflix_hours(plan_grid(experiment, "netflix")) for experiment in made_for_it]
    commands = [f"`cfbench experiment run {each.name} --dataset netflix --device cuda`" for each in made_for_it]
    return tables.markdown([
        Column("command", commands),
        Column("runs", [str(cost.runs) for cost in costs], right=True),
        Column("hours at least", [f"{cost.hours:.1f}" for cost in costs], right=True),
    ])  # fmt: skip
