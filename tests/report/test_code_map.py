"""A map of codes: its two dimensions, and the genre of each point."""

import sys
import types

import numpy as np
import pytest

from cfbench.report.code_map import OTHERS, main_genres, principal_components, project


def test_principal_components_are_those_of_a_singular_value_decomposition():
    x = (np.random.default_rng(1).normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]).astype(np.float32)
    points, shares = principal_components(x)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(u[:, :2] * s[:2]), atol=1e-4)
    np.testing.assert_allclose(shares, s[:2] ** 2 / (s**2).sum(), atol=1e-5)


def test_points_keep_the_groups_of_codes_apart_whatever_the_lengths_of_the_codes():
    groups = np.repeat(np.arange(3), 20)
    rng = np.random.default_rng(2)
    codes = np.eye(5)[groups] + 0.05 * rng.normal(size=(60, 5))
    codes *= rng.uniform(0.1, 10, size=(60, 1))
    points, axes = project(codes.astype(np.float32))
    middles = np.array([points[groups == group].mean(0) for group in range(3)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(1)
    assert nearest.tolist() == groups.tolist()
    assert axes[0].startswith("1st principal component (")
    again, _ = project(codes.astype(np.float32) * 7)
    np.testing.assert_allclose(again, points, atol=1e-5)


@pytest.mark.parametrize("codes", [[[1], [2], [-1]], [[1, 1], [1, 1], [1, 1]], [[0, 0], [0, 0], [1, 0]]])
def test_odd_codes_have_finite_points(codes):
    points, _ = project(np.array(codes, np.float32))
    assert points.shape == (3, 2)
    assert np.isfinite(points).all()


def test_umap_gets_directions_and_a_fixed_seed(monkeypatch):
    class UMAP:
        def __init__(self, **settings):
            assert (settings["metric"], settings["random_state"]) == ("cosine", 0)

        def fit_transform(self, x):
            np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
            return x[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    points, axes = project(np.array([[3, 4], [0, 2]], np.float32), "umap")
    np.testing.assert_allclose(points, [[0.6, 0.8], [0, 1]], atol=1e-6)
    assert axes == ("UMAP 1", "UMAP 2")


def test_the_main_genre_is_the_rarest_of_the_six_that_most_items_have():
    genres = [("A",)] * 9 + [("A", "B")] * 8 + [(name,) for name in "CDEF" for _ in range(3)] + [("G", "C"), ("G",), ()]
    found = main_genres(genres)
    assert found[:17] == ["A"] * 9 + ["B"] * 8
    assert found[-3:] == ["C", OTHERS, OTHERS]
