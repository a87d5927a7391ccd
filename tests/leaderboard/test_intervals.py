"""Intervals and the paired test, compared with SciPy's and with plain loops."""

import numpy as np
import pytest
from scipy import stats

from cfbench.leaderboard.estimates import Estimate
from cfbench.leaderboard.intervals import Interval, Variances, add, compare, interval, jackknife, one_way


def test_the_interval_is_that_of_a_plain_jackknife_of_the_logarithm_of_the_rmse(make_estimate, make_world):
    world = make_world(np.random.default_rng(3), 40)
    sums = world.levels * world.rng.chisquare(world.counts)

    def log_rmse(left_out):
        keep = np.arange(40) != left_out
        return np.log(np.sqrt(sums[keep].sum() / world.counts[keep].sum()))

    without = np.array([log_rmse(user) for user in range(40)])
    deviations = without - without.mean()
    error = np.sqrt(39 / 40 * np.sum(deviations**2))
    freedom = 3 * np.sum(deviations**2) ** 2 / np.sum(deviations**4) - 1
    half = stats.t.ppf(0.975, min(freedom, 39)) * error
    low, high = interval(make_estimate(sums, world.counts))
    assert (np.log(low), np.log(high)) == pytest.approx((log_rmse(None) - half, log_rmse(None) + half))


def test_the_variance_agrees_with_that_of_scipys_bootstrap(make_estimate, make_world):
    world = make_world(np.random.default_rng(3), 400)
    sums = world.levels * world.rng.chisquare(world.counts)
    resampled = stats.bootstrap(
        (sums, world.counts), lambda s, n, axis: np.sqrt(s.sum(axis) / n.sum(axis)),
        paired=True, vectorized=True, n_resamples=4000, rng=1,
    )  # fmt: skip
    value, _ = jackknife(make_estimate(sums, world.counts).effects)
    assert np.sqrt(value) == pytest.approx(resampled.standard_error, rel=0.05)


def test_equal_users_have_one_degree_of_freedom_less_than_there_are_users():
    effects = np.random.default_rng(0).normal(size=20_000)
    value, freedom = one_way(effects)
    assert value == pytest.approx(np.sum(effects**2), rel=1e-3)
    assert freedom == pytest.approx(19_999, rel=0.05)


def test_few_large_users_leave_few_degrees_of_freedom():
    effects = np.random.default_rng(0).normal(size=1000) * np.where(np.arange(1000) < 5, 100, 1)
    assert 1 <= one_way(effects).freedoms < 15


def test_degrees_of_freedom_are_added_as_welchs_test_does():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 4), rng.normal(0, 3, 9)
    expected = stats.ttest_ind(first, second, equal_var=False)
    total = add(*(Variances(np.var(x, ddof=1) / len(x), len(x) - 1.0) for x in (first, second)))
    assert total.freedoms == pytest.approx(expected.df)


def test_the_variance_between_seeds_is_added_and_has_few_degrees_of_freedom(make_estimate):
    counts, seeds = np.ones(10_000), np.array([0.90, 0.92, 0.97])
    sums = np.repeat(seeds[:, None] ** 2, 10_000, axis=1)  # all users have the same error: only seeds differ
    other = make_estimate(np.full(10_000, 0.95**2), counts)
    first = make_estimate(sums, counts)
    expected = stats.ttest_1samp(seeds, 0.95)
    comparison = compare(first, other)
    assert comparison.p == pytest.approx(expected.pvalue)
    assert (comparison.low + 0.95, comparison.high + 0.95) == pytest.approx(tuple(expected.confidence_interval()))
    low, high = interval(first)
    half = stats.t.ppf(0.975, 2) * np.std(seeds, ddof=1) / 3**0.5 / seeds.mean()
    assert (low, high) == pytest.approx((seeds.mean() * np.exp(-half), seeds.mean() * np.exp(half)))


def test_the_two_way_variance_is_the_sum_of_both_less_that_of_the_cells():
    rng = np.random.default_rng(2)
    users, items, cells = rng.normal(0, 3, 50), rng.normal(0, 2, 30), rng.normal(0, 0.1, 500)
    value, _ = jackknife([users, items, cells])
    parts = [one_way(effects).values for effects in (users, items, cells)]
    assert value == pytest.approx(parts[0] + parts[1] - parts[2])


def test_a_two_way_variance_is_never_smaller_than_a_one_way_variance():
    rng = np.random.default_rng(2)
    users, items, cells = rng.normal(0, 1, 50), rng.normal(0, 2, 30), rng.normal(0, 9, 500)
    assert jackknife([users, items, cells]).values == one_way(items).values


def test_the_test_detects_a_better_model(make_world):
    world = make_world(np.random.default_rng(4), 2000)
    comparison = compare(world.model(factor=1.1), world.model())
    assert comparison.p < 0.01
    assert comparison.low < 1.1**0.5 - 1 < comparison.high


def test_the_test_equals_scipys_paired_t_test_when_every_user_has_one_rating(make_estimate):
    rng, counts = np.random.default_rng(6), np.ones(4000)
    first, second = rng.normal(3, 1, 4000), rng.normal(3.02, 1, 4000)
    comparison = compare(make_estimate(first, counts, root=False), make_estimate(second, counts, root=False))
    expected = stats.ttest_rel(first, second)
    assert comparison.p == pytest.approx(expected.pvalue, rel=1e-3)
    assert (comparison.low, comparison.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-3)


def test_the_same_predictions_are_tied(make_world):
    model = make_world(np.random.default_rng(8), 50).model()
    assert compare(model, model) == (0.0, 0.0, 0.0, 1.0)


def test_one_user_gives_no_interval_and_no_p_value(make_estimate):
    one = make_estimate([3.0], [2.0])
    none_present = Estimate((np.array([0.0]),), np.array([1.0]))
    assert np.isnan(interval(one)).all()
    assert np.isnan(compare(one, none_present).p)


def test_users_without_a_test_rating_change_nothing(make_estimate):
    rng = np.random.default_rng(10)
    counts, sums = np.ceil(rng.lognormal(2, 0.8, 40)), rng.chisquare(5, 40)
    estimate = make_estimate(sums, counts)
    wider = make_estimate(np.append(np.zeros(25), sums), np.append(np.zeros(25), counts))
    assert interval(wider) == interval(estimate)


def test_the_interval_of_a_perfect_model_is_zero(make_estimate):
    assert interval(make_estimate(np.zeros(9), np.ones(9))) == Interval(0.0, 0.0)


def test_the_interval_of_a_model_with_one_wrong_user_is_finite(make_estimate):
    low, high = interval(make_estimate(np.eye(9)[0], np.ones(9)))
    assert 0 <= low < (1 / 9) ** 0.5 < high < 5
