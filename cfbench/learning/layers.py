"""LAYERS: affine layers over sparse ratings, in the precision the device is quick in.

An autoencoder of n items spends its time in its outermost matrices, n × h. A batch x of B rows is known at few of its
B × n cells, and so is the gradient of a loss over the rated cells: both share one sparse pattern. Their four products
with dense matrices then cost by the ratings, not by B × n:

    x W           into the first layer             `linear` of a Batch
    xᵀ δ          the gradient of its matrix
    δ V           back through the last layer      `linear_at`
    δᵀ h          the gradient of its matrix

Each is a weighted sum of rows, which torch calls an embedding bag. Where a tenth of the cells or more is rated, dense
products are as quick, and are used.

Training computes from the copies of the learned numbers (see precision); without gradients all is computed from the
float32 numbers themselves, so that what a model predicts does not depend on where it was trained.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own custom)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cfbench.learning.precision import Weight
    from cfbench.ratings import SparseRows

SPARSE = 0.1
"""Up to this share of rated cells, products go by the ratings."""
SAMPLED = 0.005
"""Up to this share of asked cells, outputs are computed one by one."""
SHARE_OF_MEMORY = 0.5
"""Ratings live on the device if they take up to this share of its free memory."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a sparse matrix, (B, n_columns), known at (cells,) places; ascending by row, then column."""

    starts: Tensor
    """(B + 1,) where each row's cells begin."""
    places: Tensor
    """(cells,) row within the batch."""
    columns: Tensor
    """(cells,)."""
    ratings: Tensor
    """(cells,) float32."""
    _: KW_ONLY
    n_columns: int
    sparse: bool
    """Whether products go by the cells."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def dense(self, values: Tensor) -> Tensor:
        """(B, n_columns) the cells' `values`, 0 between them."""
        x = values.new_zeros(len(self), self.n_columns)
        x[self.places, self.columns] = values
        return x

    def times(self, values: Tensor, matrix: Tensor) -> Tensor:
        """(B, h): S M for the sparse S (B, n_columns) of these `values` and M (n_columns, h)."""
        return _bag(self.starts, self.columns, values, matrix)

    def turned_times(self, values: Tensor, matrix: Tensor) -> Tensor:
        """(n_columns, h): Sᵀ M for the sparse S (B, n_columns) of these `values` and M (B, h)."""
        order, starts, places = self._by_column
        return _bag(starts, places, values[order], matrix)

    @cached_property
    def _by_column(self) -> tuple[Tensor, Tensor, Tensor]:
        """The cells in order of their columns, where each column begins, and each one's row."""
        columns, order = torch.sort(self.columns, stable=True)
        every = torch.arange(self.n_columns + 1, device=columns.device, dtype=columns.dtype)
        return order, torch.searchsorted(columns, every, out_int32=True), self.places[order]


def _bag(starts: Tensor, rows: Tensor, values: Tensor, matrix: Tensor) -> Tensor:
    """Row k: the sum over cells starts[k] … starts[k + 1] of value × the matrix's row."""
    weights = values.to(matrix.dtype)
    return F.embedding_bag(rows, matrix, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


class Cells:
    """The rated cells of sparse rows; batches of rows are gathered on the device.

    They live there if they fit, else in memory the device can read from while it computes. No batch makes the host
    wait for the device: how many cells it has is known to the host.
    """

    def __init__(self, rows: SparseRows, device: str) -> None:
        self.n_columns = rows.n_columns
        self.sparse = len(rows.values) <= SPARSE * len(rows) * rows.n_columns
        self._device = torch.device(device)
        self.lengths = np.diff(rows.starts)  # (rows,), known to the host
        held = (torch.from_numpy(rows.starts), torch.from_numpy(rows.columns), torch.from_numpy(rows.values))
        size = sum(tensor.nbytes for tensor in held)
        if self._device.type == "cuda" and size > SHARE_OF_MEMORY * torch.cuda.mem_get_info(self._device)[0]:
            self._starts, self._columns, self._ratings = (tensor.pin_memory() for tensor in held)
        else:
            self._starts, self._columns, self._ratings = (tensor.to(self._device) for tensor in held)

    def batches(self, rows: Tensor, size: int) -> Iterator[Batch]:
        """The cells of `rows` (host, int64), `size` rows at a time."""
        for start, count in zip(range(0, len(rows), size), self.counts(rows, size), strict=True):
            batch = rows[start : start + size].to(self._starts.device, non_blocking=True)
            yield self._gather(batch, int(count))

    def counts(self, rows: Tensor, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many cells each batch of `batches` has."""
        lengths = self.lengths[rows.numpy()]
        return np.add.reduceat(lengths, np.arange(0, len(lengths), size)) if len(lengths) else lengths

    def _gather(self, batch: Tensor, count: int) -> Batch:
        first = self._starts[batch]  # (B,)
        lengths = self._starts[batch + 1] - first  # (B,)
        starts = F.pad(lengths.cumsum(0), (1, 0))  # (B + 1,)
        places = torch.arange(len(batch), device=batch.device).repeat_interleave(lengths, output_size=count)  # (cells,)
        cells = torch.arange(count, device=batch.device) + (first - starts[:-1])[places]  # (cells,)
        parts = (starts.int(), places.int(), self._columns[cells], self._ratings[cells])
        moved = [part.to(self._device, non_blocking=True) for part in parts]
        return Batch(*moved, n_columns=self.n_columns, sparse=self.sparse)


def linear(x: Tensor | Batch, weight: Weight, bias: Weight) -> Tensor:
    """X W + b: (B, n) → (B, h) for W (n, h), b (h,). Without gradients computed from the float32 numbers."""
    if isinstance(x, Batch) and not x.sparse:
        x = x.dense(x.ratings.to(weight.copy.dtype if torch.is_grad_enabled() else torch.float32))
    if torch.is_grad_enabled():
        kind = _SparseLinear if isinstance(x, Batch) else _Linear
        y: Tensor = _apply(kind, x, weight.copy, bias.copy, weight)
        return y
    product = x.times(x.ratings, weight.master) if isinstance(x, Batch) else x @ weight.master
    return product.add_(bias.master)


def linear_back(h: Tensor, weight: Weight, bias: Weight) -> Tensor:
    """H Wᵀ + b: (B, h) → (B, n) for W (n, h), b (n,)."""
    if torch.compiler.is_compiling():
        return F.linear(h, weight.copy, bias.copy)
    if torch.is_grad_enabled():
        y: Tensor = _apply(_LinearBack, h, weight.copy, bias.copy, weight)
        return y
    return F.linear(h, weight.master, bias.master)


def linear_at(h: Tensor, weight: Weight, bias: Weight, batch: Batch) -> tuple[Tensor, Tensor]:
    """`linear_back` at the batch's cells (cells,), and everywhere (B, n); gradients flow through the cells alone."""
    at_cells, everywhere = _apply(_LinearAt, h, weight.copy, bias.copy, weight, batch)
    return at_cells, everywhere


def mean_square(y: Tensor, x: Tensor, *, skip_zeros: bool) -> Tensor:
    """Mean of (y - x)² over all cells, or over those where x is not 0, summed in float32; its gradient is y's."""
    if torch.compiler.is_compiling():
        kept = (x != 0).float() if skip_zeros else torch.ones_like(x, dtype=torch.float32)
        return ((y.float() - x.float()).square() * kept).sum() / kept.sum()
    loss: Tensor = _apply(_MeanSquare, y, x, skip_zeros)
    return loss


def _apply(function: type[torch.autograd.Function], *args: Any) -> Any:
    return function.apply(*args)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def output_at(h: Tensor, weight: Weight, bias: Weight, places: Tensor, columns: Tensor) -> Tensor:
    """(m,) `linear_back` of the float32 numbers at m cells: row of h (B, h), column of the output (B, n)."""
    if len(columns) > SAMPLED * len(h) * len(bias.master):
        return linear_back(h, weight, bias)[places, columns]
    blocks = zip(torch.split(places, 4096), torch.split(columns, 4096), strict=True)  # (m, h) would leave the cache
    products = [torch.linalg.vecdot(h[rows], weight.master[at]) for rows, at in blocks]
    return torch.cat(products).add_(bias.master[columns]) if products else h.new_zeros(0)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, weight: Weight) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.weight = weight
        return torch.addmm(b, x, w)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, w = ctx.saved_tensors
        ctx.weight.collect(x.T, dy)
        return (dy @ w.T if ctx.needs_input_grad[0] else None), None, dy.sum(0), None


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, batch: Batch, w: Tensor, b: Tensor, weight: Weight) -> Tensor:
        ctx.batch, ctx.weight = batch, weight
        return batch.times(batch.ratings, w).add_(b)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        ctx.weight.take(ctx.batch.turned_times(ctx.batch.ratings, dy))
        return None, None, dy.sum(0), None


class _LinearBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, b: Tensor, weight: Weight) -> Tensor:
        ctx.save_for_backward(h, w)
        ctx.weight = weight
        return F.linear(h, w, b)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        h, w = ctx.saved_tensors
        ctx.weight.collect(dy.T, h)
        return dy @ w, None, dy.sum(0), None


class _LinearAt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, b: Tensor, weight: Weight, batch: Batch) -> Any:
        ctx.save_for_backward(h, w)
        ctx.weight, ctx.batch = weight, batch
        everywhere = F.linear(h, w, b)
        ctx.mark_non_differentiable(everywhere)
        return everywhere[batch.places, batch.columns], everywhere

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> Any:
        h, w = ctx.saved_tensors
        batch: Batch = ctx.batch
        db = torch.zeros(len(w), device=dy.device).index_add_(0, batch.columns, dy.float()).to(dy.dtype)
        if batch.sparse:
            ctx.weight.take(batch.turned_times(dy, h))
            return batch.times(dy, w), None, db, None, None
        dense = batch.dense(dy)
        ctx.weight.collect(dense.T, h)
        return dense @ w, None, db, None, None


class _MeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, skip_zeros: bool) -> Tensor:
        difference = y - x
        count = torch.full((), y.numel(), dtype=torch.float32, device=y.device)
        if skip_zeros:
            kept = x != 0
            difference, count = difference.mul_(kept), kept.sum().float()
        ctx.save_for_backward(difference, count)
        squares: Tensor = torch.linalg.vector_norm(difference, dtype=torch.float32).square()
        return squares / count

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> Any:
        difference, count = ctx.saved_tensors
        return difference.mul_(2 / count * dloss), None, None
