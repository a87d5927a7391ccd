"""Intervals and tests, compared with SciPy's and with random users whose true score is known.

The users differ in how many ratings they have (log-normal, as in the data sets of the field) and in how large their
errors are; the errors of one user share a scale. The mean squared error over all possible users is 1.
"""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfbench.leaderboard import intervals as module
from cfbench.leaderboard.intervals import UserSums, compare, compare_with_best, holm, intervals


def draw_squares(rng, counts, level, variation=0.0):
    """(users, 1) sums of a model's squared errors: chi-squared, scaled by the level of the user.

    `variation` is the variance of a factor that each model draws for each user.
    """
    scale = level * (rng.gamma(1 / variation, variation, len(counts)) if variation else 1)
    return (scale * rng.chisquare(counts))[:, None]


def draw_models(rng, users, *, sigma=0.8, models=1, variation=0.0):
    """Models of the same true score, on the same random users."""
    counts, level = np.ceil(rng.lognormal(2, sigma, users)), rng.gamma(2, 0.5, users)
    return [UserSums(draw_squares(rng, counts, level, variation), counts[:, None], root=True) for _ in range(models)]


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(module).failed == 0


def test_the_score_is_the_mean_over_parts_of_the_root_of_the_ratio():
    sums, counts = np.array([[2.0, 9.0], [6.0, 0.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    assert UserSums(sums, counts, root=True).score == (2 + 3) / 2
    assert UserSums(sums, counts, root=False).score == (4 + 9) / 2


def test_the_interval_equals_that_of_scipys_bca_bootstrap():
    from scipy.stats import bootstrap

    (score,) = draw_models(np.random.default_rng(3), 150)

    def rmse(sums, counts, axis):
        return np.sqrt(sums.sum(axis) / counts.sum(axis))

    expected = bootstrap(
        (score.sums[:, 0], score.counts[:, 0]), rmse, paired=True, vectorized=True, n_resamples=20_000, rng=1
    ).confidence_interval
    interval = intervals([score], draws=20_000)[0]
    width = expected.high - expected.low
    assert interval == pytest.approx((expected.low, expected.high), abs=0.03 * width)


@pytest.mark.parametrize(("users", "sigma"), [(300, 0.8), (900, 1.0)])
def test_the_interval_covers_the_true_score_about_as_often_as_its_level_says(users, sigma):
    rng = np.random.default_rng(0)
    drawn = [intervals(draw_models(rng, users, sigma=sigma), draws=300, seed=k)[0] for k in range(300)]
    covered = np.mean([low <= 1 <= high for low, high in drawn])
    assert 0.90 <= covered <= 0.98  # three standard errors around 0.94
    too_high, too_low = sum(low > 1 for low, _ in drawn), sum(high < 1 for _, high in drawn)
    assert min(too_high, too_low) >= 2  # the interval misses on both sides


def test_an_interval_over_ratings_instead_of_users_would_be_too_narrow():
    rng = np.random.default_rng(1)
    covered = []
    for k in range(60):
        counts, level = np.ceil(rng.lognormal(2, 0.8, 150)).astype(int), rng.gamma(2, 0.5, 150)
        each = np.repeat(level, counts) * rng.chisquare(1, counts.sum())  # squared errors, one a row
        low, high = intervals([UserSums(each[:, None], np.ones((len(each), 1)), root=True)], draws=200, seed=k)[0]
        covered.append(low <= 1 <= high)
    assert np.mean(covered) < 0.75


def test_an_interval_over_random_groups_of_users_is_as_wide_as_over_users():
    (score,) = draw_models(np.random.default_rng(5), 3000)
    low, high = intervals([score])[0]
    assert intervals([score], max_clusters=1000)[0] == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_test_rejects_equal_models_about_as_often_as_its_level_says():
    rng = np.random.default_rng(0)
    p = [compare(*draw_models(rng, 200, models=2, variation=0.1)).p for _ in range(1000)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.06)


def test_the_best_of_ten_equal_models_rarely_differs_from_any_other():
    rng, rejections, naive_rejections = np.random.default_rng(2), 0, 0
    for _ in range(200):
        scores = draw_models(rng, 150, models=10, variation=0.1)
        rejections += min(p for _, p in compare_with_best(scores)) < 0.05
        best = min(scores, key=lambda score: score.score)
        naive_rejections += min(holm([compare(score, best).p for score in scores if score is not best])) < 0.05
    assert rejections / 200 <= 0.08
    assert naive_rejections / 200 >= 0.10  # the family is all pairs, because the same ratings choose the best


def test_the_adjusted_p_values_are_those_of_holm_over_all_pairs():
    scores = draw_models(np.random.default_rng(12), 80, models=4, variation=0.1)
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    adjusted = dict(zip(pairs, holm([compare(scores[a], scores[b]).p for a, b in pairs]), strict=True))
    best = min(range(4), key=lambda index: scores[index].score)
    for index, (comparison, p) in enumerate(compare_with_best(scores)):
        assert comparison == compare(scores[index], scores[best])
        assert p == pytest.approx(adjusted.get((min(index, best), max(index, best)), 1.0))


def test_the_test_detects_a_better_model():
    rng = np.random.default_rng(4)
    counts, level = np.ceil(rng.lognormal(2, 0.8, 2000)), rng.gamma(2, 0.5, 2000)
    good, bad = (
        UserSums(draw_squares(rng, counts, level * scale, 0.1), counts[:, None], root=True) for scale in (1.0, 1.1)
    )
    comparison = compare(bad, good)
    assert comparison.p < 0.01
    assert comparison.low < 1.1**0.5 - 1 < comparison.high
    assert [p < 0.05 for _, p in compare_with_best([bad, good])] == [True, False]


def test_the_test_equals_scipys_paired_t_test_when_every_user_has_one_rating():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(6)
    first, second = rng.chisquare(1, (80, 1)), rng.chisquare(1, (80, 1))
    counts = np.ones((80, 1))
    comparison = compare(UserSums(first, counts, root=False), UserSums(second, counts, root=False))
    expected = ttest_rel(first[:, 0], second[:, 0])
    assert comparison.p == pytest.approx(expected.pvalue)
    assert (comparison.low, comparison.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_the_ratings_of_a_user_weigh_the_same_in_one_part_or_in_several():
    rng = np.random.default_rng(7)
    counts = np.ceil(rng.lognormal(2, 0.8, 100))[:, None]
    first, second = (rng.chisquare(counts) for _ in range(2))
    single = compare(UserSums(first, counts, root=True), UserSums(second, counts, root=True))
    twice = compare(
        UserSums(np.hstack([first, first]), np.hstack([counts, counts]), root=True),
        UserSums(np.hstack([second, second]), np.hstack([counts, counts]), root=True),
    )
    assert twice == pytest.approx(single)


def test_the_same_predictions_are_tied():
    (score,) = draw_models(np.random.default_rng(8), 50)
    assert compare(score, score) == (0.0, 0.0, 0.0, 1.0)
    assert [p for _, p in compare_with_best([score, score])] == [1.0, 1.0]
    thrice = UserSums(np.tile(score.sums, 3), np.tile(score.counts, 3), root=True)  # the same except for rounding
    assert [p for _, p in compare_with_best([score, thrice])] == [1.0, 1.0]


def test_the_same_seed_draws_the_same_users_for_any_other_scores():
    scores = draw_models(np.random.default_rng(9), 60, models=3)
    assert intervals(scores)[1] == pytest.approx(intervals(scores[1:2])[0])
    assert intervals(scores) != intervals(scores, seed=1)


def test_one_user_gives_no_interval_and_no_p_value():
    one = UserSums(np.array([[0.0], [3.0]]), np.array([[0.0], [2.0]]), root=True)
    assert np.isnan(intervals([one])[0]).all()
    assert np.isnan(compare(one, one).p)


def test_no_scores_give_no_statistics():
    assert intervals([]) == []
    assert compare_with_best([]) == []


def test_users_without_a_test_rating_change_nothing():
    (score,) = draw_models(np.random.default_rng(10), 40)
    empty = np.zeros((25, 1))
    wider = UserSums(np.vstack([empty, score.sums]), np.vstack([empty, score.counts]), root=True)
    assert intervals([wider]) == intervals([score])
    assert compare(wider, UserSums(wider.sums * 1.1, wider.counts, root=True)) == pytest.approx(
        compare(score, UserSums(score.sums * 1.1, score.counts, root=True))
    )


def test_the_interval_of_a_perfect_model_is_zero():
    perfect = UserSums(np.zeros((9, 1)), np.ones((9, 1)), root=True)
    assert intervals([perfect])[0] == (0.0, 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_adjustment_keeps_the_order_and_lies_between_no_adjustment_and_bonferronis(p):
    adjusted = holm(p)
    for raw, adjusted_p in zip(p, adjusted, strict=True):
        assert raw <= adjusted_p <= min(1.0, raw * len(p)) + 1e-15
    order = np.argsort(p)
    assert list(np.array(adjusted)[order]) == sorted(adjusted)
