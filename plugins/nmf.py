"""NMF: matrix factorization with factors that are never negative, as scikit-surprise fits it.

X. Luo, M. Zhou, Y. Xia, Q. Zhu, "An Efficient Non-Negative Matrix-Factorization-Based Approach to Collaborative
Filtering for Recommender Systems", IEEE Transactions on Industrial Informatics 10(2), 2014: r̂(u, i) = q_i · p_u, by
multiplicative steps over the known ratings.

Ratings must not be negative, and the steps swing to and fro for ever unless they begin near the ratings, as surprise's
defaults do on five stars. So a scale that reaches below 0 is counted from its low end, and its high end is shown to
surprise as 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import FactorModel, Units

if TYPE_CHECKING:
    from cfbench.ratings import Scale


class NMFConfig(Config):
    """Hyper-parameters of `nmf`; the defaults are surprise's."""

    factors: Annotated[PositiveInt, Tunable(5, 200, log=True)] = Field(15, description="length of p_u and q_i")
    epochs: Annotated[PositiveInt, Tunable(10, 200)] = Field(50, description="passes over the ratings")
    user_reg: Annotated[float, Tunable(1e-3, 1, log=True)] = Field(0.06, ge=0, description="L2 on p_u")
    item_reg: Annotated[float, Tunable(1e-3, 1, log=True)] = Field(0.06, ge=0, description="L2 on q_i")
    biased: Annotated[bool, Tunable(choices=(False, True))] = Field(
        False, description="learn biases too: r̂(u, i) = μ + b_u + b_i + q_i · p_u"
    )
    bias_lr: float = Field(0.005, gt=0, description="learning rate of the biases")
    bias_reg: float = Field(0.02, ge=0, description="L2 on the biases")
    init_high: float = Field(1.0, gt=0, description="factors start uniform between 0 and this")


class NMF(FactorModel):
    """q_i · p_u, on top of μ + b_u + b_i if biased."""

    def __init__(self, config: NMFConfig) -> None:
        super().__init__(biased=config.biased)
        self._config = config

    def units_for(self, scale: Scale) -> Units:
        """From 0 or above, to 5."""
        zero = min(scale.low, 0.0)
        return Units(zero, one=(scale.high - zero) / 5)

    def algorithm(self, seed: int) -> Any:
        """`surprise.NMF`."""
        import surprise

        config = self._config
        return surprise.NMF(
            n_factors=config.factors, n_epochs=config.epochs, biased=config.biased, reg_pu=config.user_reg,
            reg_qi=config.item_reg, reg_bu=config.bias_reg, reg_bi=config.bias_reg, lr_bu=config.bias_lr,
            lr_bi=config.bias_lr, init_high=config.init_high, random_state=seed,
        )  # fmt: skip


PLUGIN = Plugin(
    title="non-negative matrix factorization (surprise)",
    paper="Luo, Zhou, Xia, Zhu, An Efficient Non-Negative Matrix-Factorization-Based Approach, IEEE TII 10(2), 2014",
    config=NMFConfig,
    build=NMF,
)
