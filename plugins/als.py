"""Matrix factorisation by alternating least squares.

Y. Zhou, D. Wilkinson, R. Schreiber, R. Pan, "Large-scale Parallel Collaborative Filtering for the Netflix Prize", AAIM
2008: with the items' factors held fixed, every user's are the solution of a ridge regression of their own, and the
other way round (ALS-WR, section 3.2). Here a bias is one more factor, whose partner is the constant 1:

    r̂(u, i) = μ + b_u + b_i + p_u·q_i
    Σ (r - r̂)² + reg (Σ_u n_u^exponent (b_u² + |p_u|²) + Σ_i n_i^exponent (b_i² + |q_i|²))

The paper's exponent is 1, so that each rating brings its share of regularisation; 0 is the plain ridge. Between them
lies what predicts MovieLens best. Each half-sweep is the exact minimum over one side, so the sum never rises.

The library `implicit` has no such model: its alternating least squares takes every pair without a rating for a zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field

from cfbench.contract import Config, Plugin, Tunable
from cfbench.learning import biases
from cfbench.learning.precision import BlockedOptimizer, Weight
from cfbench.learning.ridge import Regressions, solve_one
from cfbench.learning.training import arrays, generator, load_arrays, train, validation_rmse
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from torch import Tensor

    from cfbench.contract import Context, State
    from cfbench.ratings import Codes, Pairs, Ratings, Scores

SPREAD = 0.1
"""Standard deviation of the items' first factors; the outcome hardly depends on it."""


class ALSConfig(Config):
    """Hyper-parameters of `als`."""

    factors: Annotated[int, Tunable(4, 128, log=True)] = Field(16, ge=1, description="length of p_u and q_i")
    reg: Annotated[float, Tunable(0.01, 10, log=True)] = Field(1.2, gt=0, description="regularisation λ")
    exponent: Annotated[float, Tunable(0, 1)] = Field(
        0.5, ge=0, le=2, description="n ratings are regularised by λ·n^exponent: 1 is ALS-WR, 0 the plain ridge"
    )
    epochs: int = Field(50, ge=1, description="sweeps over users and items at most")
    patience: int = Field(5, ge=0, description="stop after so many sweeps without a better validation; 0: never")


class ALS:
    """μ, and a row of factors and, last, a bias for each user and item; zeros for those without a training rating."""

    def __init__(self, config: ALSConfig) -> None:
        self._config = config

    def fit(self, train_part: Ratings, valid: Ratings, context: Context) -> None:
        """Alternate with early stopping on `valid`; raises `DivergedError` when the equations are singular."""
        self._prepare(train_part, context)
        self._valid, self._count = valid, len(train_part)
        self._by_user, self._by_item = (Regressions(train_part.rows(by), context.device) for by in ("user", "item"))
        config = self._config
        train(
            self, context, epochs=config.epochs, patience=config.patience, learning_rate=lambda _: 0.0,
            scale=train_part.scale,
        )  # fmt: skip

    def _prepare(self, train_part: Ratings, context: Context) -> None:
        self._mean = biases.mean(train_part)
        width = self._config.factors + 1
        users, items = torch.zeros(train_part.n_users, width), torch.zeros(train_part.n_items, width)
        items[:, :-1].normal_(std=SPREAD, generator=generator(context.seed, "factors"))
        self._users, self._items = (Weight(side.to(context.device), "fp32") for side in (users, items))

    @property
    def steps(self) -> BlockedOptimizer:
        """What the loop asks for; an exact minimum takes no steps."""
        return BlockedOptimizer((list(self.learned().values()), lambda masters: torch.optim.SGD(masters, 0.0)))

    def learned(self) -> dict[str, Weight]:
        """Both sides' factors and biases."""
        return {"users": self._users, "items": self._items}

    def epoch(self, number: int) -> float:  # noqa: ARG002 (no randomness)
        """A sweep: the users given the items, then the items given the users. Returns the RMSE it ends with."""
        self._solve(self._users, self._by_user, self._items)
        errors = self._solve(self._items, self._by_item, self._users)
        left = float(errors.cpu().double().sum())  # a difference of float32 numbers: of an exact fit a little below 0
        return math.sqrt((0.0 if left < 0 else left) / max(1, self._count))

    def _solve(self, side: Weight, regressions: Regressions, other: Weight) -> Tensor:
        """Minimise over one side; returns (rows,) the squared errors left."""
        features = other.master.detach().clone()  # (columns, k + 1)
        offsets = features[:, -1] + self._mean
        features[:, -1] = 1
        penalty = torch.full((features.shape[1],), self._config.reg, device=features.device)
        solutions, errors = regressions.solve(features, offsets, penalty, self._config.exponent)
        side.load(solutions)
        return errors

    def validate(self) -> float | None:
        """RMSE over the validation ratings, clipped to the scale."""
        return validation_rmse(self.predict, self._valid)

    @torch.no_grad()
    def predict(self, pairs: Pairs) -> Scores:
        """(n,) r̂; of an unseen user or item the factors and the bias are 0."""
        users, items = pairs.users, pairs.items
        scores = np.empty(len(users), np.float32)
        for rows in blocks(len(users), 2**16):
            p, q = (
                side.master[torch.from_numpy(codes[rows].astype(np.int64)).to(side.master.device)]
                for side, codes in ((self._users, users), (self._items, items))
            )  # (B, k + 1)
            taste = (p[:, :-1] * q[:, :-1]).sum(1)
            scores[rows] = (self._mean + p[:, -1] + q[:, -1] + taste).cpu().numpy()
        return scores

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes) -> Scores:
        """(n,) predictions of `asked` for a new user: one more ridge regression, the items' factors held fixed."""
        of_items = self._items.master.detach().cpu().numpy()
        features = np.concatenate([of_items[:, :-1], np.ones((len(of_items), 1), np.float32)], 1)
        rest = self._mean + of_items[:, -1]  # (n_items,)
        reg = self._config.reg * len(items) ** self._config.exponent
        w = solve_one(features[items], ratings - rest[items], reg)
        scores: Scores = (rest[asked] + features[asked] @ w).astype(np.float32)
        return scores

    def state(self) -> State:
        """Factors and biases; the mean follows from the training ratings."""
        return arrays(self.learned())

    def restore(self, state: State, train_part: Ratings, context: Context) -> None:
        """Take them back; raises `RecordError` when they are not of this shape."""
        self._prepare(train_part, context)
        load_arrays(self.learned(), state)

    @property
    def parameters(self) -> int:
        """The mean, factors and biases."""
        return 1 + sum(each.master.numel() for each in self.learned().values())


PLUGIN = Plugin(
    title="matrix factorisation with biases, alternating least squares",
    paper="Zhou, Wilkinson, Schreiber, Pan, Large-scale Parallel Collaborative Filtering for the Netflix Prize, 2008",
    config=ALSConfig,
    build=ALS,
    gpu=True,
    quick={"factors": 4, "epochs": 10},
)
