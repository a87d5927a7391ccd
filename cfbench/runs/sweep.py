"""SWEEP: many runs declared in one file: plugins × overrides × data sets × splits × seeds.

    datasets = ["ml-100k"]
    splits = ["random90", "5fold"]      # by default random90
    seeds = [0, 1, 2]                   # by default 0
    device = "auto"

    [[plugins]]
    name = "bias"

    [[plugins]]
    name = "deepae"
    preset = "paper-3m"                 # by default that of the data set; false for none
    overrides = [{ refeed = 0 }, { refeed = 1, lr = 0.01 }]

Everything is checked before the first run. What is finished is not run again, so a sweep that was stopped goes on, and
one that was extended runs what is new.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cfbench.data import card
from cfbench.data.split_definitions import DEFAULT_SPLIT
from cfbench.errors import CfbenchError, UsageError, WriteError
from cfbench.runs import run

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.store import Dataset
    from cfbench.runs.record import Record, Results
    from cfbench.runs.run import RunListener, Setup

Names = Annotated[list[str], Field(min_length=1)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Closed):
    """A plugin, with each of the overrides of its hyper-parameters."""

    name: str
    preset: str | Literal[False] | None = None
    overrides: list[dict[str, Any]] = Field([{}], min_length=1)


class Sweep(_Closed):
    """The file."""

    datasets: Names
    splits: Names = [DEFAULT_SPLIT]
    seeds: list[Annotated[int, Field(ge=0, strict=True)]] = Field([0], min_length=1)
    device: str = "auto"
    plugins: list[Entry] = Field(min_length=1)


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made."""

    dataset: str
    split: str
    setup: Setup
    seed: int

    def __str__(self) -> str:
        setup = self.setup
        given = [f"{name}={getattr(setup.config, name)}" for name, origin in setup.origins.items() if origin == "flag"]
        preset = f"preset {setup.preset}" if setup.preset else "no preset"
        return f"{' '.join([setup.name, *given])} on {self.dataset}, {self.split}, {preset}, seed {self.seed}"


@dataclass(frozen=True)
class SweepResult:
    """What came of a planned run: its record, or why there is none."""

    planned: PlannedRun
    record: Record | None
    there: bool = False
    """Whether it was finished before."""
    fault: str = ""

    @property
    def failed(self) -> bool:
        """Whether it has no score."""
        return self.record is None or not self.record.scored


def read(path: Path) -> Sweep:
    """Read a sweep's file; raises `UsageError` naming the file and every field that is wrong."""
    try:
        return Sweep.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as fault:
        raise UsageError(f"cannot read {path}: {fault.strerror}") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path} is not TOML: {fault}") from fault
    except ValidationError as fault:
        wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in fault.errors())
        raise UsageError("\n".join(f"{path}: {line}" for line in wrong)) from fault


def plan(sweep: Sweep) -> list[PlannedRun]:
    """Every run, data set by data set and split by split; raises `UsageError`s, `PluginError`, `DeviceError`."""
    runs = []
    for name, split in product(sweep.datasets, sweep.splits):
        folds = card.load(name).expand_split(split)
        for entry in sweep.plugins:
            setups = [_setup(entry, override, name, sweep.device) for override in entry.overrides]
            runs += [PlannedRun(name, fold, s, seed) for s, seed, fold in product(setups, sweep.seeds, folds)]
    return runs


def _setup(entry: Entry, override: dict[str, Any], dataset: str, device: str) -> Setup:
    preset, use = entry.preset or None, entry.preset is not False
    try:
        return run.configure(entry.name, dataset=dataset, flags=override, preset=preset, use_preset=use, device=device)
    except UsageError as fault:
        raise UsageError("\n".join(f"plugin {entry.name!r}: {line}" for line in str(fault).splitlines())) from fault


def make(planned: PlannedRun, dataset: Dataset, results: Results, listener: RunListener) -> SweepResult:
    """Make a run unless it is there, and keep what went wrong; raises `InterruptedRunError` and `WriteError`."""
    try:
        asked = run.new_request(planned.setup, dataset, dataset.split(planned.split), planned.seed)
        record, there = run.ensure(asked, dataset, results, listener)
    except (WriteError, run.InterruptedRunError):
        raise
    except CfbenchError as fault:
        return SweepResult(planned, None, fault=str(fault))
    except Exception as fault:  # noqa: BLE001 (a plugin may raise anything; its run is recorded as failed)
        return SweepResult(planned, None, fault=f"{type(fault).__name__}: {' '.join(str(fault).split())}")
    return SweepResult(planned, record, there, record.outcome.message)
