"""Training and prediction of models that map a row of ratings to a row of ratings.

A row holds a user's ratings over the items, or an item's ratings over the users. The network is the plugin's part. This
module stores the ratings on the device, trains over batches of rows, validates, predicts, folds in new users, and
stores and restores the weights. For a user or item without a training rating, the biases predict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import torch

from cfbench.learning import biases
from cfbench.learning.dense_rows import DenseRows, RowFacts
from cfbench.learning.layers import Batch, RatedCells
from cfbench.learning.training import arrays, generator, load_arrays, train, validation_rmse
from cfbench.ratings import SparseRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from cfbench.contract import Context, Side, State
    from cfbench.learning.dense_rows import DenseNetwork
    from cfbench.learning.precision import BlockedOptimizer, Weight
    from cfbench.learning.training import Schedule
    from cfbench.ratings import Codes, Pairs, Ratings, Scale, Scores

ROWS = 1024
"""This many rows are predicted at once; fewer if their whole output would take more than 128 MB."""


class Network(Protocol):
    """The plugin's part: n ratings in, n ratings out."""

    @property
    def optimizer(self) -> BlockedOptimizer:
        """The optimizer of all weights."""

    def weights(self) -> Mapping[str, Weight]:
        """All weights by name."""

    def train_batch(self, batch: Batch, random: torch.Generator) -> Tensor:
        """Run one iteration; return the mean squared error at the rated cells, computed before the first step."""

    def code(self, batch: Batch) -> Tensor:
        """(B, k) the code of each row, as prediction computes it."""

    def cell_outputs(self) -> CellOutputs:
        """Return the function that computes outputs with the present weights, without gradients.

        What all batches share is computed once, here.
        """

    def dense(self) -> DenseNetwork:
        """Return the network as plain torch over dense rows, with the present weights."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What a network may know about the rows before it is trained."""

    n_columns: int
    """The length of a row."""
    n_ratings: int
    scale: Scale
    column_sets: Callable[[], Batch]
    """Makes the (n, rows) matrix that says which rows are rated in a column: 1/√k at its k rated cells."""


CellOutputs: TypeAlias = "Callable[[Batch, Tensor, Tensor], Tensor]"
"""(m,) outputs at m cells of a batch, from the cells' rows within the batch and their columns."""

NetworkBuilder: TypeAlias = "Callable[[TrainingRows, torch.Generator, str], Network]"
"""Makes a network for these rows from the generator of the first weights and the device."""

Targets: TypeAlias = Literal["ratings", "residuals", "standardized"]
"""What a network learns: the ratings, the ratings minus the predictions of the biases, or these residuals divided by
their standard deviation, so that its training does not depend on the scale.

Under standardized residuals the biases are random effects. On small data sets the defaults of `biases.fit` shrink them
too much: random effects lower the validation RMSE of biases by 0.1 to 2.5 % on eleven sets of 5,000 to 120,000 ratings.
"""


@dataclass(frozen=True, eq=False)
class RowQuery:
    """n pairs to predict, sorted for the network."""

    fallback: Scores
    """(n,) the biases' predictions."""
    known: NDArray[np.int64]
    """(m,) indices of the pairs that the network predicts: user and item both have training ratings."""
    rows: Codes
    """(m,) the rows of these pairs, ascending."""
    columns: Codes
    """(m,) the columns of these pairs."""


def one_cycle(epoch: int, epochs: int, peak: float) -> float:
    """The learning rate of an epoch (from 1): a cosine up from peak / 25, then a cosine down to peak / 10,000.

    It rises during the first 30 % of the epochs. L. N. Smith and N. Topin, "Super-Convergence", arXiv:1708.07120, 2017,
    by epochs instead of steps.
    """
    share, rise = epoch / epochs, 0.3
    if share <= rise:
        lowest, height = peak / 25, share / rise
    else:
        lowest, height = peak / 1e4, (1 - share) / (1 - rise)
    return lowest + (peak - lowest) * (1 - math.cos(math.pi * height)) / 2


def standard_deviation(residuals: Scores) -> np.float32:
    """The root mean square of residuals; not quite 0 if all are 0, so that they can be divided by it."""
    mean = np.mean(np.square(residuals, dtype=np.float64)) if len(residuals) else 0.0
    return np.float32(max(np.sqrt(mean), np.finfo(np.float32).tiny))


def build_row_model(
    build_network: NetworkBuilder, *, orientation: Literal["user", "item"], **settings: Any
) -> RowModel:
    """A model over the rows of users or items; `settings` are those of `RowModel`."""
    if orientation == "user":
        return UserRowModel(build_network, by_item=False, **settings)
    return RowModel(build_network, by_item=True, **settings)


class RowModel:
    """A network that is trained on the rows of the training ratings, with early stopping.

    `batch_size`: the rows of a batch, for a number of rows in all.
    """

    def __init__(
        self,
        build_network: NetworkBuilder,
        *,
        by_item: bool,
        targets: Targets = "ratings",
        batch_size: Callable[[int], int],
        schedule: Schedule,
    ) -> None:
        self._build_network, self._by_item = build_network, by_item
        self._residuals, self._standardize = targets != "ratings", targets == "standardized"
        self._choose_batch_size, self._schedule = batch_size, schedule

    def fit(self, train_part: Ratings, valid: Ratings, context: Context) -> None:
        """Train with early stopping on `valid`; raises `DivergedError`."""
        self.prepare(train_part, context)
        if self._standardize:
            context.note(f"{self.batch_size} rows per batch, weight decay {self.optimizer.weight_decay:.2g}")
        self._valid, self._valid_query = valid, self._query(valid.pairs)
        train(self, context, self._schedule, scale=train_part.scale)

    def prepare(self, train_part: Ratings, context: Context) -> None:
        """Put the ratings on the device and make an untrained network."""
        self._seed, self._device, self._report_batch = context.seed, context.device, context.batch
        self._scale = train_part.scale
        rows = train_part.rows("item" if self._by_item else "user")
        self._rated_columns = train_part.seen_users if self._by_item else train_part.seen_items
        self._biases = biases.fit_random_effects(train_part) if self._standardize else biases.fit(train_part)
        self._unit = np.float32(1)
        if self._residuals:
            residuals = rows.values - self._bias_predictions(rows)
            if self._standardize:
                self._unit = standard_deviation(residuals)
            rows = replace(rows, values=residuals / self._unit)
        self._cells = RatedCells(rows, context.device)
        random = generator(context.seed, "weights")
        training_rows = TrainingRows(
            rows.n_columns, len(train_part), train_part.scale, partial(self._column_sets, train_part)
        )
        self._network = self._build_network(training_rows, random, context.device)
        self.batch_size = self._choose_batch_size(int(np.count_nonzero(self._cells.lengths)))

    def _column_sets(self, train_part: Ratings) -> Batch:
        sets = train_part.rows("user" if self._by_item else "item")
        counts = np.diff(sets.starts)
        values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
        cells = RatedCells(replace(sets, values=values), self._device)
        return next(cells.batches(torch.arange(len(counts)), len(counts)))

    def _bias_predictions(self, rows: SparseRows) -> Scores:
        """(cells,) the biases' predictions of the rated cells, computed in float32."""
        row_biases, column_biases = self._biases.users, self._biases.items
        if self._by_item:
            row_biases, column_biases = column_biases, row_biases
        predictions = np.repeat(row_biases.astype(np.float32), np.diff(rows.starts))
        predictions += column_biases.astype(np.float32)[rows.columns]
        predictions += np.float32(self._biases.mean)
        return predictions

    @property
    def optimizer(self) -> BlockedOptimizer:
        """The network's optimizer."""
        return self._network.optimizer

    def weights(self) -> Mapping[str, Weight]:
        """The network's weights by name."""
        return self._network.weights()

    def epoch(self, number: int) -> float:
        """Train on all rows in random order, also on the last partial batch; return the RMSE during the epoch."""
        order = generator(self._seed, f"order of epoch {number}")
        random = generator(self._seed, f"epoch {number}", self._device)
        rated_rows = torch.from_numpy(np.flatnonzero(self._cells.lengths))
        rows = rated_rows[torch.randperm(len(rated_rows), generator=order)]
        batches = self._cells.batches(rows, self.batch_size)
        losses = torch.stack(
            [self._network.train_batch(batch, random) for batch in self._show_progress(number, batches, len(rows))]
        )
        counts = self._cells.counts(rows, self.batch_size)
        values = losses.cpu().numpy().astype(np.float64)  # on the host, because MPS has no float64
        mean = float((values * counts).sum() / counts.sum())
        return float(self._unit) * math.sqrt(mean) if math.isfinite(mean) else math.nan

    def _show_progress(self, epoch: int, batches: Iterator[Batch], n_rows: int) -> Iterator[Batch]:
        """The batches of an epoch; reports each one that has been learned."""
        total = math.ceil(n_rows / self.batch_size)
        for finished, batch in enumerate(batches, 1):
            yield batch
            self._report_batch(epoch, finished, total)

    def validate(self) -> float | None:
        """RMSE over the validation ratings, clipped to the scale."""
        return validation_rmse(lambda _: self._predict(self._valid_query), self._valid)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) the network's outputs at the pairs; the biases where the user or item has no training rating."""
        return self._predict(self._query(pairs))

    def _query(self, pairs: Pairs) -> RowQuery:
        rows, columns = (pairs.items, pairs.users) if self._by_item else (pairs.users, pairs.items)
        known = np.flatnonzero((self._cells.lengths[rows] > 0) & self._rated_columns[columns])
        known = known[np.argsort(rows[known], kind="stable")]
        return RowQuery(self._biases.predict(pairs), known, rows[known], columns[known])

    @torch.inference_mode()
    def _predict(self, query: RowQuery) -> Scores:
        scores = query.fallback.copy()
        distinct, first = np.unique(query.rows, return_index=True)
        bounds = np.append(first, len(query.rows))  # pairs bounds[k] … bounds[k + 1] have the row distinct[k]
        size = self._rows_at_once
        batches = self._cells.batches(torch.from_numpy(distinct.astype(np.int64)), size)
        outputs = self._network.cell_outputs()
        for number, batch in enumerate(batches):
            start = number * size
            part = slice(bounds[start], bounds[start + len(batch)])
            rows = np.searchsorted(distinct[start : start + len(batch)], query.rows[part])
            self._insert(scores, query.known[part], self._on_host(outputs, batch, rows, query.columns[part]))
        return scores

    @property
    def _rows_at_once(self) -> int:
        return max(1, min(ROWS, 2**25 // self._cells.n_columns))

    @torch.inference_mode()
    def embeddings(self, side: Side) -> NDArray[np.float32] | None:
        """(rows, k) the code of each row, 0 for a row without ratings; None for the other side."""
        if (side == "item") != self._by_item:
            return None
        rated = np.flatnonzero(self._cells.lengths)
        batches = self._cells.batches(torch.from_numpy(rated), self._rows_at_once)
        codes = np.concatenate([self._network.code(batch).cpu().numpy() for batch in batches])
        embeddings = np.zeros((len(self._cells.lengths), codes.shape[1]), np.float32)
        embeddings[rated] = codes
        return embeddings

    def _insert(self, scores: Scores, at: NDArray[np.int64], outputs: Scores) -> None:
        """Replace the biases' predictions by the network's outputs, or add these if it learned residuals."""
        scores[at] = scores[at] + self._unit * outputs if self._residuals else outputs

    def _on_host(self, outputs: CellOutputs, batch: Batch, rows: NDArray[np.integer], columns: Codes) -> Scores:
        at = (torch.from_numpy(codes.astype(np.int64)).to(self._device) for codes in (rows, columns))
        return outputs(batch, *at).cpu().numpy()

    def state(self) -> State:
        """The network's weights; the biases follow from the training ratings."""
        return arrays(self.weights())

    def restore(self, state: State, train_part: Ratings, context: Context) -> None:
        """Restore what `state` returned; raises `RecordError` when names or shapes differ."""
        self.prepare(train_part, context)
        load_arrays(self.weights(), state)

    @property
    def row_kind(self) -> Literal["user", "item"]:
        """Whose ratings a row of the network holds."""
        return "item" if self._by_item else "user"

    def module(self) -> DenseRows:
        """The model as one plain torch module over dense rows."""
        facts = RowFacts(self._biases, self._by_item, self._rated_columns, self._residuals, self._unit, self._scale)
        return DenseRows(self._network.dense(), facts)

    @property
    def parameters(self) -> int:
        """The number of the network's weights and biases."""
        return sum(weight.master.numel() for weight in self.weights().values())


class UserRowModel(RowModel):
    """A model whose rows are users, so that it can predict for a new user."""

    @torch.inference_mode()
    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions of `targets` (n,) for a new user who gave `items` (m,) these `ratings` (m,).

        The biases predict a target without training ratings.
        """
        scores = self._biases.fold_in(items, ratings, targets)
        known = np.flatnonzero(self._rated_columns[items])
        known = known[np.argsort(items[known])]
        at = np.flatnonzero(self._rated_columns[targets])
        if len(known):
            values = ratings
            if self._residuals:
                values = (ratings - self._biases.fold_in(items, ratings, items)) / self._unit
            row = SparseRows(np.array([0, len(known)]), items[known], values[known], self._cells.n_columns)
            batch = next(RatedCells(row, self._device).batches(torch.zeros(1, dtype=torch.int64), 1))
            outputs = self._network.cell_outputs()
            self._insert(scores, at, self._on_host(outputs, batch, np.zeros(len(at), np.int32), targets[at]))
        return scores
