"""Affine layers over sparse ratings.

An autoencoder of n items spends its time in its outermost matrices, n × h. A batch x of B rows is rated at few of its
B × n cells, and the gradient δ of a loss over the rated cells is non-zero at the same cells. The cost of the four
products with dense matrices then grows with the number of ratings, not with B × n:

    x W           forward through the first layer          `linear` of a Batch
    xᵀ δ          the gradient of the layer's matrix
    δ V           backward through the last layer          `linear_transposed_at_ratings`
    δᵀ h          the gradient of the layer's matrix

Each product is a weighted sum of rows, which torch calls an embedding bag. If a tenth of the cells or more is rated,
dense products are as fast and are used instead.

Training computes with `Weight.cast`. Without gradients everything is computed with the float32 `Weight.master`, so that
predictions do not depend on the machine on which a model was trained.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the usual name)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cfbench.learning.precision import Weight
    from cfbench.ratings import SparseRows

SPARSE_SHARE = 0.1
"""Up to this share of rated cells, products are computed from the ratings alone."""
SAMPLED_SHARE = 0.005
"""Up to this share of requested cells, outputs are computed one by one."""
MEMORY_SHARE = 0.5
"""Ratings are stored on the device if they take at most this share of its free memory."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B rows of a sparse matrix with n columns; its (cells,) rated cells ascend by row, then by column."""

    starts: Tensor
    """(B + 1,) where the cells of each row begin."""
    rows: Tensor
    """(cells,) row within the batch."""
    columns: Tensor
    """(cells,)."""
    ratings: Tensor
    """(cells,) float32."""
    _: KW_ONLY
    n_columns: int
    sparse: bool
    """Whether products are computed from the rated cells alone."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def dense(self, values: Tensor) -> Tensor:
        """(B, n) the `values` of the rated cells, 0 elsewhere."""
        x = values.new_zeros(len(self), self.n_columns)
        x[self.rows, self.columns] = values
        return x

    def matmul(self, values: Tensor, matrix: Tensor) -> Tensor:
        """(B, h): S M for the sparse S (B, n) with these `values` at the rated cells, and M (n, h)."""
        return _weighted_row_sums(self.starts, self.columns, values, matrix)

    def transposed_matmul(self, values: Tensor, matrix: Tensor) -> Tensor:
        """(n, h): Sᵀ M for the sparse S (B, n) with these `values` at the rated cells, and M (B, h)."""
        order, starts, rows = self._by_column
        return _weighted_row_sums(starts, rows, values[order], matrix)

    @cached_property
    def _by_column(self) -> tuple[Tensor, Tensor, Tensor]:
        """The order of the cells by column, where each column begins, and the cells' rows in that order."""
        columns, order = torch.sort(self.columns, stable=True)
        all_columns = torch.arange(self.n_columns + 1, device=columns.device, dtype=columns.dtype)
        return order, torch.searchsorted(columns, all_columns, out_int32=True), self.rows[order]


def _weighted_row_sums(starts: Tensor, rows: Tensor, values: Tensor, matrix: Tensor) -> Tensor:
    """Row k is the sum of value × matrix[row] over cells starts[k] … starts[k + 1]."""
    weights = values.to(matrix.dtype)
    return F.embedding_bag(rows, matrix, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


class RatedCells:
    """The rated cells of all rows, from which batches of rows are gathered on the device.

    They are stored on the device if they fit, else in host memory that the device reads while it computes. The host
    knows the number of cells of each batch, so that it never waits for the device.
    """

    def __init__(self, rows: SparseRows, device: str) -> None:
        self.n_columns = rows.n_columns
        self.sparse = len(rows.values) <= SPARSE_SHARE * len(rows) * rows.n_columns
        self._device = torch.device(device)
        self.lengths = np.diff(rows.starts)  # (rows,), on the host
        tensors = (torch.from_numpy(rows.starts), torch.from_numpy(rows.columns), torch.from_numpy(rows.values))
        size = sum(tensor.nbytes for tensor in tensors)
        if self._device.type == "cuda" and size > MEMORY_SHARE * torch.cuda.mem_get_info(self._device)[0]:
            self._starts, self._columns, self._ratings = (tensor.pin_memory() for tensor in tensors)
        else:
            self._starts, self._columns, self._ratings = (tensor.to(self._device) for tensor in tensors)

    def batches(self, rows: Tensor, size: int) -> Iterator[Batch]:
        """The cells of `rows` (on the host, int64) in batches of `size` rows; the last batch may be smaller."""
        for start, count in zip(range(0, len(rows), size), self.counts(rows, size), strict=True):
            batch = rows[start : start + size].to(self._starts.device, non_blocking=True)
            yield self._gather(batch, int(count))

    def counts(self, rows: Tensor, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of cells of each batch of `batches`."""
        lengths = self.lengths[rows.numpy()]
        return np.add.reduceat(lengths, np.arange(0, len(lengths), size)) if len(lengths) else lengths

    def _gather(self, batch: Tensor, count: int) -> Batch:
        first = self._starts[batch]  # (B,)
        lengths = self._starts[batch + 1] - first  # (B,)
        starts = F.pad(lengths.cumsum(0), (1, 0))  # (B + 1,)
        rows = torch.arange(len(batch), device=batch.device).repeat_interleave(lengths, output_size=count)  # (cells,)
        cells = torch.arange(count, device=batch.device) + (first - starts[:-1])[rows]  # (cells,)
        parts = (starts.int(), rows.int(), self._columns[cells], self._ratings[cells])
        on_device = [part.to(self._device, non_blocking=True) for part in parts]
        return Batch(*on_device, n_columns=self.n_columns, sparse=self.sparse)


def linear(x: Tensor | Batch, weight: Weight, bias: Weight) -> Tensor:
    """X W + b: (B, n) → (B, h) for W (n, h) and b (h,)."""
    if isinstance(x, Batch) and not x.sparse:
        x = x.dense(x.ratings.to(weight.value.dtype))
    if isinstance(x, Batch):
        return matmul(x, weight).add_(bias.value)
    if torch.is_grad_enabled():
        y: Tensor = _apply(_Linear, x, weight.cast, bias.cast, weight)
        return y
    return (x @ weight.master).add_(bias.master)


def matmul(x: Batch, weight: Weight) -> Tensor:
    """X W: (B, n) → (B, h) for W (n, h), computed from the rated cells alone."""
    if torch.is_grad_enabled():
        y: Tensor = _apply(_SparseMatmul, x, weight.cast, weight)
        return y
    return x.matmul(x.ratings, weight.master)


def linear_transposed(h: Tensor, weight: Weight, bias: Weight) -> Tensor:
    """H Wᵀ + b: (B, h) → (B, n) for W (n, h) and b (n,)."""
    if torch.compiler.is_compiling():
        return F.linear(h, weight.cast, bias.cast)
    if torch.is_grad_enabled():
        y: Tensor = _apply(_LinearTransposed, h, weight.cast, bias.cast, weight)
        return y
    return F.linear(h, weight.master, bias.master)


def linear_transposed_at_ratings(h: Tensor, weight: Weight, bias: Weight, batch: Batch) -> tuple[Tensor, Tensor]:
    """`linear_transposed` at the batch's rated cells (cells,), and at all cells (B, n) without gradients."""
    at_ratings, everywhere = _apply(_LinearTransposedAtRatings, h, weight.cast, bias.cast, weight, batch)
    return at_ratings, everywhere


def linear_transposed_at(h: Tensor, weight: Weight, bias: Weight, rows: Tensor, columns: Tensor) -> Tensor:
    """(m,) `linear_transposed` at m cells, without gradients: rows of h (B, h), columns of the output (B, n)."""
    if len(columns) > SAMPLED_SHARE * len(h) * len(bias.master):
        return linear_transposed(h, weight, bias)[rows, columns]
    return products_at(h, weight.master, rows, columns).add_(bias.master[columns])


def products_at(h: Tensor, w: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(m,) H Wᵀ at m cells: rows of h (B, h), rows of w (n, h)."""
    blocks = zip(torch.split(rows, 4096), torch.split(columns, 4096), strict=True)  # (m, h) is larger than the cache
    products = [torch.linalg.vecdot(h[r], w[c]) for r, c in blocks]
    return torch.cat(products) if products else h.new_zeros(0)


def mean_squared_error(y: Tensor, target: Tensor, *, skip_zeros: bool) -> Tensor:
    """Mean of (y - target)² over all cells, or over those where the target is not 0, summed in float32.

    The gradient flows into y alone.
    """
    if torch.compiler.is_compiling():
        mask = (target != 0).float() if skip_zeros else torch.ones_like(target, dtype=torch.float32)
        return ((y.float() - target.float()).square() * mask).sum() / mask.sum()
    loss: Tensor = _apply(_MeanSquaredError, y, target, skip_zeros)
    return loss


def _apply(function: type[torch.autograd.Function], *args: Any) -> Any:
    return function.apply(*args)  # type: ignore[no-untyped-call]  # torch has no type for it


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, weight: Weight) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.weight = weight
        return torch.addmm(b, x, w)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, w = ctx.saved_tensors
        ctx.weight.add_product(x.T, dy)
        return (dy @ w.T if ctx.needs_input_grad[0] else None), None, dy.sum(0), None


class _SparseMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, batch: Batch, w: Tensor, weight: Weight) -> Tensor:
        ctx.batch, ctx.weight = batch, weight
        return batch.matmul(batch.ratings, w)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        ctx.weight.add_gradient(ctx.batch.transposed_matmul(ctx.batch.ratings, dy))
        return None, None, None


class _LinearTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, b: Tensor, weight: Weight) -> Tensor:
        ctx.save_for_backward(h, w)
        ctx.weight = weight
        return F.linear(h, w, b)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        h, w = ctx.saved_tensors
        ctx.weight.add_product(dy.T, h)
        return dy @ w, None, dy.sum(0), None


class _LinearTransposedAtRatings(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, b: Tensor, weight: Weight, batch: Batch) -> Any:
        ctx.save_for_backward(h, w)
        ctx.weight, ctx.batch = weight, batch
        everywhere = F.linear(h, w, b)
        ctx.mark_non_differentiable(everywhere)
        return everywhere[batch.rows, batch.columns], everywhere

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> Any:
        h, w = ctx.saved_tensors
        batch: Batch = ctx.batch
        db = torch.zeros(len(w), device=dy.device).index_add_(0, batch.columns, dy.float()).to(dy.dtype)
        if batch.sparse:
            ctx.weight.add_gradient(batch.transposed_matmul(dy, h))
            return batch.matmul(dy, w), None, db, None, None
        dense = batch.dense(dy)
        ctx.weight.add_product(dense.T, h)
        return dense @ w, None, db, None, None


class _MeanSquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, target: Tensor, skip_zeros: bool) -> Tensor:
        difference = y - target
        count = torch.full((), y.numel(), dtype=torch.float32, device=y.device)
        if skip_zeros:
            mask = target != 0
            difference, count = difference.mul_(mask), mask.sum().float()
        ctx.save_for_backward(difference, count)
        squares: Tensor = torch.linalg.vector_norm(difference, dtype=torch.float32).square()
        return squares / count

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> Any:
        difference, count = ctx.saved_tensors
        return difference.mul_(2 / count * dloss), None, None
