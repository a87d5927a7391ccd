"""Searches for hyper-parameters in the process of the caller, in silence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from cfbench.api.datasets import Data, as_data
from cfbench.api.places import open_results
from cfbench.api.running import check_seed, make_run, warn_of
from cfbench.api.trials import TrialResult, TrialWatcher
from cfbench.errors import UsageError
from cfbench.runs import registry
from cfbench.runs.exposure import describe_exposures, find_exposure
from cfbench.runs.setup import configure
from cfbench.tuning.best import TunedResults, best_run_request, with_best_config
from cfbench.tuning.database import storage_errors
from cfbench.tuning.presets import save_preset
from cfbench.tuning.search import SearchOptions, limit_time, plan_search, read_trials
from cfbench.tuning.study import best_trial, counted_trials, open_or_create
from cfbench.tuning.summary import StudySummary, summarize
from cfbench.tuning.workers import run_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import polars as pl
    from optuna.trial import FrozenTrial

    from cfbench.api.datasets import DataSplit
    from cfbench.api.runs import Run
    from cfbench.contract import Epoch
    from cfbench.runs.results import Results
    from cfbench.runs.setup import Setup
    from cfbench.tuning.edges import Edge
    from cfbench.tuning.job import WorkerJob
    from cfbench.tuning.summary import BestTrial


@dataclass(frozen=True, eq=False, repr=False)
class TunedStudy:
    """The result of a search; all errors are RMSE on the validation part."""

    summary: StudySummary
    """What the command line prints as JSON."""
    results: Results
    """The results folder of its runs."""
    _setup: Setup
    _job: WorkerJob
    _trials: list[FrozenTrial]
    _data: Data

    @property
    def name(self) -> str:
        """The name of the study, under which the command line knows it too."""
        return self.summary.study

    @property
    def best(self) -> BestTrial | None:
        """The best trial: `best.trial`, `best.valid_rmse`, `best.config`; None if no trial finished."""
        return self.summary.best

    @property
    def start_rmse(self) -> float | None:
        """The error of the config that the study started from."""
        return self.summary.start_rmse

    @property
    def importances(self) -> dict[str, float]:
        """The share of each hyper-parameter in the variation of the error; empty after fewer than ten trials."""
        return self.summary.importances

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The best values at an edge of their range, where a wider range may hold better ones."""
        return self.summary.edges

    @cached_property
    def trials(self) -> pl.DataFrame:
        """One row for each trial: number, state, valid_rmse, seconds, outcome, and each hyper-parameter searched."""
        import polars as pl

        rows = []
        for result in map(TrialResult.of, self._trials):
            searched = {name: result.config.get(name) for name in self._job.plan.space}
            facts = {key: getattr(result, key) for key in ("number", "state", "valid_rmse", "seconds", "outcome")}
            rows.append(facts | searched)
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)

    def run(self, *, seed: int = 0, refit: bool = False, progress: Callable[[Epoch], None] | None = None) -> Run:
        """Run the best config and score it on the test part; an equal run that is finished is returned.

        The record says how many trials found the config. Raises `UsageError` if no trial finished, and what
        `cfbench.run` raises.
        """
        check_seed(seed)
        setup = replace(self._best_setup(), refit=refit)
        request = best_run_request(setup, self._job, self._trials, self._data.dataset, seed)
        run = make_run(request, self._data.dataset, TunedResults(self.results.root), progress, skip_finished=True)
        warn_of(run.notes)
        return run

    def save_preset(self) -> Path:
        """Save the best config as your own preset of the data set, as `cfbench tune --save-preset`; return its file."""
        return save_preset(self._best_setup(), self._job, self._trials)

    def _best_setup(self) -> Setup:
        best = best_trial(self._trials)
        if best is None:
            last = self.summary.last or "never began"
            raise UsageError(f"no trial of study {self.name} finished; the last one {last}")
        return with_best_config(self._setup, self._job.plan, best)

    def __repr__(self) -> str:
        best = "no trial finished" if self.best is None else f"best validation RMSE {self.best.valid_rmse:.4f}"
        return f"<TunedStudy {self.name}: {self.summary.trials} trials, {best}>"


def tune(  # noqa: PLR0913 (each has a name)
    plugin: str,
    data: Data | str,
    /,
    *,
    split: str | DataSplit | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    workers: int = 1,
    seed: int = 0,
    ranges: Mapping[str, str] | None = None,
    fixed: Mapping[str, Any] | None = None,
    preset: str | Literal[False] | None = None,
    device: str = "auto",
    study: str | None = None,
    storage: str | None = None,
    results: str | Path | None = None,
    progress: Callable[[TrialResult], None] | None = None,
) -> TunedStudy:
    """Search the hyper-parameters with the smallest validation RMSE, as `cfbench tune` does.

    The study has 50 trials in all, or `trials`, or those of `timeout` seconds. `ranges` are those of `--range`, and
    `fixed` holds values that are not searched. `progress` is called with each trial that has ended; an error of it
    stops the search and passes on. The same call
    resumes a study, also after Ctrl-C. Several workers, or a timeout, need processes of their own: a plugin that is
    registered in this process takes neither. Raises `UnknownNameError`, `ConfigError`, `SplitError`, `UsageError`,
    `WriteError`.

    >>> study = cfbench.tune("als", data, trials=30, ranges={"reg": "1:100:log"}, fixed={"epochs": 10})
    >>> study.best.config, study.trials, study.run(seed=1).scores
    """
    opened, stored_runs = as_data(data), open_results(results)
    name = opened.one_split(split)
    check_seed(seed)
    _check_limits(plugin, trials, timeout, workers)
    setup = configure(
        plugin, dataset=opened.name, split=name, flags=dict(fixed or {}), preset=preset or None,
        use_preset=preset is not False, device=device,
    )  # fmt: skip
    cut = opened.dataset.split(name)
    exposure = find_exposure(setup.preset, opened.dataset, cut)
    warn_of([setup.device_note, *describe_exposures([(name, exposure)])])
    options = SearchOptions(
        seed=seed, ranges=[f"{key}={text}" for key, text in (ranges or {}).items()], study=study, storage=storage,
        trials=50 if trials is None and timeout is None else trials, results=stored_runs.root,
        keeps_start=preset is not None,
    )  # fmt: skip
    setup, job = plan_search(setup, opened.dataset, cut, options)
    ended, importances = _search(job, timeout, workers, progress)
    with storage_errors(job.storage):
        summary = summarize(job, ended, importances, setup.plugin)
    return TunedStudy(summary, stored_runs, setup, job, ended, opened)


def _check_limits(plugin: str, trials: int | None, timeout: float | None, workers: int) -> None:
    """Raise `UsageError` for limits that no study can have."""
    if any(limit is not None and limit <= 0 for limit in (trials, timeout, workers)):
        raise UsageError(f"expected trials, timeout and workers above 0, got {trials}, {timeout} and {workers}")
    if registry.is_registered(plugin) and (workers > 1 or timeout is not None):
        raise UsageError(
            f"{plugin} is registered in this process only, and other processes would not find it; leave out workers "
            "and timeout, or announce it in a package (docs/plugins.md)"
        )


def _search(
    job: WorkerJob, timeout: float | None, workers: int, progress: Callable[[TrialResult], None] | None
) -> tuple[list[FrozenTrial], dict[str, float]]:
    """Add trials to the study; returns those that count, and the importance of each hyper-parameter."""
    study = open_or_create(job.name, job.storage, job.plan)
    job = limit_time(job, counted_trials(study.get_trials(deepcopy=False)), timeout, workers)
    watcher = TrialWatcher(study, progress)
    try:
        with storage_errors(job.storage):
            run_workers(job, workers, watcher)
            watcher.report()
    except KeyboardInterrupt:
        if watcher.callback.fault is not None:
            raise watcher.callback.fault from None
        raise
    return read_trials(job, study)
