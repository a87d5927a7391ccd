"""implicit-als: what may enter its factors, what its readout is, and whom it can speak of."""

import numpy as np
import pytest
import torch

from cfbench.contract import Context
from cfbench.learning import biases
from cfbench.plugins.implicit_als import ImplicitALS, ImplicitALSConfig, _balanced
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.testing import planted

STARS = Scale(low=1, high=5)
QUICK = {"factors": 8, "reg": 1.0}


def fitted(train, seed=1, **config):
    model = ImplicitALS(ImplicitALSConfig(**(QUICK | config)))
    model.fit(train, train.take(np.arange(0)), Context(seed=seed))
    return model


def two_circles(seed=0, n=120):
    """Users rate mostly their own half of the items, and like one half of what they rate for no visible reason."""
    rng = np.random.default_rng(seed)
    near = np.indices((n, n)).sum(0) % 2 == 0
    rated = rng.random((n, n)) < np.where(near, 0.6, 0.05)
    users, items = np.nonzero(rated)
    ratings = np.where(near[users, items], 3.0, np.where(users % 4 < 2, 1.0, 5.0))
    return Ratings(users, items, ratings, n, n, STARS)


def test_the_same_pairs_give_the_same_factors_whatever_the_ratings():
    train = planted(seed=1).train
    other = Ratings(train.users, train.items, train.ratings[::-1], train.n_users, train.n_items, STARS)
    first, second = fitted(train).state(), fitted(other).state()
    assert first["items"].tobytes() == second["items"].tobytes()
    assert first["users"].tobytes() != second["users"].tobytes()


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(monkeypatch):
    train = planted(seed=2, n_users=400, n_items=200).train
    states = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        states.append(fitted(train).state()["items"].tobytes())
    assert len(set(states)) == 1
    assert fitted(train, seed=2).state()["items"].tobytes() not in states


def test_who_rated_what_tells_how_a_pair_is_rated():
    table = two_circles()
    part = np.random.default_rng(1).random(len(table)) < 0.8
    train, test = table.take(part), table.take(~part)
    baseline = biases.fit(train).predict(test.pairs)
    by_biases, by_model = (
        np.sqrt(np.mean((scores - test.ratings) ** 2))
        for scores in (baseline, fitted(train, ridge=3).predict(test.pairs))
    )
    assert by_model < 0.6 * by_biases


def test_a_users_readout_is_the_ridge_regression_of_what_the_biases_leave():
    train = planted(seed=3).train
    model = fitted(train, ridge=7)
    of_user = train.users == 4
    q = model.state()["items"][train.items[of_user]].astype(np.float64)
    left = train.ratings[of_user] - biases.fit(train).predict(Pairs(train.users[of_user], train.items[of_user]))
    stacked = np.concatenate([q, np.sqrt(7) * np.eye(8)]), np.concatenate([left, np.zeros(8)])
    np.testing.assert_allclose(model.state()["users"][4], np.linalg.lstsq(*stacked)[0], rtol=1e-3, atol=1e-5)


def test_the_coordinates_of_the_factors_do_not_matter():
    rng = np.random.default_rng(0)
    x, q, turn = rng.normal(size=(50, 4)), rng.normal(size=(30, 4)), rng.normal(size=(4, 4))
    items = _balanced(x.astype(np.float32), q.astype(np.float32)).astype(np.float64)
    turned = _balanced((x @ turn).astype(np.float32), (q @ np.linalg.inv(turn).T).astype(np.float32))
    agreement = q @ x.T @ x @ q.T
    for found in (items, turned.astype(np.float64)):
        np.testing.assert_allclose(found @ found.T, agreement * (30 * 4 / np.trace(agreement)), rtol=1e-3, atol=1e-3)
    assert not _balanced(np.zeros((5, 2), np.float32), np.zeros((3, 2), np.float32)).any()


def test_a_pair_with_a_cold_user_or_item_is_predicted_by_the_biases():
    train = planted(seed=5).train
    model, baseline = fitted(train), biases.fit(train)
    users, items = np.array([79, 3, 79], np.int32), np.array([3, 59, 59], np.int32)
    np.testing.assert_array_equal(model.predict(Pairs(users, items)), baseline.predict(Pairs(users, items)))


def test_a_training_user_folded_in_again_is_predicted_as_before():
    train = planted(seed=6).train
    model = fitted(train, ridge=5)
    of_user = train.users == 9
    asked = np.arange(60, dtype=np.int32)
    folded = model.fold_in(train.items[of_user], train.ratings[of_user], asked)
    np.testing.assert_allclose(folded, model.predict(Pairs(np.full(60, 9, np.int32), asked)), atol=1e-4)
    assert folded.dtype == np.float32


def test_a_user_who_rated_only_a_cold_item_is_folded_in_by_generosity():
    train = planted(seed=7).train
    rated, asked = np.array([59], np.int32), np.array([3, 4], np.int32)
    ratings = np.array([5], np.float32)
    expected = biases.fit(train).fold_in(rated, ratings, asked)
    np.testing.assert_allclose(fitted(train).fold_in(rated, ratings, asked), expected, rtol=1e-6)


@pytest.mark.parametrize("config", [{"factors": 0}, {"ridge": 0}, {"alpha": -1}])
def test_a_factorisation_that_cannot_be_is_refused(config):
    with pytest.raises(ValueError, match="greater than"):
        ImplicitALSConfig(**config)
