"""Mean: the same number for every pair.

The mean of the training ratings minimises the squared error among all constants: the floor every model stands on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import Config, Context, Plugin, State

if TYPE_CHECKING:
    from cfbench.ratings import Pairs, Ratings, Scores


class MeanConfig(Config):
    """Hyper-parameters of `mean`: none."""


class Mean:
    """μ."""

    def __init__(self, config: MeanConfig) -> None:
        del config
        self._mean = 0.0

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing to stop early)
        """Add in double precision; validation ratings are not used."""
        self._mean = float(train.ratings.mean(dtype=np.float64))

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) μ."""
        return np.full(len(pairs), self._mean, np.float32)

    def state(self) -> State:
        """The mean."""
        return {"mean": np.array([self._mean])}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the mean says it all)
        """Take the mean back."""
        self._mean = float(state["mean"][0])

    @property
    def parameters(self) -> int:
        """One."""
        return 1


PLUGIN = Plugin(
    title="global mean",
    paper="none: the constant of least squared error",
    config=MeanConfig,
    build=Mean,
)
