"""AUTOENCODER: what models share that map a row of ratings to a row of ratings.

A row is a user's ratings over the items, or an item's over the users. The network is the plugin's; here are its data on
the device, the epoch over batches of rows, validation, prediction, folding in, and what is stored. Where a user or item
has no training rating, the biases speak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import torch

from cfbench.learning import biases
from cfbench.learning.layers import Batch, Cells
from cfbench.learning.training import arrays, generator, load_arrays, train, validation_rmse
from cfbench.ratings import SparseRows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from cfbench.contract import Context, State
    from cfbench.learning.precision import BlockedOptimizer, Weight
    from cfbench.ratings import Codes, Pairs, Ratings, Scale, Scores


@dataclass(frozen=True, eq=False)
class Asked:
    """Pairs to be predicted: what is said without the network, and which of them it knows, in order of their rows."""

    otherwise: Scores
    """(n,) the biases' predictions."""
    places: NDArray[np.int64]
    """(m,) which of the n the network predicts."""
    rows: Codes
    """(m,) ascending."""
    columns: Codes
    """(m,)."""


ROWS = 1024
"""So many rows are predicted at once; fewer where their whole output would pass 128 MB."""


class Network(Protocol):
    """The plugin's part: n ratings in, n ratings out."""

    @property
    def steps(self) -> BlockedOptimizer:
        """The step rule over all that is learned."""

    def learned(self) -> Mapping[str, Weight]:
        """All that is learned, by name."""

    def train_batch(self, batch: Batch, random: torch.Generator) -> Tensor:
        """One iteration; returns the mean squared error at the batch's cells, met before it."""

    def outputs(self, batch: Batch, places: Tensor, columns: Tensor) -> Tensor:
        """(m,) outputs at m cells of the batch's rows, without gradients."""


Make: TypeAlias = "Callable[[int, Scale, torch.Generator, str], Network]"
"""A network for rows of so many ratings on this scale, its weights drawn from the generator, on the device."""


def one_cycle(epoch: int, epochs: int, peak: float) -> float:
    """The learning rate of an epoch (from 1): up from peak / 25 in the first third, then down to nearly 0, on cosines.

    L. N. Smith and N. Topin, "Super-Convergence", arXiv:1708.07120, 2017, by epochs instead of steps.
    """
    done, rise = epoch / epochs, 0.3
    low, along = (peak / 25, done / rise) if done <= rise else (peak / 1e4, (1 - done) / (1 - rise))
    return low + (peak - low) * (1 - math.cos(math.pi * along)) / 2


def model_of_rows(make: Make, *, orientation: Literal["user", "item"], **settings: Any) -> RowModel:
    """The model over users' or items' rows; `settings` are those of `RowModel`."""
    return (
        UserRowModel(make, turned=False, **settings)
        if orientation == "user"
        else RowModel(make, turned=True, **settings)
    )


class RowModel:
    """A network over the training ratings' rows, trained with early stopping."""

    def __init__(
        self,
        make: Make,
        *,
        turned: bool,
        residuals: bool = False,
        batch_size: int,
        epochs: int,
        patience: int,
        learning_rate: Callable[[int], float],
        average: int = 0,
    ) -> None:
        self._make, self._turned, self._residuals = make, turned, residuals
        self._batch_size, self._epochs, self._patience = batch_size, epochs, patience
        self._learning_rate, self._average = learning_rate, average

    def fit(self, train_part: Ratings, valid: Ratings, context: Context) -> None:
        """Train with early stopping on `valid`; raises `DivergedError`."""
        self.begin(train_part, context)
        self._valid, self._asked = valid, self._ask(valid.pairs)
        train(
            self, context, epochs=self._epochs, patience=self._patience, learning_rate=self._learning_rate,
            scale=train_part.scale, average=self._average,
        )  # fmt: skip

    def begin(self, train_part: Ratings, context: Context) -> None:
        """Put the ratings on the device, and make a network that has learned nothing."""
        self._seed, self._device = context.seed, context.device
        rows = train_part.rows("item" if self._turned else "user")
        self._rated_columns = train_part.seen_users if self._turned else train_part.seen_items
        self._biases = biases.fit(train_part)
        if self._residuals:
            rows = replace(rows, values=rows.values - self._biases_of(rows))
        self._cells = Cells(rows, context.device)
        random = generator(context.seed, "weights")
        self._network = self._make(rows.n_columns, train_part.scale, random, context.device)

    def _biases_of(self, rows: SparseRows) -> Scores:
        """(n,) what the biases predict of each cell."""
        mine, theirs = (self._biases.items, self._biases.users)[:: 1 if self._turned else -1]
        each = np.repeat(mine.astype(np.float32), np.diff(rows.starts))
        each += theirs.astype(np.float32)[rows.columns]
        each += np.float32(self._biases.mean)
        return each

    @property
    def steps(self) -> BlockedOptimizer:
        """The network's step rule."""
        return self._network.steps

    def learned(self) -> Mapping[str, Weight]:
        """The network's learned numbers by name."""
        return self._network.learned()

    def epoch(self, number: int) -> float:
        """Once through the rows in random order, the last partial batch included."""
        order = generator(self._seed, f"order of epoch {number}")
        random = generator(self._seed, f"epoch {number}", self._device)
        rated = torch.from_numpy(np.flatnonzero(self._cells.lengths))
        rows = rated[torch.randperm(len(rated), generator=order)]
        batches = self._cells.batches(rows, self._batch_size)
        losses = torch.stack([self._network.train_batch(batch, random) for batch in batches])
        counts = self._cells.counts(rows, self._batch_size)
        mean = float((losses.double().cpu().numpy() * counts).sum() / counts.sum())
        return math.sqrt(mean) if math.isfinite(mean) else math.nan

    def validate(self) -> float | None:
        """RMSE over the validation ratings, clipped to the scale."""
        return validation_rmse(lambda *_: self._answer(self._asked), self._valid)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) the network's output at the pairs; the biases' where user or item has no training rating."""
        return self._answer(self._ask(pairs))

    def _ask(self, pairs: Pairs) -> Asked:
        rows, columns = (pairs.items, pairs.users) if self._turned else (pairs.users, pairs.items)
        known = np.flatnonzero((self._cells.lengths[rows] > 0) & self._rated_columns[columns])
        known = known[np.argsort(rows[known], kind="stable")]
        return Asked(self._biases.predict(pairs), known, rows[known], columns[known])

    @torch.inference_mode()
    def _answer(self, asked: Asked) -> Scores:
        scores = asked.otherwise.copy()
        distinct, first = np.unique(asked.rows, return_index=True)
        bounds = np.append(first, len(asked.rows))
        size = max(1, min(ROWS, 2**25 // self._cells.n_columns))
        batches = self._cells.batches(torch.from_numpy(distinct.astype(np.int64)), size)
        for number, batch in enumerate(batches):
            begin = number * size
            part = slice(bounds[begin], bounds[begin + len(batch)])
            places = np.searchsorted(distinct[begin : begin + len(batch)], asked.rows[part])
            self._say(scores, asked.places[part], self._outputs(batch, places, asked.columns[part]))
        return scores

    def _say(self, scores: Scores, at: NDArray[np.int64], outputs: Scores) -> None:
        """Put the network's outputs beside, or on top of, what the biases predict."""
        scores[at] = scores[at] + outputs if self._residuals else outputs

    def _outputs(self, batch: Batch, places: NDArray[np.integer], columns: Codes) -> Scores:
        at = (torch.from_numpy(codes.astype(np.int64)).to(self._device) for codes in (places, columns))
        return self._network.outputs(batch, *at).cpu().numpy()

    def state(self) -> State:
        """What the network learned; the biases follow from the training ratings."""
        return arrays(self.learned())

    def restore(self, state: State, train_part: Ratings, context: Context) -> None:
        """Take it back; raises `RecordError` when it is not of this shape."""
        self.begin(train_part, context)
        load_arrays(self.learned(), state)

    @property
    def parameters(self) -> int:
        """Weights and biases of the network."""
        return sum(each.master.numel() for each in self.learned().values())


class UserRowModel(RowModel):
    """A row model whose rows are users: it can speak of a new one."""

    @torch.inference_mode()
    def fold_in(self, items: Codes, ratings: Scores, asked: Codes) -> Scores:
        """(n,) outputs for the row of a user not met in training; the biases' where an item has no training rating."""
        scores = self._biases.fold_in(items, ratings, asked)
        met = np.flatnonzero(self._rated_columns[items])
        met = met[np.argsort(items[met])]
        at = np.flatnonzero(self._rated_columns[asked])
        if len(met):
            left = ratings - self._biases.fold_in(items, ratings, items) if self._residuals else ratings
            row = SparseRows(np.array([0, len(met)]), items[met], left[met], self._cells.n_columns)
            batch = next(Cells(row, self._device).batches(torch.zeros(1, dtype=torch.int64), 1))
            self._say(scores, at, self._outputs(batch, np.zeros(len(at), np.int32), asked[at]))
        return scores
