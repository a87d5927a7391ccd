"""Regressions of rows against NumPy's least squares, row by row."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from cfbench.learning.ridge import Regressions, solve_one
from cfbench.ratings import SparseRows
from cfbench.testing import planted

EXPONENT = 0.5
PENALTY = np.array([0.5, 2.0, 1.0, 0.1], np.float32)


def problem(by="user", seed=1):
    """Rows of planted ratings, the last one without any, with features and offsets of their columns."""
    rows = planted(seed=seed).train.rows(by)
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows.n_columns, len(PENALTY))).astype(np.float32)
    return rows, features, rng.normal(size=rows.n_columns).astype(np.float32)


def by_lstsq(rows, features, offsets):
    """(rows, k) solutions and (rows,) errors by a plain loop over rows; the penalty is added as ratings of zero."""
    solutions, errors = np.zeros((len(rows), features.shape[1])), np.zeros(len(rows))
    for row, (start, end) in enumerate(pairwise(rows.starts)):
        columns = rows.columns[start:end]
        x, y = features[columns].astype(np.float64), rows.values[start:end] - offsets[columns].astype(np.float64)
        weight = np.diag(np.sqrt(PENALTY * (end - start) ** EXPONENT))
        stacked = np.concatenate([x, weight]), np.concatenate([y, np.zeros(len(weight))])
        solutions[row] = np.linalg.lstsq(*stacked)[0]
        errors[row] = ((y - x @ solutions[row]) ** 2).sum()
    return solutions, errors


def by_blocks(rows, features, offsets, device="cpu", block=None):
    tensors = (torch.from_numpy(array).to(device) for array in (features, offsets, PENALTY))
    return [part.cpu().numpy() for part in Regressions(rows, device, block=block).solve(*tensors, EXPONENT)]


@pytest.mark.parametrize("by", ["user", "item"])
@pytest.mark.parametrize("block", [1, 64, 300, 2**20], ids="block of {}".format)
def test_every_row_is_numpys_least_squares_for_any_size_of_block(by, block):
    for actual, expected in zip(by_blocks(*problem(by), block=block), by_lstsq(*problem(by)), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_a_row_without_ratings_has_zero_weights_and_no_error():
    rows, features, offsets = problem()
    solutions, errors = by_blocks(rows, features, offsets)
    assert rows.starts[-1] == rows.starts[-2]
    assert not solutions[-1].any()
    assert not errors[-1]
    empty = SparseRows(np.zeros(4, np.int64), rows.columns[:0], rows.values[:0], rows.n_columns)
    assert not by_blocks(empty, features, offsets)[0].any()


def test_singular_equations_give_nan_for_their_row_alone():
    rows, features, offsets = problem()
    features[rows.columns[rows.starts[3] : rows.starts[4]]] = np.nan
    rows_of_nan = np.flatnonzero(np.isnan(by_blocks(rows, features, offsets)[0]).any(1))
    assert 3 in rows_of_nan
    two_rows = SparseRows(np.array([0, 1, 3]), np.array([0, 1, 2], np.int32), np.ones(3, np.float32), 3)
    flat = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    solutions, _ = Regressions(two_rows, "cpu").solve(flat, torch.zeros(3), torch.zeros(2), 0.0)
    assert solutions[0].isnan().all()
    assert solutions[1].tolist() == [1, 1]


def test_a_single_row_is_solved_as_it_is_among_others():
    rows, features, offsets = problem()
    first = slice(rows.starts[0], rows.starts[1])
    columns = rows.columns[first]
    penalty = torch.full((4,), 3.0)
    together, _ = Regressions(rows, "cpu").solve(torch.from_numpy(features), torch.from_numpy(offsets), penalty, 0.0)
    alone = solve_one(features[columns], rows.values[first] - offsets[columns], 3.0)
    np.testing.assert_allclose(alone, together[0], rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_what_the_cpu_finds():
    for on_cpu, on_gpu in zip(by_blocks(*problem()), by_blocks(*problem(), device="cuda:0"), strict=True):
        np.testing.assert_allclose(on_cpu, on_gpu, rtol=1e-3, atol=1e-4)
