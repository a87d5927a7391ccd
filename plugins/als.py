"""Matrix factorisation by alternating least squares.

Y. Zhou, D. Wilkinson, R. Schreiber, R. Pan, "Large-scale Parallel Collaborative Filtering for the Netflix Prize", AAIM
2008 (ALS-WR, section 3.2). With the items' factors fixed, each user's factors are the solution of a ridge regression;
with the users' factors fixed, each item's are. Here a bias is one more factor, which is multiplied by the constant 1:

    r̂(u, i) = μ + b_u + b_i + p_u·q_i
    Σ (r - r̂)² + reg (Σ_u n_u^exponent (b_u² + |p_u|²) + Σ_i n_i^exponent (b_i² + |q_i|²))

The paper's exponent is 1, so that each rating adds its share of regularisation; 0 is the plain ridge. Values between
them predict MovieLens best. Each half-sweep is the exact minimum over one side, so the sum never rises.

The library `implicit` has no such model: its alternating least squares treats every pair without a rating as a zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cfbench.contract import Config, Plugin, Tunable
from cfbench.learning import biases
from cfbench.learning.lazy import precision, ridge, torch, training
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from cfbench.contract import Context, Side, State
    from cfbench.learning.precision import Weight
    from cfbench.learning.ridge import Regressions
    from cfbench.ratings import Codes, Pairs, Ratings, Scores

SPREAD = 0.1
"""Standard deviation of the items' first factors; the result hardly depends on it."""


class ALS:
    """μ, and for each user and item a row of factors with the bias last; zeros for those without a training rating."""

    optimizer = None
    """Each half-sweep is computed in closed form."""

    def __init__(self, config: ALSConfig) -> None:
        self._config = config

    def fit(self, train_part: Ratings, valid: Ratings, context: Context) -> None:
        """Alternate with early stopping on `valid`; raises `DivergedError` when the equations are singular."""
        self._prepare(train_part, context)
        self._valid, self._count = valid, len(train_part)
        self._by_user = ridge.Regressions(train_part.rows("user"), context.device)
        self._by_item = ridge.Regressions(train_part.rows("item"), context.device)
        config = self._config
        training.train(self, context, training.Schedule(config.epochs, config.patience), scale=train_part.scale)

    def _prepare(self, train_part: Ratings, context: Context) -> None:
        self._mean = biases.mean(train_part)
        width = self._config.factors + 1
        users, items = torch.zeros(train_part.n_users, width), torch.zeros(train_part.n_items, width)
        items[:, :-1].normal_(std=SPREAD, generator=training.generator(context.seed, "factors"))
        self._users = precision.Weight(users.to(context.device), "fp32")
        self._items = precision.Weight(items.to(context.device), "fp32")

    def weights(self) -> dict[str, Weight]:
        """The factors and biases of users and items, (n_users, k + 1) and (n_items, k + 1)."""
        return {"users": self._users, "items": self._items}

    def epoch(self, number: int) -> float:  # noqa: ARG002 (nothing is random here)
        """Solve for the users given the items, then for the items given the users; return the RMSE after that."""
        self.solve_users()
        errors = self.solve_items()
        squares = float(errors.cpu().numpy().sum(dtype=np.float64))
        squares = 0.0 if squares < 0 else squares  # float32 rounding: an exact fit may come out a little below 0
        return math.sqrt(squares / max(1, self._count))

    def solve_users(self) -> Tensor:
        """Minimise over the users' factors and biases; return (n_users,) their squared errors."""
        return self._solve(self._users, self._by_user, self._items)

    def solve_items(self) -> Tensor:
        """Minimise over the items' factors and biases; return (n_items,) their squared errors."""
        return self._solve(self._items, self._by_item, self._users)

    def _solve(self, side: Weight, regressions: Regressions, other: Weight) -> Tensor:
        features = other.master.detach().clone()  # (columns, k + 1)
        offsets = features[:, -1] + self._mean  # (columns,)
        features[:, -1] = 1
        penalty = torch.full((features.shape[1],), self._config.reg, device=features.device)
        solutions, errors = regressions.solve(features, offsets, penalty, self._config.exponent)
        side.load(solutions)
        return errors

    def validate(self) -> float | None:
        """RMSE over the validation ratings, clipped to the scale."""
        return training.validation_rmse(self.predict, self._valid)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) r̂; the factors and the bias of an unseen user or item are 0."""
        users, items = pairs.users, pairs.items
        scores = np.empty(len(users), np.float32)
        for rows in blocks(len(users), 2**16):
            p, q = _rows(self._users, users[rows]), _rows(self._items, items[rows])  # (B, k + 1)
            products = (p[:, :-1] * q[:, :-1]).sum(1)  # (B,)
            scores[rows] = (self._mean + p[:, -1] + q[:, -1] + products).cpu().numpy()
        return scores

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions of `targets` for a new user: one more ridge regression with the items' factors fixed."""
        item_rows = self._items.master.detach().cpu().numpy()
        features = np.concatenate([item_rows[:, :-1], np.ones((len(item_rows), 1), np.float32)], 1)
        offsets = self._mean + item_rows[:, -1]  # (n_items,)
        reg = self._config.reg * len(items) ** self._config.exponent
        w = ridge.solve_one(features[items], ratings - offsets[items], reg)
        scores: Scores = (offsets[targets] + features[targets] @ w).astype(np.float32)
        return scores

    def embeddings(self, side: Side) -> NDArray[np.float32]:
        """(n, k) the factors p_u or q_i, without the biases."""
        weight = self._users if side == "user" else self._items
        factors: NDArray[np.float32] = weight.master.detach()[:, :-1].cpu().numpy().copy()
        return factors

    def state(self) -> State:
        """Factors and biases; the mean follows from the training ratings."""
        return training.arrays(self.weights())

    def restore(self, state: State, train_part: Ratings, context: Context) -> None:
        """Restore what `state` returned; raises `RecordError` when names or shapes differ."""
        self._prepare(train_part, context)
        training.load_arrays(self.weights(), state)

    @property
    def parameters(self) -> int:
        """The number of factors and biases, and the mean."""
        return 1 + sum(weight.master.numel() for weight in self.weights().values())


def _rows(side: Weight, codes: Codes) -> Tensor:
    """(B, k + 1) the rows of B users or items."""
    values = side.master.detach()
    return values[torch.from_numpy(codes.astype(np.int64)).to(values.device)]


class ALSConfig(Config):
    """Hyper-parameters of `als`."""

    factors: Annotated[int, Tunable(4, 128, log=True)] = Field(16, ge=1, description="length of p_u and q_i")
    reg: Annotated[float, Tunable(0.01, 10, log=True)] = Field(1.2, gt=0, description="regularisation λ")
    exponent: Annotated[float, Tunable(0, 1)] = Field(
        0.5, ge=0, le=2, description="the penalty of a row with n ratings is λ·n^exponent: 1 is ALS-WR, 0 plain ridge"
    )
    epochs: int = Field(50, ge=1, description="highest number of sweeps over users and items")
    patience: int = Field(5, ge=0, description="stop after this many sweeps without a better validation; 0: never")


PLUGIN = Plugin(
    title="matrix factorisation with biases, alternating least squares",
    paper="Zhou, Wilkinson, Schreiber, Pan, Large-scale Parallel Collaborative Filtering for the Netflix Prize, 2008",
    config=ALSConfig,
    build=ALS,
    gpu=True,
    fixed_epochs=True,
    quick={"factors": 4, "epochs": 10},
)
