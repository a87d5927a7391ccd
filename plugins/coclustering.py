"""Co-clustering: predicts from the means of user and item clusters (surprise).

T. George and S. Merugu, "A Scalable Collaborative Filtering Framework Based on Co-Clustering", ICDM 2005. Every user
belongs to a user cluster and every item to an item cluster; a pair of clusters is a co-cluster. A prediction is

    r̂(u, i) = mean of the co-cluster + (mean of u - mean of u's cluster) + (mean of i - mean of i's cluster)

Surprise computes with integers, so it sees ratings in steps of their scale. Half stars would be lost otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.plugins._surprise import SurpriseModel, whole_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.contract import State
    from cfbench.plugins._surprise import TrainingData
    from cfbench.ratings import Codes


class CoClusteringConfig(Config):
    """Hyper-parameters of `coclustering`; the defaults are those of surprise."""

    user_clusters: Annotated[PositiveInt, Tunable(1, 20)] = Field(3, description="number of user clusters")
    item_clusters: Annotated[PositiveInt, Tunable(1, 20)] = Field(3, description="number of item clusters")
    epochs: Annotated[PositiveInt, Tunable(10, 50)] = Field(
        20, description="number of times that every user and item is assigned to a cluster"
    )


def build_coclustering(config: CoClusteringConfig) -> SurpriseModel:
    """The model of the module's formula."""

    def create_algorithm(seed: int) -> Any:
        import surprise

        return surprise.CoClustering(
            n_cltr_u=config.user_clusters, n_cltr_i=config.item_clusters, n_epochs=config.epochs, random_state=seed
        )

    array_names = ("cltr_u", "cltr_i", "user_mean", "item_mean", "avg_cltr_u", "avg_cltr_i", "avg_cocltr")
    return SurpriseModel(create_algorithm, array_names, estimate, whole_units)


def estimate(training: TrainingData, arrays: State, users: Codes, items: Codes) -> NDArray[np.float64]:
    """(n,) predictions; a pair with an unknown user or item is predicted as μ."""
    user_clusters, item_clusters = arrays["cltr_u"][users], arrays["cltr_i"][items]  # (n,), (n,)
    deviations = arrays["user_mean"][users] - arrays["avg_cltr_u"][user_clusters]
    deviations += arrays["item_mean"][items] - arrays["avg_cltr_i"][item_clusters]
    scores = arrays["avg_cocltr"][user_clusters, item_clusters] + deviations
    return np.where((users >= 0) & (items >= 0), scores, training.mean)


PLUGIN = Plugin(
    title="co-clustering of users and items (surprise)",
    paper="George, Merugu, A Scalable Collaborative Filtering Framework Based on Co-Clustering, ICDM 2005",
    config=CoClusteringConfig,
    build=build_coclustering,
)
