"""Checks of what a model stores and reports: its state, its checkpoint, its epochs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import Context, Epoch, FittedOnValid, HasEmbeddings, Model, Plugin
from cfbench.runs.doubts import best_epoch, doubt_cross_fit, doubt_epoch
from cfbench.runs.plugin_calls import contained
from cfbench.runs.promises import check_embeddings, check_epoch, check_parameters, check_state, check_valid_rmse
from cfbench.testing.planted import Planted, fit, member_opener, planted, rmse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.contract import Side

_NO_EPOCHS = "has no epochs"
_NO_EMBEDDINGS = "has no embeddings"


def _arrays(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (it writes no file)
    model = fit(plugin, planted(seed=20))
    check_state(model.state())
    parameters = check_parameters(model.parameters)
    assert parameters > 0, f"parameters is {parameters}, expected the number of learned parameters"


def _restored(plugin: Plugin[Any], model: Model, data: Planted, folder: Path) -> Model:
    """Another model with the stored state of this one."""
    from safetensors.numpy import load_file, save_file

    save_file({name: np.ascontiguousarray(array) for name, array in model.state().items()}, folder / "state")
    again: Model = plugin.build(plugin.config(**plugin.quick))
    again.restore(load_file(folder / "state"), data.train, Context(seed=1, member=member_opener(data)))
    return again


def _restores(plugin: Plugin[Any], folder: Path) -> None:
    data = planted(seed=14)
    model = fit(plugin, data)
    again = _restored(plugin, model, data, folder)
    first, second = (m.predict(data.test.pairs) for m in (model, again))
    assert first.tobytes() == second.tobytes(), (
        f"after restoring, predictions differ by up to {np.abs(first - second).max():.3g}"
    )
    assert model.parameters == again.parameters, f"parameters: {model.parameters}, restored {again.parameters}"


def _embeds(plugin: Plugin[Any], folder: Path) -> str:
    with contained("build"):
        untrained = plugin.build(plugin.config(**plugin.quick))
    if not isinstance(untrained, HasEmbeddings):  # then a fit would be wasted
        return _NO_EMBEDDINGS
    data = planted(seed=28)
    model = fit(plugin, data)
    assert isinstance(model, HasEmbeddings), "the fitted model has no embeddings"
    again = _restored(plugin, model, data, folder)
    assert isinstance(again, HasEmbeddings), "the restored model has no embeddings"
    found = False
    sides: dict[Side, NDArray[np.bool_]] = {"user": data.train.seen_users, "item": data.train.seen_items}
    for side, seen in sides.items():
        vectors = check_embeddings(model.embeddings(side), len(seen))
        if vectors is None:
            continue
        found = True
        assert not vectors[~seen].any(), f"vectors of {side}s without a training rating are not 0"
        assert vectors.any(), f"the vectors of all {side}s are 0"
        restored = check_embeddings(again.embeddings(side), len(seen))
        same = restored is not None and restored.tobytes() == vectors.tobytes()
        assert same, f"after restoring, the vectors of {side}s are not the same"
    return "" if found else _NO_EMBEDDINGS


def _epochs(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    data = planted(seed=22)
    curve, model = _fit_with_curve(plugin, data)
    if not curve:
        return _NO_EPOCHS
    assert [e.epoch for e in curve] == [*range(1, len(curve) + 1)], "epochs are not reported as 1, 2, 3, …"
    assert all(e.epochs >= len(curve) for e in curve), "there are more epochs than Epoch.epochs"
    assert [e.seconds for e in curve] == sorted(e.seconds for e in curve), "Epoch.seconds decreases"
    for doubt in doubt_epoch(curve, rmse(model.predict(data.valid.pairs), data.valid)):
        raise AssertionError(doubt.detail)
    without, _ = _fit_with_curve(plugin, replace(data, valid=data.valid.take(np.arange(0))))
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
    best = (best_epoch(curve) or curve[-1]).epoch
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


def _fit_with_curve(plugin: Plugin[Any], data: Planted) -> tuple[list[Epoch], Model]:
    curve: list[Epoch] = []
    model = fit(plugin, data, Context(seed=1, report=lambda epoch: curve.append(check_epoch(epoch))))
    return curve, model


def _validates(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    data = planted(seed=27)
    model = fit(plugin, data)
    if not isinstance(model, FittedOnValid):
        return "reports no validation error of its own"
    own = check_valid_rmse(model.valid_rmse)
    if own is None:
        return "reports no validation error of its own"
    for doubt in doubt_cross_fit(own, rmse(model.predict(data.valid.pairs), data.valid)):
        raise AssertionError(doubt.detail)
    return ""


class _Killed(KeyboardInterrupt):  # an exception that a model must not catch
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
    "has vectors of users or items that its stored state gives again, if it has any": _embeds,
    "reports its epochs in order, with true validation errors": _epochs,
    "reports an honest error if it is fitted to the validation ratings": _validates,
    "resumes from a checkpoint to the same bits": _resumes,
    "fits a given number of epochs exactly as validation chose them": _fixed_epochs,
}
