"""`mean` predicts the mean of the training ratings on any scale."""

import numpy as np
import pytest

from cfbench.contract import Context
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import planted


def fitted(train):
    plugin = registry.load("mean")
    model = plugin.build(plugin.config())
    model.fit(train, train.take(np.arange(0)), Context())
    return model


@pytest.mark.parametrize("scale", [Scale(low=0, high=4, step=1), Scale(low=-10, high=10), Scale(low=0.5, high=5)])
def test_the_prediction_for_every_pair_is_the_mean_of_the_training_ratings(scale):
    train = planted(scale=scale).train
    users, items = np.indices((train.n_users, train.n_items), dtype=np.int32)
    mean = np.float32(sum(train.ratings.tolist()) / len(train))
    assert (fitted(train).predict(Pairs(users.ravel(), items.ravel())) == mean).all()
    assert fitted(train).parameters == 1


def test_the_mean_of_many_ratings_is_computed_in_double_precision():
    n = 2**25  # in single precision a sum of ones stops at 2**24
    codes = np.zeros(n, np.int32)
    train = Ratings(codes, codes, np.full(n, 3.3, np.float32), 1, 1, Scale(low=1, high=5))
    assert fitted(train).predict(Pairs(codes[:1], codes[:1]))[0] == np.float32(3.3)
