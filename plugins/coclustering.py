"""Co-clustering: users and items fall into clusters, and a rating into a cell of both, as scikit-surprise fits it.

T. George and S. Merugu, "A Scalable Collaborative Filtering Framework Based on Co-Clustering", ICDM 2005: r̂(u, i) is
the mean of the pair's cell, plus by how much u rates above the mean of its cluster, and i is rated above that of its.

Surprise computes in whole numbers; ratings are shown to it in steps of their scale, so that half stars are not lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import LearnedModel, Units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Scale


class CoClusteringConfig(Config):
    """Hyper-parameters of `coclustering`; the defaults are surprise's."""

    user_clusters: Annotated[PositiveInt, Tunable(1, 20)] = Field(3, description="how many users fall into")
    item_clusters: Annotated[PositiveInt, Tunable(1, 20)] = Field(3, description="how many items fall into")
    epochs: Annotated[PositiveInt, Tunable(10, 50)] = Field(20, description="times every user and item is assigned")


class CoClustering(LearnedModel):
    """Mean of the cell + (mean of u - mean of its cluster) + (mean of i - mean of its cluster)."""

    learns = ("cltr_u", "cltr_i", "user_mean", "item_mean", "avg_cltr_u", "avg_cltr_i", "avg_cocltr")

    def __init__(self, config: CoClusteringConfig) -> None:
        self._config = config

    def units_for(self, scale: Scale) -> Units:
        """Whole numbers."""
        return Units.of_steps(scale)

    def algorithm(self, seed: int) -> Any:
        """`surprise.CoClustering`."""
        import surprise

        config = self._config
        return surprise.CoClustering(
            n_cltr_u=config.user_clusters, n_cltr_i=config.item_clusters, n_epochs=config.epochs, random_state=seed
        )

    def estimate(self, users: Codes, items: Codes) -> NDArray[np.float64]:
        """(n,) a pair with an unknown user or item is μ."""
        a = self.arrays
        user_clusters, item_clusters = a["cltr_u"][users], a["cltr_i"][items]
        above = a["user_mean"][users] - a["avg_cltr_u"][user_clusters]
        above += a["item_mean"][items] - a["avg_cltr_i"][item_clusters]
        known = (users >= 0) & (items >= 0)
        return np.where(known, a["avg_cocltr"][user_clusters, item_clusters] + above, self.training.mean)


PLUGIN = Plugin(
    title="co-clustering of users and items (surprise)",
    paper="George, Merugu, A Scalable Collaborative Filtering Framework Based on Co-Clustering, ICDM 2005",
    config=CoClusteringConfig,
    build=CoClustering,
)
