"""The device that a plugin computes on.

`auto` is the best device of the machine. Apple's GPUs (`mps`) have no float64, and which of torch's operators they have
depends on the version of torch. So `auto` chooses them only if the model can be fitted to a few random ratings there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import Context
from cfbench.errors import DeviceError
from cfbench.ratings import Ratings, Scale
from cfbench.runs.plugin_calls import contained

if TYPE_CHECKING:
    from cfbench.contract import Config, Epoch, Plugin

TRIAL_RATINGS = ((400, 0.02), (20, 0.5))
"""Numbers of users and items, and share of rated pairs: sparse and dense ratings use different operators."""


@dataclass(frozen=True)
class ChosenDevice:
    """A device in torch's notation, and why it is not the best one of the machine, if so."""

    name: str
    note: str = ""


def choose_device(name: str, plugin: Plugin[Any], config: Config, device: str) -> ChosenDevice:
    """Return the device on which a plugin computes, for `auto` the best one that works; raises `DeviceError`."""
    if not plugin.gpu:
        if device not in ("auto", "cpu"):
            raise DeviceError(f"{name} computes on the CPU only, but --device is {device!r}; leave out --device")
        return ChosenDevice("cpu")
    from cfbench.learning.training import resolve_device

    resolved = resolve_device(device)
    if device != "auto" or resolved != "mps":
        return ChosenDevice(resolved)
    fault = explain_failure(plugin, config, resolved)
    note = f"{name} computes on the CPU, because it fails on {resolved}: {fault}"
    return ChosenDevice("cpu", note) if fault else ChosenDevice(resolved)


def explain_failure(plugin: Plugin[Any], config: Config, device: str) -> str:
    """Fit a plugin's model for one epoch on a device; return in one line why that fails, or "" if it works."""
    try:
        for size, share in TRIAL_RATINGS:
            _fit_one_epoch(plugin, config.for_device(device), device, *_random_ratings(size, share))
    except Exception as fault:  # noqa: BLE001 (torch raises many kinds of errors for what a device lacks)
        return " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
    return ""


class _FirstEpochFinished(Exception):  # noqa: N818 (not an error)
    pass


def _fit_one_epoch(plugin: Plugin[Any], config: Config, device: str, train: Ratings, valid: Ratings) -> None:
    def stop(epoch: Epoch) -> None:
        if not np.isfinite(epoch.train_rmse):
            raise ArithmeticError(f"the training RMSE of the first epoch is {epoch.train_rmse}")
        raise _FirstEpochFinished

    try:
        with contained("fit"):
            plugin.build(config).fit(train, valid, Context(device=device, report=stop))
    except _FirstEpochFinished:
        return


def _random_ratings(size: int, share: float) -> tuple[Ratings, Ratings]:
    """Ratings by `size` users of `size` items, and one rating of every tenth user apart from them."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(size * size)[: round(share * size * size)]
    users, items = (codes.astype(np.int32) for codes in np.divmod(pairs, size))
    ratings = rng.integers(1, 6, len(pairs)).astype(np.float32)
    every = Ratings(users, items, ratings, size, size, Scale(low=1, high=5, step=1))
    first = np.unique(users, return_index=True)[1][::10]
    return every.take(np.delete(np.arange(len(pairs)), first)), every.take(first)
