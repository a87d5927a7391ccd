"""What `cfbench tune` does: a study of one plugin or of all, then the best config's preset and runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.dataset_choice import open_or_download
from cfbench.cli.options import STORAGE_VARIABLE
from cfbench.cli.progress import after_epoch, run_progress
from cfbench.cli.run.command import summary_line
from cfbench.cli.tune.progress import StudyProgress
from cfbench.cli.tune.summary import print_summary, print_tuned_plugins, warn_of_edges

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from cfbench.data.card import Card
    from cfbench.runs.record import Record
    from cfbench.runs.setup import Setup
    from cfbench.tuning.job import WorkerJob
    from cfbench.tuning.plan import StudyPlan
    from cfbench.tuning.summary import StudySummary


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """The options of `cfbench tune`."""

    card: Card
    split: str
    trials: int | None
    timeout: float | None
    """In seconds."""
    workers: int
    seed: int
    study: str | None
    storage: str | None
    ranges: list[str]
    fixed: list[str]
    preset: str | None
    no_preset: bool
    device: str
    save_preset: bool
    seeds: int
    """How many runs of the best config follow."""
    refit: bool
    """Whether these runs fit the model again, to training and validation ratings."""
    results: Path
    json: bool


def tune_all_plugins(options: TuneOptions) -> list[StudySummary]:
    """Tune each plugin that declares ranges. An error in one plugin is printed and does not stop the others."""
    from cfbench.errors import CfbenchError
    from cfbench.runs import registry
    from cfbench.tuning.space import declared_space

    summaries = []
    for name in registry.names():
        try:
            if declared_space(registry.load(name)):
                study = f"{options.study}-{name}" if options.study else None
                summaries.append(tune_plugin(name, replace(options, study=study)))
        except typer.Exit:  # Ctrl-C
            raise
        except CfbenchError as error:
            console.say(f"{name} is skipped: {error}")
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything in its run, which is recorded as failed)
            console.say(f"{name} is skipped: {type(error).__name__}: {' '.join(str(error).split())}")
    if not options.json:
        print_tuned_plugins(summaries)
    return summaries


def tune_plugin(name: str, options: TuneOptions) -> StudySummary:
    """Tune one plugin, print the result, then save the best config and run it as the options say."""
    from cfbench.tuning.best import with_best_config
    from cfbench.tuning.database import storage_errors
    from cfbench.tuning.study import best_trial
    from cfbench.tuning.summary import summarize

    setup, job = _prepare(name, options)
    trials, importances = _search(job, options, setup.preset)
    best = best_trial(trials)
    with storage_errors(job.storage):
        summary = summarize(job, trials, importances, setup.plugin)
        best_setup = None if best is None else with_best_config(setup, job.plan, best)
    if not options.json:
        print_summary(summary, setup, options.results)
    warn_of_edges(summary, _options_of_search(options, {edge.name for edge in summary.edges}), options.results)
    if best_setup is None:
        last = f"the last one {summary.last}" if trials else "none has started"
        console.error(
            f"no trial of study {job.name} finished, {last}; "
            "correct the cause, then start another study with --study NAME"
        )
        return summary
    if options.save_preset:
        summary = replace(summary, preset=_save_preset(best_setup, job, trials, options.results))
    return replace(summary, runs=_run_best(best_setup, job, trials, options))


def _options_of_search(options: TuneOptions, without: set[str]) -> list[str]:
    """The options of the same search on the command line, but not the ranges of the hyper-parameters `without`."""
    from cfbench.tuning.database_url import typed_url

    names = (text.partition("=")[0].strip().removeprefix("--").replace("-", "_") for text in options.ranges)
    search = [f"--range={text}" for name, text in zip(names, options.ranges, strict=True) if name not in without]
    search += ["--no-preset"] if options.no_preset else []
    search += ["--preset", options.preset] if options.preset else []
    search += ["--trials", str(options.trials)] if options.trials else []
    search += ["--timeout", f"{options.timeout:.0f}s"] if options.timeout else []
    if options.storage and options.storage != os.environ.get(STORAGE_VARIABLE):
        search += ["--storage", typed_url(options.storage)]
    return search


def _prepare(name: str, options: TuneOptions) -> tuple[Setup, WorkerJob]:
    """The setup that the study starts from, and the job of its workers.

    The data set is dropped at the end, so that no test part is in memory while trials run.
    """
    from cfbench.runs import registry
    from cfbench.runs.exposure import describe_exposures, find_exposure
    from cfbench.runs.setup import configure
    from cfbench.tuning.search import SearchOptions, plan_search
    from cfbench.tuning.space import parse_assignments

    fixed = parse_assignments(registry.load(name), options.fixed, "--fix")
    setup = configure(
        name, dataset=options.card.name, split=options.split, flags=dict(fixed), preset=options.preset,
        use_preset=not options.no_preset, device=options.device, refit=options.refit,
    )  # fmt: skip
    console.say_notes([setup.device_note])
    dataset = open_or_download(options.card)
    split = dataset.split(options.split)
    console.say_notes(describe_exposures([(split.name, find_exposure(setup.preset, dataset, split))]))
    search = SearchOptions(
        seed=options.seed, ranges=options.ranges, study=options.study, storage=options.storage, trials=options.trials,
        results=options.results, keeps_start=options.preset is not None or options.no_preset,
    )  # fmt: skip
    return plan_search(setup, dataset, split, search)


def _search(job: WorkerJob, options: TuneOptions, preset: str | None) -> tuple[list[FrozenTrial], dict[str, float]]:
    """Add trials to the study; returns those that count, and the importance of each hyper-parameter."""
    from cfbench.tuning.database import storage_errors
    from cfbench.tuning.search import limit_time, read_trials
    from cfbench.tuning.study import counted_trials, format_count, open_or_create
    from cfbench.tuning.workers import run_workers

    study = open_or_create(job.name, job.storage, job.plan)
    trials = counted_trials(study.get_trials(deepcopy=False))
    job = limit_time(job, trials, options.timeout, options.workers)
    console.say(_announcement(job.name, job.plan, len(trials), preset))
    try:
        with storage_errors(job.storage), StudyProgress(job, study, options.workers) as progress:
            lost = run_workers(job, options.workers, progress)
    except KeyboardInterrupt:
        count = len(counted_trials(study.get_trials(deepcopy=False)))
        console.say(f"stopped; {format_count(count)} recorded. The same command resumes the study")
        raise typer.Exit(130) from None
    if lost:
        console.say(
            f"{lost} of {options.workers} workers failed or were killed; the same command adds the missing trials"
        )
    return read_trials(job, study)


def _announcement(study: str, plan: StudyPlan, count: int, preset: str | None) -> str:
    from cfbench.tuning.study import format_count

    if count:
        progress = f"resumes after {format_count(count)}"
    elif preset:
        progress = f"starts from preset {preset}"
    else:
        progress = "starts from the defaults"
    where = f"{plan.plugin} on {plan.dataset}, split {plan.split}"
    return f"study {study}: {where}, {progress}, searches {', '.join(plan.space)}"


def _save_preset(best_setup: Setup, job: WorkerJob, trials: list[FrozenTrial], results: Path) -> str:
    """Save the best config as a preset, print how to use it, and return its file."""
    from cfbench.tuning.presets import preset_name, save_preset

    file, preset, plan = save_preset(best_setup, job, trials), preset_name(job.plan), job.plan
    option = [] if preset == plan.dataset else ["--preset", preset]
    command = advice.command("run", plan.plugin, *option, dataset=plan.dataset, split=plan.split, results=results)
    console.say(f"saved as preset {preset} in {file}; `{command}` uses it")
    return str(file)


def _run_best(best_setup: Setup, job: WorkerJob, trials: list[FrozenTrial], options: TuneOptions) -> tuple[Record, ...]:
    """Run the best config once for each seed. A finished tuned run is not repeated, a stopped one resumes."""
    from cfbench.runs import run
    from cfbench.tuning.best import TunedResults, best_run_request

    dataset, results = open_or_download(options.card), TunedResults(options.results)
    records = []
    for seed in range(options.seeds):
        request = best_run_request(best_setup, job, trials, dataset, seed)
        with run_progress(
            f"{best_setup.name} seed {seed}",
            lambda stop: f"stopped{after_epoch(stop)}; the same command resumes the run",
        ) as listener:
            record, _ = run.ensure(request, dataset, results, listener)
        records.append(record)
        console.say_doubts(record)
        if not options.json:
            console.result(summary_line(record))
    return tuple(records)
