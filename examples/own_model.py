"""A model of your own against `bias` on MovieLens 100K: item means, shrunk towards the mean of all ratings."""

from typing import Annotated

import numpy as np
from pydantic import Field

import cfbench
from cfbench.contract import Config, Context, Plugin, State, Tunable
from cfbench.ratings import Pairs, Ratings, Scores


class ItemMeanConfig(Config):
    shrink: Annotated[float, Tunable(0.1, 100, log=True)] = Field(5.0, ge=0, description="number of added ratings")


class ItemMean:
    def __init__(self, config: ItemMeanConfig) -> None:
        self.shrink = config.shrink

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:
        self.mean = float(train.ratings.mean())
        sums = np.bincount(train.items, train.ratings - self.mean, train.n_items)
        self.items = sums / (np.bincount(train.items, minlength=train.n_items) + self.shrink + 1e-9)  # (n_items,)

    def predict(self, pairs: Pairs) -> Scores:
        return (self.mean + self.items[pairs.items]).astype(np.float32)  # (n,)

    def state(self) -> State:
        return {"mean": np.array([self.mean]), "items": self.items}

    def restore(self, state: State, train: Ratings, context: Context) -> None:
        self.mean, self.items = float(state["mean"][0]), state["items"]

    @property
    def parameters(self) -> int:
        return 1 + len(self.items)


cfbench.register("item-mean", Plugin("item means", "none", ItemMeanConfig, ItemMean, random=False))
data = cfbench.load("ml-100k", download=True)
for name in ("bias", "item-mean"):
    print(cfbench.run(name, data, skip_finished=True))
print(cfbench.tune("item-mean", data, trials=5).run())
print(cfbench.compare(data, plugins=["bias", "item-mean"]).select("place", "plugin", "rmse", "difference", "p_value"))
