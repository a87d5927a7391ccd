"""Global mean plus a regularised bias per user and item.

Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", ACM TKDD 4(1), 2010, section 2.1:
the baseline estimate r̂(u, i) = μ + b_u + b_i. A model of what users like should have a lower error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cfbench.contract import Config, Context, Plugin, State, Tunable
from cfbench.learning import biases

if TYPE_CHECKING:
    from cfbench.ratings import Codes, Pairs, Ratings, Scores


class BiasConfig(Config):
    """Hyper-parameters of `bias`."""

    user_reg: Annotated[float, Tunable(0.1, 100, log=True)] = Field(
        15.0, ge=0, description="strength of the L2 penalty on user biases; it acts like this many ratings of bias 0"
    )
    item_reg: Annotated[float, Tunable(0.1, 100, log=True)] = Field(
        10.0, ge=0, description="strength of the L2 penalty on item biases; it acts like this many ratings of bias 0"
    )
    sweeps: int = Field(10, ge=1, description="number of alternations between item and user biases")


class Bias:
    """r̂(u, i) = μ + b_u + b_i."""

    def __init__(self, config: BiasConfig) -> None:
        self._config = config
        self._biases = biases.Biases(0.0, np.zeros(0), np.zeros(0))

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (it does not stop early)
        """Solve for the biases of items and of users in turn; `valid` is not used."""
        config = self._config
        self._biases = biases.fit(train, user_reg=config.user_reg, item_reg=config.item_reg, sweeps=config.sweeps)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) μ + b_u + b_i; an unseen user or item has bias 0."""
        return self._biases.predict(pairs)

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) μ + b_u + b_i, with the bias of the new user from their m ratings."""
        return self._biases.fold_in(items, ratings, targets)

    def state(self) -> State:
        """The mean and the biases."""
        return {"mean": np.array([self._biases.mean]), "users": self._biases.users, "items": self._biases.items}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the state is complete)
        """Restore the mean and the biases."""
        self._biases = biases.Biases(float(state["mean"][0]), state["users"], state["items"], self._config.user_reg)

    @property
    def parameters(self) -> int:
        """The mean, and one bias per user and per item."""
        return 1 + self._biases.users.size + self._biases.items.size


PLUGIN = Plugin(
    title="global mean + user and item bias",
    paper="Koren, Factor in the Neighbors, ACM TKDD 4(1), 2010, section 2.1",
    config=BiasConfig,
    build=Bias,
    random=False,
)
