"""SVD++: matrix factorization that also uses which items a user rated (surprise).

Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model", KDD 2008, equation 15:
r̂(u, i) = μ + b_u + b_i + q_i · (p_u + |N(u)|^(-1/2) Σ_(j ∈ N(u)) y_j), where N(u) are the items that u rated.

`svdpp` learns the same model with the same updates, many times as fast. This plugin is the proof of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import BIASES, FACTORS, SurpriseModel, multiply_factors, take_biases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.contract import State
    from cfbench.plugins._surprise import TrainingData
    from cfbench.ratings import Codes


class SurpriseSVDppConfig(Config):
    """Hyper-parameters of `surprise-svdpp`; the defaults are those of surprise."""

    factors: Annotated[PositiveInt, Tunable(5, 200, log=True)] = Field(
        20, description="number of factors: length of p_u, q_i and y_j"
    )
    epochs: Annotated[PositiveInt, Tunable(10, 100)] = Field(20, description="passes over the training ratings")
    lr: Annotated[float, Tunable(1e-3, 5e-2, log=True)] = Field(0.007, gt=0, description="learning rate")
    reg: Annotated[float, Tunable(1e-3, 0.5, log=True)] = Field(
        0.02, ge=0, description="strength of the L2 penalty on biases, p_u and q_i"
    )
    implicit_reg: Annotated[float, Tunable(1e-6, 0.1, log=True)] = Field(
        0.02, ge=0, description="strength of the L2 penalty on y_j"
    )
    init_std: float = Field(0.1, ge=0, description="standard deviation of the initial factors")


def build_svdpp(config: SurpriseSVDppConfig) -> SurpriseModel:
    """The model of equation 15."""

    def create_algorithm(seed: int) -> Any:
        import surprise

        return surprise.SVDpp(
            n_factors=config.factors, n_epochs=config.epochs, lr_all=config.lr, reg_all=config.reg,
            reg_yj=config.implicit_reg, init_std_dev=config.init_std, random_state=seed,
            cache_ratings=True,  # stores N(u) in C: faster, with the same result
        )  # fmt: skip

    return SurpriseModel(create_algorithm, (*FACTORS, "yj", *BIASES), estimate, user_factors=all_user_factors)


def estimate(training: TrainingData, arrays: State, users: Codes, items: Codes) -> NDArray[np.float64]:
    """(n,) predictions; the biases and factors of an unknown user or item are 0."""
    user_factors = add_implicit(training, arrays, np.unique(users[users >= 0]))
    biases = take_biases(arrays["bu"], users) + take_biases(arrays["bi"], items)
    return training.mean + biases + multiply_factors(user_factors, arrays["qi"], users, items)


def all_user_factors(training: TrainingData, arrays: State) -> NDArray[np.float64]:
    """(users, factors) p_u + |N(u)|^(-1/2) Σ y_j."""
    return add_implicit(training, arrays, np.arange(training.ratings.n_users))


def add_implicit(training: TrainingData, arrays: State, users: NDArray[np.integer]) -> NDArray[np.float64]:
    """(all users, factors) p_u, with |N(u)|^(-1/2) Σ y_j added for these users."""
    user_factors = arrays["pu"].copy()
    rows = training.by_user
    for user in users.tolist():
        start, end = rows.starts[user], rows.starts[user + 1]
        implicit_factors = arrays["yj"][rows.columns[start:end]]  # (|N(u)|, factors)
        user_factors[user] += implicit_factors.sum(axis=0) / np.sqrt(end - start)
    return user_factors


PLUGIN = Plugin(
    title="matrix factorization with implicit feedback (surprise SVD++)",
    paper="Koren, Factorization Meets the Neighborhood, KDD 2008",
    config=SurpriseSVDppConfig,
    build=build_svdpp,
    quick={"factors": 5, "epochs": 60},
)
