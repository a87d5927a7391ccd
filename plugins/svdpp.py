"""SVD++: matrix factorization that also learns from which items a user rated, as scikit-surprise fits it.

Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model", KDD 2008, equation 15:
r̂(u, i) = μ + b_u + b_i + q_i · (p_u + |N(u)|^(-1/2) Σ_(j ∈ N(u)) y_j), where N(u) are the items that u rated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import LearnedModel, bias, products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.contract import Context, State
    from cfbench.ratings import Codes, Ratings


class SVDppConfig(Config):
    """Hyper-parameters of `svdpp`; the defaults are surprise's."""

    factors: Annotated[PositiveInt, Tunable(5, 200, log=True)] = Field(20, description="length of p_u, q_i and y_j")
    epochs: Annotated[PositiveInt, Tunable(10, 100)] = Field(20, description="passes over the ratings")
    lr: Annotated[float, Tunable(1e-3, 5e-2, log=True)] = Field(0.007, gt=0, description="learning rate")
    reg: Annotated[float, Tunable(1e-3, 0.5, log=True)] = Field(0.02, ge=0, description="L2 on biases and factors")
    init_std: float = Field(0.1, ge=0, description="standard deviation of the factors at the start")


class SVDpp(LearnedModel):
    """μ + b_u + b_i + q_i · (p_u + |N(u)|^(-1/2) Σ y_j)."""

    learns = ("pu", "qi", "yj", "bu", "bi")

    def __init__(self, config: SVDppConfig) -> None:
        self._config = config

    def algorithm(self, seed: int) -> Any:
        """`surprise.SVDpp`, with N(u) kept in C, which changes the time and not the result."""
        import surprise

        config = self._config
        return surprise.SVDpp(
            n_factors=config.factors, n_epochs=config.epochs, lr_all=config.lr, reg_all=config.reg,
            init_std_dev=config.init_std, random_state=seed, cache_ratings=True,
        )  # fmt: skip

    def take(self, algorithm: Any) -> None:
        """Keep the arrays, and add up what each user's items say; raises `DivergedError`."""
        super().take(algorithm)
        self._add_up()

    def restore(self, state: State, train: Ratings, context: Context) -> None:
        """Take the arrays back."""
        super().restore(state, train, context)
        self._add_up()

    def _add_up(self) -> None:
        rows, implicit = self.training.by_user, self.arrays["yj"]
        self._users = self.arrays["pu"].copy()  # (users, factors)
        for number, (first, end) in enumerate(zip(rows.starts[:-1], rows.starts[1:], strict=True)):
            self._users[number] += implicit[rows.columns[first:end]].sum(axis=0) / np.sqrt(end - first)

    def estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """(n,) an unknown user or item has bias and factors 0."""
        biases = bias(self.arrays["bu"], users) + bias(self.arrays["bi"], items)
        return self.training.mean + biases + products(self._users, self.arrays["qi"], users, items)


PLUGIN = Plugin(
    title="matrix factorization with implicit feedback (surprise SVD++)",
    paper="Koren, Factorization Meets the Neighborhood, KDD 2008",
    config=SVDppConfig,
    build=SVDpp,
    quick={"factors": 5, "epochs": 60},
)
