"""Many runs, declared in one file: plugins × overrides × data sets × splits × seeds.

    datasets = ["ml-100k"]
    splits = ["random90", "5fold"]      # default: your own split of the data set if you imported one, else random90
    seeds = [0, 1, 2]                   # default: 0
    device = "auto"

    [[plugins]]
    name = "bias"

    [[plugins]]
    name = "deepae"
    preset = "paper-3m"                 # default: the data set's preset; false: no preset
    overrides = [{ refeed = 0 }, { refeed = 1, lr = 0.01 }]
    refit = true                        # default: false

The whole file is checked before the first run. Finished runs are not repeated: a sweep that was stopped continues, and
a sweep whose file has grown makes only the new runs.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cfbench.data import card
from cfbench.errors import CfbenchError, DataError, TakenRunError, UsageError, WriteError
from cfbench.runs import run
from cfbench.runs.exposure import find_exposure
from cfbench.runs.interruption import InterruptedRunError
from cfbench.runs.setup import configure, new_request
from cfbench.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cfbench.data.store import Dataset
    from cfbench.runs.record import Exposure, Record
    from cfbench.runs.results import Results
    from cfbench.runs.run import RunListener
    from cfbench.runs.setup import Setup

T = TypeVar("T")
R = TypeVar("R")
Names = Annotated[list[str], Field(min_length=1)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SweepPlugin(_Closed):
    """A plugin of a sweep, and the overrides of its hyper-parameters: one run for each."""

    name: str
    preset: str | Literal[False] | None = None
    overrides: list[dict[str, Any]] = Field([{}], min_length=1)
    refit: bool = False


class Sweep(_Closed):
    """The file of a sweep."""

    datasets: Names
    splits: Names | None = None
    """None means the default split of each data set."""
    seeds: list[Annotated[int, Field(ge=0, strict=True)]] = Field([0], min_length=1)
    device: str = "auto"
    plugins: list[SweepPlugin] = Field(min_length=1)

    @property
    def boards(self) -> list[tuple[str, str]]:
        """Each data set with each of its splits."""
        return [(name, split) for name in self.datasets for split in self.splits or [card.load(name).default_split]]


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep, before it is made."""

    dataset: str
    split: str
    setup: Setup
    seed: int

    def __str__(self) -> str:
        setup = self.setup
        flags = [f"{name}={getattr(setup.config, name)}" for name, origin in setup.origins.items() if origin == "flag"]
        flags += ["refit"] if setup.refit else []
        preset = f"preset {setup.preset}" if setup.preset else "no preset"
        return f"{' '.join([setup.name, *flags])} on {self.dataset}, {self.split}, {preset}, seed {self.seed}"


@dataclass(frozen=True)
class SweepResult:
    """The result of a planned run: its record, or why there is none."""

    planned: PlannedRun
    record: Record | None
    existed: bool = False
    """Whether the run was finished before."""
    fault: str = ""

    @property
    def failed(self) -> bool:
        """Whether it has no score."""
        return self.record is None or not self.record.scored


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's file; raises `UsageError` naming the file and every wrong field."""
    try:
        return Sweep.model_validate(read_toml(path, UsageError))
    except ValidationError as fault:
        lines = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in fault.errors())
        raise UsageError("\n".join(f"{path}: {line}" for line in lines)) from fault


def plan_runs(sweep: Sweep) -> list[PlannedRun]:
    """Return every run, one data set and split after the other; raises `UsageError`s, `PluginError`, `DeviceError`."""
    runs = []
    for dataset, split in sweep.boards:
        data_card = card.load(dataset)
        folds = data_card.expand_split(split)
        has_validation = all(getattr(data_card.split(fold), "valid", 1) for fold in folds)
        for plugin in sweep.plugins:
            if plugin.refit and not has_validation:
                raise UsageError(
                    f"plugin {plugin.name!r}: refit = true needs validation ratings, and split {split} of {dataset} "
                    "has none; use another split, or leave refit out"
                )
            setups = [_configure(plugin, override, dataset, split, sweep.device) for override in plugin.overrides]
            for setup, seed, fold in product(setups, sweep.seeds, folds):
                runs.append(PlannedRun(dataset, fold, setup, seed))
    return runs


def _configure(plugin: SweepPlugin, override: dict[str, Any], dataset: str, split: str, device: str) -> Setup:
    try:
        return configure(
            plugin.name, dataset=dataset, split=split, flags=override, preset=plugin.preset or None,
            use_preset=plugin.preset is not False, device=device, refit=plugin.refit,
        )  # fmt: skip
    except UsageError as fault:
        lines = str(fault).splitlines()
        raise UsageError("\n".join(f"plugin {plugin.name!r}: {line}" for line in lines)) from fault


def find_exposures(runs: list[PlannedRun], datasets: Mapping[str, Dataset]) -> list[tuple[str, Exposure | None]]:
    """Return each split with the test ratings that the choice of a preset has seen there, once for each preset."""
    exposures = []
    for dataset, split, preset in dict.fromkeys((each.dataset, each.split, each.setup.preset) for each in runs):
        with suppress(DataError):  # the run itself reports that its split cannot be made
            exposures.append((split, find_exposure(preset, datasets[dataset], datasets[dataset].split(split))))
    return exposures


def make_all(runs: Sequence[T], make: Callable[[int, T, bool], R | None]) -> Iterator[tuple[int, R]]:
    """Make all runs, and give the place of each, counted from 1, with its result.

    `make` is called with the place, the run, and whether to wait for another process that makes the same run. It first
    passes over such runs, by returning None, and comes back to them at the end: so processes that carry out the same
    sweep share its runs.
    """
    rest = list(enumerate(runs, 1))
    for wait in (False, True):
        now, rest = rest, []
        for place, planned in now:
            result = make(place, planned, wait)
            if result is None:
                rest.append((place, planned))
            else:
                yield place, result


def make_run(planned: PlannedRun, dataset: Dataset, results: Results, listener: RunListener) -> SweepResult:
    """Make a run unless it is finished, and keep its fault, if any, as a result.

    Raises `WriteError`, and `InterruptedRunError` after Ctrl-C or if nothing can be written: they end the sweep.
    """
    return _make(planned, dataset, results, listener, wait=True)


def make_free_run(planned: PlannedRun, dataset: Dataset, results: Results, listener: RunListener) -> SweepResult | None:
    """Do what `make_run` does, but return None at once while another process makes the same run."""
    try:
        return _make(planned, dataset, results, listener, wait=False)
    except TakenRunError:
        return None


def _make(planned: PlannedRun, dataset: Dataset, results: Results, listener: RunListener, *, wait: bool) -> SweepResult:
    """Do what `make_run` does; without `wait` raises `TakenRunError` while another process makes the same run."""
    try:
        request = new_request(planned.setup, dataset, dataset.split(planned.split), planned.seed)
        record, existed = run.ensure(request, dataset, results, listener, wait=wait)
    except InterruptedRunError as stop:
        if stop.fault is None or isinstance(stop.fault, WriteError):
            raise
        return SweepResult(planned, None, fault=f"{stop.reason}; run {stop.run} can be resumed")
    except WriteError:
        raise
    except CfbenchError as fault:
        if isinstance(fault, TakenRunError) and not wait:
            raise
        return SweepResult(planned, None, fault=str(fault))
    except Exception as fault:  # noqa: BLE001 (a plugin may raise anything; its run is recorded as failed)
        return SweepResult(planned, None, fault=f"{type(fault).__name__}: {' '.join(str(fault).split())}")
    return SweepResult(planned, record, existed, record.outcome.message)
