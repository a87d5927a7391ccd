"""Trials that run once more, because their process was killed or interrupted."""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from cfbench.tuning.locks import WorkerLocks, lock_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna import Study

MAX_KILLS = 2
"""A trial whose processes were killed this often fails; it does not run again."""

TIME_TO_REGISTER = timedelta(minutes=1)
"""A running trial that names no process for this long counts as lost."""


def queue_again(study: Study, trial: FrozenTrial, kills: int | None = None) -> None:
    """Queue the values of a trial once more, as a new trial; its `retry_history` lists the trials that it replaces.

    The new trial keeps the attributes `start` and `kills` only. With the old `worker` it would look lost as soon as it
    runs.
    """
    attributes = {key: value for key, value in trial.user_attrs.items() if key in ("start", "kills")}
    if kills is not None:
        attributes["kills"] = kills
    replaced = [*trial.system_attrs.get("retry_history", ()), trial.number]
    new_trial = create_trial(
        state=TrialState.WAITING, params=trial.params, distributions=trial.distributions, user_attrs=attributes,
        system_attrs=trial.system_attrs | {"failed_trial": replaced[0], "retry_history": replaced},
    )  # fmt: skip
    study.add_trial(new_trial)


def queue_killed(study: Study, trial: FrozenTrial) -> None:
    """Queue the trial of a killed process once more, unless its processes were killed `MAX_KILLS` times."""
    kills = trial.user_attrs.get("kills", 0) + 1
    if kills < MAX_KILLS:
        queue_again(study, trial, kills)


def queue_lost_trials(study: Study, url: str) -> None:
    """Fail the running trials of a study in the database at `url` if their process is gone; queue them once more."""
    with ignore_experimental_warnings():
        optuna.storages.fail_stale_trials(study)
    locks = WorkerLocks.of_study(study.study_name, url)
    free = locks.free()  # before the trials are read: these processes start no further one
    for trial in running_trials(study):
        if _is_lost(trial, free):
            with suppress(ValueError, UpdateFinishedTrialError):  # another process was faster
                study.tell(trial.number, state=TrialState.FAIL)
                queue_killed(study, trial)
    locks.remove(free)


def trials_in_progress(study: Study, url: str) -> list[FrozenTrial]:
    """The running trials of a study in the database at `url`, without those whose process is gone."""
    free = WorkerLocks.of_study(study.study_name, url).free()
    return [trial for trial in running_trials(study) if not _is_lost(trial, free)]


def running_trials(study: Study) -> list[FrozenTrial]:
    """The trials that run, or whose process is gone without a trace."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _is_lost(trial: FrozenTrial, free: set[str]) -> bool:
    """Whether the process of a running trial is gone, as far as the locks show.

    Otherwise the database notices it by the missing heartbeat, such as after a crash of another machine.
    """
    mark = trial.user_attrs.get("worker", "")
    if not mark:
        return trial.datetime_start is not None and datetime.now() - trial.datetime_start > TIME_TO_REGISTER  # noqa: DTZ005 (Optuna stores local time)
    return lock_name(mark) in free


def prune_trials_of(study: Study, command: str, reason: str) -> None:
    """Prune the running trials of a command whose processes have ended; these trials do not run again."""
    for trial in running_trials(study):
        if trial.user_attrs.get("worker", "").endswith(f"-{command}"):
            with suppress(ValueError, UpdateFinishedTrialError):  # another process was faster
                # a finished trial takes no attributes, so the reason comes first
                Trial(study, trial._trial_id).set_user_attr("reason", reason)  # noqa: SLF001
                study.tell(trial.number, state=TrialState.PRUNED)


@contextmanager
def ignore_experimental_warnings() -> Iterator[None]:
    """Silence the warning that Optuna gives at every use of its heartbeats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
