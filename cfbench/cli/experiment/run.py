"""`cfbench experiment run`: the runs of experiments that are missing, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.dataset_choice import dataset_card, open_or_download
from cfbench.cli.experiment.options import NamesArgument, choose_experiments
from cfbench.cli.options import DEFAULT_RESULTS, DatasetOption, DeviceOption, JsonOption, ResultsOption, parse_time
from cfbench.cli.progress import run_progress
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cfbench.experiments.estimating import ArmTimes
    from cfbench.experiments.grid import Grid, GridRun
    from cfbench.experiments.stored import StoredRuns
    from cfbench.runs.sweep import SweepResult


def run(
    names: NamesArgument,
    dataset: DatasetOption = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, metavar="K", help="The number of seeds. Default: that of the experiment.",
                     show_default=False),
    ] = None,
    budget: Annotated[
        Any,
        typer.Option("--budget", parser=parse_time, metavar="TIME", show_default=False,
                     help="Start no run after this time, such as 30m or 2h."),
    ] = None,
    device: DeviceOption = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the experiments and list their runs.")] = False,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Make the runs of experiments on a data set, and report what they say about the claims.

    The time is estimated first. Seed 0 of all arms comes first, then seed 1, and so on. Finished runs are skipped, so
    the same command continues after Ctrl-C or a --budget, and reports what is there. A run that diverges is a result.
    The exit status is 1 when any run failed.

    Examples: cfbench experiment run depth --dataset ml-100k --seeds 5 --budget 2h;
    cfbench experiment run all --dataset ml-1m; cfbench experiment run mine.toml --dry-run
    """
    from cfbench.experiments.grid import plan_grid
    from cfbench.experiments.stored import StoredRuns
    from cfbench.runs.results import Results

    card = dataset_card(dataset)
    experiments = choose_experiments(names, card.name)
    grids = [plan_grid(experiment, card.name, seeds=seeds, device=device) for experiment in experiments]
    if dry_run:
        _print_plan(grids, json=json)
        return
    stored = StoredRuns(Results(results), open_or_download(card))
    named: list[str | Path] = [Path(name) if name.endswith(".toml") else name for name in names]
    words = [*named, *(["--seeds", str(seeds)] if seeds else []), *(["--device", device] if device != "auto" else [])]
    resume = advice.command("experiment", "run", *words, dataset=card.name, results=results)
    work = GridWork(stored, resume, None if budget is None else time.monotonic() + budget)
    try:
        _carry_out(grids, work)
    except (typer.Exit, KeyboardInterrupt) as stop:
        if isinstance(stop, KeyboardInterrupt):  # between two runs
            console.warn(f"stopped; resume it with: {resume}")
        _print_reports(grids, stored, json=json)
        raise typer.Exit(getattr(stop, "exit_code", 130)) from None
    _print_reports(grids, stored, json=json)
    for result in work.failures:
        console.say(f"failed: {result.planned}: {result.fault}")
    raise typer.Exit(1 if work.failures else 0)


@dataclass(frozen=True, eq=False)
class MissingRun:
    """A run to make."""

    grid: Grid
    run: GridRun
    number: int
    """Its place among all runs of the grid, counted from 1."""

    def __str__(self) -> str:
        return f"{self.grid.experiment.name} {self.number}/{len(self.grid.runs)} {self.run}"


@dataclass
class GridWork:
    """The runs to make, until when, and those that failed."""

    stored: StoredRuns
    resume: str
    """The command that continues."""
    deadline: float | None
    failures: list[SweepResult] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether no other run may start."""
        return self.deadline is not None and time.monotonic() >= self.deadline


def _carry_out(grids: Sequence[Grid], work: GridWork) -> None:
    """Make the missing runs of all grids, until the time is over."""
    from cfbench.experiments.estimating import ArmTimes, estimate_times
    from cfbench.runs.exposure import describe_exposures
    from cfbench.runs.sweep import find_exposures

    planned = [run.planned for grid in grids for run in grid.runs]
    console.say_notes(run.setup.device_note for run in planned)
    console.say_notes(describe_exposures(find_exposures(planned, {work.stored.dataset.card.name: work.stored.dataset})))
    times = ArmTimes()
    missing = [estimate_times(grid, times, work.stored, console.say) for grid in grids]
    for grid, runs in zip(grids, missing, strict=True):
        console.say(
            f"{grid.experiment.name} on {grid.dataset}: {len(grid.runs)} runs, {len(grid.runs) - len(runs)} of them "
            f"already there; the others take about {numbers.duration(times.left(runs))}"
        )
    if len(grids) > 1:
        total = numbers.duration(times.left(run for runs in missing for run in runs))
        console.say(f"all together take about {total}, because runs that several experiments need are made once")
    rest = _make_missing(list(_number(grids, missing)), times, work)
    for grid in grids:
        left_out = sum(step.grid is grid for step in rest)
        if left_out:
            console.say(
                f"the budget is used: {left_out} of {len(grid.runs)} runs of {grid.experiment.name} are missing; go on "
                f"with: {work.resume}"
            )


def _number(grids: Sequence[Grid], missing: Sequence[Sequence[GridRun]]) -> Iterator[MissingRun]:
    """The missing runs of all grids, one grid after the other; in a grid, those that are there come first."""
    for grid, runs in zip(grids, missing, strict=True):
        for number, run in enumerate(runs, len(grid.runs) - len(runs) + 1):
            yield MissingRun(grid, run, number)


def _make_missing(missing: list[MissingRun], times: ArmTimes, work: GridWork) -> list[MissingRun]:
    """Make the missing runs, and return those that the time did not suffice for."""
    from cfbench.runs.sweep import make_all

    rest = list(missing)

    def make(_: int, step: MissingRun, wait: bool) -> SweepResult | None:
        if work.is_over:
            return None
        stopped = f"stopped at run {step.number} of {len(step.grid.runs)}; resume it with: {work.resume}"
        left = numbers.duration(times.left(each.run for each in rest))
        with run_progress(f"{step} (about {left} left)", lambda _: stopped) as listener:
            result = work.stored.make(step.run.planned, listener, wait=wait)
        console.say(f"{step}: {_describe(result) if result else 'another process makes this run'}")
        return result

    for place, result in make_all(missing, make):
        step = missing[place - 1]
        rest.remove(step)
        if result.record is None or result.record.outcome.status == "failed":
            work.failures.append(result)
        else:
            times.learn(step.run, result.record)
    return rest


def _describe(result: SweepResult) -> str:
    if result.record is None:
        return f"failed: {result.fault}"
    outcome = result.record.outcome
    text = f"test RMSE {numbers.score(outcome.rmse)}, fitted in {numbers.duration(outcome.fit_seconds)}"
    return text + (" (diverged)" if outcome.status == "diverged" else "")


def _print_plan(grids: Sequence[Grid], *, json: bool) -> None:
    if json:
        console.print_json([
            {"experiment": grid.experiment.name, "arm": run.arm.label, "dataset": grid.dataset, "split": run.split,
             "plugin": run.arm.plugin, "seed": run.planned.seed,
             "config": run.planned.setup.config.model_dump(mode="json")}
            for grid in grids for run in grid.runs
        ])  # fmt: skip
        return
    for grid in grids:
        for run in grid.runs:
            console.result(f"{grid.experiment.name}: {run}")


def _print_reports(grids: Sequence[Grid], stored: StoredRuns, *, json: bool) -> None:
    """Print what the runs say that are there."""
    from cfbench.cli.view.experiment_page import print_report
    from cfbench.experiments.documents import report_data
    from cfbench.experiments.report import build_report

    reports = [build_report(grid, stored) for grid in grids]
    if json:
        console.print_json([report_data(report) for report in reports])
        return
    for report in reports:
        print_report(report, stored.results.root)
