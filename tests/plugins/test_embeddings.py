"""The embeddings of each model: the encoder in plain torch, and factors whose products are the predictions."""

import numpy as np
import pytest
import torch

from cfbench.contract import Context, HasEmbeddings
from cfbench.learning import autoencoder, biases
from cfbench.plugins import deepae
from cfbench.ratings import Pairs
from cfbench.runs import registry
from cfbench.testing import planted


def fitted(name, **settings):
    """A model of the plugin, with its quick hyper-parameters and these, and what it was fitted on."""
    data, plugin = planted(seed=3, times=True), registry.load(name)
    model = plugin.build(plugin.config(**plugin.quick | settings))
    model.fit(data.train, data.valid, Context(seed=1))
    return model, data.train


def dense(train, values, orientation):
    """(rows, columns) the values at the rated cells of the users' or the items' rows, and where these are."""
    x, rated = np.zeros((train.n_users, train.n_items), np.float32), np.zeros((train.n_users, train.n_items), np.bool_)
    x[train.users, train.items], rated[train.users, train.items] = values, True
    x, rated = torch.from_numpy(x), torch.from_numpy(rated)
    return (x, rated) if orientation == "user" else (x.T, rated.T)


def encoder(state):
    """The weights and biases of the encoder's layers, from the ratings to the code."""
    return [(torch.from_numpy(state[f"encode_w/{k}"]), torch.from_numpy(state[f"encode_b/{k}"])) for k in range(2)]


@pytest.mark.parametrize("orientation", ["user", "item"])
@pytest.mark.parametrize("targets", ["ratings", "residuals", "standardized"])
def test_the_code_of_deepae_is_the_output_of_its_encoder_without_dropout(orientation, targets):
    chosen = {"ratings": {}, "residuals": {"residuals": True}, "standardized": {"standardize": True}}[targets]
    model, train = fitted("deepae", epochs=3, orientation=orientation, input_dropout=0.3, **chosen)
    values = train.ratings
    if targets == "residuals":
        values = values - biases.fit(train).predict(train.pairs)
    elif targets == "standardized":
        values = values - biases.fit_random_effects(train).predict(train.pairs)
        values = values / autoencoder.standard_deviation(values)
    x, rated = dense(train, values, orientation)
    x = deepae.show_rated(x, rated) if targets == "standardized" else x
    x[~rated.any(1)] = 0  # 0 / √0 ratings
    for w, b in encoder(model.state()):
        x = torch.selu(x @ w + b)  # (rows, 16), (rows, 8)
    x[~rated.any(1)] = 0
    np.testing.assert_allclose(model.embeddings(orientation), x, atol=1e-5)
    assert model.embeddings("item" if orientation == "user" else "user") is None


@pytest.mark.parametrize("orientation", ["user", "item"])
def test_the_code_of_autorec_is_its_hidden_layer(orientation):
    model, train = fitted("autorec", epochs=3, orientation=orientation)
    x, rated = dense(train, train.ratings, orientation)
    v, mu = (torch.from_numpy(model.state()[name]) for name in ("weights/0", "biases/0"))
    code = torch.sigmoid(x @ v + mu)
    code[~rated.any(1)] = 0
    np.testing.assert_allclose(model.embeddings(orientation), code, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["als", "implicit-als", "svd", "svdpp", "timesvdpp", "surprise-svdpp", "nmf"]
)  # fmt: skip
def test_predictions_are_biases_and_the_products_of_the_factors(name):
    """Biases cancel in differences between users of differences between items."""
    model, train = fitted(name)
    if name == "timesvdpp":  # without its scales, by which users multiply the biases of items
        scales = {key: np.zeros_like(model.state()[key]) for key in ("user_scales", "day_scales")}
        model.restore({**model.state(), **scales}, train, Context(seed=1))
    users, items = (np.flatnonzero(seen).astype(np.int32) for seen in (train.seen_users, train.seen_items))
    pairs = Pairs(np.repeat(users, len(items)), np.tile(items, len(users)))
    scores = model.predict(pairs).reshape(len(users), len(items))
    p, q = model.embeddings("user")[users], model.embeddings("item")[items]
    expected = (p - p[0]) @ (q - q[0]).T
    np.testing.assert_allclose(scores - scores[0] - scores[:, :1] + scores[0, 0], expected, atol=1e-4)
    assert np.abs(expected).max() > 0.05


@pytest.mark.parametrize("name", ["bias", "slopeone", "coclustering", "baseline-als"])
def test_a_model_without_factors_has_no_embeddings(name):
    model, _ = fitted(name)
    assert not isinstance(model, HasEmbeddings) or model.embeddings("item") is model.embeddings("user") is None


def test_embeddings_are_copies():
    for name in ("als", "implicit-als", "svd", "svdpp"):
        model, train = fitted(name)
        before = model.predict(train.pairs)
        model.embeddings("item")[:] = 9
        model.embeddings("user")[:] = 9
        np.testing.assert_array_equal(model.predict(train.pairs), before)
