"""A study: trials in a database that several processes share and that outlives them.

    <results>/.studies/<name>.db    a study in SQLite, unless --storage names a server

A trial has a number, a state, the sampler's values, the validation RMSE of each epoch, and these attributes:

    config     the whole config
    worker     the process that runs it, as host:pid-command
    reason     why it ended early
    start      present if its config is the one that the study starts from
    kills      how many processes were killed while they ran it
    surplus    present if several workers started more trials than requested; such a trial does not count

A trial counts when it has ended, whether it was finished, pruned or failed. A trial whose process was killed or
interrupted does not count: its values run again under a new number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import MedianPruner
from optuna.trial import FrozenTrial, TrialState

from cfbench.errors import UsageError
from cfbench.tuning import database
from cfbench.tuning.database import storage_errors
from cfbench.tuning.retry import queue_lost_trials
from cfbench.tuning.sampler import NumberedSampler

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from cfbench.tuning.plan import StudyPlan

FACTS = "cfbench"
"""The attribute of a study that holds the facts of its plan."""

START = "start"
"""The attribute of a study that holds its start config."""

MIN_TRIALS_FOR_MEDIAN = 5
"""The number of finished trials from which the median rule prunes. Hyperband would need hundreds of trials: it draws a
separate sample for each of its brackets."""

MIN_TRIALS_FOR_IMPORTANCE = 10
"""The number of finished trials from which importances are computed: the method compares the best tenth with all."""


def check_name(name: str) -> str:
    """Return a study's name, which is also a file name; raises `UsageError` when it cannot be one."""
    if not re.fullmatch(r"[\w@][\w.@+-]{0,99}", name):
        raise UsageError(f"--study {name}: expected letters, digits and . _ - @ only, at most 100")
    return name


def load_studies(url: str) -> list[Study]:
    """The studies of `cfbench tune` in a database; raises `WriteError`, `RecordError`, `UsageError`."""
    with storage_errors(url):
        storage = database.open_storage(url)
        names = optuna.get_all_study_names(storage)
        studies = [optuna.load_study(storage=storage, study_name=name) for name in names]
        studies = [study for study in studies if FACTS in study.user_attrs]
        for study in studies:
            _require_readable(study)
        return studies


def _require_readable(study: Study) -> None:
    """Raise what Optuna raises if the rows of a study are damaged, or `TypeError` if its facts are."""
    best_trial(counted_trials(study.get_trials(deepcopy=False)))
    facts = study.user_attrs[FACTS]
    if not all(isinstance(facts[name], str) for name in ("plugin", "data set", "split")):
        raise TypeError("its facts are no text")


def start_config(name: str, url: str) -> dict[str, Any] | None:
    """The config that a study started from; None when there is no such study. Raises `WriteError`, `UsageError`."""
    with storage_errors(url):
        storage = database.open_storage(url)
        if name not in optuna.get_all_study_names(storage):
            return None
        config: dict[str, Any] | None = optuna.load_study(storage=storage, study_name=name).user_attrs.get(START)
        return config


def open_or_create(name: str, url: str, plan: StudyPlan) -> Study:
    """Open a study, or create it with its start config as the first trial; queue its lost trials again.

    Raises `UsageError` when the study has another plan, `WriteError`.
    """
    with storage_errors(url):
        storage = database.open_storage(url)
        with database.creation_lock(url):
            study = _open_or_create(name, storage, plan)
        queue_lost_trials(study, url)
    return study


def _open_or_create(name: str, storage: BaseStorage, plan: StudyPlan) -> Study:
    """Open or create a study while no other process does."""
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    if FACTS not in study.user_attrs:
        study.set_user_attr(START, plan.start)
        study.set_user_attr(FACTS, plan.facts())
    _check_same_plan(name, study.user_attrs[FACTS], plan.facts())
    if not any("start" in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
        values = {key: dimension.nearest(plan.start[key]) for key, dimension in plan.space.items()}
        study.enqueue_trial(values, user_attrs={"start": True})
    return study


def _check_same_plan(name: str, stored: dict[str, str], requested: dict[str, str]) -> None:
    for fact in stored | requested:
        old, new = stored.get(fact, "none"), requested.get(fact, "none")
        if old != new:
            raise UsageError(
                f"study {name!r} has {fact} {old}, but this command has {new}; start another study with --study NAME"
            )


def open_for_worker(name: str, url: str, seed: int) -> Study:
    """Open an existing study to add trials to it, with its sampler and its pruner; raises `WriteError`."""
    with storage_errors(url):
        return optuna.load_study(
            storage=database.open_storage(url), study_name=name, sampler=NumberedSampler(seed),
            pruner=MedianPruner(n_startup_trials=MIN_TRIALS_FOR_MEDIAN),
        )  # fmt: skip


def counted_trials(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count, by number."""
    replaced = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    return [
        trial for trial in trials
        if trial.state.is_finished() and trial.number not in replaced and "surplus" not in trial.user_attrs
    ]  # fmt: skip


def best_trial(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial with the smallest validation RMSE, the first one of several; None if no trial is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.values]
    return min(complete, key=lambda trial: (trial.value, trial.number), default=None)


def total_seconds(trials: list[FrozenTrial]) -> float:
    """The wall time of all trials together."""
    spans = ((trial.datetime_start, trial.datetime_complete) for trial in trials)
    return sum((end - start).total_seconds() for start, end in spans if start and end)


def format_count(count: int) -> str:
    """`1 trial`, `2 trials`."""
    return "1 trial" if count == 1 else f"{count} trials"


def compute_importances(study: Study) -> dict[str, float]:
    """The share of each hyper-parameter in the variation of the validation error, largest first.

    It is empty when there are fewer than `MIN_TRIALS_FOR_IMPORTANCE` complete trials.

    PED-ANOVA: S. Watanabe, A. Bansal and F. Hutter, IJCAI 2023.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < MIN_TRIALS_FOR_IMPORTANCE:
        return {}
    shares = optuna.importance.get_param_importances(study)
    return dict(sorted(shares.items(), key=lambda share: -share[1]))
