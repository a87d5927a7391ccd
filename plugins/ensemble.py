"""Ensemble: a least-squares blend of the predictions of other runs.

A. Töscher, M. Jahrer and R. M. Bell, "The BigChaos Solution to the Netflix Grand Prize", 2009, blend by linear
regression on held-out ratings. Here the regression uses the validation ratings, on which no member was trained:

    r̂ = c + Σ_m w_m r̂_m

Members may have used these ratings to stop early, so their validation errors are a little too low. No member uses the
test part. A ridge pulls the constant to 0 and the weights to starting weights, which favour the members with small
validation errors. Its strength is chosen by cross-validation (L. Breiman, "Stacked Regressions", Machine Learning
1996): 10,000 ratings allow free weights, 100 do not, and a blend that fits them all would lose to its best member.
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
"""Number of folds of the cross-validation, and of the cross-fitted predictions."""
PULLS = (30.0, 100.0, 300.0, 1_000.0, 3_000.0, np.inf)
"""The strengths of the ridge that cross-validation compares."""
CAUTION = 0.5
"""A stronger ridge is preferred if its validation error is at most this many standard errors above the lowest."""


class EnsembleConfig(Config):
    """Hyper-parameters of `ensemble`."""

    members: tuple[str, ...] = Field(
        (),
        description="finished runs on the same split, by id or part of it; none: the best run of each other plugin, "
        "except of those that predict one number",
    )
    # the ridge is not tunable: tuning minimises the error on the validation ratings, to which the weights are fitted
    ridge: float = Field(
        0.0, ge=0, description="strength of the pull to the starting weights, as if so many ratings had these weights; "
        "0: chosen by cross-validation"
    )  # fmt: skip
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
        center = float(valid.ratings.mean(dtype=np.float64)) if len(valid) and self._config.intercept else 0.0
        folds = moments(predictions, valid.ratings, center)
        self._constant, self._weights = blend(folds, center, self._config)
        if len(valid):
            cross_fitted = cross_fit(predictions, folds, center, self._config).astype(np.float32)
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


def moments(predictions: Floats, ratings: Scores, center: float) -> Floats:
    """(FOLDS, m + 2, m + 2) XᵀX of each fold, with the columns X = (1, r̂_1 - center, …, r̂_m - center, r - center).

    Least squares needs no more of the (n, m) predictions and (n,) ratings. Every tenth rating is in the same fold.
    """
    columns = np.column_stack([np.ones(len(ratings)), predictions - center, ratings - center])
    return np.stack([columns[fold::FOLDS].T @ columns[fold::FOLDS] for fold in range(FOLDS)])


def starting_weights(total: Floats) -> Floats:
    """(m,) weights that need no regression: proportional to the square root of each member's likelihood.

    With a validation RMSE of s_m over n ratings, ln w_m = -n/2 ln s_m. So few ratings give nearly equal weights, and
    many give the best member all the weight. The square root makes up for errors that are not independent.
    """
    n, between = total[0, 0], total[1:-1, 1:-1]
    squared_errors = np.diag(between) - 2 * total[1:-1, -1] + total[-1, -1]  # (m,)
    log_likelihoods = -n / 4 * np.log(np.maximum(squared_errors, 1e-12 * n + 1e-300))
    weights: Floats = np.exp(log_likelihoods - log_likelihoods.max())
    weights /= weights.sum()
    return weights


def solve(total: Floats, pull: float, config: EnsembleConfig) -> Floats:
    """(m + 1,) the constant c and the weights w that minimise, given the moments of the validation ratings,

    Σ (r - c - Σ_m w_m r̂_m)² + pull · (c² + v Σ_m (w_m - s_m)²), where v is the mean variance of the members over the
    validation ratings, and s are the starting weights.
    """
    start = np.append(0.0, starting_weights(total))
    if np.isinf(pull):
        return start
    n, means = max(total[0, 0], 1.0), total[0, 1:-1] / max(total[0, 0], 1.0)
    squares = np.diag(total)[1:-1] / n
    variance = (squares - means**2).mean()
    is_rounding = variance <= 1e-9 * squares.mean()  # without ratings, or if every member predicts a constant
    variance = 1.0 if is_rounding else variance
    penalty = pull * np.append(1.0, np.full(len(means), variance))
    free = slice(0 if config.intercept else 1, None)
    gram = (total[:-1, :-1] + np.diag(penalty))[free, free]
    target = (total[:-1, -1] + penalty * start)[free]
    solution = np.zeros(len(start))
    solution[free] = _nonnegative(gram, target, len(means)) if config.nonnegative else np.linalg.solve(gram, target)
    return solution


def _nonnegative(gram: Floats, target: Floats, weights: int) -> Floats:
    """The minimum of xᵀ gram x - 2 targetᵀ x whose last `weights` numbers are not below 0."""
    from scipy.optimize import lsq_linear

    lower = np.full(len(target), -np.inf)
    lower[-weights:] = 0.0
    root = np.linalg.cholesky(gram)  # |rootᵀ x - root⁻¹ target|² has the same minimum
    solution: Floats = lsq_linear(root.T, np.linalg.solve(root, target), (lower, np.inf), method="bvls").x
    return solution


def choose_pull(folds: Floats, config: EnsembleConfig) -> float:
    """The strength of the ridge, chosen by cross-validation over these folds, unless the config gives it."""
    if config.ridge:
        return config.ridge
    errors = np.empty((len(PULLS), len(folds)))
    for index, fold in enumerate(folds):
        others = folds.sum(0) - fold
        for row, pull in enumerate(PULLS):
            difference = np.append(-solve(others, pull, config), 1.0)  # r - r̂ in terms of the columns
            errors[row, index] = difference @ fold @ difference
    above_best = errors - errors[errors.sum(1).argmin()]
    doubt = CAUTION * above_best.std(1, ddof=1) * len(folds) ** 0.5
    return max(pull for pull, mean, limit in zip(PULLS, above_best.sum(1), doubt, strict=True) if mean <= limit)


def blend(folds: Floats, center: float, config: EnsembleConfig) -> tuple[float, Floats]:
    """The constant c and the weights (m,) of a blend, from the moments of these folds."""
    constant, *weights = solve(folds.sum(0), choose_pull(folds, config), config)
    return float(constant + center * (1 - sum(weights))), np.array(weights)


def cross_fit(predictions: Floats, folds: Floats, center: float, config: EnsembleConfig) -> Floats:
    """(n,) blends of the members' predictions (n, m), each with a ridge and weights from the folds it is not in.

    The error on the ratings that the weights were fitted to would be too low, most of all with a weak ridge.
    """
    blended = np.empty(len(predictions))
    for fold in range(FOLDS):
        constant, weights = blend(np.delete(folds, fold, 0), center, config)
        blended[fold::FOLDS] = constant + predictions[fold::FOLDS] @ weights
    return blended


PLUGIN = Plugin(
    title="least-squares blend of other runs",
    paper="Töscher, Jahrer, Bell, The BigChaos Solution to the Netflix Grand Prize, 2009",
    config=EnsembleConfig,
    build=Ensemble,
    quick={"members": ("5", "50")},
)
