"""The job of a worker: which study it adds trials to, and when it stops."""

from __future__ import annotations

import secrets
import time

from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field

from cfbench.tuning.plan import StudyPlan  # noqa: TC001 (pydantic reads the annotation at run time)
from cfbench.tuning.study import best_trial, counted_trials

MAX_FAILED_AT_START = 5
"""A study stops when this many first trials all failed: more of them would fail too."""

SECONDS_AFTER_DEADLINE = 5.0
"""A fit may still end by itself in this time after the deadline; then its process is killed."""


class WorkerJob(BaseModel):
    """What a worker does. The main process sends it to the worker processes as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The name of the study."""
    storage: str
    """The URL of the study's database."""
    plan: StudyPlan
    device: str
    trials: int | None
    """How many trials the study should have in total; None for no limit."""
    deadline: float | None
    """In seconds since 1970. After it no trial starts, and running trials stop; but one trial always finishes."""
    command: str = Field(default_factory=lambda: secrets.token_hex(4))
    """A random name of the command that has the job done; its processes mark their trials with it."""

    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.time() >= self.deadline

    def is_over(self, trials: list[FrozenTrial]) -> bool:
        """Whether the study needs no further trial."""
        counted = counted_trials(trials)
        first = counted[:MAX_FAILED_AT_START]
        is_hopeless = len(first) == MAX_FAILED_AT_START and all(trial.state == TrialState.FAIL for trial in first)
        is_complete = self.trials is not None and len(counted) >= self.trials
        # a study without any ended trial would be useless, so it continues after the deadline
        is_out_of_time = self.is_late() and any(trial.state.is_finished() for trial in trials)
        return is_hopeless or is_complete or is_out_of_time

    def has_enough(self, trials: list[FrozenTrial], below: int | None = None) -> bool:
        """Whether the trials that count and those that run, with a number `below` if given, reach the limit."""
        running = [t for t in trials if t.state == TrialState.RUNNING and (below is None or t.number < below)]
        return self.trials is not None and len(counted_trials(trials)) + len(running) >= self.trials

    def others_to_wait_for(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The running trials of other commands, if this command can only wait for their ends; else none."""
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        is_idle = not any(trial.user_attrs.get("worker", "").endswith(f"-{self.command}") for trial in running)
        return running if is_idle and not self.is_over(trials) and self.has_enough(trials) else []

    def must_kill(self, trials: list[FrozenTrial]) -> bool:
        """Whether fits that still run must be killed: the deadline has passed, and the study does not need them."""
        if self.deadline is None or time.time() < self.deadline + SECONDS_AFTER_DEADLINE:
            return False
        first_runs = any(trial.state == TrialState.RUNNING and "start" in trial.user_attrs for trial in trials)
        return best_trial(trials) is not None or (self.is_over(trials) and not first_runs)
