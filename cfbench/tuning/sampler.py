"""The sampler: which values a trial tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class NumberedSampler(BaseSampler):
    """Optuna's multivariate TPE, seeded by the study's seed and the trial's place, so no two processes draw alike.

    It draws again when the values were tried before: a fit with the same seed would have the same error.

    J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011.
    """

    TPE_DRAWS, RANDOM_DRAWS = 5, 50
    """The most draws of a trial. All TPE draws may repeat values that were good; random draws repeat values only when
    nearly all were tried."""

    def __init__(self, seed: int) -> None:
        self._seed, self._tpe = seed, TPESampler()

    def _draw_seed(self, place: int, draw: int) -> int:
        return int(np.random.SeedSequence([self._seed, place, draw]).generate_state(1)[0])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The search space of TPE. Optuna calls this first for each trial."""
        self._tpe = TPESampler(seed=self._draw_seed(_place(study, trial), 0))
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of TPE; random values as long as there are too few trials for TPE."""
        tried = [other.params for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        values: dict[str, Any] = {}
        place = _place(study, trial)
        for draw in range(self.TPE_DRAWS + self.RANDOM_DRAWS):
            sampler_type = TPESampler if draw < self.TPE_DRAWS else RandomSampler
            sampler = sampler_type(seed=self._draw_seed(place, draw))
            values = sampler.sample_relative(study, trial, search_space) or {
                name: sampler.sample_independent(study, trial, name, span) for name, span in search_space.items()
            }
            if values not in tried:
                break
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value of TPE for a hyper-parameter outside the relative search space."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def _place(study: Study, trial: FrozenTrial) -> int:
    """The place of a trial, counted from 0, among those that repeat no trial of a killed process.

    So a kill changes no values: a trial that is repeated has the place of the first one, and the next one the next.
    """
    first = trial.system_attrs.get("failed_trial", trial.number)
    others = study.get_trials(deepcopy=False)
    return sum(other.number < first and "failed_trial" not in other.system_attrs for other in others)
