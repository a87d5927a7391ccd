"""Planted ratings: their structure is known, so it is known what a model can learn."""

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
from cfbench.runs.plugin_calls import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cfbench.ratings import Codes


@dataclass(frozen=True)
class Planted:
    """The parts of planted ratings."""

    train: Ratings
    valid: Ratings
    test: Ratings

    @property
    def mean_error(self) -> float:
        """RMSE of predicting the mean of `train` for every rating of `test`."""
        return rmse(np.full(len(self.test), self.train.ratings.mean(), np.float32), self.test)


def planted(
    *, seed: int = 0, n_users: int = 80, n_items: int = 60, density: float = 0.5, rank: int = 2, noise: float = 0.2,
    scale: Scale | None = None, times: bool = False,
) -> Planted:  # fmt: skip
    """Return ratings made of biases, a low-rank taste and noise, in random parts of 80, 10 and 10 %.

    The last user and the last item have no ratings. With `times` each rating has one, at random within 1,000 days.
    """
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
    dates = 1_000_000_000 + rng.integers(0, 86_400_000, len(users)) if times else None
    table = Ratings(users, items, scale.clip(truth[users, items]), n_users, n_items, scale, dates)
    split = make_split("planted", RandomHoldout(valid=0.1, seed=seed), table)
    return Planted(split.train(table), split.valid(table), split.test(table))


@dataclass(frozen=True)
class UnknownUsers:
    """Planted ratings whose last 40 users are in `held_back`, and in no training or validation rating of `known`."""

    known: Planted
    held_back: Planted

    def __iter__(self) -> Iterator[tuple[Codes, Scores, Ratings]]:
        """For each user held back, yield rated items (m,), their ratings (m,), and other ratings to predict."""
        known, others = self.held_back.train, self.held_back.test
        for user in np.intersect1d(known.users, others.users):
            rows = known.users == user
            yield known.items[rows], known.ratings[rows], others.take(others.users == user)


def unknown_users(*, seed: int) -> UnknownUsers:
    """Return planted ratings of 240 users and 30 items, with 40 of the users held back.

    There are more users than in `planted`, with more ratings each: a network overfits 80 users and then predicts
    another user badly.
    """
    data = planted(seed=seed, n_users=240, n_items=30, density=0.8)
    parts = data.train, data.valid, data.test
    known = Planted(*(part.take(part.users < 200) for part in parts))
    held_back = Planted(*(part.take(part.users >= 200) for part in parts))
    return UnknownUsers(known, held_back)


def fit(plugin: Plugin[Any], data: Planted, context: Context | None = None) -> Model:
    """Fit a plugin's model with its quick hyper-parameters, and with seed 1 unless a context is given."""
    with contained("build"):
        model: Model = plugin.build(plugin.config(**plugin.quick))
    with contained("fit"):
        model.fit(data.train, data.valid, replace(context or Context(seed=1), member=member_opener(data)))
    return model


def member_opener(data: Planted) -> Callable[[str], Predictor]:
    """Return a stand-in for stored runs: the member "5" is a bias model with regularisation 5, fitted on the data."""
    return lambda run: biases.fit(data.train, user_reg=float(run), item_reg=float(run))


def rmse(scores: Scores, ratings: Ratings) -> float:
    """Return the RMSE of predictions clipped to the scale."""
    return metrics.rmse(ratings.scale.clip(scores), ratings.ratings)
