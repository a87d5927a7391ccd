"""A regularised least-squares problem for every row of a sparse matrix, solved in batches on any device.

Row r has n ratings y_c at columns c; the features x_c of a column are shared by all rows. The w that minimises

    Σ_c (y_c - offset_c - x_c·w)² + n^exponent Σ_j penalty_j w_j²

solves (XᵀX + Λ) w = Xᵀ(y - offset). Rows of similar length form a block, in which shorter ones are padded by features
of zero. A block takes one batched product and one batched Cholesky factorisation. The products of a row that is too
long for a block are summed in pieces. So the only memory besides the ratings is that of one block, however many ratings
there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the usual name)

from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cfbench.ratings import SparseRows

CPU_BLOCK = 2**20
"""This many numbers stay in a processor's cache."""
ACCELERATOR_BLOCK = 2**26
"""This many numbers keep an accelerator busy."""


class Regressions:
    """The problems of all rows, with their ratings on `device`, the longest row first."""

    def __init__(self, rows: SparseRows, device: str, *, block: int | None = None) -> None:
        lengths = np.diff(rows.starts)
        order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
        self._block = block or (CPU_BLOCK if device == "cpu" else ACCELERATOR_BLOCK)
        self._longest = lengths[order]
        self._n_rows = len(rows)
        self._order, self._lengths, self._starts, self._columns, self._values = (
            torch.from_numpy(array).to(device)
            for array in (order, lengths[order], rows.starts[order], rows.columns, rows.values)
        )

    @torch.no_grad()
    def solve(self, features: Tensor, offsets: Tensor, penalty: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
        """(rows, k) the w of every row, and (rows,) its squared error Σ (y - offset - x·w)².

        `features` (columns, k), `offsets` (columns,), `penalty` (k,). A row without ratings has w = 0. The w is NaN
        where the equations are singular in float32; a larger penalty cures that.
        """
        width = features.shape[1] + 1
        table = torch.cat([features, offsets[:, None]], 1)  # (columns, k + 1)
        table = torch.cat([table, table.new_zeros(1, width)])  # (columns + 1, k + 1): the last row pads
        solutions, errors = features.new_zeros(self._n_rows, width - 1), features.new_zeros(self._n_rows)
        for batch in self._batches(width):
            products = self._products(batch, table)  # (B, k + 1, k + 1)
            gram, right, square = products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]
            weight = self._lengths[batch, None].float() ** exponent * penalty  # (B, k)
            gram.diagonal(dim1=1, dim2=2).add_(weight)
            lower, failed = torch.linalg.cholesky_ex(gram)
            w = torch.cholesky_solve(right[..., None], lower)[..., 0]  # (B, k)
            w = torch.where(failed[:, None] == 0, w, torch.nan)
            solutions[self._order[batch]] = w
            errors[self._order[batch]] = square - (w * (right + weight * w)).sum(1)
        return solutions, errors

    def _batches(self, width: int) -> Iterator[slice]:
        """Slices of the rows whose padded features and whose products fill at most one block."""
        start = 0
        while start < len(self._longest):
            longest = int(self._longest[start])
            end = start + max(1, self._block // (width * max(width, longest)))
            yield slice(start, end)
            start = end

    def _products(self, batch: slice, table: Tensor) -> Tensor:
        """(B, k + 1, k + 1) ZᵀZ for each row, where Z (n, k + 1) holds its features and, last, y - offset."""
        starts, lengths = self._starts[batch, None], self._lengths[batch, None]  # (B, 1)
        products = table.new_zeros(len(starts), table.shape[1], table.shape[1])
        for piece in blocks(int(self._longest[batch.start]), max(1, self._block // table.shape[1])):
            at = torch.arange(piece.start, piece.stop, device=table.device)  # (L,)
            rated = at < lengths  # (B, L)
            cells = torch.where(rated, starts + at, 0)  # (B, L)
            columns = torch.where(rated, self._columns[cells], len(table) - 1)  # (B, L)
            z = F.embedding(columns, table)  # (B, L, k + 1), several times as fast as table[columns] on the CPU
            z[..., -1] = (self._values[cells] - z[..., -1]) * rated
            products.baddbmm_(z.mT, z)
        return products


def solve_one(
    features: NDArray[np.floating], targets: NDArray[np.floating], penalty: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k,) the w of a single row: features (n, k), targets (n,), one penalty > 0 for all w_j or (k,) one for each."""
    x, y = features.astype(np.float64), targets.astype(np.float64)
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y))
