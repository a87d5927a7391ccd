"""RMSE and MAE against their formulas."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfbench import metrics

scores = st.lists(st.tuples(st.floats(-10, 10, width=32), st.floats(-10, 10, width=32)), min_size=1, max_size=50)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(metrics).failed == 0


@given(scores)
def test_rmse_and_mae_equal_a_plain_sum(pairs):
    predictions, ratings = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    squares = sum((float(p) - float(r)) ** 2 for p, r in zip(predictions, ratings, strict=True))
    absolute = sum(abs(float(p) - float(r)) for p, r in zip(predictions, ratings, strict=True))
    assert metrics.rmse(predictions, ratings) == pytest.approx(math.sqrt(squares / len(pairs)))
    assert metrics.mae(predictions, ratings) == pytest.approx(absolute / len(pairs))
    assert metrics.mae(predictions, ratings) <= metrics.rmse(predictions, ratings) + 1e-12


def test_a_million_float32_ratings_lose_no_precision():
    predictions = np.full(1_000_000, 4.1, np.float32)
    ratings = np.full(1_000_000, 4.0, np.float32)
    assert metrics.rmse(predictions, ratings) == pytest.approx(float(np.float32(4.1)) - 4.0, rel=1e-12)


def test_without_ratings_the_score_is_nan():
    empty = np.zeros(0, np.float32)
    assert math.isnan(metrics.rmse(empty, empty))
    assert math.isnan(metrics.mae(empty, empty))
