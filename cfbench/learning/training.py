"""The training loop of epoch-based models.

It keeps the weights of the best epoch on validation (or their average over epochs), stops early, notices divergence,
and keeps a checkpoint from which an interrupted run resumes and ends with the same bits. Three things make that
possible: the random numbers of epoch k come from a generator that is made of (seed, k) alone; the learning rate is a
function of the epoch; everything else (weights, their average, best weights, optimizer state, learning curve) is in one
safetensors file, which one rename replaces at the end of an epoch.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cfbench import metrics
from cfbench.contract import Context, DivergedError, Epoch
from cfbench.errors import DeviceError, RecordError
from cfbench.files import atomic_file, write_errors
from cfbench.memory import require_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cfbench.learning.precision import BlockedOptimizer, Weight
    from cfbench.ratings import Pairs, Ratings, Scale, Scores

BACKOFFS = {"stop": 0, "backoff": 3}
"""How often training may diverge, by the choice `on_divergence` of a config."""
SHARE_OF_TIME = 0.05
"""Checkpoints may take this share of the training time; cheap ones are written after every epoch."""


@dataclass(frozen=True)
class Schedule:
    """How long to train and how fast."""

    epochs: int
    patience: int = 0
    """Stop after this many epochs without a better validation error; 0 never stops early."""
    learning_rate: Callable[[int], float] | None = None
    """The learning rate of an epoch (from 1), for a model with an optimizer."""
    average: int = 0
    """Validate and keep the moving average of the weights over about this many epochs, not the weights at the end of an
    epoch; 0 keeps the weights. Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992;
    Izmailov et al., "Averaging Weights Leads to Wider Optima", UAI 2018."""
    backoffs: int = 0
    """How often training may diverge: each time it goes back to the weights of the best epoch, or to the first ones,
    and halves the learning rate. Epochs are counted on."""


class Trainable(Protocol):
    """What the loop trains: weights together with their data."""

    @property
    def optimizer(self) -> BlockedOptimizer | None:
        """The optimizer of the weights; None for a model that computes its weights in closed form."""

    def weights(self) -> Mapping[str, Weight]:
        """All weights by name."""

    def epoch(self, number: int) -> float:
        """Train on all training ratings once; return the root mean squared error measured during the epoch.

        All random numbers come from generators that are made of the run's seed and the epoch's number.
        """

    def validate(self) -> float | None:
        """Root mean squared error over the validation ratings; None when there are none."""


@dataclass
class TrainingState:
    """The state of a training after some epochs, except the weights and the optimizer."""

    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_valid: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    """The weights of the best epoch, on the CPU."""
    average: dict[str, Tensor] = field(default_factory=dict)
    backoffs: list[str] = field(default_factory=list)
    """A message for each time that training diverged and went back."""
    returned_to: int = 0
    """The latest epoch to whose weights training went back; 0 if there is none."""

    @property
    def epoch(self) -> int:
        """How many epochs are finished."""
        return len(self.curve)

    @property
    def seconds(self) -> float:
        """How many seconds they took."""
        return self.curve[-1].seconds if self.curve else 0.0

    @contextmanager
    def average_as_weights(self, weights: Mapping[str, Weight], over: int) -> Iterator[None]:
        """Update the moving average, and let it replace the weights inside the `with` block.

        Each of the first `over` epochs has the same share in the average. Afterwards a new epoch has the share
        1 / `over`, and the shares of older ones shrink. 0 changes nothing.
        """
        if not over:
            yield
            return
        current = {name: weight.master.detach().clone() for name, weight in weights.items()}
        self.average = self.average or {name: torch.zeros_like(values) for name, values in current.items()}
        for name, mean in self.average.items():
            mean.lerp_(current[name], 1 / min(self.epoch + 1, over))
        _load(weights, self.average)
        try:
            yield
        finally:
            _load(weights, current)

    def add(self, epoch: Epoch, weights: Mapping[str, Weight]) -> None:
        """Append a finished epoch, and copy its weights if it is the best. Without validation the last is the best."""
        self.curve.append(epoch)
        if epoch.valid_rmse is None or epoch.valid_rmse < self.best_valid:
            self.best_epoch = epoch.epoch
            self.best_valid = math.inf if epoch.valid_rmse is None else epoch.valid_rmse
            self.best = _copies(weights)

    def back_off(self, model: Trainable, first: dict[str, Tensor], reason: str) -> str:
        """Go back to the best epoch's weights with a new optimizer state, and return a message.

        If training diverges again before a better epoch, the best epoch was not good: go back to the `first` weights.
        """
        is_new = self.best_epoch > self.returned_to
        target = f"epoch {self.best_epoch}" if is_new else "the first weights"
        self.backoffs.append(f"{reason}; training went back to {target} with half the learning rate")
        self.returned_to = self.best_epoch
        _load(model.weights(), self.best if is_new else first)
        if self.average:
            self.average = {name: weight.master.detach().clone() for name, weight in model.weights().items()}
        if model.optimizer is not None:
            model.optimizer.reset()
        return self.backoffs[-1]

    def is_finished(self, schedule: Schedule) -> bool:
        """Whether all epochs are finished, or `patience` epochs have passed since the best one."""
        stalled = self.epoch - self.best_epoch >= schedule.patience
        return self.epoch >= schedule.epochs or bool(schedule.patience and stalled)


def train(model: Trainable, context: Context, schedule: Schedule, *, scale: Scale) -> int:
    """Train, leave the best epoch's weights in the model, and return that epoch (from 1).

    `context.epochs`, if given, replaces the schedule's, and then nothing stops early. Learning rates stay those of the
    schedule: they are what led to the chosen epoch.

    Resumes from `context.checkpoint` if that file exists. Raises `DivergedError` with the best weights restored, and
    `ConfigError` when the memory is too small.
    """
    if context.epochs is not None:
        schedule = replace(schedule, epochs=context.epochs, patience=0)
    _require_memory(model, context, schedule)
    first = _copies(model.weights()) if schedule.backoffs else {}
    checkpoint = Checkpoint(context)
    state = checkpoint.load(model)
    for finished_epoch in state.curve:
        context.report(finished_epoch)
    for message in state.backoffs:
        context.note(message)
    start = time.perf_counter() - state.seconds
    try:
        while not state.is_finished(schedule):
            try:
                _train_epoch(model, state, schedule, scale=scale, start=start)
            except DivergedError as error:
                if len(state.backoffs) >= schedule.backoffs:
                    raise
                context.note(state.back_off(model, first, str(error)))
                continue
            checkpoint.update(model, state)
            context.report(state.curve[-1])
    except (KeyboardInterrupt, MemoryError, OSError, RuntimeError):  # torch raises RuntimeErrors when memory is missing
        checkpoint.write()
        raise
    finally:
        _load(model.weights(), state.best)
    return state.best_epoch


def _train_epoch(model: Trainable, state: TrainingState, schedule: Schedule, *, scale: Scale, start: float) -> None:
    """Train and validate one more epoch, and append it to the state; raises `DivergedError`."""
    k = state.epoch + 1
    if model.optimizer is not None and schedule.learning_rate is not None:
        model.optimizer.learning_rate = schedule.learning_rate(k) / 2 ** len(state.backoffs)
    train_rmse = model.epoch(k)
    with state.average_as_weights(model.weights(), schedule.average):
        valid_rmse = model.validate()
        _check_divergence(k, train_rmse, valid_rmse, scale, usable=state.best_epoch > 0)
        state.add(Epoch(k, schedule.epochs, train_rmse, valid_rmse, time.perf_counter() - start), model.weights())


def _require_memory(model: Trainable, context: Context, schedule: Schedule) -> None:
    """Raise `ConfigError` if what training needs beside the weights is certainly more than the available memory.

    Two copies of the best weights and two checkpoints are in memory while the new one replaces the old one. With all of
    them, a fit by momentum takes 44 bytes per weight, one by Adam 60, and alternating least squares 30 (measured).
    """
    masters = [weight.master for weight in model.weights().values()]
    if any(master.device.type != "cpu" for master in masters):
        return
    count, optimized = sum(master.numel() for master in masters), int(model.optimizer is not None)
    copies = 2 + 2 * optimized + int(schedule.backoffs > 0)  # the best weights; a gradient, a state; the first weights
    if context.checkpoint is not None:
        copies += 2 * (2 + optimized)
    require_memory(4 * copies * count, f"training {count:,} weights", "use smaller layers or fewer factors")


def _check_divergence(epoch: int, train_rmse: float, valid_rmse: float | None, scale: Scale, *, usable: bool) -> None:
    limit = 10 * max(abs(scale.low), abs(scale.high), scale.high - scale.low)
    for name, rmse in (("training", train_rmse), ("validation", valid_rmse)):
        if rmse is not None and not rmse < limit:  # NaN is not below anything
            raise DivergedError(f"{name} RMSE became {rmse:.4g} in epoch {epoch}", usable=usable)


def _copies(weights: Mapping[str, Weight]) -> dict[str, Tensor]:
    """Copies of all weights, on the CPU."""
    return {name: weight.master.detach().to("cpu", copy=True) for name, weight in weights.items()}


def _load(weights: Mapping[str, Weight], values: Mapping[str, Tensor]) -> None:
    for name, tensor in values.items():
        weights[name].load(tensor)


def generator(seed: int, purpose: str, device: str = "cpu") -> torch.Generator:
    """A separate generator for each purpose, made of the run's seed; torch's global generator is never used."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Checkpoint:
    """The state at the end of the last epoch, copied in memory, and written to disk when enough time has passed."""

    def __init__(self, context: Context) -> None:
        self._path: Path | None = context.checkpoint
        self._seed = context.seed
        self._pending: tuple[dict[str, Tensor], dict[str, str]] | None = None
        self._write_seconds = 0.0
        self._last_write = -math.inf

    def update(self, model: Trainable, state: TrainingState) -> None:
        """Copy the state; write it if writing stays within its share of the time."""
        if self._path is None:
            return
        self._pending = _pack(model, state, self._seed)
        if time.perf_counter() - self._last_write >= self._write_seconds / SHARE_OF_TIME:
            self.write()

    def write(self) -> None:
        """Write the last copy, unless it is on disk already; raises `WriteError`."""
        if self._path is None or self._pending is None:
            return
        start = time.perf_counter()
        tensors, metadata = self._pending
        with write_errors(self._path), atomic_file(self._path) as temporary:
            save_file(tensors, temporary, metadata)
        self._pending = None
        self._last_write = time.perf_counter()
        self._write_seconds = self._last_write - start

    def load(self, model: Trainable) -> TrainingState:
        """Restore the model and return the state; an empty state when there is no file. Raises `RecordError`."""
        if self._path is None or not self._path.exists():
            return TrainingState()
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                numbers = json.loads(file.metadata()["cfbench"])
            return _unpack(model, tensors, numbers, self._seed)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise RecordError(
                f"checkpoint {self._path} cannot be resumed: {error}; restore the file, or remove it to begin with the "
                "first epoch"
            ) from error


def _pack(model: Trainable, state: TrainingState, seed: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Copies of all tensors by name, on the CPU, and all numbers as JSON."""
    tensors = {f"weights/{name}": weight.master for name, weight in model.weights().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"average/{name}": tensor for name, tensor in state.average.items()}
    optimizer = model.optimizer.state_dict() if model.optimizer is not None else {}
    tensors |= {f"steps/{name}": value for name, value in optimizer.items() if isinstance(value, Tensor)}
    numbers = {
        "seed": seed, "best_epoch": state.best_epoch, "backoffs": state.backoffs,
        "returned_to": state.returned_to,
        "steps": {name: value for name, value in optimizer.items() if not isinstance(value, Tensor)},
        "best_valid": None if math.isinf(state.best_valid) else state.best_valid,
        "curve": [asdict(epoch) for epoch in state.curve],
    }  # fmt: skip
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return copies, {"cfbench": json.dumps(numbers)}


def _unpack(model: Trainable, tensors: dict[str, Tensor], numbers: dict[str, Any], seed: int) -> TrainingState:
    if numbers["seed"] != seed:
        raise ValueError(f"its seed is {numbers['seed']}, expected {seed}")
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "average": {}, "steps": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts[part][name] = tensor
    weights = model.weights()
    if parts["weights"].keys() != weights.keys():
        raise ValueError("its weights are those of another model")
    _load(weights, parts["weights"])
    if model.optimizer is not None:
        model.optimizer.load_state_dict(parts["steps"] | numbers["steps"])
    best_valid = math.inf if numbers["best_valid"] is None else numbers["best_valid"]
    average = {name: tensor.to(weights[name].master.device) for name, tensor in parts["average"].items()}
    curve = [Epoch(**epoch) for epoch in numbers["curve"]]
    backoffs, returned_to = numbers.get("backoffs", []), numbers.get("returned_to", 0)
    return TrainingState(curve, numbers["best_epoch"], best_valid, parts["best"], average, backoffs, returned_to)


def validation_rmse(predict: Callable[[Pairs], Scores], valid: Ratings) -> float | None:
    """Root mean squared error over the validation ratings, clipped to the scale; None when there are none."""
    if not len(valid):
        return None
    return metrics.rmse(valid.scale.clip(predict(valid.pairs)), valid.ratings)


def resolve_device(device: str) -> str:
    """The device to compute on; `auto` is the best available one. Raises `DeviceError` when it is not available."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        return "cuda:0" if cuda else "mps" if mps else "cpu"
    kind, _, number = device.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps)}
    if kind not in counts or (number and not (kind == "cuda" and number.isdecimal())):
        raise DeviceError(f"unknown device {device!r}; expected auto, cpu, cuda, cuda:N or mps")
    if int(number or 0) >= counts[kind]:
        available = f"this machine has {counts['cuda']}" if counts[kind] else f"torch {torch.__version__} finds none"
        raise DeviceError(f"device {device!r} is not available: {available}; use --device auto or --device cpu")
    return f"cuda:{number or 0}" if kind == "cuda" else kind


def arrays(weights: Mapping[str, Weight]) -> dict[str, NDArray[np.float32]]:
    """The weights as arrays, for storage."""
    return {name: weight.master.detach().cpu().numpy() for name, weight in weights.items()}


def load_arrays(weights: Mapping[str, Weight], state: Mapping[str, NDArray[Any]]) -> None:
    """Restore stored arrays; raises `RecordError` when they belong to another model."""
    shapes = {name: tuple(weight.master.shape) for name, weight in weights.items()}
    if shapes != {name: array.shape for name, array in state.items()}:
        raise RecordError(
            "the stored weights are those of another model: their names or shapes differ; train the model again"
        )
    _load(weights, {name: torch.tensor(array) for name, array in state.items()})
