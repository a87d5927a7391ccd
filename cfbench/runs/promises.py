"""What a plugin promises to return, checked wherever a plugin is called: in runs, in tuning, in the conformance suite.

Each function raises a `PluginError` of one line which says what the plugin returned and what was expected. Nothing is
converted: a list or float64 numbers mean that the plugin computes something else than its author thinks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cfbench.contract import Epoch
from cfbench.errors import PluginError, PredictionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.contract import State
    from cfbench.ratings import Pairs, Scores


def check_scores(scores: Any, n: int, method: str = "predict", pairs: Pairs | None = None) -> Scores:
    """Return what `predict` or `fold_in` returned: (n,) finite float32 numbers. Raises `PredictionError`.

    With the `pairs` that were predicted, the message names the first bad one.
    """
    if not _is_plain_array(scores):
        raise PredictionError(f"{method} returned {_kind(scores)}, expected a NumPy array")
    if scores.shape != (n,):
        raise PredictionError(f"{method} returned shape {scores.shape}, expected ({n},)")
    if scores.dtype != np.float32:
        raise PredictionError(f"{method} returned {scores.dtype}, expected float32")
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        row = wrong[0]
        first = "" if pairs is None else f", the first for user code {pairs.users[row]}, item code {pairs.items[row]}"
        raise PredictionError(f"{len(wrong)} of {n} predictions of {method} are not finite{first}")
    return cast("Scores", scores)


def check_embeddings(vectors: Any, n: int) -> NDArray[np.float32] | None:
    """Return what `embeddings` returned: (n, k) finite float32 numbers, or None. Raises `PluginError`."""
    if vectors is None:
        return None
    if not _is_plain_array(vectors):
        raise PluginError(f"embeddings returned {_kind(vectors)}, expected a NumPy array or None")
    if vectors.ndim != 2 or len(vectors) != n or not vectors.size:
        raise PluginError(f"embeddings returned shape {vectors.shape}, expected ({n}, k) with k of at least 1")
    if vectors.dtype != np.float32:
        raise PluginError(f"embeddings returned {vectors.dtype}, expected float32")
    wrong = np.count_nonzero(~np.isfinite(vectors).all(1))
    if wrong:
        raise PluginError(f"{wrong} of {n} vectors of embeddings are not finite")
    return cast("NDArray[np.float32]", vectors)


def check_state(state: Any) -> State:
    """Return what `state` returned: named arrays of numbers, or none, if `restore` fits again. Raises `PluginError`."""
    if not isinstance(state, Mapping):
        raise PluginError(f"state() returned {_kind(state)}, expected named NumPy arrays")
    for name, array in state.items():
        if not isinstance(name, str):
            raise PluginError(f"state() has the key {name!r}, expected text")
        if not _is_plain_array(array):
            raise PluginError(f"state()[{name!r}] is {_kind(array)}, expected a NumPy array")
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise PluginError(f"state()[{name!r}] holds {array.dtype}, expected numbers of at most 64 bits")
    return state


def check_parameters(parameters: Any) -> int:
    """Return the attribute `parameters`: a whole number. Raises `PluginError`."""
    if not isinstance(parameters, Integral) or parameters < 0:
        raise PluginError(f"parameters is {parameters!r}, expected the number of learned parameters")
    return int(parameters)


def check_valid_rmse(valid_rmse: Any) -> float | None:
    """Return the attribute `valid_rmse` of a `FittedOnValid` model: a finite number or None. Raises `PluginError`."""
    if valid_rmse is None:
        return None
    if not isinstance(valid_rmse, Real) or not math.isfinite(valid_rmse):
        raise PluginError(f"valid_rmse is {valid_rmse!r}, expected a finite number or None")
    return float(valid_rmse)


def check_epoch(epoch: Any) -> Epoch:
    """Return what the model gave to `context.report`: an `Epoch` of finite numbers. Raises `PluginError`."""
    if not isinstance(epoch, Epoch):
        raise PluginError(f"context.report was called with {_kind(epoch)}, expected a cfbench.contract.Epoch")
    for name in ("epoch", "epochs"):
        if not isinstance(getattr(epoch, name), Integral):
            raise PluginError(f"Epoch.{name} is {getattr(epoch, name)!r}, expected a whole number")
    for name in ("train_rmse", "valid_rmse", "seconds"):
        value = getattr(epoch, name)
        if value is None and name == "valid_rmse":
            continue
        if not isinstance(value, Real) or not math.isfinite(value):
            raise PluginError(f"Epoch.{name} is {value!r} in epoch {epoch.epoch}, expected a finite number")
    return epoch


def _is_plain_array(value: Any) -> bool:
    """Whether it is an array that may become a file: a masked array would lose its mask without a word."""
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
