"""The tests of all pairs, compared with Tukey's distribution, Holm's method and a plain loop."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cfbench.leaderboard.intervals import compare
from cfbench.leaderboard.pairs import PairTests, compare_all, step_down


def holm(p):
    """Holm's adjusted p-values, by a plain loop."""
    adjusted, largest = np.empty(len(p)), 0.0
    for step, index in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - step) * p[index]))
        adjusted[index] = largest
    return adjusted


def upper(matrix):
    """The elements above the diagonal, row by row."""
    return matrix[np.triu_indices(len(matrix), 1)]


@pytest.mark.parametrize("models", [3, 6, 10])
def test_the_largest_gap_of_independent_scores_has_tukeys_distribution(models):
    for size in (2.0, 3.0, 3.5):
        p = np.full(models * (models - 1) // 2, 0.9)
        p[1] = 2 * stats.norm.sf(size)
        expected = stats.studentized_range.sf(size * 2**0.5, models, 1e6)
        assert step_down(p, np.eye(models))[1] == pytest.approx(expected, abs=0.006)


def test_each_step_leaves_out_the_pairs_before_it():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(4, 6))
    covariance = root @ root.T
    sizes = np.array([3.1, 0.4, 2.2, 2.6, 1.0, 1.9])
    first, second = np.triu_indices(4, 1)
    normal = rng.multivariate_normal(np.zeros(4), covariance, 100_000)
    gaps = np.abs(normal[:, first] - normal[:, second])
    gaps /= np.sqrt(np.diag(covariance)[first] + np.diag(covariance)[second] - 2 * covariance[first, second])
    expected, largest, left = np.empty(6), 0.0, list(range(6))
    for index in np.argsort(-sizes):
        largest = max(largest, np.mean(gaps[:, left].max(axis=1) >= sizes[index]))
        expected[index] = largest
        left.remove(index)
    assert step_down(2 * stats.norm.sf(sizes), covariance) == pytest.approx(expected, abs=0.01)


def test_a_single_pair_keeps_its_p_value_and_several_are_those_of_compare(make_world):
    world = make_world(np.random.default_rng(12), 80)
    models = [world.model() for _ in range(4)]
    assert compare_all(models[:2]).p[0, 1] == pytest.approx(compare(*models[:2]).p)
    assert compare_all(models[:2]).compare(0, 1) == pytest.approx(compare(*models[:2]))
    raw = np.array([compare(models[a], models[b]).p for a, b in zip(*np.triu_indices(4, 1), strict=True)])
    adjusted = upper(compare_all(models).p)
    assert (adjusted >= raw - 1e-12).all()
    assert (adjusted <= holm(raw) + 1e-12).all()


def test_the_p_values_of_models_whose_errors_are_much_alike_are_smaller_than_holms():
    covariance = 1 + np.diag([0.01] * 8)  # models share most of their errors
    sizes = np.linspace(0.5, 3.2, 28)
    p = 2 * stats.norm.sf(sizes)
    adjusted, by_holm = step_down(p, covariance), holm(p)
    assert adjusted[-1] < 0.9 * by_holm[-1]
    assert (adjusted < 0.05).sum() > (by_holm < 0.05).sum()


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.integers(0, 99))
def test_adjusted_p_values_keep_the_order_and_lie_between_the_raw_and_holms(p, seed):
    root = np.random.default_rng(seed).normal(size=(4, 4))
    adjusted = step_down(np.array(p), root @ root.T)
    assert (adjusted <= holm(np.array(p)) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_the_same_models_get_the_same_p_values_again(make_world):
    world = make_world(np.random.default_rng(2), 60)
    models = [world.model(seeds=2, seed_sd=0.01) for _ in range(5)]
    assert (compare_all(models).p == compare_all(models).p).all()


def test_the_same_predictions_are_tied_and_disturb_no_other_pair(make_world):
    world = make_world(np.random.default_rng(8), 50)
    model, worse = world.model(), world.model(factor=4)
    tests = compare_all([model, model, worse])
    assert tests.p[0, 1] == 1.0
    assert max(tests.p[0, 2], tests.p[1, 2]) < 0.01


def test_places_leave_room_for_all_that_do_not_differ():
    p = np.ones((4, 4))
    for a, b in [(0, 2), (0, 3), (1, 3)]:
        p[a, b] = p[b, a] = 0.01
    assert PairTests(np.array([0.8, 0.9, 1.0, 1.1]), p, None).places(0.05) == [(1, 2), (1, 3), (2, 4), (3, 4)]


def test_the_places_of_models_far_apart_are_certain_and_of_equal_ones_open(make_world):
    world = make_world(np.random.default_rng(4), 2000)
    models = [world.model(factor=factor) for factor in (1.0, 2.0, 4.0)]
    assert compare_all(models).places(0.05) == [(1, 1), (2, 2), (3, 3)]
    assert compare_all([models[1]]).places(0.05) == [(1, 1)]
    assert compare_all([]).places(0.05) == []


def test_tests_in_another_order_are_the_same_tests(make_world):
    world = make_world(np.random.default_rng(5))
    models = [world.model(factor=factor, seeds=2) for factor in (1.0, 1.1, 1.3)]
    tests, turned = compare_all(models), compare_all(models).in_order([2, 0, 1])
    assert turned.compare(0, 2) == tests.compare(2, 1)
    assert turned.compare(0, 2)[:3] == pytest.approx(compare(models[2], models[1])[:3])
    assert turned.places(0.05) == [tests.places(0.05)[index] for index in (2, 0, 1)]


def test_the_memory_does_not_grow_with_scores_times_pairs():
    scores = 300
    root = np.random.default_rng(3).normal(size=(scores, scores))
    p = np.linspace(0, 1, scores * (scores - 1) // 2)
    tracemalloc.start()
    step_down(p, root @ root.T)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * scores * len(p)
