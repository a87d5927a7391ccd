"""What `cfbench tune` does: a study of one plugin, or of each; then the best config's preset and runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from cfbench.cli import console
from cfbench.cli.options import dataset_name, open_or_download
from cfbench.cli.run.command import summary_line
from cfbench.cli.tune import summary
from cfbench.cli.tune.progress import Trials

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from cfbench.runs.record import Record
    from cfbench.runs.run import Setup
    from cfbench.tuning.search import Job


@dataclass(frozen=True)
class Asked:
    """The options of `cfbench tune`."""

    dataset: str | None
    split: str
    trials: int | None
    timeout: float | None
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
    results: Path
    json: bool


def tune_all(asked: Asked) -> list[dict[str, Any]]:
    """One plugin after the other; what goes wrong with one is told and no hindrance to the others."""
    from cfbench.errors import CfbenchError
    from cfbench.runs import registry
    from cfbench.tuning import space

    rows = []
    for name in registry.names():
        try:
            if space.declared(registry.load(name)):
                study = f"{asked.study}-{name}" if asked.study else None
                rows.append(tune_one(name, replace(asked, study=study)))
        except typer.Exit:  # Ctrl-C
            raise
        except CfbenchError as fault:
            console.say(f"{name} left out: {fault}")
        except Exception as fault:  # noqa: BLE001 (a plugin may raise anything in its run, which is recorded as failed)
            console.say(f"{name} left out: {type(fault).__name__}: {' '.join(str(fault).split())}")
    if not asked.json:
        summary.closing_table(rows)
    return rows


def tune_one(name: str, asked: Asked) -> dict[str, Any]:
    """Tune one plugin and tell what came of it."""
    from cfbench.runs import registry
    from cfbench.runs import run as harness
    from cfbench.tuning import search, space, study

    fixed = space.assignments(registry.load(name), asked.fixed, "--fix")
    setup = harness.configure(
        name, dataset=dataset_name(asked.dataset), flags=dict(fixed), preset=asked.preset,
        use_preset=not asked.no_preset, device=asked.device,
    )  # fmt: skip
    setup, job = _job(setup, asked)
    trials, shares = _carry_out(job, asked, setup.preset)
    told = summary.facts(job, trials, shares)
    if not asked.json:
        summary.conclude(told, setup)
    best = study.best(trials)
    if best is None:
        last = f"the last one {told['last']}" if told["last"] else "none was begun"
        console.error(f"no trial of study {job.name} finished, {last}; mend that and begin another with --study NAME")
        return told
    found = search.best_setup(setup, job, best)
    if asked.save_preset:
        told["preset"], preset = search.save_preset(found, job, trials), search.preset_name(job.plan)
        option = "" if preset == job.plan.dataset else f" --preset {preset}"
        console.say(f"kept as preset {preset} in {told['preset']}; `cfbench run {name}{option}` uses it there")
    return told | {"runs": [done.model_dump(mode="json") for done in _runs(found, job, trials, asked)]}


def _job(setup: Setup, asked: Asked) -> tuple[Setup, Job]:
    """What is to be done, and from where. The data set is let go: trials shall find no test part in memory."""
    from cfbench.tuning import database, search, study

    data = open_or_download(asked.dataset)
    split = data.split(asked.split)
    plan = search.plan(setup, data, split, asked.seed, asked.ranges)  # what is wrong shows before a database is made
    name = study.checked_name(asked.study or f"{plan.plugin}-{plan.dataset}-{plan.split}")
    where = asked.storage or database.in_folder(asked.results, name)
    if asked.preset is None and not asked.no_preset:
        setup = search.as_it_began(setup, study.start(name, where))
        plan = search.plan(setup, data, split, asked.seed, asked.ranges)
    job = search.Job(name=name, storage=where, plan=plan, device=setup.device, trials=asked.trials, deadline=None)
    return setup, job


def _carry_out(job: Job, asked: Asked, preset: str | None) -> tuple[list[FrozenTrial], dict[str, float]]:
    """The trials of the study when it is over, and what each hyper-parameter counts for."""
    from cfbench.tuning import database, search, study, workers

    begun = study.begin(job.name, job.storage, job.plan)
    past = study.ended(begun.get_trials(deepcopy=False))
    if asked.timeout is not None:
        job = job.model_copy(update={"deadline": time.time() + asked.timeout - study.seconds(past) / asked.workers})
    plan = job.plan
    origin = f"from {f'preset {preset}' if preset else 'the defaults'}"
    start = f"{study.counted(len(past))} done before" if past else origin
    console.say(
        f"study {job.name}: {plan.plugin} on {plan.dataset}, split {plan.split}, {start}, "
        f"searching {', '.join(plan.space)}"
    )
    try:
        with Trials(job, begun, asked.workers) as watcher:
            lost = workers.carry_out(job, asked.workers, watcher)
    except KeyboardInterrupt:
        done = len(study.ended(begun.get_trials(deepcopy=False)))
        console.say(f"stopped; {study.counted(done)} kept. The same command goes on")
        raise typer.Exit(130) from None
    if lost:
        console.say(f"{lost} of {asked.workers} workers were lost; the same command makes up for missing trials")
    with database.faults(job.storage):
        return study.ended(begun.get_trials(deepcopy=False)), search.importances(begun)


def _runs(found: Setup, job: Job, trials: list[FrozenTrial], asked: Asked) -> list[Record]:
    """The best config's runs, one a seed; a tuned one made before is not made again, one stopped goes on."""
    from cfbench.runs import run as harness
    from cfbench.tuning import search

    data, kept = open_or_download(asked.dataset), search.TunedResults(asked.results)
    runs = []
    for seed in range(asked.seeds):
        request = search.request(found, job, trials, data, seed)
        with console.run_progress(
            f"{found.name} seed {seed}",
            lambda stop: f"stopped after epoch {stop.epoch}; the same command goes on from there",
        ) as watcher:
            done, _ = harness.ensure(request, data, kept, watcher)
        runs.append(done)
        if not asked.json:
            console.result(summary_line(done))
    return runs
