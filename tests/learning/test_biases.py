"""Biases against their definition."""

import numpy as np
import pytest

from cfbench.learning import biases
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.testing import planted

STARS = Scale(low=1, high=5)


def test_planted_biases_are_recovered_from_a_full_table():
    rng = np.random.default_rng(0)
    user_biases, item_biases = rng.normal(size=50) * 0.3, rng.normal(size=30) * 0.3
    user_biases -= user_biases.mean()
    item_biases -= item_biases.mean()
    users, items = (codes.ravel() for codes in np.indices((50, 30)))
    table = Ratings(users, items, 3 + user_biases[users] + item_biases[items], 50, 30, STARS)
    fitted = biases.fit(table, user_reg=0, item_reg=0)
    np.testing.assert_allclose(fitted.users, user_biases, atol=1e-5)
    np.testing.assert_allclose(fitted.items, item_biases, atol=1e-5)
    assert fitted.mean == pytest.approx(3, abs=1e-6)


def test_the_fixed_point_satisfies_the_normal_equations():
    table = planted(seed=1).train
    fitted = biases.fit(table, user_reg=4, item_reg=7, sweeps=200)
    residuals = table.ratings - fitted.predict(table.pairs)
    for codes, values, reg in ((table.users, fitted.users, 4), (table.items, fitted.items, 7)):
        gradient = np.bincount(codes, weights=residuals, minlength=len(values)) - reg * values
        np.testing.assert_allclose(gradient, 0, atol=1e-3)


def test_more_regularisation_means_smaller_biases():
    table = planted(seed=2).train
    sizes = [np.abs(biases.fit(table, user_reg=reg, item_reg=reg).users).sum() for reg in (0, 10, 1000)]
    assert sizes == sorted(sizes, reverse=True)


def test_a_cold_user_and_item_have_bias_zero():
    data = planted(seed=3)
    fitted = biases.fit(data.train)
    cold = np.array([79], np.int32), np.array([59], np.int32)
    assert fitted.predict(Pairs(*cold)) == pytest.approx(data.train.ratings.mean(), abs=1e-6)


def test_without_ratings_the_middle_of_the_scale_is_predicted():
    empty = planted(seed=3).train.take(np.arange(0))
    assert biases.fit(empty).mean == 3
