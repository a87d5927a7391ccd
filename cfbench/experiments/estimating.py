"""How long the runs of a grid will take: from finished runs of the same arm, or from a short trial of it.

A trial fits the model on the training part for a few seconds, and is then given up. It sees no test rating.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from cfbench.contract import Context, DivergedError
from cfbench.errors import PluginError
from cfbench.runs.job import add_titles, training_parts
from cfbench.runs.plugin_calls import plugin_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cfbench.contract import Epoch
    from cfbench.data.store import Dataset
    from cfbench.experiments.grid import Grid, GridRun
    from cfbench.experiments.stored import StoredRuns
    from cfbench.runs.record import Record
    from cfbench.runs.sweep import PlannedRun

ArmKey: TypeAlias = tuple[str, str, str]
"""The split, the plugin and the config of an arm."""
TRIAL_SECONDS = 3.0
"""How long a trial may train, once the first batch is finished."""
TRIAL_EPOCHS = 2
"""A trial ends after these epochs at the latest."""


class _TrialOverError(Exception):
    """Ends the fit of a trial."""


@dataclass
class _Trial:
    """Measures the epochs of a fit, from the end of its first batch or epoch, and ends the fit."""

    start: float | None = None
    done: float = 0.0
    """The epochs that were finished at the start."""
    seconds: float | None = None
    """The measured seconds of one epoch."""
    epochs: int | None = None
    """The number of epochs of the whole fit, as the model reports it."""

    def batch(self, epoch: int, finished: int, total: int) -> None:
        """A batch has finished."""
        self._measure(epoch - 1 + finished / total)

    def report(self, epoch: Epoch) -> None:
        """An epoch has finished."""
        self.epochs = epoch.epochs
        self._measure(epoch.epoch)
        if epoch.epoch >= TRIAL_EPOCHS:
            raise _TrialOverError

    def _measure(self, done: float) -> None:
        now = time.perf_counter()
        if self.start is None:
            self.start, self.done = now, done
        elif done > self.done:
            self.seconds = (now - self.start) / (done - self.done)
            if now - self.start > TRIAL_SECONDS:
                raise _TrialOverError


def try_fit(planned: PlannedRun, dataset: Dataset) -> float:
    """Return about how many seconds the fit of a run will take; raises `PluginError`, `DataError`s."""
    setup, trial = planned.setup, _Trial()
    train, valid = training_parts(setup.plugin, dataset, dataset.split(planned.split))
    context = Context(planned.seed, setup.device, report=trial.report, batch=trial.batch)
    add_titles(context, setup.plugin, dataset)
    start = time.perf_counter()
    try:
        with plugin_call(setup.name, "build"):
            model = setup.plugin.build(setup.config)
        _fit(setup.name, model, (train, valid, context))
    except (_TrialOverError, DivergedError):
        pass
    else:
        return time.perf_counter() - start
    epochs = trial.epochs or int(getattr(setup.config, "epochs", 1))
    return epochs * (trial.seconds or time.perf_counter() - start)


def _fit(name: str, model: Any, arguments: tuple[Any, ...]) -> None:
    """Fit a model; `_TrialOverError` passes through."""
    over: list[_TrialOverError] = []
    with plugin_call(name, "fit"):
        try:
            model.fit(*arguments)
        except _TrialOverError as end:
            over.append(end)
    if over:
        raise over[0]


@dataclass
class ArmTimes:
    """The seconds of a run of each arm on each split. Equal arms of several experiments are one."""

    _seconds: dict[ArmKey, list[float]] = field(default_factory=dict)
    _guesses: dict[ArmKey, float] = field(default_factory=dict)

    def learn(self, run: GridRun, record: Record) -> None:
        """Take the time of a run that was made."""
        outcome = record.outcome
        if outcome.fit_seconds is not None and outcome.status == "finished":
            self._seconds.setdefault(_key(run), []).append(outcome.fit_seconds + (outcome.predict_seconds or 0))

    def guess(self, run: GridRun, seconds: float) -> None:
        """Take the time that a trial promises, until a run has been made."""
        self._guesses[_key(run)] = seconds

    def knows(self, run: GridRun) -> bool:
        """Whether the time of its arm is known or guessed."""
        return _key(run) in self._seconds or _key(run) in self._guesses

    def left(self, runs: Iterable[GridRun]) -> float:
        """The seconds of these runs together; equal runs are made once."""
        distinct = {(_key(run), run.planned.seed): run for run in runs}
        return sum(map(self._of, distinct.values()))

    def _of(self, run: GridRun) -> float:
        measured = self._seconds.get(_key(run))
        return statistics.mean(measured) if measured else self._guesses.get(_key(run), 0.0) * self._correction()

    def _correction(self) -> float:
        """How much longer runs took than their trials promised; 1 before any is known."""
        tried = [key for key in self._seconds if self._guesses.get(key)]
        promised = sum(self._guesses[key] for key in tried)
        return sum(statistics.mean(self._seconds[key]) for key in tried) / promised if promised else 1.0


def _key(run: GridRun) -> ArmKey:
    setup = run.planned.setup
    return run.split, setup.name, setup.config.model_dump_json()


def _try_fit(run: GridRun, dataset: Dataset, say: Callable[[str], None]) -> float:
    """Return the seconds that a trial promises; 0 if the plugin fails, which its run will record."""
    try:
        return try_fit(run.planned, dataset)
    except PluginError as fault:
        say(f"{run.arm.label!r} on {run.split}: its time is unknown: {fault}")
        return 0.0


def estimate_times(grid: Grid, times: ArmTimes, stored: StoredRuns, say: Callable[[str], None]) -> list[GridRun]:
    """Add the time of each arm to `times`, and return the runs that have not been made.

    `say` receives what is tried. Raises `DataError`s.
    """
    missing = []
    for run in grid.runs:
        record = stored.find(run.planned)
        if record is None:
            missing.append(run)
        elif record.request.device == run.planned.setup.device:
            times.learn(run, record)
    for run in missing:
        if not times.knows(run):
            say(f"{run.arm.label!r} on {run.split}: a short trial, to estimate the time")
            times.guess(run, _try_fit(run, stored.dataset, say))
    return missing
