"""A trained row model as one plain torch module over dense rows, which can leave cfbench for another runtime.

It states what `RowModel` predicts, without sparse matrices and without the training ratings: biases, residuals, their
unit, what happens to users and items without training ratings, and the scale are all in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from cfbench.learning.biases import Biases
    from cfbench.ratings import Scale


@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """A trained network in plain torch."""

    weights: Mapping[str, Tensor]
    outputs: Callable[[Mapping[str, Tensor], Tensor, Tensor], Tensor]
    """(B, n) outputs of the weights, the inputs (B, n), 0 where unrated, and the mask (B, n) of the rated cells."""


@dataclass(frozen=True, eq=False)
class RowFacts:
    """What a row model knows beside its network."""

    biases: Biases
    by_item: bool
    """Whether a row is an item's; else it is a user's."""
    rated_columns: NDArray[np.bool_]
    """(n,) whether a column has training ratings."""
    residuals: bool
    """Whether the network learned ratings minus biases, divided by `unit`."""
    unit: np.float32
    scale: Scale


class DenseRows(torch.nn.Module):
    """Predictions of all cells of B rows, clipped to the scale.

    A row that is a user's may be any user's: the bias is computed from the ratings, as `RowModel.fold_in` does. A row
    that is an item's has the bias of the item, whose code is then the third argument.
    """

    def __init__(self, network: DenseNetwork, facts: RowFacts) -> None:
        super().__init__()
        users, items = torch.from_numpy(facts.biases.users).float(), torch.from_numpy(facts.biases.items).float()
        row_biases, column_biases = (items, users) if facts.by_item else (users, items)
        self._by_item, self._residuals, self._scale = facts.by_item, facts.residuals, facts.scale
        self._outputs, self._names = network.outputs, tuple(network.weights)
        for name, weight in network.weights.items():
            self.register_buffer(name, weight.detach().cpu())
        self.register_buffer("mean", torch.tensor([facts.biases.mean]))
        self.register_buffer("row_biases", row_biases)
        self.register_buffer("column_biases", column_biases)
        self.register_buffer("row_reg", torch.tensor([facts.biases.user_reg]))
        self.register_buffer("rated_columns", torch.from_numpy(facts.rated_columns.copy()))
        self.register_buffer("unit", torch.tensor([float(facts.unit)]))

    def forward(self, ratings: Tensor, rated: Tensor, rows: Tensor | None = None) -> Tensor:
        """(B, n) predictions from `ratings` (B, n) where `rated` (B, n) is True, of the rows `rows` (B,).

        What `ratings` holds elsewhere does not matter. Biases predict the columns without training ratings, and the
        rows without ratings.
        """
        buffers = dict(self.named_buffers())
        row_biases = buffers["row_biases"][rows] if self._by_item else self._fold_in(ratings, rated, buffers)
        biases = buffers["mean"] + row_biases[:, None] + buffers["column_biases"]  # (B, n)
        shown = rated & buffers["rated_columns"]  # (B, n)
        targets = (ratings - biases) / buffers["unit"] if self._residuals else ratings  # (B, n)
        weights = {name: buffers[name] for name in self._names}
        y = self._outputs(weights, torch.where(shown, targets, 0.0), shown)  # (B, n)
        y = biases + buffers["unit"] * y if self._residuals else y  # (B, n)
        is_known = shown.any(1, keepdim=True) & buffers["rated_columns"]  # (B, n)
        return torch.where(is_known, y, biases).clamp(self._scale.low, self._scale.high)

    @staticmethod
    def _fold_in(ratings: Tensor, rated: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
        """(B,) the biases of users with these ratings."""
        deviations = torch.where(rated, ratings - buffers["mean"] - buffers["column_biases"], 0.0)  # (B, n)
        return deviations.sum(1) / (buffers["row_reg"] + rated.sum(1)).clamp(min=1)
