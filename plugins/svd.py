"""SVD: matrix factorization with biases by stochastic gradient descent, as scikit-surprise fits it.

S. Funk, "Netflix Update: Try This at Home", 2006; Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for
Recommender Systems", IEEE Computer 42(8), 2009, equations 4 and 5: r̂(u, i) = μ + b_u + b_i + q_i · p_u. Without biases
it is the probabilistic matrix factorization of R. Salakhutdinov and A. Mnih, NIPS 2007.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import FactorModel


class SVDConfig(Config):
    """Hyper-parameters of `svd`; the defaults are surprise's."""

    factors: Annotated[PositiveInt, Tunable(10, 500, log=True)] = Field(100, description="length of p_u and q_i")
    epochs: Annotated[PositiveInt, Tunable(10, 100)] = Field(20, description="passes over the ratings")
    biased: bool = Field(True, description="learn biases; without, a pair with a cold user or item is the mean")
    lr: Annotated[float, Tunable(1e-3, 5e-2, log=True)] = Field(0.005, gt=0, description="learning rate")
    reg: Annotated[float, Tunable(1e-3, 0.5, log=True)] = Field(0.02, ge=0, description="L2 on biases and factors")
    init_std: float = Field(0.1, ge=0, description="standard deviation of the factors at the start")


class SVD(FactorModel):
    """μ + b_u + b_i + q_i · p_u."""

    def __init__(self, config: SVDConfig) -> None:
        super().__init__(biased=config.biased)
        self._config = config

    def algorithm(self, seed: int) -> Any:
        """`surprise.SVD`."""
        import surprise

        config = self._config
        return surprise.SVD(
            n_factors=config.factors, n_epochs=config.epochs, biased=config.biased, lr_all=config.lr,
            reg_all=config.reg, init_std_dev=config.init_std, random_state=seed,
        )  # fmt: skip


PLUGIN = Plugin(
    title="matrix factorization by SGD (surprise SVD)",
    paper="Koren, Bell, Volinsky, Matrix Factorization Techniques for Recommender Systems, IEEE Computer 42(8), 2009",
    config=SVDConfig,
    build=SVD,
    quick={"factors": 10, "epochs": 100},
)
