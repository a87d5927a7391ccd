"""The runs of an experiment on a data set, as those of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfbench.data import card
from cfbench.errors import UsageError
from cfbench.runs.sweep import PlannedRun, Sweep, SweepPlugin, plan_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cfbench.experiments.definition import Arm, Experiment, ExperimentScale, Overrides


@dataclass(frozen=True, eq=False)
class GridRun:
    """A run of an experiment, before it is made."""

    arm: Arm
    planned: PlannedRun

    @property
    def split(self) -> str:
        """The split on which it is made."""
        return self.planned.split

    def __str__(self) -> str:
        return f"{self.arm.label!r} on {self.planned.dataset}, {self.split}, seed {self.planned.seed}"


@dataclass(frozen=True, eq=False)
class Grid:
    """All runs of an experiment on a data set."""

    experiment: Experiment
    dataset: str
    splits: tuple[str, ...]
    seeds: int
    runs: tuple[GridRun, ...]
    """Seed 0 of all arms, then seed 1, and so on: a grid that is stopped has as many seeds of one arm as of another."""

    def of(self, arm: Arm, split: str) -> list[GridRun]:
        """The runs of an arm on a split, in the order of their seeds."""
        return [run for run in self.runs if run.arm is arm and run.split == split]

    def arms(self, split: str) -> list[Arm]:
        """The arms that are run on a split."""
        return [arm for arm in self.experiment.arms if self.of(arm, split)]


def plan_grid(experiment: Experiment, dataset: str, *, seeds: int | None = None, device: str = "auto") -> Grid:
    """Plan the runs of an experiment on a data set; raises `UsageError`s, `PluginError`, `DeviceError`."""
    scale = experiment.scale(dataset)
    count = seeds or scale.seeds
    data_card = card.load(dataset)
    splits = tuple(map(data_card.canonical_name, scale.splits or (data_card.default_split,)))
    runs = [
        GridRun(arm, planned)
        for split in splits
        for arm in experiment.arms
        if split in arm.splits.get(dataset, splits)
        for planned in _plan_arm(experiment, scale, arm, dataset, split, count, device)
    ]
    runs.sort(key=lambda run: run.planned.seed)  # the order of splits and arms stays
    return Grid(experiment, dataset, splits, count, tuple(runs))


def _plan_arm(
    experiment: Experiment, scale: ExperimentScale, arm: Arm, dataset: str, split: str, seeds: int, device: str
) -> list[PlannedRun]:
    """The runs of an arm on one split, one for each seed."""
    common, local = experiment.common.get(arm.plugin, {}), scale.overrides.get(arm.plugin, {})
    overrides = common | local | arm.overrides
    plugin = SweepPlugin(name=arm.plugin, preset=arm.preset, overrides=[overrides])
    sweep = Sweep(datasets=[dataset], splits=[split], seeds=list(range(seeds)), device=device, plugins=[plugin])
    try:
        planned = plan_runs(sweep)
        if not arm.multiply:
            return planned
        overrides |= _multiplied(planned[0].setup.config, arm.multiply)
        return plan_runs(sweep.model_copy(update={"plugins": [plugin.model_copy(update={"overrides": [overrides]})]}))
    except UsageError as fault:
        where = f"experiment {experiment.name}, arm {arm.label!r}"
        raise UsageError("\n".join(f"{where}: {line}" for line in str(fault).splitlines())) from fault


def _multiplied(config: Any, factors: Mapping[str, int]) -> Overrides:
    """The hyper-parameters that have a factor, multiplied; a list element by element. Raises `UsageError`."""
    result = {}
    for name, factor in factors.items():
        value: Any = getattr(config, name, None)
        values: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
        if isinstance(value, bool) or not all(isinstance(element, int | float) for element in values):
            raise UsageError(f"multiply: {name} is {value!r}, expected a hyper-parameter that is a number or a list")
        result[name] = [factor * element for element in values] if isinstance(value, tuple) else factor * value
    return result
