"""What a score loses without each user, item or rating, compared with scores of the test ratings without them."""

import numpy as np
import pytest

from cfbench.leaderboard import scoring
from cfbench.ratings import Ratings, Scale

SCALE = Scale(low=1, high=5, step=1)


def make_part(rng, pairs):
    """A test part of these pairs of 8 users and 7 items."""
    users, items = (codes.astype(np.int32) for codes in np.divmod(pairs, 7))
    return scoring.TestPart(
        None, Ratings(users, items, rng.integers(1, 6, len(pairs)).astype(np.float32), 8, 7, SCALE), None, None
    )


@pytest.fixture
def seeds():
    """The errors of two seeds on two folds; user 7 and item 6 are in no test part, and user 6 has one rating."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation([7 * user + item for user in range(6) for item in range(6) if (user + item) % 3])
    folds = [make_part(rng, np.append(pairs[:13], 7 * 6)), make_part(rng, pairs[13:])]
    return [[scoring.RunErrors(part, rng.normal(size=len(part.ratings))) for part in folds] for _ in range(2)]


def plain_score(errors, users, metric):
    """The score of errors, by plain loops."""
    if metric == "rmse":
        return np.sqrt(np.mean(errors**2))
    if metric == "mae":
        return np.mean(np.abs(errors))
    return np.mean([np.sqrt(np.mean(errors[users == user] ** 2)) for user in set(users.tolist())])


def plain_effects(seeds, metric, cluster):
    """The score minus the score without each user, item or rating."""
    ratings = [run.test_part.ratings for run in seeds[0]]
    codes = {
        "user": [fold.users for fold in ratings],
        "item": [fold.items for fold in ratings],
        "rating": [np.arange(len(ratings[0])), len(ratings[0]) + np.arange(len(ratings[1]))],
    }[cluster]

    def score(left_out):
        kept = [codes_of_fold != left_out for codes_of_fold in codes]
        return np.mean([
            plain_score(run.errors[keep], run.test_part.ratings.users[keep], metric)
            for folds in seeds for run, keep in zip(folds, kept, strict=True)
        ])  # fmt: skip

    return [score(-1) - score(code) for code in sorted(set(np.concatenate(codes).tolist()))]


@pytest.mark.parametrize("metric", ["rmse", "mae", "user-rmse"])
@pytest.mark.parametrize("clusters", ["user", "item", "both"])
def test_effects_are_differences_of_scores_with_and_without_a_cluster(seeds, metric, clusters):
    estimate = scoring.estimate_score(seeds, metric, clusters)
    expected = {"user": ["user"], "item": ["item"], "both": ["user", "item", "rating"]}[clusters]
    for effects, cluster in zip(estimate.effects, expected, strict=True):
        assert effects == pytest.approx(plain_effects(seeds, metric, cluster), abs=1e-12)


@pytest.mark.parametrize("metric", ["rmse", "mae", "user-rmse"])
def test_the_score_is_the_mean_over_seeds_of_the_mean_over_folds(seeds, metric):
    plain = [[plain_score(run.errors, run.test_part.ratings.users, metric) for run in folds] for folds in seeds]
    estimate = scoring.estimate_score(seeds, metric)
    assert estimate.seed_scores == pytest.approx(np.mean(plain, axis=1))
    assert estimate.score == pytest.approx(np.mean(plain))
    assert estimate.seed_variance == pytest.approx(np.var(np.mean(plain, axis=1), ddof=1) / 2)


def test_one_seed_has_no_variance_between_seeds(seeds):
    assert scoring.estimate_score(seeds[:1], "rmse").seed_variance == 0
