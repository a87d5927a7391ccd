"""Ensemble: a least-squares blend of the predictions of other runs.

A. Töscher, M. Jahrer and R. M. Bell, "The BigChaos Solution to the Netflix Grand Prize", 2009, blend by linear
regression on held-out ratings. Here the regression uses the validation ratings, on which no member was trained:

    r̂ = c + Σ_m w_m r̂_m

Members may have used these ratings to stop early, so their validation errors are a little too low. No member uses the
test part. The ridge pulls every weight towards 1/m, not towards 0. So without validation ratings the blend is the mean
of its m members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field

from cfbench.contract import Config, Context, Plugin, Predictor, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

    from cfbench.ratings import Pairs, Ratings, Scores

    Floats: TypeAlias = NDArray[np.float64]

FOLDS = 10
"""Number of folds of the cross-fitted predictions."""


class EnsembleConfig(Config):
    """Hyper-parameters of `ensemble`."""

    members: tuple[str, ...] = Field(
        (),
        description="finished runs on the same split, by id or part of it; none: the best run of each other plugin, "
        "except of those that predict one number",
    )
    # the ridge is not tunable: tuning minimises the error on the validation ratings, to which the weights are fitted
    ridge: float = Field(
        1e-3, gt=0, description="strength of the pull towards equal weights, relative to the members' mean variance"
    )
    nonnegative: bool = Field(False, description="forbid weights below 0")
    intercept: bool = Field(True, description="add a constant to the weighted sum")

    def with_members(self, resolve: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Self:
        """This config with the full ids of its members."""
        return self.model_copy(update={"members": resolve(self.members)})


class Ensemble:
    """r̂ = c + Σ_m w_m r̂_m."""

    valid_rmse: float | None = None
    """RMSE over the validation ratings; each is predicted with weights that were fitted without it."""
    _members: tuple[Predictor, ...] = ()
    _weights: Floats
    _constant: float

    def __init__(self, config: EnsembleConfig) -> None:
        self._config = config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (the members used it)
        """Fit the weights of the members to the validation ratings."""
        self._members = tuple(context.member(run) for run in self._config.members)
        predictions = self._member_predictions(valid.pairs)
        self._weights, self._constant = blend(predictions, valid.ratings, self._config)
        if len(valid):
            cross_fitted = cross_fit(predictions, valid.ratings, self._config).astype(np.float32)
            errors = valid.scale.clip(cross_fitted) - valid.ratings
            self.valid_rmse = float(np.sqrt(np.square(errors).mean()))
        terms = [f"{run} × {weight:.3f}" for run, weight in zip(self._config.members, self._weights, strict=True)]
        context.note(f"{self._constant:+.3f} + {' + '.join(terms)}")

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) weighted sums of the members' predictions."""
        return (self._constant + self._member_predictions(pairs) @ self._weights).astype(np.float32)

    def _member_predictions(self, pairs: Pairs) -> Floats:
        """(n, m) predictions of the members."""
        return np.stack([member.predict(pairs) for member in self._members], 1).astype(np.float64)

    def state(self) -> State:
        """The weights (m,) and the constant (1,)."""
        return {"weights": self._weights, "constant": np.array([self._constant])}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the state is complete)
        """Restore the weights, and the members from the context."""
        self._members = tuple(context.member(run) for run in self._config.members)
        self._weights, self._constant = state["weights"], float(state["constant"][0])

    @property
    def parameters(self) -> int:
        """One weight per member, and the constant if there is one."""
        return len(self._weights) + self._config.intercept


def blend(predictions: Floats, ratings: Scores, config: EnsembleConfig) -> tuple[Floats, float]:
    """The weights (m,) and the constant c of the members' predictions (n, m) that minimise

    Σ (r - c - Σ_m w_m r̂_m)² + ridge · v Σ_m (w_m - 1/m)², where v is the mean over members of Σ (r̂_m - mean)².
    """
    from scipy.optimize import nnls

    n, m = predictions.shape
    prediction_means, rating_mean = np.zeros(m), 0.0
    if config.intercept and n:
        prediction_means, rating_mean = predictions.mean(0), ratings.mean(dtype=np.float64)
    penalty = config.ridge * n * predictions.var(0).mean() if n else 0.0
    penalty = penalty or 1.0  # if there are no ratings, or if every member predicts a constant
    centered = predictions - prediction_means
    gram = centered.T @ centered + penalty * np.eye(m)
    target = centered.T @ (ratings - rating_mean) + penalty / m
    if config.nonnegative:
        root = np.linalg.cholesky(gram)  # |rootᵀ w - root⁻¹ target|² has the same minimum, and only m rows
        weights = nnls(root.T, np.linalg.solve(root, target))[0]
    else:
        weights = np.linalg.solve(gram, target)
    return weights, float(rating_mean - prediction_means @ weights)


def cross_fit(predictions: Floats, ratings: Scores, config: EnsembleConfig) -> Floats:
    """(n,) blends of the members' predictions (n, m), each with weights fitted to the nine folds it is not in.

    The error on the ratings that the weights were fitted to would be too low, most of all with a weak ridge.
    """
    blended = np.empty(len(predictions))
    folds = np.arange(len(predictions)) % FOLDS
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        weights, constant = blend(predictions[outside], ratings[outside], config)
        blended[inside] = constant + predictions[inside] @ weights
    return blended


PLUGIN = Plugin(
    title="least-squares blend of other runs",
    paper="Töscher, Jahrer, Bell, The BigChaos Solution to the Netflix Grand Prize, 2009",
    config=EnsembleConfig,
    build=Ensemble,
    quick={"members": ("5", "50")},
)
