"""STUDY: trials in a database, shared by the processes that add to them and outliving each of them.

    <results>/.studies/<name>.db    a study in SQLite, unless --storage names a server
    one trial                       number, state, the sampler's values, the validation RMSE of each epoch, and
                                    config (all of it), reason (why it ended early), worker (host:pid), start (if it is
                                    the config the study started from), kills (of the processes that tried it before)

A trial counts when it has ended, well or not. One whose process was killed or interrupted does not: it is tried again,
under a new number with the same values.
"""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import BaseModel, ConfigDict

from cfbench.errors import UsageError
from cfbench.tuning.database import faults, open_storage, quietly, retry_killed
from cfbench.tuning.space import Dimension  # noqa: TC001 (pydantic reads the annotation at run time)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # what happens to a trial is in its record

FACTS, START = "cfbench", "start"


class Plan(BaseModel):
    """What a study is about; it is opened again for nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plugin: str
    package: str
    dataset: str
    split: str
    fingerprint: str
    """Of the split."""
    seed: int
    start: dict[str, Any]
    """The config that the first trial has."""
    fixed: tuple[str, ...]
    """What of it was asked for by name."""
    space: dict[str, Dimension]

    def facts(self) -> dict[str, str]:
        """All of it as text, to be kept and compared."""
        told = {
            "plugin": self.plugin, "package": self.package, "data set": self.dataset, "split": self.split,
            "split fingerprint": self.fingerprint[:12], "seed": str(self.seed),
        }  # fmt: skip
        told |= {f"range of {name}": str(dimension) for name, dimension in self.space.items()}
        told |= {f"starting {name}": str(value) for name, value in self.start.items()}
        return told | {"fixed": ", ".join(self.fixed) or "none"}


class NumberedSampler(BaseSampler):
    """Optuna's multivariate TPE, its randomness from the seed and the trial's number: no two processes draw alike.

    Values that were tried before are drawn again: a fit with the same seed would have the same error.
    """

    TPE, RANDOM = 5, 50
    """Draws at most: TPE's may all be of what is good and was tried, random ones too where all was tried."""

    def __init__(self, seed: int) -> None:
        self._seed, self._tpe = seed, TPESampler()

    def _of(self, trial: FrozenTrial, draw: int) -> int:
        """The seed of a draw."""
        return int(np.random.SeedSequence([self._seed, trial.number, draw]).generate_state(1)[0])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """TPE's; a trial begins here."""
        self._tpe = TPESampler(seed=self._of(trial, 0))
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """TPE's, or random ones as long as trials are too few for it."""
        tried = [past.params for past in study.get_trials(deepcopy=False) if past.number != trial.number]
        values: dict[str, Any] = {}
        for draw in range(self.TPE + self.RANDOM):
            kind = TPESampler if draw < self.TPE else RandomSampler
            sampler = kind(seed=self._of(trial, draw))
            values = sampler.sample_relative(study, trial, search_space) or {
                name: sampler.sample_independent(study, trial, name, span) for name, span in search_space.items()
            }
            if values not in tried:
                break
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """TPE's."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def everything(url: str) -> list[Study]:
    """The studies of `cfbench tune` in a storage; raises `WriteError`, `UsageError`."""
    with faults(url):
        opened = open_storage(url)
        named = [optuna.load_study(storage=opened, study_name=name) for name in optuna.get_all_study_names(opened)]
        return [study for study in named if FACTS in study.user_attrs]


def checked_name(name: str) -> str:
    """A study's name, which is a file's too; raises `UsageError`."""
    if not re.fullmatch(r"[\w@][\w.@+-]{0,99}", name):
        raise UsageError(f"--study {name}: expected letters, digits and . _ - @ only, at most 100")
    return name


def start(name: str, url: str) -> dict[str, Any] | None:
    """The config that a study started from; None when there is no such study. Raises `WriteError`, `UsageError`."""
    with faults(url):
        opened = open_storage(url)
        if name not in optuna.get_all_study_names(opened):
            return None
        kept: dict[str, Any] | None = optuna.load_study(storage=opened, study_name=name).user_attrs.get(START)
        return kept


def begin(name: str, url: str, plan: Plan) -> Study:
    """A study, made or opened again, its stale trials queued anew.

    Raises `UsageError` when it is about something else, `WriteError`.
    """
    with faults(url):
        study = optuna.create_study(storage=open_storage(url), study_name=name, load_if_exists=True)
        if FACTS not in study.user_attrs:  # before the start is queued: another machine may begin it at the same time
            study.set_user_attr(START, plan.start)
            study.set_user_attr(FACTS, plan.facts())
        _same(name, study.user_attrs[FACTS], plan.facts())
        if not any("start" in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
            first = {key: dimension.nearest(plan.start[key]) for key, dimension in plan.space.items()}
            study.enqueue_trial(first, user_attrs={"start": True})
        retry_stale(study)
    return study


def _same(name: str, kept: dict[str, str], asked: dict[str, str]) -> None:
    for what in kept | asked:
        old, new = kept.get(what, "none"), asked.get(what, "none")
        if old != new:
            raise UsageError(f"study {name!r} has {what} {old}, asked for is {new}; begin another with --study NAME")


def join(name: str, url: str, seed: int) -> Study:
    """A study that was begun, to add trials to it; raises `WriteError`.

    The median is taken from five finished trials on. Hyperband would need hundreds: it draws a sample of its own for
    each of its brackets.
    """
    with faults(url):
        return optuna.load_study(
            storage=open_storage(url), study_name=name, sampler=NumberedSampler(seed),
            pruner=MedianPruner(n_startup_trials=5),
        )  # fmt: skip


def here() -> str:
    """This process, as a trial's record names it."""
    return f"{platform.node()}:{os.getpid()}"


def give_up(study: Study, pids: set[int], reason: str) -> None:
    """End the trials that processes of this machine, gone by now, had under way; they are not tried again."""
    mine = {f"{platform.node()}:{pid}" for pid in pids}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get("worker") in mine:
            with suppress(ValueError, UpdateFinishedTrialError):  # another process took it for lost, and was faster
                Trial(study, trial._trial_id).set_user_attr("reason", reason)  # noqa: SLF001 (a finished one takes none)
                study.tell(trial.number, state=TrialState.PRUNED)


def _is_lost(trial: FrozenTrial) -> bool:
    """Whether the process that ran the trial is gone, as far as can be told on this machine."""
    host, _, pid = trial.user_attrs.get("worker", "").rpartition(":")
    if not host:  # killed before it said who it is, or about to
        return trial.datetime_start is not None and datetime.now() - trial.datetime_start > timedelta(minutes=1)  # noqa: DTZ005 (Optuna's own)
    if host != platform.node():
        return False  # its heartbeat will tell
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def retry_stale(study: Study) -> None:
    """Queue the trials of killed processes once more; twice killed is given up."""
    quietly(lambda: optuna.storages.fail_stale_trials(study))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_lost(trial):
            with suppress(ValueError, UpdateFinishedTrialError):  # another process was faster
                study.tell(trial.number, state=TrialState.FAIL)
                retry_killed(study, trial)


def ended(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count, by number."""
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    return [
        trial for trial in trials
        if trial.state.is_finished() and trial.number not in again and "surplus" not in trial.user_attrs
    ]  # fmt: skip


def counted(number: int) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} trial{'s' if number != 1 else ''}"


def best(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The finished trial with the smallest validation RMSE."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(finished, key=lambda trial: (trial.value, trial.number), default=None)


def seconds(trials: list[FrozenTrial]) -> float:
    """What the trials took, together."""
    times = ((trial.datetime_start, trial.datetime_complete) for trial in trials)
    return sum((end - begin).total_seconds() for begin, end in times if begin and end)
