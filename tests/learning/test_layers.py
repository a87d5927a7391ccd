"""Layers over sparse ratings against plain dense algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from cfbench.learning.layers import (
    SAMPLED_SHARE,
    RatedCells,
    linear,
    linear_transposed,
    linear_transposed_at,
    linear_transposed_at_ratings,
    mean_squared_error,
)
from cfbench.learning.precision import Weight
from cfbench.ratings import Ratings, Scale

GPU = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
)


def table(seed=0, users=12, items=30, density=0.2):
    rng = np.random.default_rng(seed)
    mask = rng.random((users, items)) < density
    mask[0] = False  # a row without ratings
    mask[:, 1] = False  # a column without ratings
    rows, columns = np.nonzero(mask)
    return Ratings(rows, columns, rng.integers(1, 6, len(rows)), users, items, Scale(low=1, high=5))


def dense_of(ratings):
    x = np.zeros((ratings.n_users, ratings.n_items), np.float32)
    x[ratings.users, ratings.items] = ratings.ratings
    return torch.tensor(x)


def one_batch(ratings, device="cpu", *, sparse=True):
    cells = RatedCells(ratings.rows("user"), device)
    cells.sparse = sparse
    return next(cells.batches(torch.arange(ratings.n_users), ratings.n_users))


def random_weight(*shape, seed=1, precision="fp32", device="cpu"):
    master = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return Weight(master.to(device), precision)


@given(seed=st.integers(0, 10_000), density=st.floats(0, 1))
@settings(max_examples=30)
def test_sparse_products_are_the_dense_ones(seed, density):
    ratings = table(seed, density=density)
    batch, x = one_batch(ratings), dense_of(ratings)
    w, h = torch.randn(30, 5), torch.randn(12, 5)
    assert torch.equal(batch.dense(batch.ratings), x)
    torch.testing.assert_close(batch.matmul(batch.ratings, w), x @ w)
    torch.testing.assert_close(batch.transposed_matmul(batch.ratings, h), x.T @ h)


def test_batches_have_the_requested_rows_in_the_requested_order():
    ratings = table()
    order, x = torch.tensor([3, 0, 7, 7, 11]), dense_of(ratings)
    cells = RatedCells(ratings.rows("user"), "cpu")
    batches = list(cells.batches(order, 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([batch.dense(batch.ratings) for batch in batches]), x[order])
    assert cells.counts(order, 2).tolist() == [len(batch.ratings) for batch in batches]


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("sparse", [True, False])
def test_forward_and_gradients_are_those_of_plain_autograd(sparse, device):
    ratings = table()
    batch, x = one_batch(ratings, device, sparse=sparse), dense_of(ratings).to(device)
    shapes = [(30, 4), (4,), (30, 4), (30,)]
    weights = [random_weight(*shape, seed=seed, device=device) for seed, shape in enumerate(shapes)]
    w, b, v, c = weights
    at_ratings, everywhere = linear_transposed_at_ratings(torch.tanh(linear(batch, w, b)), v, c, batch)
    at_ratings.square().sum().backward()

    plain = [weight.master.detach().clone().requires_grad_() for weight in weights]
    expected = functional.linear(torch.tanh(x @ plain[0] + plain[1]), plain[2], plain[3])
    expected[batch.rows, batch.columns].square().sum().backward()
    torch.testing.assert_close(everywhere, expected.detach())
    for weight, parameter in zip(weights, plain, strict=True):
        torch.testing.assert_close(weight.gradient, parameter.grad, rtol=1e-4, atol=1e-3)


def test_a_matrix_that_is_used_twice_has_the_sum_of_both_gradients():
    ratings = table()
    batch, x = one_batch(ratings), dense_of(ratings)
    w, b, c = random_weight(30, 4), random_weight(4, seed=2), random_weight(30, seed=3)
    for step in range(2):  # the gradient of the first step must not remain in the second
        for example in (batch, x):
            w.zero_grad()
            mean_squared_error(linear_transposed(linear(example, w, b), w, c), x, skip_zeros=False).backward()
            plain = w.master.detach().clone().requires_grad_()
            functional.mse_loss((x @ plain + b.master.detach()) @ plain.T + c.master.detach(), x).backward()
            torch.testing.assert_close(w.gradient, plain.grad, msg=f"step {step}")


@pytest.mark.parametrize("skip_zeros", [True, False])
def test_the_mean_squared_error_is_over_all_cells_or_over_those_with_a_target_other_than_zero(skip_zeros):
    x = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    y = torch.tensor([[1.0, 4.0], [3.0, 5.0]], requires_grad=True)
    loss = mean_squared_error(y, x, skip_zeros=skip_zeros)
    loss.backward()
    mask = (x != 0) if skip_zeros else torch.ones_like(x, dtype=torch.bool)
    assert loss.item() == pytest.approx(((y.detach() - x)[mask] ** 2).mean().item())
    torch.testing.assert_close(y.grad, 2 * (y.detach() - x) * mask / mask.sum())


@pytest.mark.parametrize("share", [SAMPLED_SHARE / 2, 1.0])
def test_outputs_at_cells_are_the_same_one_by_one_and_all_at_once(share):
    h, v, c = torch.randn(40, 6), random_weight(2000, 6), random_weight(2000, seed=2)
    rng = np.random.default_rng(0)
    count = int(share * 40 * 2000)
    rows, columns = (torch.tensor(rng.integers(0, top, count)) for top in (40, 2000))
    with torch.inference_mode():
        outputs = linear_transposed_at(h, v, c, rows, columns)
    torch.testing.assert_close(outputs, (h @ v.master.T + c.master)[rows, columns].detach())


def test_without_gradients_the_float32_weights_are_used():
    ratings = table()
    batch, x = one_batch(ratings), dense_of(ratings)
    w, b = random_weight(30, 4, precision="bf16"), random_weight(4, seed=2, precision="bf16")
    exact = x @ w.master + b.master
    with torch.inference_mode():
        torch.testing.assert_close(linear(batch, w, b), exact)
        torch.testing.assert_close(linear(x, w, b), exact)
    trained = linear(batch, w, b)
    assert trained.dtype == torch.bfloat16
    assert 0 < (trained - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_ratings_that_do_not_fit_the_device_are_streamed_to_it(monkeypatch):
    ratings = table()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 0))
    batch = one_batch(ratings, "cuda")
    assert batch.ratings.is_cuda
    assert torch.equal(batch.dense(batch.ratings).cpu(), dense_of(ratings))
