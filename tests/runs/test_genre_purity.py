"""Genre purity on planted codes and genres, against plain counting."""

import numpy as np
import pytest

from cfbench.errors import UsageError
from cfbench.runs.genre_purity import ShareEstimate, count_sharing, genre_purity


def planted_genres(seed, m=60, g=5):
    genres = np.random.default_rng(seed).random((m, g)) < 0.3
    genres[np.arange(m), np.arange(m) % g] = True
    return genres


def plain_purity(vectors, genres, k):
    """The same by loops over items."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    shares, chances = [], []
    for item in range(len(vectors)):
        others = [other for other in range(len(vectors)) if other != item]
        near = sorted(others, key=lambda other: -float(units[item] @ units[other]))[:k]
        shares.append(np.mean([(genres[item] & genres[other]).any() for other in near]))
        chances.append(np.mean([(genres[item] & genres[other]).any() for other in others]))
    return np.mean(shares), np.mean(chances)


def test_items_in_tight_groups_of_one_genre_are_pure_and_chance_is_that_of_the_groups():
    groups = np.repeat(np.arange(4), 15)
    genres = np.eye(4, dtype=np.bool_)[groups]
    noise = np.random.default_rng(1).normal(size=(60, 4)) * 0.01
    result = genre_purity((np.eye(4)[groups] + noise).astype(np.float32), genres)
    assert (result.items, result.purity.value) == (60, 1)
    assert result.purity.interval() == (1, 1)
    assert result.chance.value == pytest.approx(14 / 59)


def test_half_of_the_neighbours_share_a_genre_where_pairs_of_genres_have_one_code():
    """Groups of 11 items with the same code, of which 6 have one genre and 5 the other."""
    groups, genres = np.repeat(np.arange(8), 11), np.zeros((88, 2), np.bool_)
    first = np.tile(np.arange(11) < 6, 8)
    genres[first, 0], genres[~first, 1] = True, True
    vectors = np.eye(8)[groups].astype(np.float32)
    result = genre_purity(vectors, genres)
    assert result.purity.value == pytest.approx((6 * 5 / 10 + 5 * 4 / 10) / 11)
    assert result.chance.value == pytest.approx((48 * 47 + 40 * 39) / (88 * 87))


@pytest.mark.parametrize("seed", range(3))
def test_purity_chance_and_their_jackknife_are_those_of_plain_counting(seed):
    genres = planted_genres(seed, m=30)
    vectors = np.random.default_rng(seed).normal(size=(30, 3)).astype(np.float32)
    result = genre_purity(vectors, genres, k=4)
    assert (result.purity.value, result.chance.value) == pytest.approx(plain_purity(vectors, genres, 4))
    for item in range(30):
        rest = np.arange(30) != item
        without = result.purity.without[item], result.chance.without[item]
        assert without == pytest.approx(plain_purity(vectors[rest], genres[rest], 4))


def test_codes_without_meaning_have_the_purity_of_chance_within_the_interval():
    covered = 0
    for seed in range(200):
        genres = planted_genres(seed)
        vectors = np.random.default_rng(1000 + seed).normal(size=(60, 8)).astype(np.float32)
        result = genre_purity(vectors, genres)
        low, high = (result.purity - result.chance).interval()
        covered += low <= 0 <= high
    assert covered >= 190  # 95 %; the jackknife is cautious


def test_the_error_of_a_mean_is_the_usual_one():
    x = np.random.default_rng(1).normal(size=40)
    mean = ShareEstimate(x.mean(), (x.sum() - x) / 39)
    assert mean.error == pytest.approx(x.std(ddof=1) / np.sqrt(40))


def test_others_that_share_a_genre_are_counted():
    genres = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], np.bool_)
    assert count_sharing(genres).tolist() == [2, 3, 1, 0, 2]


def test_too_few_items_are_refused():
    with pytest.raises(UsageError, match="needs 12 items with genres and training ratings, found 11"):
        genre_purity(np.ones((11, 2), np.float32), np.ones((11, 1), np.bool_))
