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
        self._seed = seed

    def _draw_seed(self, place: int, draw: int, name: str = "") -> int:
        words = [self._seed, place, draw, *name.encode()]
        return int(np.random.SeedSequence(words).generate_state(1)[0])

    def _draw_randomly(self, study: Study, trial: FrozenTrial, draw: int, name: str, span: BaseDistribution) -> Any:
        """A random value, which does not depend on the other hyper-parameters nor on the order in which they are drawn.

        Optuna draws in another order as long as no trial is complete.
        """
        sampler = RandomSampler(seed=self._draw_seed(_place(study, trial), draw, name))
        return sampler.sample_independent(study, trial, name, span)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The search space of TPE: the hyper-parameters of all complete trials."""
        return TPESampler().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of TPE; random values as long as there are too few trials for TPE."""
        tried = [other.params for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        values: dict[str, Any] = {}
        place = _place(study, trial)
        for draw in range(self.TPE_DRAWS + self.RANDOM_DRAWS):
            if draw < self.TPE_DRAWS:
                values = TPESampler(seed=self._draw_seed(place, draw)).sample_relative(study, trial, search_space)
            if draw >= self.TPE_DRAWS or not values:
                values = {n: self._draw_randomly(study, trial, draw, n, span) for n, span in search_space.items()}
            if values not in tried:
                break
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value of a hyper-parameter outside the search space of TPE: no trial with it is complete."""
        return self._draw_randomly(study, trial, 0, param_name, param_distribution)


def _place(study: Study, trial: FrozenTrial) -> int:
    """The place of a trial, counted from 0, among those that repeat no trial of a killed process.

    So a kill changes no values: a trial that is repeated has the place of the first one, and the next one the next.
    """
    first = trial.system_attrs.get("failed_trial", trial.number)
    others = study.get_trials(deepcopy=False)
    return sum(other.number < first and "failed_trial" not in other.system_attrs for other in others)
