"""nDCG, recall and reciprocal rank: cases computed by hand, and all orders of tied items tried one by one."""

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest

from cfbench.metrics import LikedPlaces, ndcg, recall, reciprocal_rank


def places_of(*users):
    """The places of each user's liked items, given the user's scores and the indices of the liked ones."""
    rows = []
    for user, (scores, liked) in enumerate(users):
        for item in liked:
            above, tied = sum(s > scores[item] for s in scores), sum(s == scores[item] for s in scores)
            rows.append((user, above, tied))
    return LikedPlaces(*np.array(rows).T)


def try_all_orders(scores, liked, k):
    """The mean nDCG, recall and reciprocal rank over all orders in which the scores never increase."""
    ideal = sum(1 / log2(place + 1) for place in range(1, min(k, len(liked)) + 1))
    results = []
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            places = sorted(order.index(item) + 1 for item in liked)
            inside = [place for place in places if place <= k]
            results.append((sum(1 / log2(p + 1) for p in inside) / ideal, len(inside) / len(liked), 1 / places[0]))
    return np.mean(results, axis=0)


def measure(places, k):
    return np.array([ndcg(places, k), recall(places, k), reciprocal_rank(places)])[:, 0]


def test_a_list_without_ties_computed_by_hand():
    # the liked items have the places 2 and 4 of 5
    places = places_of(([5, 4, 3, 2, 1], [1, 3]))
    ideal = 1 + 1 / log2(3)
    assert ndcg(places, 3) == pytest.approx([(1 / log2(3)) / ideal])
    assert ndcg(places, 10) == pytest.approx([(1 / log2(3) + 1 / log2(5)) / ideal])
    assert recall(places, 3) == [0.5]
    assert recall(places, 10) == [1.0]
    assert reciprocal_rank(places) == [0.5]


def test_a_perfect_list_has_ndcg_1_even_if_k_is_smaller_than_the_number_of_liked_items():
    places = places_of(([9, 8, 7, 1, 0], [0, 1, 2]))
    assert ndcg(places, 2) == pytest.approx([1.0])
    assert recall(places, 2) == pytest.approx([2 / 3])
    assert reciprocal_rank(places) == [1.0]


@pytest.mark.parametrize("seed", range(30))
def test_ties_have_the_mean_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, 7).tolist()
    liked = rng.permutation(7)[: rng.integers(1, 4)].tolist()
    for k in (1, 2, 4, 9):
        assert measure(places_of((scores, liked)), k) == pytest.approx(try_all_orders(scores, liked, k), rel=1e-12)


def test_a_constant_model_has_the_score_of_chance():
    n, liked, k = 1000, 5, 10
    places = places_of(([3.5] * n, range(liked)))
    gains = sum(1 / log2(place + 1) for place in range(1, k + 1))
    ideal = sum(1 / log2(place + 1) for place in range(1, liked + 1))
    assert recall(places, k) == pytest.approx([k / n])
    assert ndcg(places, k) == pytest.approx([liked / n * gains / ideal])
    rng = np.random.default_rng(0)
    drawn = [1 / (1 + rng.permutation(n)[:liked].min()) for _ in range(4000)]
    assert reciprocal_rank(places) == pytest.approx([np.mean(drawn)], abs=4 * np.std(drawn) / 4000**0.5)


def test_each_user_is_measured_alone():
    users = [([3, 2, 1], [2]), ([1, 2, 2, 0], [1, 3]), ([1, 1], [0])]
    together = places_of(*users)
    for function in (lambda p: ndcg(p, 2), lambda p: recall(p, 2), reciprocal_rank):
        assert function(together) == pytest.approx(np.concatenate([function(places_of(user)) for user in users]))
