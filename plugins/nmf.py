"""NMF: matrix factorization with non-negative factors (surprise).

X. Luo, M. Zhou, Y. Xia, Q. Zhu, "An Efficient Non-Negative Matrix-Factorization-Based Approach to Collaborative
Filtering for Recommender Systems", IEEE Transactions on Industrial Informatics 10(2), 2014: r̂(u, i) = q_i · p_u,
learned by multiplicative updates over the training ratings.

Ratings must not be negative. The updates oscillate and do not converge unless the first predictions are near the
ratings, as they are with the defaults of surprise on a scale of five stars. So surprise sees a scale whose high end is
5; a scale with negative ratings also starts at 0 for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import BIASES, FACTORS, SurpriseModel, Units, estimate_by_factors, plain_user_factors

if TYPE_CHECKING:
    from cfbench.ratings import Scale


class NMFConfig(Config):
    """Hyper-parameters of `nmf`; surprise's own defaults, 15 factors and penalties of 0.06, are worse than `bias`."""

    factors: Annotated[PositiveInt, Tunable(10, 200, log=True)] = Field(
        64, description="number of factors: length of p_u and q_i"
    )
    epochs: Annotated[PositiveInt, Tunable(20, 200, log=True)] = Field(
        100, description="passes over the training ratings"
    )
    user_reg: Annotated[float, Tunable(1e-3, 10, log=True)] = Field(
        0.5, ge=0, description="strength of the L2 penalty on user factors"
    )
    item_reg: Annotated[float, Tunable(1e-4, 10, log=True)] = Field(
        0.012, ge=0, description="strength of the L2 penalty on item factors"
    )
    biased: Annotated[bool, Tunable(choices=(False, True))] = Field(
        False, description="also learn user and item biases: r̂(u, i) = μ + b_u + b_i + q_i · p_u"
    )
    bias_lr: float = Field(0.005, gt=0, description="learning rate of the biases")
    bias_reg: float = Field(0.02, ge=0, description="strength of the L2 penalty on the biases")
    init_high: float = Field(1.0, gt=0, description="initial factors are uniform between 0 and this number")


def build_nmf(config: NMFConfig) -> SurpriseModel:
    """The model r̂(u, i) = q_i · p_u, on top of μ + b_u + b_i if `biased`."""

    def create_algorithm(seed: int) -> Any:
        import surprise

        return surprise.NMF(
            n_factors=config.factors, n_epochs=config.epochs, biased=config.biased, reg_pu=config.user_reg,
            reg_qi=config.item_reg, reg_bu=config.bias_reg, reg_bi=config.bias_reg, lr_bu=config.bias_lr,
            lr_bi=config.bias_lr, init_high=config.init_high, random_state=seed,
        )  # fmt: skip

    array_names = FACTORS + BIASES if config.biased else FACTORS
    return SurpriseModel(create_algorithm, array_names, estimate_by_factors, units_up_to_five, plain_user_factors)


def units_up_to_five(scale: Scale) -> Units:
    """Units in which ratings are at least 0 and the high end of the scale is 5."""
    zero = min(scale.low, 0.0)
    return Units(zero, unit=(scale.high - zero) / 5)


PLUGIN = Plugin(
    title="non-negative matrix factorization (surprise)",
    paper="Luo, Zhou, Xia, Zhu, An Efficient Non-Negative Matrix-Factorization-Based Approach, IEEE TII 10(2), 2014",
    config=NMFConfig,
    build=build_nmf,
    quick={"factors": 15, "epochs": 50, "user_reg": 0.06, "item_reg": 0.06},
)
