"""Another library on the same leaderboard: scikit-surprise learns our training part and predicts our test part."""

from typing import Any

import polars as pl
from surprise import SVD, Dataset, Reader

import cfbench


def predict(model: Any, part: pl.DataFrame) -> pl.DataFrame:
    """The rows of a part with the predictions of a model of scikit-surprise."""
    estimates = [model.predict(user, item).est for user, item in part.select("user", "item").rows()]
    return part.with_columns(prediction=pl.Series(estimates))


data = cfbench.load("ml-100k", download=True)
split = data.split("random90")

reader = Reader(rating_scale=(data.scale.low, data.scale.high))
rows = [(user, item, rating, None) for user, item, rating in split.train.select("user", "item", "rating").rows()]
model = SVD(n_epochs=20, random_state=0)
model.fit(Dataset(reader).construct_trainset(rows))

theirs = cfbench.import_predictions(
    predict(model, split.test), data, name="surprise-svd-directly", split=split.name, valid=predict(model, split.valid)
)
print(theirs.scores)
cfbench.run("bias", data, split=split.name, skip_finished=True)
print(cfbench.compare(data, split=split.name).select("place", "plugin", "rmse", "difference", "note"))
