"""Baseline estimates by alternating least squares, as scikit-surprise fits them.

Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", ACM TKDD 4(1), 2010, section 2.1:
r̂(u, i) = μ + b_u + b_i. The same model as `bias`, from another hand: each checks the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import LearnedModel, bias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cfbench.ratings import Codes


class BaselineALSConfig(Config):
    """Hyper-parameters of `baseline-als`; the defaults are surprise's."""

    user_reg: Annotated[float, Tunable(0.1, 100, log=True)] = Field(
        15.0, ge=0, description="shrinks user biases: counts as so many ratings of bias 0"
    )
    item_reg: Annotated[float, Tunable(0.1, 100, log=True)] = Field(
        10.0, ge=0, description="shrinks item biases: counts as so many ratings of bias 0"
    )
    sweeps: int = Field(10, ge=1, description="alternations between items and users")


class BaselineALS(LearnedModel):
    """μ + b_u + b_i."""

    learns = ("bu", "bi")

    def __init__(self, config: BaselineALSConfig) -> None:
        self._config = config

    def algorithm(self, seed: int) -> Any:  # noqa: ARG002 (nothing is random)
        """`surprise.BaselineOnly`."""
        from surprise import BaselineOnly

        config = self._config
        options = {
            "method": "als", "n_epochs": config.sweeps, "reg_u": config.user_reg, "reg_i": config.item_reg,
        }  # fmt: skip
        return BaselineOnly(bsl_options=options, verbose=False)

    def estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """(n,) μ + b_u + b_i; an unknown user or item has bias 0."""
        return self.training.mean + bias(self.arrays["bu"], users) + bias(self.arrays["bi"], items)


PLUGIN = Plugin(
    title="baseline estimates by alternating least squares (surprise)",
    paper="Koren, Factor in the Neighbors, ACM TKDD 4(1), 2010, section 2.1",
    config=BaselineALSConfig,
    build=BaselineALS,
)
