"""Intervals and tests against a library, and against worlds whose truth is known.

In these worlds users differ: in how many ratings they have (log-normal, as in the data sets of the field) and in how
large their errors are; a user's errors share a scale. The mean squared error over all users of the world is 1.
"""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfbench.leaderboard import intervals as module
from cfbench.leaderboard.intervals import UserSums, against_best, compare, holm, intervals


def squares(rng, counts, level, luck=0.0):
    """A model's sums of squared errors: chi-squared, at the user's level, and with luck of its own with each user."""
    with_luck = level * (rng.gamma(1 / luck, luck, len(counts)) if luck else 1)
    return (with_luck * rng.chisquare(counts))[:, None]


def world(rng, users, *, sigma=0.8, models=1, luck=0.0):
    counts, level = np.ceil(rng.lognormal(2, sigma, users)), rng.gamma(2, 0.5, users)
    return [UserSums(squares(rng, counts, level, luck), counts[:, None], root=True) for _ in range(models)]


def test_the_formula_in_the_docstring_holds():
    assert doctest.testmod(module).failed == 0


def test_the_score_is_the_mean_over_parts_of_the_root_of_the_ratio():
    sums, counts = np.array([[2.0, 9.0], [6.0, 0.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    assert UserSums(sums, counts, root=True).score == (2 + 3) / 2
    assert UserSums(sums, counts, root=False).score == (4 + 9) / 2


def test_the_interval_is_that_of_scipys_bca_bootstrap():
    from scipy.stats import bootstrap

    (score,) = world(np.random.default_rng(3), 150)

    def rmse(sums, counts, axis):
        return np.sqrt(sums.sum(axis) / counts.sum(axis))

    theirs = bootstrap(
        (score.sums[:, 0], score.counts[:, 0]), rmse, paired=True, vectorized=True, n_resamples=20_000, rng=1
    ).confidence_interval
    ours = intervals([score], draws=20_000)[0]
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


@pytest.mark.parametrize(("users", "sigma"), [(300, 0.8), (900, 1.0)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(users, sigma):
    rng = np.random.default_rng(0)
    found = [intervals(world(rng, users, sigma=sigma), draws=300, seed=k)[0] for k in range(300)]
    covered = np.mean([low <= 1 <= high for low, high in found])
    assert 0.90 <= covered <= 0.98  # three standard errors around 0.94
    assert min(sum(low > 1 for low, _ in found), sum(high < 1 for _, high in found)) >= 2  # either side is missed


def test_an_interval_over_ratings_instead_of_users_would_be_too_narrow():
    rng = np.random.default_rng(1)
    covered = []
    for k in range(60):
        counts, level = np.ceil(rng.lognormal(2, 0.8, 150)).astype(int), rng.gamma(2, 0.5, 150)
        each = np.repeat(level, counts) * rng.chisquare(1, counts.sum())  # squared errors, one a row
        low, high = intervals([UserSums(each[:, None], np.ones((len(each), 1)), root=True)], draws=200, seed=k)[0]
        covered.append(low <= 1 <= high)
    assert np.mean(covered) < 0.75


def test_an_interval_of_many_users_by_random_groups_is_as_wide_as_by_users(monkeypatch):
    (score,) = world(np.random.default_rng(5), 3000)
    low, high = intervals([score])[0]
    monkeypatch.setattr(module, "GROUPS", 1000)
    assert intervals([score])[0] == pytest.approx((low, high), abs=0.1 * (high - low))


def test_equal_models_are_told_apart_in_about_a_twentieth_of_cases():
    rng = np.random.default_rng(0)
    p = [compare(*world(rng, 200, models=2, luck=0.1)).p for _ in range(1000)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.06)


def test_the_best_of_ten_equal_models_is_rarely_told_from_any_other():
    rng, ours, naive = np.random.default_rng(2), 0, 0
    for _ in range(200):
        scores = world(rng, 150, models=10, luck=0.1)
        compared = against_best(scores)
        ours += min(p for _, p in compared) < 0.05
        best = min(scores, key=lambda score: score.score)
        naive += min(holm([compare(score, best).p for score in scores if score is not best])) < 0.05
    assert ours / 200 <= 0.08
    assert naive / 200 >= 0.10  # why the family is all pairs: the best was chosen by the same ratings


def test_the_adjusted_p_values_are_holms_over_every_pair():
    scores = world(np.random.default_rng(12), 80, models=4, luck=0.1)
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    adjusted = dict(zip(pairs, holm([compare(scores[a], scores[b]).p for a, b in pairs]), strict=True))
    best = min(range(4), key=lambda at: scores[at].score)
    for at, (found, p) in enumerate(against_best(scores)):
        assert found == compare(scores[at], scores[best])
        assert p == pytest.approx(adjusted.get((min(at, best), max(at, best)), 1.0))


def test_a_model_that_is_better_is_found_out():
    rng = np.random.default_rng(4)
    counts, level = np.ceil(rng.lognormal(2, 0.8, 2000)), rng.gamma(2, 0.5, 2000)
    good, bad = (UserSums(squares(rng, counts, level * scale, 0.1), counts[:, None], root=True) for scale in (1.0, 1.1))
    found = compare(bad, good)
    assert found.p < 0.01
    assert found.low < 1.1**0.5 - 1 < found.high
    assert [p < 0.05 for _, p in against_best([bad, good])] == [True, False]


def test_the_paired_test_is_the_ordinary_one_when_every_user_has_one_rating():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(6)
    one, two = rng.chisquare(1, (80, 1)), rng.chisquare(1, (80, 1))
    mine = compare(UserSums(one, np.ones((80, 1)), root=False), UserSums(two, np.ones((80, 1)), root=False))
    theirs = ttest_rel(one[:, 0], two[:, 0])
    assert mine.p == pytest.approx(theirs.pvalue)
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs.confidence_interval()))


def test_a_users_ratings_weigh_the_same_in_one_row_or_in_several_folds():
    rng = np.random.default_rng(7)
    counts = np.ceil(rng.lognormal(2, 0.8, 100))[:, None]
    one, two = (rng.chisquare(counts) for _ in range(2))
    single = compare(UserSums(one, counts, root=True), UserSums(two, counts, root=True))
    twice = compare(
        UserSums(np.hstack([one, one]), np.hstack([counts, counts]), root=True),
        UserSums(np.hstack([two, two]), np.hstack([counts, counts]), root=True),
    )
    assert twice == pytest.approx(single)


def test_the_same_predictions_cannot_be_told_apart():
    (score,) = world(np.random.default_rng(8), 50)
    assert compare(score, score) == (0.0, 0.0, 0.0, 1.0)
    assert [p for _, p in against_best([score, score])] == [1.0, 1.0]
    thrice = UserSums(np.tile(score.sums, 3), np.tile(score.counts, 3), root=True)  # but for rounding the same
    assert [p for _, p in against_best([score, thrice])] == [1.0, 1.0]


def test_the_same_seed_draws_the_same_users_whatever_other_scores_are_there():
    scores = world(np.random.default_rng(9), 60, models=3)
    assert intervals(scores)[1] == pytest.approx(intervals(scores[1:2])[0])
    assert intervals(scores) != intervals(scores, seed=1)


def test_one_user_is_no_sample():
    one = UserSums(np.array([[0.0], [3.0]]), np.array([[0.0], [2.0]]), root=True)
    assert np.isnan(intervals([one])[0]).all()
    assert np.isnan(compare(one, one).p)
    assert intervals([]) == []
    assert against_best([]) == []


def test_users_without_a_test_rating_change_nothing():
    (score,) = world(np.random.default_rng(10), 40)
    empty = np.zeros((25, 1))
    wider = UserSums(np.vstack([empty, score.sums]), np.vstack([empty, score.counts]), root=True)
    assert intervals([wider]) == intervals([score])
    assert compare(wider, wider.__class__(wider.sums * 1.1, wider.counts, root=True)) == pytest.approx(
        compare(score, UserSums(score.sums * 1.1, score.counts, root=True))
    )


def test_a_perfect_model_has_a_score_of_nothing_and_no_width():
    perfect = UserSums(np.zeros((9, 1)), np.ones((9, 1)), root=True)
    assert intervals([perfect])[0] == (0.0, 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_adjustment_keeps_the_order_and_lies_between_none_and_bonferronis(p):
    adjusted = holm(p)
    for raw, after in zip(p, adjusted, strict=True):
        assert raw <= after <= min(1.0, raw * len(p)) + 1e-15
    order = np.argsort(p)
    assert list(np.array(adjusted)[order]) == sorted(adjusted)
