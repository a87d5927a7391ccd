"""Checks of what a fitted model predicts."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import DivergedError, Plugin
from cfbench.ratings import Pairs, Ratings, Scale, blocks
from cfbench.testing.planted import are_scores, fit, planted, rmse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _learns(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (nothing is written)
    data = planted(seed=7)
    error = rmse(fit(plugin, data).predict(data.test.pairs), data.test)
    assert error < 0.95 * data.mean_error, f"test RMSE {error:.4f} is not well below the mean's {data.mean_error:.4f}"


def _any_pair(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=8)
    model = fit(plugin, data)
    users, items = (codes.ravel().astype(np.int32) for codes in np.indices((data.train.n_users, data.train.n_items)))
    cold = data.train.unseen(users, items)
    scores = model.predict(Pairs(users, items))
    are_scores(scores, len(users))
    worst = np.abs(scores[cold] - data.train.ratings.mean()).max()
    width = data.train.scale.high - data.train.scale.low
    assert worst < width, f"a pair with a cold user or item is predicted {worst:.3g} away from the mean"
    are_scores(model.predict(Pairs(users[:0], items[:0])), 0)
    are_scores(model.predict(Pairs(users[:1], items[:1])), 1)


def _order(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=9)
    model = fit(plugin, data)
    shuffled = np.random.default_rng(0).permutation(len(data.test))
    scores = model.predict(data.test.pairs)
    again = model.predict(Pairs(data.test.users[shuffled], data.test.items[shuffled]))
    gap = np.abs(scores[shuffled] - again).max()
    assert gap < 1e-4, f"the same pairs in another order are predicted up to {gap:.3g} apart"


def _pieces(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=16)
    model = fit(plugin, data)
    users, items = data.test.users, data.test.items
    pieces = np.concatenate([model.predict(Pairs(users[rows], items[rows])) for rows in blocks(len(users), 7)])
    gap = np.abs(model.predict(Pairs(users, items)) - pieces).max()
    assert gap < 0.02, f"the same pairs, seven at a time, are predicted up to {gap:.3g} apart"  # bf16 is this coarse


def _leaves_inputs(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=17)
    before = [_bytes(data.train), _bytes(data.valid)]
    model = fit(plugin, data)
    assert before == [_bytes(data.train), _bytes(data.valid)], "fit changed the ratings it was given"
    users, items = data.test.users.copy(), data.test.items.copy()
    model.predict(Pairs(users, items))
    same = np.array_equal(users, data.test.users) and np.array_equal(items, data.test.items)
    assert same, "predict changed the codes it was given"


def _bytes(part: Ratings) -> list[bytes]:
    return [column.tobytes() for column in (part.users, part.items, part.ratings)]


def _same_seed(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=10)
    _stir(1)
    first = fit(plugin, data).predict(data.test.pairs)
    _stir(2)
    second = fit(plugin, data).predict(data.test.pairs)
    gap = np.abs(first - second).max()
    assert first.tobytes() == second.tobytes(), f"same seed, predictions up to {gap:.3g} apart"


def _stir(seed: int) -> None:
    """Put every global generator into another state: a model that listens to one is found out."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the global one is meant)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def _apart(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=18)
    model = fit(plugin, data)
    before = model.predict(data.test.pairs)
    fit(plugin, planted(seed=19))
    after = model.predict(data.test.pairs)
    gap = np.abs(before - after).max()
    assert before.tobytes() == after.tobytes(), f"once another model is fitted, predictions move by up to {gap:.3g}"


def _no_validation(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=11)
    model = fit(plugin, replace(data, valid=data.valid.take(np.arange(0))))
    assert np.isfinite(model.predict(data.test.pairs)).all(), "a prediction is not finite"


def _other_scales(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    for scale in (Scale(low=0, high=4, step=1), Scale(low=-10, high=10), Scale(low=0.5, high=5, step=0.5)):
        _learns_on(scale, plugin)


def _hundreds(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    try:
        _learns_on(Scale(low=0, high=1000), plugin)
    except DivergedError as fault:
        return f"diverges there under its quick hyper-parameters, and says so: {fault}"
    return ""


def _learns_on(scale: Scale, plugin: Plugin[Any]) -> None:
    data = planted(seed=12, scale=scale)
    error = rmse(fit(plugin, data).predict(data.test.pairs), data.test)
    assert error < data.mean_error, (
        f"scale {scale}: test RMSE {error:.4f} is not below the mean's {data.mean_error:.4f}"
    )


def _one_rating(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=13)
    model = fit(plugin, replace(data, train=data.train.take(np.arange(1))))
    assert np.isfinite(model.predict(data.test.pairs)).all(), "a prediction is not finite"


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "learns planted structure better than the mean": _learns,
    "predicts any pair, cold users and items too": _any_pair,
    "predicts the same whatever the order of the pairs": _order,
    "predicts the same whether pairs come together or in pieces": _pieces,
    "leaves what it is given as it is": _leaves_inputs,
    "gives the same bits for the same seed, and draws from nothing else": _same_seed,
    "keeps what it learned to itself when another is fitted": _apart,
    "does without validation ratings": _no_validation,
    "works on scales with zero, negatives and halves": _other_scales,
    "works on a scale of hundreds, or says that it diverged": _hundreds,
    "survives a training set of one rating": _one_rating,
}
