"""Baseline estimates: mean plus biases, by alternating least squares (surprise).

Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", ACM TKDD 4(1), 2010, section 2.1:
r̂(u, i) = μ + b_u + b_i. The plugin `bias` is the same model, implemented independently; a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import BIASES, SurpriseModel, estimate_by_biases


class BaselineALSConfig(Config):
    """Hyper-parameters of `baseline-als`; the defaults are those of surprise."""

    user_reg: Annotated[float, Tunable(0.1, 100, log=True)] = Field(
        15.0, ge=0, description="strength of the L2 penalty on user biases; it acts like this many ratings of bias 0"
    )
    item_reg: Annotated[float, Tunable(0.1, 100, log=True)] = Field(
        10.0, ge=0, description="strength of the L2 penalty on item biases; it acts like this many ratings of bias 0"
    )
    sweeps: int = Field(10, ge=1, description="number of alternations between item and user biases")


def build_baseline_als(config: BaselineALSConfig) -> SurpriseModel:
    """The model r̂(u, i) = μ + b_u + b_i."""

    def create_algorithm(seed: int) -> Any:  # noqa: ARG001 (nothing is random)
        import surprise

        options = {
            "method": "als", "n_epochs": config.sweeps, "reg_u": config.user_reg, "reg_i": config.item_reg,
        }  # fmt: skip
        return surprise.BaselineOnly(bsl_options=options, verbose=False)

    return SurpriseModel(create_algorithm, BIASES, estimate_by_biases)


PLUGIN = Plugin(
    title="baseline estimates by alternating least squares (surprise)",
    paper="Koren, Factor in the Neighbors, ACM TKDD 4(1), 2010, section 2.1",
    config=BaselineALSConfig,
    build=build_baseline_als,
    random=False,
)
