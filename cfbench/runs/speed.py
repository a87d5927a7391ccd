"""How fast a device trains an autoencoder, and how fast it could be at most.

The roofline of an iteration is the time that its matrix products would take, all of them dense, at the measured peak
speed of the device, plus the time of the optimizer's memory traffic at the measured bandwidth. Products that use the
rated cells alone are cheaper than dense ones, so that an iteration may be faster than its roofline.
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
"""Memory traffic of one optimizer step per parameter: the weight and the optimizer's state are read and written, the
gradient is read, all in float32."""


@dataclass(frozen=True)
class DeviceSpeed:
    """The measured speed of a device."""

    device: str
    precision: Precision
    flops: float
    """Floating-point operations per second of large square matrix products in that precision."""
    bandwidth: float
    """Bytes read and written per second by a copy that is larger than the caches."""


@dataclass(frozen=True)
class ProblemSize:
    """What an iteration of an autoencoder costs depends on this and on its config."""

    columns: int
    """The length of a row: the number of items, or of users where items are the rows."""
    batch_size: int
    parameters: int


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    """Seconds of one call, including the work on the device."""
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - start


def measure_device(device: str, precision: Precision) -> DeviceSpeed:
    """Measure the device: the best of 12 tries."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    products = [timed(lambda: a @ b, device) for _ in range(12)]
    source = torch.zeros(2**26 if device == "cpu" else 2**28, device=device)
    target = torch.empty_like(source)
    copies = [timed(lambda: target.copy_(source), device) for _ in range(12)]
    return DeviceSpeed(device, precision, 2 * size**3 / min(products), 2 * source.nbytes / min(copies))


def iteration_roofline(config: Any, size: ProblemSize, speed: DeviceSpeed) -> tuple[float, float]:
    """Seconds of the matrix products and of the memory traffic of an iteration of an autoencoder."""
    sizes = [size.columns, *config.hidden]
    matrices = 2 * sum(outer * inner for outer, inner in pairwise(sizes))
    steps = 1 + getattr(config, "refeed", 0)
    # forward, and backward to weights and to inputs, except to the network's input
    flops = 2 * size.batch_size * (3 * matrices - sizes[0] * sizes[1])
    traffic = size.parameters * STEP_BYTES[getattr(config, "optimizer", "adam")]
    return steps * flops / speed.flops, steps * traffic / speed.bandwidth


def netflix_shaped(users: int, items: int = 17_768, *, rated: int = 207, seed: int = 0) -> Ratings:
    """Random ratings of the Netflix Prize's shape: `rated` items per user on average, few users and items have most."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(rated) - 0.5, 1.0, users), 1, items // 4).astype(np.int64)
    user_codes = np.repeat(np.arange(users), lengths)
    item_codes = np.minimum(rng.exponential(items / 9.0, len(user_codes)).astype(np.int64), items - 1)
    pairs = np.unique(user_codes * items + item_codes)
    stars = rng.integers(1, 6, len(pairs))
    return Ratings(pairs // items, pairs % items, stars, users, items, Scale(low=1, high=5, step=1))  # type: ignore[arg-type]  # converted


class SpeedTest:
    """Times the epochs and the predictions of a model over some ratings."""

    def __init__(self, model: RowModel, config: Any, ratings: Ratings, device: str) -> None:
        self._model, self._config, self._ratings, self._device = model, config, ratings, device
        self._epochs = 0
        model.prepare(ratings, Context(device=device))

    @property
    def iterations(self) -> int:
        """The number of batches in an epoch."""
        return -(-int(self._ratings.seen_users.sum()) // self.batch_size)

    @property
    def batch_size(self) -> int:
        """The number of users in a batch."""
        return self._model.batch_size

    def train(self) -> float:
        """Seconds per iteration, over one epoch."""
        self._epochs += 1
        return timed(lambda: self._model.epoch(self._epochs), self._device) / self.iterations

    def evaluate(self) -> float:
        """Seconds per user for predictions of every twentieth rating."""
        sample = self._ratings.take(np.arange(0, len(self._ratings), 20))
        seconds = timed(lambda: self._model.predict(sample.pairs), self._device)
        return seconds / len(np.unique(sample.users))

    def roofline(self, speed: DeviceSpeed) -> tuple[float, float]:
        """Seconds of an iteration's matrix products and of its memory traffic (see the module's docstring)."""
        size = ProblemSize(self._ratings.n_items, self.batch_size, self._model.parameters)
        return iteration_roofline(self._config, size, speed)
