"""Ensemble: a least-squares blend of other runs' predictions.

A. Töscher, M. Jahrer and R. M. Bell, "The BigChaos Solution to the Netflix Grand Prize", 2009: linear regression on a
held-out part, as the Netflix Prize was won. Fitted on the validation ratings, which no member was trained on, and
applied to any pair: r̂ = c + Σ_m w_m r̂_m. Members may have stopped early on those ratings, which flatters them a little
there; the test part is seen by none.

The ridge pulls the weights towards 1/m each, not towards 0: without validation ratings this is the members' mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field

from cfbench.contract import Config, Context, Plugin, Predictor, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cfbench.ratings import Pairs, Ratings, Scores


class EnsembleConfig(Config):
    """Hyper-parameters of `ensemble`."""

    members: tuple[str, ...] = Field(
        (), description="finished runs of the split, by id or a part of it; none: the best of each other plugin"
    )
    # not tunable: what tuning would choose it by, the validation ratings, is what the weights are fitted to
    ridge: float = Field(1e-3, gt=0, description="pull towards equal weights, as a share of the members' mean variance")
    nonnegative: bool = Field(False, description="no weight below 0")
    intercept: bool = Field(True, description="a constant beside the members")

    def with_members(self, runs: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Self:
        """The members' full ids."""
        return self.model_copy(update={"members": runs(self.members)})


class Ensemble:
    """c + Σ_m w_m r̂_m."""

    valid_rmse: float | None = None
    """By weights fitted without the rating in question."""
    _members: tuple[Predictor, ...] = ()
    _weights: NDArray[np.float64]
    _constant: float

    def __init__(self, config: EnsembleConfig) -> None:
        self._config = config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (the members have met it)
        """Weigh the members by the validation ratings."""
        self._members = tuple(map(context.member, self._config.members))
        scores = self._predictions(valid.pairs)
        self._weights, self._constant = blend(scores, valid.ratings, self._config)
        unseen = valid.scale.clip(cross_fitted(scores, valid.ratings, self._config).astype(np.float32))
        self.valid_rmse = float(np.sqrt(np.square(unseen - valid.ratings).mean())) if len(valid) else None
        weighed = (f"{run} × {weight:.3f}" for run, weight in zip(self._config.members, self._weights, strict=True))
        context.note(f"{self._constant:+.3f} + {' + '.join(weighed)}")

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) the members' predictions, weighed."""
        return (self._constant + self._predictions(pairs) @ self._weights).astype(np.float32)

    def _predictions(self, pairs: Pairs) -> NDArray[np.float64]:
        """(n, m) the members' predictions."""
        return np.stack([member.predict(pairs) for member in self._members], 1).astype(np.float64)

    def state(self) -> State:
        """Weights (m,) and constant (1,)."""
        return {"weights": self._weights, "constant": np.array([self._constant])}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the weights say it all)
        """Take the weights back, and the members from the context."""
        self._members = tuple(map(context.member, self._config.members))
        self._weights, self._constant = state["weights"], float(state["constant"][0])

    @property
    def parameters(self) -> int:
        """A weight a member, and the constant."""
        return len(self._weights) + self._config.intercept


def blend(scores: NDArray[np.float64], ratings: Scores, config: EnsembleConfig) -> tuple[NDArray[np.float64], float]:
    """Weights (m,) and constant c of the members' predictions (n, m) that minimise

    Σ (r - c - Σ_m w_m r̂_m)² + ridge · v Σ_m (w_m - 1/m)², with v the mean over members of Σ (r̂_m - mean)².
    """
    from scipy.optimize import nnls

    n, m = scores.shape
    centres, centre = (scores.mean(0), ratings.mean(dtype=np.float64)) if config.intercept and n else (np.zeros(m), 0.0)
    apart = scores - centres
    gram = apart.T @ apart
    pull = config.ridge * n * scores.var(0).mean() if n else 0.0
    pull = pull or 1.0  # members that say the same of every pair
    whole = gram + pull * np.eye(m)
    right = apart.T @ (ratings - centre) + pull / m
    root = np.linalg.cholesky(whole)  # |rootᵀ w - root⁻¹ right|² is the same problem, of m rows
    weights = nnls(root.T, np.linalg.solve(root, right))[0] if config.nonnegative else np.linalg.solve(whole, right)
    return weights, float(centre - centres @ weights)


def cross_fitted(scores: NDArray[np.float64], ratings: Scores, config: EnsembleConfig) -> NDArray[np.float64]:
    """(n,) blends of members' predictions (n, m), each by weights fitted to the nine tenths that it is not in.

    What the weights leave of the ratings they were fitted to would flatter them, and most of all the weakest ridge.
    """
    blended, tenth = np.empty(len(scores)), np.arange(len(scores)) % 10
    for k in range(10):
        weights, constant = blend(scores[tenth != k], ratings[tenth != k], config)
        blended[tenth == k] = constant + scores[tenth == k] @ weights
    return blended


PLUGIN = Plugin(
    title="least-squares blend of other runs",
    paper="Töscher, Jahrer, Bell, The BigChaos Solution to the Netflix Grand Prize, 2009",
    config=EnsembleConfig,
    build=Ensemble,
    quick={"members": ("5", "50")},
)
