"""The trials of a search, as they end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfbench.api.callbacks import Callback
from cfbench.tuning.study import counted_trials
from cfbench.tuning.summary import STATES, describe_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna import Study
    from optuna.trial import FrozenTrial

PAUSE = 0.5
"""The least number of seconds between two looks at the trials."""


@dataclass(frozen=True)
class TrialResult:
    """A trial that has ended."""

    number: int
    state: str
    """`finished`, `pruned` or `failed`."""
    valid_rmse: float | None
    """The error on the validation part; None unless it finished."""
    seconds: float | None
    outcome: str
    """The error, or why it ended, as the command line shows it."""
    config: dict[str, Any]
    """Every hyper-parameter; empty if it failed before it had any."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> TrialResult:
        """Return what is known of a trial that has ended."""
        state = next(name for name, other in STATES.items() if other == trial.state.name)
        seconds = trial.duration.total_seconds() if trial.duration else None
        value = trial.value if state == "finished" else None
        return cls(trial.number, state, value, seconds, describe_outcome(trial), trial.user_attrs.get("config", {}))


class TrialWatcher:
    """Passes each trial that ends on to a function."""

    def __init__(self, study: Study, progress: Callable[[TrialResult], None] | None) -> None:
        self.callback = Callback(progress)
        self._study, self._looked_at = study, 0.0
        self._seen = {trial.number for trial in counted_trials(study.get_trials(deepcopy=False))}

    def __call__(self) -> None:
        """Look for trials that have ended, but not too often."""
        if time.monotonic() - self._looked_at >= PAUSE:
            self.report()

    def report(self) -> None:
        """Call the function with each trial that has ended since the last call."""
        self._looked_at = time.monotonic()
        for trial in counted_trials(self._study.get_trials(deepcopy=False)):
            if trial.number not in self._seen:
                self._seen.add(trial.number)
                self.callback(TrialResult.of(trial))
