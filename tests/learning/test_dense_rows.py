"""The plain torch module of a row model predicts what the model predicts, for every kind of network."""

import numpy as np
import pytest
import torch

from cfbench.contract import Context, RowNetwork
from cfbench.plugins import als, autorec, deepae
from cfbench.ratings import Pairs
from cfbench.testing import planted

DEEP = {"hidden": (6, 4), "epochs": 2, "batch_size": 8, "lr": 0.01, "precision": "fp32"}
GENERAL = DEEP | {"standardize": True, "implicit_factors": 3, "activation": "tanh"}


def fitted(plugin, config):
    """A model, and its training ratings: nobody rated the last item, and the last user rated nothing."""
    data = planted(seed=5, n_users=40, n_items=25)
    is_known = (data.train.users < data.train.n_users - 1) & (data.train.items < data.train.n_items - 1)
    train = data.train.take(is_known)
    model = plugin.build(plugin.config(**config))
    model.fit(train, data.valid, Context())
    return model, train


def dense(train):
    """The ratings and the mask, (users, items); what stands in unrated cells must not matter."""
    ratings = torch.full((train.n_users, train.n_items), torch.nan)
    ratings[torch.tensor(train.users), torch.tensor(train.items)] = torch.tensor(train.ratings)
    return ratings, ~ratings.isnan()


def all_predictions(model, train):
    """(users, items) predictions, clipped to the scale."""
    users, items = (codes.ravel().astype(np.int32) for codes in np.indices((train.n_users, train.n_items)))
    return train.scale.clip(model.predict(Pairs(users, items))).reshape(train.n_users, train.n_items)


@pytest.mark.parametrize(
    ("plugin", "config"),
    [
        (deepae.PLUGIN, DEEP), (deepae.PLUGIN, DEEP | {"tied": True, "activation": "relu", "last_activation": "on"}),
        (deepae.PLUGIN, DEEP | {"residuals": True, "activation": "elu"}),
        (deepae.PLUGIN, DEEP | {"implicit_factors": 3, "activation": "sigmoid"}),
        (deepae.PLUGIN, GENERAL | {"orientation": "item"}), (deepae.PLUGIN, DEEP | {"orientation": "item"}),
        (autorec.PLUGIN, DEEP), (autorec.PLUGIN, DEEP | {"orientation": "user", "activation": "elu"}),
    ],
)  # fmt: skip
def test_the_module_predicts_what_the_model_predicts(plugin, config):
    model, train = fitted(plugin, config)
    ratings, rated = dense(train)
    with torch.inference_mode():
        if model.row_kind == "item":
            found = model.module()(ratings.T, rated.T, torch.arange(train.n_items)).T
        else:
            found = model.module()(ratings, rated)
    np.testing.assert_allclose(found.numpy(), all_predictions(model, train), atol=1e-5)


@pytest.mark.parametrize("config", [DEEP, GENERAL, DEEP | {"residuals": True, "activation": "lrelu"}])
def test_a_row_of_a_new_user_is_predicted_as_by_fold_in(config):
    model, train = fitted(deepae.PLUGIN, config)
    last = train.n_items - 1
    for items, values in (([3, 5, 9, last], [1, 5, 4, 2]), ([last], [5])):
        ratings = torch.full((1, train.n_items), torch.nan)
        ratings[0, items] = torch.tensor(values, dtype=torch.float32)
        with torch.inference_mode():
            found = model.module()(ratings, ~ratings.isnan())[0].numpy()
        targets = np.arange(train.n_items, dtype=np.int32)
        expected = model.fold_in(np.array(items, np.int32), np.array(values, np.float32), targets)
        np.testing.assert_allclose(found, train.scale.clip(expected), atol=1e-5)


def test_only_networks_over_rows_have_a_module():
    assert isinstance(fitted(autorec.PLUGIN, DEEP)[0], RowNetwork)
    assert not isinstance(fitted(als.PLUGIN, {})[0], RowNetwork)
