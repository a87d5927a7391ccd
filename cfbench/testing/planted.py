"""Ratings whose truth is known, to hold a model against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench import metrics
from cfbench.contract import Context, Model, Plugin, Predictor
from cfbench.data.split import make_split
from cfbench.data.split_definitions import RandomHoldout
from cfbench.learning import biases
from cfbench.ratings import Ratings, Scale, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cfbench.ratings import Codes


@dataclass(frozen=True)
class Planted:
    """Ratings whose truth is known: `train`, `valid`, `test`, and the error of predicting the mean of `train`."""

    train: Ratings
    valid: Ratings
    test: Ratings

    @property
    def mean_error(self) -> float:
        """RMSE on `test` of the training mean."""
        return rmse(np.full(len(self.test), self.train.ratings.mean(), np.float32), self.test)


def planted(
    *, seed: int = 0, n_users: int = 80, n_items: int = 60, density: float = 0.5, rank: int = 2, noise: float = 0.2,
    scale: Scale | None = None,
) -> Planted:  # fmt: skip
    """Biases plus a low-rank taste plus noise, on a scale; random 80/10/10. The last user and item are never rated."""
    scale = scale or Scale(low=1, high=5)
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(n_users, rank)) @ rng.normal(size=(rank, n_items)) / np.sqrt(rank)
    liking = rng.normal(size=(n_users, 1)) * 0.4 + rng.normal(size=(1, n_items)) * 0.6
    spread = (scale.high - scale.low) / 5
    middle = (scale.high + scale.low) / 2
    truth = middle + spread * (liking + 0.7 * taste + noise * rng.normal(size=(n_users, n_items)))
    if scale.step:
        truth = scale.low + scale.step * np.rint((truth - scale.low) / scale.step)
    rated = rng.random((n_users, n_items)) < density
    rated[-1], rated[:, -1] = False, False
    users, items = (codes.astype(np.int32) for codes in np.nonzero(rated))
    table = Ratings(users, items, scale.clip(truth[users, items]), n_users, n_items, scale)
    parts = make_split("planted", RandomHoldout(valid=0.1, seed=seed), table)
    return Planted(parts.train(table), parts.valid(table), parts.test(table))


@dataclass(frozen=True)
class UnknownUsers:
    """Planted ratings of which the last 40 users are held back: of each the items rated, the ratings, and the truth."""

    known: Planted
    held_back: Planted

    def __iter__(self) -> Iterator[tuple[Codes, Scores, Ratings]]:
        """Of each user held back: the rated items (m,), the ratings (m,), and other ratings to be predicted."""
        given, asked = self.held_back.train, self.held_back.test
        for user in np.intersect1d(given.users, asked.users):
            mine = given.users == user
            yield given.items[mine], given.ratings[mine], asked.take(asked.users == user)


def unknown_users(*, seed: int) -> UnknownUsers:
    """240 planted users of 30 items, of whom 40 are held back from training and validation.

    More users and denser than `planted`: a network overfits 80 users, and then says little of another.
    """
    data = planted(seed=seed, n_users=240, n_items=30, density=0.8)
    known, back = (
        Planted(*(part.take((part.users >= 200) == late) for part in (data.train, data.valid, data.test)))
        for late in (False, True)
    )
    return UnknownUsers(known, back)


def fit(plugin: Plugin[Any], data: Planted, context: Context | None = None) -> Model:
    """A model of the plugin under its quick hyper-parameters, fitted with seed 1 unless a context says otherwise."""
    model: Model = plugin.build(plugin.config(**plugin.quick))
    model.fit(data.train, data.valid, replace(context or Context(seed=1), member=lend(data)))
    return model


def lend(data: Planted) -> Callable[[str], Predictor]:
    """What stands for stored runs: "5" names biases regularised by 5, fitted on the same training ratings."""
    return lambda run: biases.fit(data.train, user_reg=float(run), item_reg=float(run))


def rmse(scores: Scores, ratings: Ratings) -> float:
    """Of predictions clipped to the scale."""
    return metrics.rmse(ratings.scale.clip(scores), ratings.ratings)


def are_scores(scores: Any, n: int, by: str = "predict") -> None:
    """Raise `AssertionError` unless these are n finite float32 numbers."""
    assert isinstance(scores, np.ndarray), f"{by} returned {type(scores).__name__}, expected a NumPy array"
    assert scores.shape == (n,), f"{by} returned shape {scores.shape}, expected ({n},)"
    assert scores.dtype == np.float32, f"{by} returned {scores.dtype}, expected float32"
    assert np.isfinite(scores).all(), f"{(~np.isfinite(scores)).sum()} of {n} predictions of {by} are not finite"
