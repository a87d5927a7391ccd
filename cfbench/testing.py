"""The conformance suite and planted data, public: for everyone who writes a plugin.

    from cfbench.testing import CHECKS, check
    @pytest.mark.parametrize("name", CHECKS)
    def test_my_plugin(name, tmp_path): check(PLUGIN, name, tmp_path)

Each check is one sentence a plugin has to hold; a plugin that breaks it raises `AssertionError` with what was seen.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench import split
from cfbench.contract import Context, Epoch, Model, Plugin, State, Tunable
from cfbench.metrics import rmse
from cfbench.ratings import Ratings, Scale, Scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Planted:
    """Ratings whose truth is known: `train`, `valid`, `test`, and the error of predicting the mean of `train`."""

    train: Ratings
    valid: Ratings
    test: Ratings

    @property
    def mean_error(self) -> float:
        """RMSE on `test` of the training mean."""
        return _rmse(np.full(len(self.test), self.train.ratings.mean(), np.float32), self.test)


def planted(
    *, seed: int = 0, n_users: int = 80, n_items: int = 60, density: float = 0.5, rank: int = 2, noise: float = 0.2,
    scale: Scale | None = None,
) -> Planted:  # fmt: skip
    """Biases plus a low-rank taste plus noise, on a scale; random 80/10/10. The last user and item are never rated."""
    scale = scale or Scale(low=1, high=5)
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(n_users, rank)) @ rng.normal(size=(rank, n_items)) / np.sqrt(rank)
    biases = rng.normal(size=(n_users, 1)) * 0.4 + rng.normal(size=(1, n_items)) * 0.6
    spread = (scale.high - scale.low) / 5
    middle = (scale.high + scale.low) / 2
    truth = middle + spread * (biases + 0.7 * taste + noise * rng.normal(size=(n_users, n_items)))
    if scale.step:
        truth = scale.low + scale.step * np.rint((truth - scale.low) / scale.step)
    rated = rng.random((n_users, n_items)) < density
    rated[-1], rated[:, -1] = False, False
    users, items = (codes.astype(np.int32) for codes in np.nonzero(rated))
    table = Ratings(users, items, scale.clip(truth[users, items]), n_users, n_items, scale)
    parts = split.make("planted", split.RandomHoldout(valid=0.1, seed=seed), table)
    return Planted(parts.train(table), parts.valid(table), parts.test(table))


def check(plugin: Plugin[Any], name: str, folder: Path) -> None:
    """Hold `plugin` against one of `CHECKS`; `folder` is an empty scratch folder. Raises `AssertionError`."""
    CHECKS[name](plugin, folder)


def _fit(plugin: Plugin[Any], data: Planted, context: Context | None = None) -> Model:
    model: Model = plugin.build(plugin.config(**plugin.quick))
    model.fit(data.train, data.valid, context or Context(seed=1))
    return model


def _rmse(scores: Scores, ratings: Ratings) -> float:
    return rmse(ratings.scale.clip(scores), ratings.ratings)


def _is_scores(scores: Any, n: int) -> None:
    assert isinstance(scores, np.ndarray), f"predict returned {type(scores).__name__}, expected a NumPy array"
    assert scores.shape == (n,), f"predict returned shape {scores.shape}, expected ({n},)"
    assert scores.dtype == np.float32, f"predict returned {scores.dtype}, expected float32"
    assert np.isfinite(scores).all(), f"{(~np.isfinite(scores)).sum()} of {n} predictions are not finite"


def _declares(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (nothing is written)
    assert plugin.title, "PLUGIN.title is empty"
    assert plugin.paper, "PLUGIN.paper is empty"
    default = plugin.config()
    again = plugin.config.model_validate(json.loads(default.model_dump_json()))
    assert again == default, f"the config is not the same after JSON: {again} and {default}"
    for name, field in plugin.config.model_fields.items():
        assert field.description, f"hyper-parameter {name!r} has no description"
        tunable = Tunable.of(field)
        for value in (tunable.choices or (tunable.low, tunable.high)) if tunable else ():
            whole = int(value) if field.annotation is int else value
            plugin.config(**{name: whole})  # raises when its own range is not allowed


def _learns(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=7)
    error = _rmse(_fit(plugin, data).predict(data.test.users, data.test.items), data.test)
    assert error < 0.95 * data.mean_error, f"test RMSE {error:.4f} is not below the mean's {data.mean_error:.4f}"


def _any_pair(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=8)
    model = _fit(plugin, data)
    users, items = (codes.ravel().astype(np.int32) for codes in np.indices((data.train.n_users, data.train.n_items)))
    scores = model.predict(users, items)
    _is_scores(scores, len(users))
    cold = data.train.unseen(users, items)
    worst = np.abs(scores[cold] - data.train.ratings.mean()).max()
    width = data.train.scale.high - data.train.scale.low
    assert worst < width, f"a pair with a cold user or item is predicted {worst:.3g} away from the mean"
    _is_scores(model.predict(users[:0], items[:0]), 0)
    _is_scores(model.predict(users[:1], items[:1]), 1)


def _order(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=9)
    model = _fit(plugin, data)
    shuffled = np.random.default_rng(0).permutation(len(data.test))
    scores = model.predict(data.test.users, data.test.items)
    again = model.predict(data.test.users[shuffled], data.test.items[shuffled])
    gap = np.abs(scores[shuffled] - again).max()
    assert gap < 1e-4, f"the same pairs in another order are predicted up to {gap:.3g} apart"


def _same_seed(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=10)
    _stir(1)
    first = _fit(plugin, data).predict(data.test.users, data.test.items)
    _stir(2)
    second = _fit(plugin, data).predict(data.test.users, data.test.items)
    gap = np.abs(first - second).max()
    assert first.tobytes() == second.tobytes(), f"same seed, predictions up to {gap:.3g} apart"


def _stir(seed: int) -> None:
    """Put every global generator into another state: a model that listens to one is found out."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the global one is meant)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def _no_validation(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=11)
    model = _fit(plugin, replace(data, valid=data.valid.take(np.arange(0))))
    _is_scores(model.predict(data.test.users, data.test.items), len(data.test))


def _other_scales(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    for scale in (Scale(low=0, high=4, step=1), Scale(low=-10, high=10), Scale(low=0.5, high=5, step=0.5)):
        data = planted(seed=12, scale=scale)
        error = _rmse(_fit(plugin, data).predict(data.test.users, data.test.items), data.test)
        assert error < data.mean_error, (
            f"scale {scale}: test RMSE {error:.4f} is not below the mean's {data.mean_error:.4f}"
        )


def _one_rating(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=13)
    lone = replace(data, train=data.train.take(np.arange(1)), valid=data.valid.take(np.arange(0)))
    _is_scores(_fit(plugin, lone).predict(data.test.users, data.test.items), len(data.test))


def _restores(plugin: Plugin[Any], folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    data = planted(seed=14)
    model = _fit(plugin, data)
    state: State = model.state()
    assert all(isinstance(array, np.ndarray) for array in state.values()), "state() holds something that is no array"
    save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, folder / "model.safetensors")
    again: Model = plugin.build(plugin.config(**plugin.quick))
    again.restore(load_file(folder / "model.safetensors"), data.train, Context(seed=1))
    first, second = (m.predict(data.test.users, data.test.items) for m in (model, again))
    assert first.tobytes() == second.tobytes(), (
        f"restored, predictions are up to {np.abs(first - second).max():.3g} apart"
    )
    assert model.parameters == again.parameters > 0, f"parameters: {model.parameters}, restored {again.parameters}"


class _Killed(BaseException):
    pass


def _resumes(plugin: Plugin[Any], folder: Path) -> None:
    """Killed after an epoch, a model that reports epochs goes on from its checkpoint to the same bits."""
    data = planted(seed=15)
    curve: list[Epoch] = []
    whole = _fit(plugin, data, Context(seed=1, report=curve.append)).predict(data.test.users, data.test.items)
    if not curve:
        return  # fits in one piece: nothing to resume
    file = folder / "checkpoint.safetensors"

    def die(epoch: Epoch) -> None:
        if epoch.epoch == max(1, len(curve) // 2):
            raise _Killed

    try:
        _fit(plugin, data, Context(seed=1, report=die, checkpoint=file))
    except _Killed:
        pass
    else:
        raise AssertionError("an exception raised by context.report was swallowed")
    assert file.exists(), "no checkpoint was written at context.checkpoint"
    told: list[Epoch] = []
    resumed: Scores = _fit(plugin, data, Context(seed=1, report=told.append, checkpoint=file)).predict(
        data.test.users, data.test.items
    )
    assert [e.epoch for e in told] == [e.epoch for e in curve], "the resumed fit did not report every epoch once"
    assert whole.tobytes() == resumed.tobytes(), (
        f"resumed, predictions are up to {np.abs(whole - resumed).max():.3g} apart"
    )


CHECKS: dict[str, Callable[[Plugin[Any], Path], None]] = {
    "declares its title, paper, hyper-parameters and ranges": _declares,
    "learns planted structure better than the mean": _learns,
    "predicts any pair, cold users and items too": _any_pair,
    "predicts the same whatever the order of the pairs": _order,
    "gives the same bits for the same seed, and draws from nothing else": _same_seed,
    "does without validation ratings": _no_validation,
    "works on scales with zero, negatives and halves": _other_scales,
    "survives a training set of one rating": _one_rating,
    "predicts the same bits after its state was stored and restored": _restores,
    "goes on from a checkpoint to the same bits": _resumes,
}
"""Sentence → check."""
