"""implicit-als: its factors, its ridge regressions, and its predictions for unseen and new users."""

import numpy as np
import pytest
import torch

from cfbench.contract import Context
from cfbench.learning import biases
from cfbench.metrics import rmse
from cfbench.plugins.implicit_als import ImplicitALS, ImplicitALSConfig, balance_items
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.testing import planted

STARS = Scale(low=1, high=5)
QUICK = {"factors": 8, "reg": 1.0}


def fitted(train, seed=1, **config):
    model = ImplicitALS(ImplicitALSConfig(**(QUICK | config)))
    model.fit(train, train.take(np.arange(0)), Context(seed=seed))
    return model


def two_groups(seed=0, n=120):
    """Users of n items; which items they rate says how they rate them.

    Users with an even code mostly rate even items, and odd users odd items: each of these ratings is 3. Half of the
    users rate every other item 1, and the other half rate it 5.
    """
    rng = np.random.default_rng(seed)
    same_parity = np.indices((n, n)).sum(0) % 2 == 0
    rated = rng.random((n, n)) < np.where(same_parity, 0.6, 0.05)
    users, items = np.nonzero(rated)
    ratings = np.where(same_parity[users, items], 3.0, np.where(users % 4 < 2, 1.0, 5.0))
    return Ratings(users, items, ratings, n, n, STARS)


def test_item_factors_depend_on_the_pairs_and_not_on_the_ratings():
    train = planted(seed=1).train
    other = Ratings(train.users, train.items, train.ratings[::-1], train.n_users, train.n_items, STARS)
    first, second = fitted(train).state(), fitted(other).state()
    assert first["items"].tobytes() == second["items"].tobytes()
    assert first["users"].tobytes() != second["users"].tobytes()


def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads(monkeypatch):
    train = planted(seed=2, n_users=400, n_items=200).train
    states = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        states.append(fitted(train).state()["items"].tobytes())
    assert len(set(states)) == 1
    assert fitted(train, seed=2).state()["items"].tobytes() not in states


def test_the_model_learns_ratings_from_who_rated_what():
    table = two_groups()
    in_train = np.random.default_rng(1).random(len(table)) < 0.8
    train, test = table.take(in_train), table.take(~in_train)
    error_of_biases = rmse(biases.fit(train).predict(test.pairs), test.ratings)
    error_of_model = rmse(fitted(train, ridge=3).predict(test.pairs), test.ratings)
    assert error_of_model < 0.6 * error_of_biases


def test_user_factors_are_the_ridge_regression_of_the_ratings_minus_the_biases():
    train = planted(seed=3).train
    model = fitted(train, ridge=7)
    of_user = train.users == 4
    q = model.state()["items"][train.items[of_user]].astype(np.float64)
    residuals = train.ratings[of_user] - biases.fit(train).predict(train.take(of_user).pairs)
    rows = np.concatenate([q, np.sqrt(7) * np.eye(8)])
    solution = np.linalg.lstsq(rows, np.concatenate([residuals, np.zeros(8)]))[0]
    np.testing.assert_allclose(model.state()["users"][4], solution, rtol=1e-3, atol=1e-5)


def test_balanced_item_factors_do_not_depend_on_the_coordinates_of_the_factors():
    rng = np.random.default_rng(0)
    x, q, change = rng.normal(size=(50, 4)), rng.normal(size=(30, 4)), rng.normal(size=(4, 4))
    agreement = q @ x.T @ x @ q.T
    expected = agreement * (30 * 4 / np.trace(agreement))
    for users, items in ((x, q), (x @ change, q @ np.linalg.inv(change).T)):
        balanced = balance_items(users.astype(np.float32), items.astype(np.float32)).astype(np.float64)
        np.testing.assert_allclose(balanced @ balanced.T, expected, rtol=1e-3, atol=1e-3)


def test_balanced_item_factors_of_zeros_are_zeros():
    assert not balance_items(np.zeros((5, 2), np.float32), np.zeros((3, 2), np.float32)).any()


def test_a_pair_with_an_unseen_user_or_item_is_predicted_by_the_biases():
    train = planted(seed=5).train
    model, baseline = fitted(train), biases.fit(train)
    pairs = Pairs(np.array([79, 3, 79], np.int32), np.array([3, 59, 59], np.int32))  # nobody is user 79 or rated 59
    np.testing.assert_array_equal(model.predict(pairs), baseline.predict(pairs))


def test_a_folded_in_training_user_gets_the_predictions_of_training():
    train = planted(seed=6).train
    model = fitted(train, ridge=5)
    of_user = train.users == 9
    targets = np.arange(60, dtype=np.int32)
    folded = model.fold_in(train.items[of_user], train.ratings[of_user], targets)
    np.testing.assert_allclose(folded, model.predict(Pairs(np.full(60, 9, np.int32), targets)), atol=1e-4)
    assert folded.dtype == np.float32


def test_a_new_user_who_rated_only_an_unseen_item_is_folded_in_by_their_bias():
    train = planted(seed=7).train
    rated, targets = np.array([59], np.int32), np.array([3, 4], np.int32)
    ratings = np.array([5], np.float32)
    expected = biases.fit(train).fold_in(rated, ratings, targets)
    np.testing.assert_allclose(fitted(train).fold_in(rated, ratings, targets), expected, rtol=1e-6)


@pytest.mark.parametrize("config", [{"factors": 0}, {"ridge": 0}, {"alpha": -1}])
def test_hyper_parameters_out_of_range_are_refused(config):
    with pytest.raises(ValueError, match="greater than"):
        ImplicitALSConfig(**config)
