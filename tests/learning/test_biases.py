"""Biases against their definition."""

from dataclasses import replace

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
    """Ratings of an item: 2 + 0.3 log of their number + effects of user and item + noise. Two items have none."""
    rng = np.random.default_rng(seed)
    counts = np.append(np.minimum(rng.geometric(0.03, size=items - 2), 400), (0, 0))
    codes = np.repeat(np.arange(items, dtype=np.int32), counts)
    users = np.concatenate([rng.permutation(400)[:count] for count in counts]).astype(np.int32)
    quality = 2 + 0.3 * np.log(np.maximum(counts, 1)) + 0.3 * rng.normal(size=items)
    kindness = 0.2 * rng.normal(size=400)
    ratings = quality[codes] + (kindness - kindness.mean())[users] + 0.6 * rng.normal(size=len(codes))
    return Ratings(users, codes, ratings, 400, items, Scale(low=-5, high=10))


def test_random_effects_estimate_the_planted_variances_and_the_line():
    table = popular_is_good(seed=1)
    fitted = biases.fit_random_effects(table)
    assert fitted.user_reg == pytest.approx(0.6**2 / 0.2**2, rel=0.15)
    unseen = Pairs(np.zeros(2, np.int32), np.array([1998, 1999], np.int32))
    np.testing.assert_allclose(fitted.predict(unseen) - fitted.users[0], 2, atol=0.06)  # as an item with one rating
    quality = fitted.mean + fitted.items
    counts = np.bincount(table.items, minlength=table.n_items)
    assert np.polyfit(np.log(counts[:-2]), quality[:-2], 1)[0] == pytest.approx(0.3, abs=0.03)


def test_random_effects_predict_held_out_ratings_better_than_the_best_of_a_grid_of_fixed_ones():
    table = popular_is_good(seed=2)
    held_out = np.random.default_rng(0).random(len(table)) < 0.2
    train, test = table.take(np.flatnonzero(~held_out)), table.take(np.flatnonzero(held_out))
    grid = [biases.fit(train, user_reg=u, item_reg=i) for u in (2, 5, 9, 15) for i in (1, 2, 4, 8)]
    best = min(rmse(fitted.predict(test.pairs), test.ratings) for fitted in grid)
    random = biases.fit_random_effects(train)
    assert rmse(random.predict(test.pairs), test.ratings) < best
    rare = test.take(np.bincount(train.items, minlength=train.n_items)[test.items] < 5)
    best_of_rare = min(rmse(fitted.predict(rare.pairs), rare.ratings) for fitted in grid)
    assert rmse(random.predict(rare.pairs), rare.ratings) < 0.97 * best_of_rare


def test_random_effects_on_another_scale_are_the_same():
    table = popular_is_good(seed=3)
    rescaled = replace(table, ratings=20 * table.ratings - 19, scale=Scale(low=-119, high=181))
    before, after = biases.fit_random_effects(table), biases.fit_random_effects(rescaled)
    np.testing.assert_allclose(after.predict(table.pairs), 20 * before.predict(table.pairs) - 19, atol=1e-3)
    assert after.user_reg == pytest.approx(before.user_reg, rel=1e-3)


@pytest.mark.parametrize("rating", [0.0, 4.0])
def test_random_effects_of_equal_ratings_are_zero(rating):
    users, items = (codes.ravel() for codes in np.indices((20, 10)))
    table = Ratings(users, items, np.full(200, rating), 21, 11, Scale(low=0, high=5))
    fitted = biases.fit_random_effects(table)
    everyone = Pairs(np.full(11, 20, np.int32), np.arange(11, dtype=np.int32))
    np.testing.assert_allclose(fitted.predict(everyone), rating, atol=1e-6)
    assert np.isfinite(fitted.fold_in(items[:3], table.ratings[:3], items[3:6])).all()


def test_without_ratings_the_middle_of_the_scale_is_predicted():
    empty = planted(seed=3).train.take(np.arange(0))
    unseen = Pairs(np.zeros(1, np.int32), np.zeros(1, np.int32))
    for fitted in (biases.fit(empty), biases.fit_random_effects(empty)):
        assert fitted.predict(unseen) == 3
