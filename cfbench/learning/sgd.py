"""Models that learn by passes of stochastic gradient descent over single ratings, compiled by Numba.

The loop around the passes is `training.train`: it validates after each pass, keeps the best one, and resumes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from cfbench.learning import precision, ridge, training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from cfbench.contract import Context, Side, State
    from cfbench.learning.precision import Weight
    from cfbench.ratings import Codes, Pairs, Ratings, Scale, Scores

SMALLEST_PENALTY = 1e-4
"""Of the ridge regression for a new user, per rating: without a penalty it has no single solution."""


def unit(scale: Scale) -> float:
    """A quarter of the scale's width, in which the models measure errors: learning rates then fit any scale.

    On a scale of 1 to 5 stars it is one star.
    """
    return (scale.high - scale.low) / 4


class Parameters(Protocol):
    """The plugin's part: arrays of parameters, a pass that changes them in place, and predictions."""

    @property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """All parameters by name, as arrays that keep their place in memory."""

    def learn(self, rng: np.random.Generator, rate: float) -> float:
        """Change the parameters by one pass over the training ratings; return its mean squared error.

        `rate` multiplies all learning rates.
        """

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions, as in `Model`."""

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions for a new user, as in `FoldIn`."""

    def embeddings(self, side: Side) -> NDArray[np.float32]:
        """(n, k) the factors whose products predict, as in `HasEmbeddings`."""


class SGDModel:
    """Parameters that are learned in up to `epochs` passes; pass k has the learning rates times decay^(k - 1)."""

    optimizer = None
    """The passes change the parameters themselves."""

    def __init__(
        self, create: Callable[[Ratings, np.random.Generator], Parameters], *, epochs: int, patience: int, decay: float
    ) -> None:
        self._create, self._epochs, self._patience, self._decay = create, epochs, patience, decay

    def fit(self, train_part: Ratings, valid: Ratings, context: Context) -> None:
        """Learn with early stopping on `valid`; raises `DivergedError`."""
        self._prepare(train_part, context)
        self._valid, self._context = valid, context
        training.train(self, context, training.Schedule(self._epochs, self._patience), scale=train_part.scale)

    def _prepare(self, train_part: Ratings, context: Context) -> None:
        self._unit = unit(train_part.scale)
        self._parameters = self._create(train_part, context.rng("parameters"))
        self._weights = {
            name: precision.Weight(torch.from_numpy(array), "fp32") for name, array in self._parameters.arrays.items()
        }

    def weights(self) -> Mapping[str, Weight]:
        """The parameters as tensors that share their memory."""
        return self._weights

    def epoch(self, number: int) -> float:
        """Pass over the training ratings once; return the RMSE met on the way."""
        rng = self._context.rng(f"epoch {number}")
        return self._unit * math.sqrt(self._parameters.learn(rng, self._decay ** (number - 1)))

    def validate(self) -> float | None:
        """RMSE over the validation ratings, clipped to the scale."""
        return training.validation_rmse(self.predict, self._valid)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions."""
        return self._parameters.predict(pairs)

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions of `targets` (n,) for a new user who gave `items` (m,) these `ratings` (m,)."""
        return self._parameters.fold_in(items, ratings, targets)

    def embeddings(self, side: Side) -> NDArray[np.float32]:
        """(n, k) the factors of all users or items."""
        return self._parameters.embeddings(side)

    def state(self) -> State:
        """The parameters; everything else follows from the training ratings."""
        return training.arrays(self._weights)

    def restore(self, state: State, train_part: Ratings, context: Context) -> None:
        """Restore what `state` returned; raises `RecordError` when names or shapes differ."""
        self._prepare(train_part, context)
        training.load_arrays(self._weights, state)

    @property
    def parameters(self) -> int:
        """The number of all parameters, and the mean."""
        return 1 + sum(weight.master.numel() for weight in self._weights.values())


def solve_user(
    features: NDArray[np.float32], targets: NDArray[np.floating], *, user_reg: float, bias_reg: float
) -> tuple[NDArray[np.float64], float]:
    """p_u (k,) and b_u of one user: they minimise Σ (target - b_u - p_u · q)² + n (user_reg |p_u|² + bias_reg b_u²).

    `features` (n, k) are the q of the n items that the user rated. It is what SGD minimises over one user.
    """
    n, k = features.shape
    penalties = np.full(k + 1, max(1, n) * max(user_reg, SMALLEST_PENALTY))
    penalties[-1] = max(1, n) * max(bias_reg, SMALLEST_PENALTY)
    w = ridge.solve_one(np.column_stack([features, np.ones(n)]), targets, penalties)
    return w[:-1], float(w[-1])
