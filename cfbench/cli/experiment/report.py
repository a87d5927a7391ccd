"""`cfbench experiment report`: the tables and the verdicts of experiments, from the runs that are there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.experiment.options import ALL, NamesArgument, choose_experiments
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", show_default=False, help="Write the page to this file.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="FOLDER", show_default=False,
                     help="Draw a figure of each experiment and data set in this folder, as .svg and .png; the page "
                     "of md then shows them."),
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Print what the runs say about the claims: a table beside the paper's values, and a verdict on each claim.

    A claim holds, does not hold, or is undecided, which means that the interval covers no difference, or that runs are
    missing. Intervals are 95 %: over users and seeds for the test RMSE, over seeds for what learning curves say. One
    seed decides nothing.

    Examples: cfbench experiment report depth --dataset ml-1m; cfbench experiment report --figures figures; cfbench
    experiment report --format md --out page.md --figures figures
    """
    from cfbench.cli.view import experiment_page
    from cfbench.experiments.documents import report_data

    experiments = choose_experiments(names)
    form = "json" if json else form
    if out is not None and form != "md":
        raise typer.BadParameter("--out is for the page; add --format md")
    if figures is not None:
        from cfbench.report.drawing import require_matplotlib

        require_matplotlib()
    reports = _build_reports(experiments, dataset, results)
    drawn = _draw(reports, figures) if figures is not None else {}
    if form == "json":
        console.print_json([report_data(report) for report in reports])
    elif form == "md":
        _write_page(experiments, reports, drawn, out)
    else:
        for each in reports:
            experiment_page.print_report(each, results)
        if not reports:
            download = advice.command("download", "NAME")
            console.say(f"no data set of these experiments is downloaded; `{download}` gets one")


def _draw(reports: Sequence[ExperimentReport], folder: Path) -> dict[ExperimentReport, Path]:
    """Draw the reports that have runs; return the .svg file of each."""
    from cfbench.files import write_errors
    from cfbench.report.experiment_figures import draw_experiment

    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for report in reports:
        if report.made:
            name, dataset = report.grid.experiment.name, report.grid.dataset
            word = str(report.grid.experiment.word)
            words = ("cfbench", "experiment", "report", word, "--dataset", dataset, "--figures", str(folder))
            drawn[report] = folder / f"{name}-{dataset}.svg"
            draw_experiment(report, [drawn[report], drawn[report].with_suffix(".png")], shlex.join(words))
    console.say(f"drew {len(drawn)} figures in {folder}")
    return drawn


def _write_page(
    experiments: Sequence[Experiment],
    reports: Sequence[ExperimentReport],
    drawn: dict[ExperimentReport, Path],
    out: Path | None,
) -> None:
    """Print the page, or write it to a file that appears only when it is complete; its links are relative to it."""
    from cfbench.cli.view.experiment_document import page
    from cfbench.files import atomic_file, write_errors

    links = {report: Path(os.path.relpath(path, out.parent if out else ".")) for report, path in drawn.items()}
    text = page(experiments, reports, links)
    if out is None:
        console.document(text)
        return
    with write_errors(out), atomic_file(out) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    console.say(f"wrote {out}")


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
