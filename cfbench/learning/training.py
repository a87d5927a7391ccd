"""TRAINING: the loop that epoch-based models share.

It keeps the best weights on validation, or the best average of them over epochs, stops early, notices divergence, and
keeps a checkpoint from which a killed run goes on to the same bits. Three things make that possible: the randomness of
epoch k is a generator made of (seed, k) and nothing else, the learning rate is a function of the epoch, and all the
rest (weights, their average, best weights, optimizer state, curve) is in one safetensors file, replaced by one rename
at the end of an epoch.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cfbench import metrics
from cfbench.contract import Context, DivergedError, Epoch
from cfbench.errors import DeviceError, RecordError
from cfbench.files import atomic_file, write_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cfbench.learning.precision import BlockedOptimizer, Weight
    from cfbench.ratings import Pairs, Ratings, Scale, Scores

SHARE_OF_TIME = 0.05
"""Checkpoints may cost this share of the training time; cheap ones are written after every epoch."""


class Trainable(Protocol):
    """What the loop drives: a network with its data."""

    @property
    def steps(self) -> BlockedOptimizer:
        """The step rule over all that is learned."""

    def learned(self) -> Mapping[str, Weight]:
        """All that is learned, by name."""

    def epoch(self, number: int) -> float:
        """Go once through the training ratings; returns the root mean squared error met on the way.

        Draws all its randomness from generators made of the run's seed and the epoch's number.
        """

    def validate(self) -> float | None:
        """Root mean squared error over the validation ratings; None when there are none."""


@dataclass
class _Progress:
    """Where training stands after an epoch."""

    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_valid: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        return len(self.curve)

    @contextmanager
    def averaged(self, learned: Mapping[str, Weight], over: int) -> Iterator[None]:
        """Take the weights of the next epoch into the moving average, which stands in their place meanwhile.

        Each of the first `over` epochs weighs the same; later ones 1 / `over`, and what was before fades.
        """
        if not over:
            yield
            return
        own = {name: each.master.detach().clone() for name, each in learned.items()}
        self.average = self.average or {name: torch.zeros_like(weights) for name, weights in own.items()}
        for name, mean in self.average.items():
            mean.lerp_(own[name], 1 / min(self.epoch + 1, over))
        _load(learned, self.average)
        try:
            yield
        finally:
            _load(learned, own)

    def add(self, epoch: Epoch, learned: Mapping[str, Weight]) -> None:
        self.curve.append(epoch)
        if epoch.valid_rmse is None or epoch.valid_rmse < self.best_valid:
            self.best_epoch, self.best_valid = epoch.epoch, math.inf if epoch.valid_rmse is None else epoch.valid_rmse
            self.best = {name: each.master.detach().to("cpu", copy=True) for name, each in learned.items()}

    def over(self, epochs: int, patience: int) -> bool:
        return self.epoch >= epochs or bool(patience and self.epoch - self.best_epoch >= patience)


def train(
    learner: Trainable,
    context: Context,
    *,
    epochs: int,
    patience: int,
    learning_rate: Callable[[int], float],
    scale: Scale,
    average: int = 0,
) -> int:
    """Train, leave the best epoch's weights in the learner, and return that epoch (from 1).

    `patience`: stop after so many epochs without a better validation error; 0 never stops early. `learning_rate(k)` is
    that of epoch k. `average`: validate and keep, in place of the weights at the end of an epoch, their moving average
    over about so many epochs; 0: the weights (Polyak and Juditsky, "Acceleration of Stochastic Approximation by
    Averaging", 1992; Izmailov et al., "Averaging Weights Leads to Wider Optima", UAI 2018). Goes on from
    `context.checkpoint` when it is there. Raises `DivergedError` with the best weights restored.
    """
    checkpoint = Checkpoint(context)
    progress = checkpoint.load(learner)
    for past in progress.curve:
        context.report(past)
    began = time.perf_counter() - (progress.curve[-1].seconds if progress.curve else 0.0)
    try:
        while not progress.over(epochs, patience):
            k = progress.epoch + 1
            learner.steps.rate = learning_rate(k)
            train_rmse = learner.epoch(k)
            with progress.averaged(learner.learned(), average):
                valid_rmse = learner.validate()
                _check(k, train_rmse, valid_rmse, scale, usable=progress.best_epoch > 0)
                progress.add(Epoch(k, epochs, train_rmse, valid_rmse, time.perf_counter() - began), learner.learned())
            checkpoint.offer(learner, progress)
            context.report(progress.curve[-1])
    except KeyboardInterrupt:
        checkpoint.write()
        raise
    finally:
        _load(learner.learned(), progress.best)
    return progress.best_epoch


def _check(epoch: int, train_rmse: float, valid_rmse: float | None, scale: Scale, *, usable: bool) -> None:
    limit = 10 * max(abs(scale.low), abs(scale.high), scale.high - scale.low)
    for name, rmse in (("training", train_rmse), ("validation", valid_rmse)):
        if rmse is not None and not rmse < limit:  # NaN is not below anything
            raise DivergedError(f"{name} RMSE became {rmse:.4g} in epoch {epoch}", usable=usable)


def _load(into: Mapping[str, Weight], weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        into[name].load(tensor)


def generator(seed: int, purpose: str, device: str = "cpu") -> torch.Generator:
    """A generator of its own for each purpose, from the run's seed; torch's global one is never touched."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Checkpoint:
    """The state at the end of an epoch, in memory at once and on disk when it is due."""

    def __init__(self, context: Context) -> None:
        self._path: Path | None = context.checkpoint
        self._seed = context.seed
        self._pending: tuple[dict[str, Tensor], dict[str, str]] | None = None
        self._cost = 0.0
        self._written = -math.inf

    def offer(self, learner: Trainable, progress: _Progress) -> None:
        """Take the state; write it if that keeps to the share of time."""
        if self._path is None:
            return
        self._pending = _pack(learner, progress, self._seed)
        if time.perf_counter() - self._written >= self._cost / SHARE_OF_TIME:
            self.write()

    def write(self) -> None:
        """Put the last state on disk, unless it is there; raises `WriteError`."""
        if self._path is None or self._pending is None:
            return
        began = time.perf_counter()
        tensors, notes = self._pending
        with write_errors(self._path), atomic_file(self._path) as beside:
            save_file(tensors, beside, notes)
        self._pending = None
        self._written = time.perf_counter()
        self._cost = self._written - began

    def load(self, learner: Trainable) -> _Progress:
        """Put the learner where the checkpoint left off; a fresh start when there is none. Raises `RecordError`."""
        if self._path is None or not self._path.exists():
            return _Progress()
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                notes = json.loads(file.metadata()["cfbench"])
            return _unpack(learner, tensors, notes, self._seed)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as fault:
            raise RecordError(f"checkpoint {self._path} cannot be gone on from: {fault}; start the run anew") from fault


def _pack(learner: Trainable, progress: _Progress, seed: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Everything as named CPU tensors of their own, and the numbers as JSON."""
    tensors = {f"weights/{name}": each.master for name, each in learner.learned().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in progress.best.items()}
    tensors |= {f"average/{name}": tensor for name, tensor in progress.average.items()}
    memory = learner.steps.state()
    tensors |= {f"steps/{name}": value for name, value in memory.items() if isinstance(value, Tensor)}
    scalars = {name: value for name, value in memory.items() if not isinstance(value, Tensor)}
    notes = {
        "seed": seed, "best_epoch": progress.best_epoch, "steps": scalars,
        "best_valid": None if math.isinf(progress.best_valid) else progress.best_valid,
        "curve": [asdict(epoch) for epoch in progress.curve],
    }  # fmt: skip
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return copies, {"cfbench": json.dumps(notes)}


def _unpack(learner: Trainable, tensors: dict[str, Tensor], notes: dict[str, Any], seed: int) -> _Progress:
    if notes["seed"] != seed:
        raise ValueError(f"it was made with seed {notes['seed']}, not {seed}")
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "average": {}, "steps": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    if parts["weights"].keys() != learner.learned().keys():
        raise ValueError("it holds another model's weights")
    _load(learner.learned(), parts["weights"])
    learner.steps.load_state(parts["steps"] | notes["steps"])
    best_valid = math.inf if notes["best_valid"] is None else notes["best_valid"]
    average = {name: tensor.to(learner.learned()[name].master.device) for name, tensor in parts["average"].items()}
    curve = [Epoch(**epoch) for epoch in notes["curve"]]
    return _Progress(curve, notes["best_epoch"], best_valid, parts["best"], average)


def validation_rmse(predict: Callable[[Pairs], Scores], valid: Ratings) -> float | None:
    """Root mean squared error over the validation ratings, clipped to the scale; None when there are none."""
    if not len(valid):
        return None
    return metrics.rmse(valid.scale.clip(predict(valid.pairs)), valid.ratings)


def resolve_device(asked: str) -> str:
    """The device to compute on; `auto` takes the best there is. Raises `DeviceError` when it is not here."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked == "auto":
        return "cuda:0" if cuda else "mps" if mps else "cpu"
    kind, _, number = asked.partition(":")
    here = {"cpu": 1, "cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps)}
    if kind not in here or (number and not (kind == "cuda" and number.isdecimal())):
        raise DeviceError(f"no device {asked!r}; there are: auto, cpu, cuda, cuda:N, mps")
    if int(number or 0) >= here[kind]:
        found = f"this machine has {here['cuda']}" if here[kind] else f"torch {torch.__version__} finds none here"
        raise DeviceError(f"device {asked!r} asked for, but {found}; use --device auto or --device cpu")
    return f"cuda:{number or 0}" if kind == "cuda" else kind


def arrays(learned: Mapping[str, Weight]) -> dict[str, NDArray[np.float32]]:
    """What was learned as arrays, to be stored."""
    return {name: each.master.detach().cpu().numpy() for name, each in learned.items()}


def load_arrays(into: Mapping[str, Weight], state: Mapping[str, NDArray[Any]]) -> None:
    """Put stored arrays back; raises `RecordError` when they are not of this model."""
    if into.keys() != state.keys() or any(into[name].master.shape != state[name].shape for name in into):
        raise RecordError("the stored weights are not of this model: names or shapes differ; train it anew")
    _load(into, {name: torch.tensor(array) for name, array in state.items()})
