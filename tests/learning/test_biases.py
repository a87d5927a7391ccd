"""Biases against their definition."""

import numpy as np
import pytest

from cfbench.learning import biases
from cfbench.metrics import rmse
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


def popular_is_good(seed, items=2000):
    """Ratings of an item: 2 + 0.3 log of their number + the item's deviation + noise. The last two items have none."""
    rng = np.random.default_rng(seed)
    counts = np.append(rng.geometric(0.03, size=items - 2), (0, 0))
    codes = np.repeat(np.arange(items, dtype=np.int32), counts)
    users = np.concatenate([rng.permutation(400)[:count] for count in counts]).astype(np.int32)
    codes = codes[: len(users)]
    quality = 2 + 0.3 * np.log(np.maximum(counts, 1)) + 0.3 * rng.normal(size=items)
    ratings = quality[codes] + 0.6 * rng.normal(size=len(codes))
    return Ratings(users, codes, ratings, 400, items, Scale(low=-5, high=10))


def test_with_popularity_an_item_without_ratings_gets_the_bias_of_an_item_with_one():
    table = popular_is_good(seed=1)
    fitted = biases.fit(table, user_reg=1e9, item_reg=4, popularity=True)  # (0.6 / 0.3)² = 4
    unseen = Pairs(np.zeros(2, np.int32), np.array([1998, 1999], np.int32))
    np.testing.assert_allclose(fitted.predict(unseen), 2, atol=0.06)


def test_with_popularity_items_with_few_ratings_are_predicted_better_and_others_as_well():
    table = popular_is_good(seed=2)
    held_out = np.random.default_rng(0).random(len(table)) < 0.2
    train, test = table.take(np.flatnonzero(~held_out)), table.take(np.flatnonzero(held_out))
    counts = np.bincount(train.items, minlength=table.n_items)[test.items]
    plain, line = (biases.fit(train, user_reg=15, item_reg=4, popularity=popularity) for popularity in (False, True))
    for few, bound in ((counts < 5, 0.97), (counts > 50, 1.001)):
        part = test.take(np.flatnonzero(few))
        assert rmse(line.predict(part.pairs), part.ratings) < bound * rmse(plain.predict(part.pairs), part.ratings)


def test_with_popularity_the_fixed_point_has_no_better_line():
    table = popular_is_good(seed=3)
    fitted = biases.fit(table, user_reg=15, item_reg=4, sweeps=100, popularity=True)
    counts = np.bincount(table.items, minlength=table.n_items)
    rated = counts > 0
    slope = np.polyfit(np.log(counts[rated]), fitted.items[rated], 1)[0]
    biases_in_training = fitted.items - slope * (np.log1p(counts) - np.log(np.maximum(counts, 1)))
    sums = np.bincount(
        table.items, weights=table.ratings - fitted.mean - fitted.users[table.users], minlength=table.n_items
    )
    deviations = (sums - counts * biases_in_training)[rated] / 4  # the normal equations of d_i
    assert abs(deviations.mean()) < 0.01
    assert abs(np.corrcoef(deviations, np.log(counts[rated]))[0, 1]) < 0.05


def test_popularity_is_ignored_where_all_items_are_equally_popular():
    users, items = (codes.ravel() for codes in np.indices((20, 10)))
    table = Ratings(users, items, np.random.default_rng(0).uniform(1, 5, 200), 20, 10, STARS)
    plain, line = (biases.fit(table, popularity=popularity) for popularity in (False, True))
    np.testing.assert_array_equal(plain.items, line.items)


def test_without_ratings_the_middle_of_the_scale_is_predicted():
    empty = planted(seed=3).train.take(np.arange(0))
    assert biases.fit(empty).mean == 3
