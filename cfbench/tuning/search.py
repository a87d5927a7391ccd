"""The steps of a search: plan it, limit its time, and read its trials."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.tuning.database import storage_errors
from cfbench.tuning.database_url import study_url
from cfbench.tuning.job import WorkerJob
from cfbench.tuning.plan import plan_study, with_start_config
from cfbench.tuning.study import check_name, compute_importances, counted_trials, start_config, total_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optuna import Study
    from optuna.trial import FrozenTrial

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.runs.setup import Setup


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search does, apart from the plugin and its config."""

    seed: int
    ranges: Sequence[str]
    """Ranges in place of those that the plugin declares: `lr=1e-4:1e-2:log`."""
    study: str | None
    """The name of the study; None for one that names the plugin, the data set and the split."""
    storage: str | None
    """The URL of a database; None for a file in the results folder."""
    trials: int | None
    results: Path
    keeps_start: bool
    """Whether the study must start from the config of the setup, because a person named its preset."""


def plan_search(setup: Setup, dataset: Dataset, split: Split, options: SearchOptions) -> tuple[Setup, WorkerJob]:
    """Return the setup that the study starts from, and the job of its workers, before a database is created.

    A study that exists starts from its own config again, unless the setup has to be kept. Raises what `plan_study`
    raises, `UsageError` for a wrong name or URL, `WriteError`.
    """
    plan = plan_study(setup, dataset, split, options.seed, options.ranges)
    study = check_name(options.study or f"{plan.plugin}-{plan.dataset}-{plan.split}")
    storage = options.storage or study_url(options.results, study)
    if not options.keeps_start:
        setup = with_start_config(setup, start_config(study, storage))
        plan = plan_study(setup, dataset, split, options.seed, options.ranges)
    job = WorkerJob(name=study, storage=storage, plan=plan, device=setup.device, trials=options.trials, deadline=None)
    return setup, job


def limit_time(job: WorkerJob, trials: list[FrozenTrial], timeout: float | None, workers: int) -> WorkerJob:
    """Return the job with its deadline: all trials together may take so many seconds of each of the workers."""
    if timeout is None:
        return job
    return job.model_copy(update={"deadline": time.time() + timeout - total_seconds(trials) / workers})


def read_trials(job: WorkerJob, study: Study) -> tuple[list[FrozenTrial], dict[str, float]]:
    """Return the trials that count, and the importance of each hyper-parameter; raises `WriteError`, `RecordError`."""
    with storage_errors(job.storage):
        return counted_trials(study.get_trials(deepcopy=False)), compute_importances(study)
