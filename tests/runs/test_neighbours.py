"""The nearest neighbours by cosine, in blocks."""

import numpy as np

from cfbench.runs import neighbours
from cfbench.runs.neighbours import nearest


def test_neighbours_are_the_largest_cosines_in_blocks_of_any_size(monkeypatch):
    vectors = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    cosines = np.corrcoef(np.column_stack([vectors, -vectors]))  # rows of mean 0: correlation is the cosine
    np.fill_diagonal(cosines, -2)
    expected = np.argsort(-cosines, axis=1)[:, :7]
    for cells in (50, 130, 2**24):
        monkeypatch.setattr(neighbours, "CELLS", cells)
        found, values = nearest(vectors, np.arange(50), 7)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(values, np.take_along_axis(cosines, expected, 1), atol=1e-6)


def test_some_rows_have_the_neighbours_that_they_have_among_all():
    vectors = np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32)
    everyone, _ = nearest(vectors, np.arange(30), 29)
    found, _ = nearest(vectors, np.array([7, 3]), 29)
    np.testing.assert_array_equal(found, everyone[[7, 3]])


def test_of_equal_cosines_the_lower_row_is_first_and_a_vector_of_length_0_is_at_right_angles():
    vectors = np.array([[1, 0], [0, 0], [2, 0], [0, 3], [-1, 0], [5, 0]], np.float32)
    found, cosines = nearest(vectors, np.array([0, 1]), 5)
    assert found.tolist() == [[2, 5, 1, 3, 4], [0, 2, 3, 4, 5]]
    assert cosines.tolist() == [[1, 1, 0, 0, -1], [0] * 5]
