"""Comparisons over seeds agree with SciPy's, and stay right where runs diverged."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from cfbench.experiments.comparing import compare_seeds, mean_interval, share_of_seeds

INF = math.inf


def test_finite_values_get_welchs_test():
    first, second = [0.91, 0.93, 0.92], [0.95, 0.99, 0.96, 0.97]
    expected = stats.ttest_ind(first, second, equal_var=False)
    interval = expected.confidence_interval()
    assert compare_seeds(first, second) == pytest.approx(
        (np.mean(first) - np.mean(second), interval.low, interval.high, expected.pvalue)
    )


def test_the_interval_of_a_mean_is_that_of_t():
    values = [0.91, 0.93, 0.95]
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)
    assert math.isnan(mean_interval([0.9]).low)


def test_equal_values_do_not_differ():
    assert compare_seeds([0.9, 0.9], [0.9, 0.9]) == (0, 0, 0, 1)


def test_one_seed_is_not_compared():
    assert all(map(math.isnan, compare_seeds([0.9], [0.8, 0.7])))


def test_arms_of_which_one_diverges_always_differ_from_four_seeds_on():
    fine, diverged = [0.91, 0.92, 0.93, 0.94, 0.95], [INF] * 5
    assert compare_seeds(fine, diverged)[:3] == (-INF, -INF, -INF)
    assert compare_seeds(diverged, fine)[:3] == (INF, INF, INF)
    assert compare_seeds(fine, diverged).p == pytest.approx(2 / 252)
    assert compare_seeds(fine[:3], diverged[:3]).low == -INF
    assert compare_seeds(fine[:3], diverged[:3]).high == INF


def test_arms_that_both_diverge_do_not_differ():
    comparison = compare_seeds([INF] * 5, [INF] * 5)
    assert comparison[:3] == (0, 0, 0)
    assert comparison.p == 1


def test_the_test_by_ranks_is_the_exact_one_of_mann_and_whitney():
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, INF]
    for first in list(permutations(values, 3))[::17]:
        second = [value for value in values if value not in first]
        expected = stats.mannwhitneyu(first, second, method="exact").pvalue
        assert compare_seeds(list(first), second).p == pytest.approx(expected)


def test_the_interval_by_ranks_covers_a_shift_as_often_as_its_level_says():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        first = [*rng.normal(0.5, 1, 5), INF]  # its diverged run makes the ranks decide
        comparison = compare_seeds(first, list(rng.normal(0, 1, 6)))
        covered += comparison.low <= 0.5 <= comparison.high
    assert covered / 400 > 0.93


@pytest.mark.parametrize(("count", "seeds"), [(0, 6), (6, 6), (3, 7), (1, 1)])
def test_a_share_has_the_interval_of_clopper_and_pearson(count, seeds):
    expected = stats.binomtest(count, seeds, 0.5)
    interval = expected.proportion_ci(method="exact")
    assert share_of_seeds(count, seeds) == pytest.approx((count / seeds, interval.low, interval.high, expected.pvalue))
