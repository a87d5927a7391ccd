"""Checks of what a model stores and reports: its state, its checkpoint, its epochs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import Context, Epoch, Model, Plugin
from cfbench.testing.planted import fit, member_opener, planted, rmse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NO_EPOCHS = "has no epochs"


def _arrays(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (it writes no file)
    model = fit(plugin, planted(seed=20))
    for name, array in model.state().items():
        assert isinstance(name, str), f"state() has the key {name!r}, expected text"
        assert isinstance(array, np.ndarray), f"state()[{name!r}] is a {type(array).__name__}, expected a NumPy array"
        assert array.dtype.kind in "biuf", f"state()[{name!r}] holds {array.dtype}, expected numbers"
    assert model.parameters > 0, f"parameters is {model.parameters}, expected the number of learned parameters"


def _restores(plugin: Plugin[Any], folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    data = planted(seed=14)
    model = fit(plugin, data)
    save_file({name: np.ascontiguousarray(array) for name, array in model.state().items()}, folder / "state")
    again: Model = plugin.build(plugin.config(**plugin.quick))
    again.restore(load_file(folder / "state"), data.train, Context(seed=1, member=member_opener(data)))
    first, second = (m.predict(data.test.pairs) for m in (model, again))
    assert first.tobytes() == second.tobytes(), (
        f"after restoring, predictions differ by up to {np.abs(first - second).max():.3g}"
    )
    assert model.parameters == again.parameters, f"parameters: {model.parameters}, restored {again.parameters}"


def _epochs(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    data = planted(seed=22)
    curve: list[Epoch] = []
    model = fit(plugin, data, Context(seed=1, report=curve.append))
    if not curve:
        return _NO_EPOCHS
    assert [e.epoch for e in curve] == [*range(1, len(curve) + 1)], "epochs are not reported as 1, 2, 3, …"
    assert all(e.epochs >= len(curve) for e in curve), "there are more epochs than Epoch.epochs"
    assert all(math.isfinite(e.train_rmse) for e in curve), "a train_rmse is not finite"
    assert [e.seconds for e in curve] == sorted(e.seconds for e in curve), "Epoch.seconds decreases"
    reported = [e.valid_rmse for e in curve if e.valid_rmse is not None]
    error = rmse(model.predict(data.valid.pairs), data.valid)
    nearest = min(reported, key=lambda value: abs(value - error), default=math.nan)
    assert abs(nearest - error) < 0.01 * error, (
        f"validation RMSE is {error:.4f}, but the nearest that an epoch reported is {nearest:.4f}"
    )
    without: list[Epoch] = []
    fit(plugin, replace(data, valid=data.valid.take(np.arange(0))), Context(seed=1, report=without.append))
    assert all(e.valid_rmse is None for e in without), "a valid_rmse is reported without validation ratings"
    return ""


def _fixed_epochs(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001 (it writes no file)
    """With `Context.epochs` a fit without validation ratings ends where validation ended the fit with them."""
    data = planted(seed=24)
    curve: list[Epoch] = []
    first = fit(plugin, data, Context(seed=1, report=curve.append)).predict(data.test.pairs)
    if not curve:
        return _NO_EPOCHS
    if not plugin.fixed_epochs:
        return "does not declare fixed_epochs, so that `cfbench run --refit` refuses it"
    best = min(curve, key=lambda epoch: math.inf if epoch.valid_rmse is None else epoch.valid_rmse).epoch
    without = replace(data, valid=data.valid.take(np.arange(0)))
    for epochs in dict.fromkeys((best, 1)):
        again: list[Epoch] = []
        model = fit(plugin, without, Context(seed=1, report=again.append, epochs=epochs))
        numbers = [epoch.epoch for epoch in again]
        assert numbers == [*range(1, epochs + 1)], f"Context.epochs is {epochs}, but epochs {numbers} were reported"
        assert all(epoch.epochs == epochs for epoch in again), f"Context.epochs is {epochs}, but Epoch.epochs is not"
        if epochs == best:
            gap = np.abs(model.predict(data.test.pairs) - first).max()
            assert not gap, (
                f"a fit of {best} epochs predicts otherwise than the fit whose epoch {best} validation chose, by up to "
                f"{gap:.3g}; schedules must follow the config, and the last epoch must be kept"
            )
    return ""


class _Killed(BaseException):
    pass


def _resumes(plugin: Plugin[Any], folder: Path) -> str:
    """A model with epochs that was killed after one of them resumes from its checkpoint to the same bits."""
    data = planted(seed=15)
    curve: list[Epoch] = []
    whole = fit(plugin, data, Context(seed=1, report=curve.append)).predict(data.test.pairs)
    if not curve:
        return _NO_EPOCHS
    file = folder / "checkpoint.safetensors"

    def die(epoch: Epoch) -> None:
        if epoch.epoch == max(1, len(curve) // 2):
            raise _Killed

    try:
        fit(plugin, data, Context(seed=1, report=die, checkpoint=file))
    except _Killed:
        pass
    else:
        raise AssertionError("fit caught an exception that context.report raised")
    assert file.exists(), "no checkpoint was written at context.checkpoint"
    resumed_curve: list[Epoch] = []
    context = Context(seed=1, report=resumed_curve.append, checkpoint=file)
    resumed = fit(plugin, data, context).predict(data.test.pairs)
    assert [e.epoch for e in resumed_curve] == [e.epoch for e in curve], (
        "the resumed fit did not report every epoch once"
    )
    gap = np.abs(whole - resumed).max()
    assert whole.tobytes() == resumed.tobytes(), f"after resuming, predictions differ by up to {gap:.3g}"
    return ""


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "has a state of named arrays of numbers": _arrays,
    "predicts the same bits after its state was stored and restored": _restores,
    "reports its epochs in order, with true validation errors": _epochs,
    "resumes from a checkpoint to the same bits": _resumes,
    "fits a given number of epochs exactly as validation chose them": _fixed_epochs,
}
