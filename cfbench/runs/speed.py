"""BENCH: what a device can do, and what training an autoencoder makes of it.

The roofline of an iteration is the time its matrix products would take, all of them dense, at the device's measured
peak, and its step rule's memory traffic at the measured bandwidth. Products that go by the ratings need not be dense,
so that an iteration may come under it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cfbench.contract import Context
from cfbench.ratings import Ratings, Scale

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.learning.autoencoder import RowModel
    from cfbench.learning.precision import Precision

STEP_BYTES = {"momentum": 20, "adam": 28, "adamw": 28, "adagrad": 20, "rmsprop": 28}
"""Memory traffic of a step a learned number: numbers and memory read and written, gradients read, all float32."""


@dataclass(frozen=True)
class DeviceSpeed:
    """What a device was measured to do."""

    device: str
    precision: Precision
    flops: float
    """Floating-point operations a second of large square matrix products in that precision."""
    bandwidth: float
    """Bytes a second, read and written, of a copy that leaves the caches."""


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    """Wall time of one call, the device's work included."""
    began = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - began


def machine(device: str, kind: Precision) -> DeviceSpeed:
    """Measure the device: the best of several tries, after a warm-up."""
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    products = [timed(lambda: a @ b, device) for _ in range(12)]
    source = torch.zeros(2**26 if device == "cpu" else 2**28, device=device)
    target = torch.empty_like(source)
    copies = [timed(lambda: target.copy_(source), device) for _ in range(12)]
    return DeviceSpeed(device, kind, 2 * size**3 / min(products), 2 * source.nbytes / min(copies))


def netflix_shaped(users: int, items: int = 17_768, *, rated: int = 207, seed: int = 0) -> Ratings:
    """Ratings of the Netflix Prize's shape: `rated` items a user on average, activity and popularity long-tailed."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(rated) - 0.5, 1.0, users), 1, items // 4).astype(np.int64)
    who = np.repeat(np.arange(users), lengths)
    what = np.minimum(rng.exponential(items / 9.0, len(who)).astype(np.int64), items - 1)
    pairs = np.unique(who * items + what)
    stars = rng.integers(1, 6, len(pairs))
    return Ratings(pairs // items, pairs % items, stars, users, items, Scale(low=1, high=5, step=1))  # type: ignore[arg-type]  # converted


class SpeedTest:
    """A model over ratings, to be timed: its epochs, and its predictions."""

    def __init__(self, model: RowModel, config: Any, ratings: Ratings, device: str) -> None:
        self._model, self._config, self._ratings, self._device = model, config, ratings, device
        self._epochs = 0
        model.begin(ratings, Context(device=device))

    @property
    def iterations(self) -> int:
        """How many batches an epoch has."""
        size: int = self._config.batch_size
        return -(-int(self._ratings.seen_users.sum()) // size)

    def train(self) -> float:
        """Seconds of an iteration, over one epoch."""
        self._epochs += 1
        return timed(lambda: self._model.epoch(self._epochs), self._device) / self.iterations

    def evaluate(self) -> float:
        """Seconds a user, of predicting every twentieth rating."""
        asked = self._ratings.take(np.arange(0, len(self._ratings), 20))
        seconds = timed(lambda: self._model.predict(asked.pairs), self._device)
        return seconds / len(np.unique(asked.users))

    def roofline(self, machine: DeviceSpeed) -> tuple[float, float]:
        """Seconds of an iteration's matrix products, and of its steps' memory traffic (see the module's docstring)."""
        sizes = [self._ratings.n_items, *self._config.hidden]
        matrices = 2 * sum(outer * inner for outer, inner in pairwise(sizes))
        steps = 1 + getattr(self._config, "refeed", 0)
        flops = 2 * self._config.batch_size * (3 * matrices - sizes[0] * sizes[1])  # no gradient of the input is wanted
        traffic = self._model.parameters * STEP_BYTES[getattr(self._config, "optimizer", "adam")]
        return steps * flops / machine.flops, steps * traffic / machine.bandwidth
