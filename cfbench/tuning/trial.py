"""One trial: the sampler's values become a config, a fit on the training part, and the RMSE of the validation part.

The median rule ends bad fits early (D. Golovin et al., "Google Vizier", KDD 2017, section 3.2.2). A process that runs
trials holds the training and the validation part only: it never cuts out the test part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import optuna

from cfbench.contract import Context, DivergedError, Epoch, Model
from cfbench.data import card, store
from cfbench.errors import RecordError
from cfbench.memory import is_out_of_memory
from cfbench.metrics import rmse
from cfbench.runs import fitting, registry
from cfbench.runs.job import add_titles, training_parts
from cfbench.runs.plugin_calls import contained
from cfbench.runs.promises import check_epoch
from cfbench.tuning.locks import mark_of_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna import Trial

    from cfbench.ratings import Ratings
    from cfbench.tuning.job import WorkerJob
    from cfbench.tuning.plan import StudyPlan

WARM_UP = 1 / 3
"""The share of its epochs that each fit completes before the median rule may end it: a one-cycle learning rate rises
for that long. In a replay of 24 whole fits of deepae on ml-100k, the rule saves a quarter of the time and ends none of
the five best fits; successive halving from the fifth epoch saves two thirds and ends one of them."""


@dataclass(frozen=True, eq=False)
class TrialData:
    """What every trial of a study gives its model: copies of two parts, and a context with the item titles."""

    train: Ratings
    valid: Ratings
    context: Context


def read_trial_data(plan: StudyPlan) -> TrialData:
    """Cut out the training and the validation part; raises `RecordError` if the split has changed."""
    dataset = store.open_dataset(card.load(plan.dataset))
    split = dataset.split(plan.split)
    if split.fingerprint != plan.fingerprint:
        raise RecordError(
            f"split {plan.split} of {plan.dataset} has changed since the study started; "
            "start another study with --study NAME"
        )
    plugin, context = registry.load(plan.plugin), Context()
    add_titles(context, plugin, dataset)
    return TrialData(*training_parts(plugin, dataset, split), context)


class Objective:
    """The function that Optuna minimizes: the RMSE of the validation part, with predictions clipped to the scale."""

    def __init__(self, job: WorkerJob, data: TrialData, listen: Callable[[], None]) -> None:
        self._job, self._data, self._listen = job, data, listen
        self._plugin = registry.load(job.plan.plugin)
        self.number: int | None = None
        """The number of the current trial, or of the last one."""

    def __call__(self, trial: Trial) -> float:
        """The error of the fitted model, which the harness computes; those that a model reports may end its fit."""
        self.number = trial.number
        trial.set_user_attr("worker", mark_of_process(self._job.command))
        try:
            self._refuse_surplus(trial)
            return self._fit_and_validate(trial)
        except (optuna.TrialPruned, KeyboardInterrupt):
            raise
        except Exception as error:
            trial.set_user_attr("reason", " ".join(f"{type(error).__name__}: {error}".split())[:300])
            if isinstance(error, DivergedError) or is_out_of_memory(error.__cause__ or error):
                raise optuna.TrialPruned from error  # the sampler learns to avoid such values
            raise

    def _refuse_surplus(self, trial: Trial) -> None:
        """Raise if workers that started at the same time have started too many trials; the lowest numbers may run."""
        if self._job.has_enough(trial.study.get_trials(deepcopy=False), below=trial.number):
            trial.set_user_attr("surplus", True)
            raise RuntimeError("the study has enough trials without this one")

    def _fit_and_validate(self, trial: Trial) -> float:
        plan = self._job.plan
        is_start = "start" in trial.user_attrs
        values = {name: dimension.suggest(name, trial) for name, dimension in plan.space.items()}
        if is_start:
            values = {}  # the start config may lie outside the ranges, where the sampler has no value for it
        config = self._plugin.config.model_validate(plan.start | values).for_device(self._job.device)
        trial.set_user_attr("config", config.model_dump(mode="json"))
        with contained("build"):
            model: Model = self._plugin.build(config)
        lowest = math.inf

        def report(epoch: Epoch) -> None:
            nonlocal lowest
            if check_epoch(epoch).valid_rmse is not None:
                lowest = min(lowest, epoch.valid_rmse or 0.0)
                trial.report(lowest, epoch.epoch)
            self._listen()
            if not is_start:
                self._stop_early(trial, epoch)

        context = replace(self._data.context, seed=plan.seed, device=self._job.device, report=report)
        with contained("fit"):
            model.fit(self._data.train, self._data.valid, context)
        return self._validate(model)

    def _stop_early(self, trial: Trial, epoch: Epoch) -> None:
        """Raise `TrialPruned` after the deadline, or when half of the trials were better at this epoch."""
        if self._job.is_late():
            reason = "time limit reached"
        elif epoch.epoch >= WARM_UP * epoch.epochs and trial.should_prune():
            reason = "worse than half of the trials"
        else:
            return
        trial.set_user_attr("reason", f"{reason} at epoch {epoch.epoch}")
        raise optuna.TrialPruned

    def _validate(self, model: Model) -> float:
        valid = self._data.valid
        predictions = fitting.predict(self._job.plan.plugin, model, valid.pairs)
        error = rmse(valid.scale.clip(predictions), valid.ratings)
        return fitting.check_validation(self._job.plan.plugin, model, [], error)[0] or error
