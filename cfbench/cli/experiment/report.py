"""`cfbench experiment report`: the tables and the verdicts of experiments, from the runs that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.experiment.options import ALL, NamesArgument, choose_experiments
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cfbench.experiments.definition import Experiment
    from cfbench.experiments.report import ExperimentReport

ReportFormat: TypeAlias = Literal["text", "md", "json"]


def report(
    names: NamesArgument = [ALL],  # noqa: B006 (Typer copies it)
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="NAME", show_default=False, autocompletion=completion.datasets,
                     help="Report this data set; may be repeated. Default: each one that the experiments name "
                     "and that is downloaded, or else the current one."),
    ] = None,
    form: Annotated[ReportFormat, typer.Option("--format", help="The output format; md is a whole page.")] = "text",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Print what the runs say about the claims: a table beside the paper's values, and a verdict on each claim.

    A claim holds, does not hold, or is undecided, which means that the interval covers no difference, or that runs are
    missing. Intervals are 95 %: over users and seeds for the test RMSE, over seeds for what learning curves say. One
    seed decides nothing.

    Examples: cfbench experiment report depth --dataset ml-1m; cfbench experiment report --format md
    """
    from cfbench.cli.view import experiment_page
    from cfbench.experiments.documents import report_data

    experiments = choose_experiments(names)
    form = "json" if json else form
    reports = _build_reports(experiments, dataset, results)
    if form == "json":
        console.print_json([report_data(report) for report in reports])
    elif form == "md":
        from cfbench.cli.view.experiment_document import page

        console.document(page(experiments, reports))
    else:
        for each in reports:
            experiment_page.print_report(each, results)
        if not reports:
            download = advice.command("download", "NAME")
            console.say(f"no data set of these experiments is downloaded; `{download}` gets one")


def _build_reports(
    experiments: Sequence[Experiment], datasets: list[str] | None, results: Path
) -> list[ExperimentReport]:
    """The report of each experiment on each data set; raises `UsageError` if a data set is not downloaded."""
    from cfbench.data import card, store
    from cfbench.experiments.report import build_report, plan_stored_grid
    from cfbench.experiments.stored import StoredRuns
    from cfbench.runs.results import Results

    declared = dict.fromkeys(name for experiment in experiments for name in experiment.scales)
    ready = [name for name in (*declared, store.current()) if name in card.names() and store.is_ready(card.load(name))]
    names = datasets or [name for name in ready if name in declared] or ready
    stored = {name: StoredRuns(Results(results), store.open_dataset(card.load(name))) for name in names}
    pairs = [
        (experiment, runs)
        for experiment in experiments
        for name, runs in stored.items()
        if len(experiments) == 1 or experiment.is_made_for(name)
    ]
    return [build_report(plan_stored_grid(experiment, runs), runs) for experiment, runs in pairs]
