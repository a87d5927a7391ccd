"""Trials that run once more, because their process was killed or interrupted."""

from __future__ import annotations

import os
import platform
import warnings
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna import Study

MAX_KILLS = 2
"""A trial whose processes were killed this often fails; it does not run again."""

TIME_TO_REGISTER = timedelta(minutes=1)
"""A running trial that names no process for this long counts as lost."""


def this_process() -> str:
    """The name of this process in a trial's record: `host:pid`."""
    return f"{platform.node()}:{os.getpid()}"


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


def queue_lost_trials(study: Study) -> None:
    """Fail the running trials whose process is gone, and queue them once more."""
    with ignore_experimental_warnings():
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_lost(trial):
            with suppress(ValueError, UpdateFinishedTrialError):  # another process was faster
                study.tell(trial.number, state=TrialState.FAIL)
                queue_killed(study, trial)


def _is_lost(trial: FrozenTrial) -> bool:
    """Whether the process of a running trial is gone, as far as this machine knows."""
    host, _, pid = trial.user_attrs.get("worker", "").rpartition(":")
    if not host:
        return trial.datetime_start is not None and datetime.now() - trial.datetime_start > TIME_TO_REGISTER  # noqa: DTZ005 (Optuna stores local time)
    if host != platform.node():
        return False  # the database notices it by the missing heartbeat
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def prune_trials_of(study: Study, pids: set[int], reason: str) -> None:
    """Prune the running trials of processes of this machine that have ended; these trials do not run again."""
    names = {f"{platform.node()}:{pid}" for pid in pids}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get("worker") in names:
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
