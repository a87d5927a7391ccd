"""How long the experiments take on the Netflix Prize at least, on a GPU whose peak speeds are published.

Nothing of this is measured: it is the roofline (`cfbench.runs.speed`) of all training iterations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.experiments.parameters import count_parameters
from cfbench.runs.speed import DeviceSpeed, ProblemSize, iteration_roofline

if TYPE_CHECKING:
    from cfbench.experiments.grid import Grid, GridRun

SIZES = {"3m": (311_315, 17_736), "6m": (390_795, 17_757), "1y": (345_855, 16_907), "full": (477_412, 17_768)}
"""Users and items of the training part of each split (README of the paper's reference implementation)."""
DEVICE = "NVIDIA A100 40 GB"
SPEED = DeviceSpeed(DEVICE, "fp32", flops=19.5e12, bandwidth=1.555e12)
"""Its peaks in the manufacturer's data sheet; the experiments compute in float32, without tensor cores."""


@dataclass(frozen=True)
class NetflixHours:
    """The runs of an experiment on the Netflix Prize, and what they take at least."""

    runs: int
    hours: float


def netflix_hours(grid: Grid) -> NetflixHours:
    """Add up the runs of a grid for the data set netflix."""
    seconds_of_arms = {}
    for run in grid.runs:
        key = (run.arm.label, run.split)
        if key not in seconds_of_arms:
            seconds_of_arms[key] = _seconds(run)
    total = sum(seconds_of_arms[run.arm.label, run.split] for run in grid.runs)
    return NetflixHours(len(grid.runs), total / 3600)


def _seconds(run: GridRun) -> float:
    """The seconds of all iterations of an autoencoder."""
    setup, (users, items) = run.planned.setup, SIZES[run.split]
    config = setup.config
    rows, columns = (items, users) if getattr(config, "orientation", "user") == "item" else (users, items)
    batch_size = int(getattr(config, "batch_size", rows))
    size = ProblemSize(columns, batch_size, count_parameters(setup, columns))
    products, traffic = iteration_roofline(config, size, SPEED)
    return float(getattr(config, "epochs", 1)) * math.ceil(rows / batch_size) * (products + traffic)
