"""Checks of what a model keeps and reports: its state, its checkpoint, its epochs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import Context, Epoch, Model, Plugin
from cfbench.testing.planted import fit, lend, planted, rmse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_IN_ONE_PIECE = "fits in one piece, without epochs"


def _arrays(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (nothing is written)
    model = fit(plugin, planted(seed=20))
    for name, array in model.state().items():
        assert isinstance(name, str), f"state() has the key {name!r}, expected text"
        assert isinstance(array, np.ndarray), f"state()[{name!r}] is a {type(array).__name__}, expected a NumPy array"
        assert array.dtype.kind in "biuf", f"state()[{name!r}] holds {array.dtype}, expected numbers"
    assert model.parameters > 0, f"parameters is {model.parameters}, expected how many numbers were learned"


def _restores(plugin: Plugin[Any], folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    data = planted(seed=14)
    model = fit(plugin, data)
    save_file({name: np.ascontiguousarray(array) for name, array in model.state().items()}, folder / "state")
    again: Model = plugin.build(plugin.config(**plugin.quick))
    again.restore(load_file(folder / "state"), data.train, Context(seed=1, member=lend(data)))
    first, second = (m.predict(data.test.pairs) for m in (model, again))
    assert first.tobytes() == second.tobytes(), (
        f"restored, predictions are up to {np.abs(first - second).max():.3g} apart"
    )
    assert model.parameters == again.parameters, f"parameters: {model.parameters}, restored {again.parameters}"


def _epochs(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    data = planted(seed=22)
    curve: list[Epoch] = []
    model = fit(plugin, data, Context(seed=1, report=curve.append))
    if not curve:
        return _IN_ONE_PIECE
    assert [e.epoch for e in curve] == [*range(1, len(curve) + 1)], "epochs are not reported as 1, 2, 3, …"
    assert all(e.epochs >= len(curve) for e in curve), "there are more epochs than Epoch.epochs says at most"
    assert all(math.isfinite(e.train_rmse) for e in curve), "a train_rmse is not finite"
    assert [e.seconds for e in curve] == sorted(e.seconds for e in curve), "Epoch.seconds runs backwards"
    told = [e.valid_rmse for e in curve if e.valid_rmse is not None]
    error = rmse(model.predict(data.valid.pairs), data.valid)
    nearest = min(told, key=lambda reported: abs(reported - error), default=math.nan)
    assert abs(nearest - error) < 0.01 * error, f"validation RMSE is {error:.4f}, no epoch reported it: {nearest:.4f}"
    without: list[Epoch] = []
    fit(plugin, replace(data, valid=data.valid.take(np.arange(0))), Context(seed=1, report=without.append))
    assert all(e.valid_rmse is None for e in without), "a valid_rmse is reported without validation ratings"
    return ""


class _Killed(BaseException):
    pass


def _resumes(plugin: Plugin[Any], folder: Path) -> str:
    """Killed after an epoch, a model that reports epochs goes on from its checkpoint to the same bits."""
    data = planted(seed=15)
    curve: list[Epoch] = []
    whole = fit(plugin, data, Context(seed=1, report=curve.append)).predict(data.test.pairs)
    if not curve:
        return _IN_ONE_PIECE
    file = folder / "checkpoint.safetensors"

    def die(epoch: Epoch) -> None:
        if epoch.epoch == max(1, len(curve) // 2):
            raise _Killed

    try:
        fit(plugin, data, Context(seed=1, report=die, checkpoint=file))
    except _Killed:
        pass
    else:
        raise AssertionError("an exception raised by context.report was swallowed")
    assert file.exists(), "no checkpoint was written at context.checkpoint"
    told: list[Epoch] = []
    context = Context(seed=1, report=told.append, checkpoint=file)
    resumed = fit(plugin, data, context).predict(data.test.pairs)
    assert [e.epoch for e in told] == [e.epoch for e in curve], "the resumed fit did not report every epoch once"
    gap = np.abs(whole - resumed).max()
    assert whole.tobytes() == resumed.tobytes(), f"resumed, predictions are up to {gap:.3g} apart"
    return ""


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "keeps its state as named arrays of numbers": _arrays,
    "predicts the same bits after its state was stored and restored": _restores,
    "reports its epochs in order, with true validation errors": _epochs,
    "goes on from a checkpoint to the same bits": _resumes,
}
