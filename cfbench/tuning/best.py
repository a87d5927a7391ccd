"""The best config of a study, as a run that is scored on the test part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cfbench.runs.record import Record, Request, Tuned
from cfbench.runs.results import Results
from cfbench.runs.setup import new_request
from cfbench.tuning.study import best_trial, counted_trials, total_seconds

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from cfbench.data.store import Dataset
    from cfbench.runs.setup import Setup
    from cfbench.tuning.job import WorkerJob
    from cfbench.tuning.plan import StudyPlan


def with_best_config(setup: Setup, plan: StudyPlan, best: FrozenTrial) -> Setup:
    """The setup with the config of the best trial; the origin of each value that was searched is `tuning`."""
    config = setup.plugin.config.model_validate(best.user_attrs["config"])
    tuned = {} if "start" in best.user_attrs else dict.fromkeys(plan.space, "tuning")
    return replace(setup, config=config, origins=setup.origins | tuned)


def best_run_request(setup: Setup, job: WorkerJob, trials: list[FrozenTrial], dataset: Dataset, seed: int) -> Request:
    """The request for a run of the best config, which `setup` holds; it records how the config was found."""
    best = best_trial(trials)
    facts = Tuned(
        study=job.name, dataset=job.plan.dataset, split=job.plan.split, trials=len(counted_trials(trials)),
        seconds=total_seconds(trials), seed=job.plan.seed, valid_rmse=best.value if best else None,
    )  # fmt: skip
    return new_request(setup, dataset, dataset.split(job.plan.split), seed).model_copy(update={"tuned": facts})


class TunedResults(Results):
    """A results folder that shows its tuned runs only.

    A run of the best config is thus not replaced by an equal run that was not tuned, which would hide the search.
    """

    def records(self, dataset: str, split: str) -> list[Record]:
        """The tuned runs of a data set and split, oldest first."""
        return [record for record in super().records(dataset, split) if record.request.tuned]

    def interrupted(self) -> list[Request]:
        """The requests of the unfinished tuned runs."""
        return [request for request in super().interrupted() if request.tuned]
