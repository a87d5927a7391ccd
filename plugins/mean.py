"""Global mean: predicts the mean of the training ratings for every pair.

Among all constants, the mean minimises the squared error over the training ratings. Every other model should have a
lower error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import Config, Context, Plugin, State

if TYPE_CHECKING:
    from cfbench.ratings import Pairs, Ratings, Scores


class MeanConfig(Config):
    """`mean` has no hyper-parameters."""


class Mean:
    """r̂(u, i) = μ."""

    def __init__(self, config: MeanConfig) -> None:
        del config
        self._mean = 0.0

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (it does not stop early)
        """Compute the mean in double precision; `valid` is not used."""
        self._mean = float(train.ratings.mean(dtype=np.float64))

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) μ."""
        return np.full(len(pairs), self._mean, np.float32)

    def state(self) -> State:
        """The mean."""
        return {"mean": np.array([self._mean])}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the state is complete)
        """Restore the mean."""
        self._mean = float(state["mean"][0])

    @property
    def parameters(self) -> int:
        """One number, the mean."""
        return 1


PLUGIN = Plugin(
    title="global mean",
    paper="none: the constant with the least squared error",
    config=MeanConfig,
    build=Mean,
    random=False,
)
