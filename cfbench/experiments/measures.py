"""What is measured of the runs of an arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.contract import Epoch
from cfbench.experiments.comparing import mean_interval
from cfbench.leaderboard.intervals import interval
from cfbench.leaderboard.scoring import estimate_score, read_errors
from cfbench.runs.arrays import read_curve
from cfbench.runs.doubts import best_epoch

if TYPE_CHECKING:
    from cfbench.experiments.claims import Measure
    from cfbench.experiments.definition import Arm, PublishedValue
    from cfbench.experiments.stored import StoredRuns
    from cfbench.leaderboard.estimates import Estimate
    from cfbench.leaderboard.scoring import TestPart
    from cfbench.runs.record import Record


@dataclass(frozen=True)
class SeedRun:
    """The run of an arm with one seed."""

    record: Record
    curve: tuple[Epoch, ...]

    @property
    def seed(self) -> int:
        """The seed."""
        return self.record.request.seed

    @property
    def diverged(self) -> bool:
        """Whether training diverged."""
        return self.record.outcome.status == "diverged"

    @property
    def last_epoch(self) -> Epoch | None:
        """The last epoch; None if training diverged, or without a learning curve."""
        return None if self.diverged or not self.curve else self.curve[-1]

    @property
    def best_epoch(self) -> Epoch | None:
        """The epoch with the lowest validation RMSE; None if no epoch has any."""
        best = best_epoch(self.curve)
        return best if best is not None and best.valid_rmse is not None else None

    def value(self, measure: Measure) -> float:
        """A measure of the run: infinity if training diverged before it could be taken, NaN if it has none."""
        value = self._value(measure)
        if value is not None:
            return value
        return math.inf if self.diverged else math.nan

    def _value(self, measure: Measure) -> float | None:
        outcome, last = self.record.outcome, self.last_epoch
        best = self.best_epoch.valid_rmse if self.best_epoch else None
        final = last.valid_rmse if last else None
        values: dict[Measure, float | None] = {
            "test": outcome.rmse, "best": best, "final": final,
            "overfit": None if final is None or best is None else final - best,
            "train": last.train_rmse if last else None, "parameters": outcome.parameters,
        }  # fmt: skip
        return values[measure]


@dataclass(frozen=True)
class MeasuredValue:
    """A measure of an arm: the mean over seeds, with its interval."""

    mean: float
    """Over the seeds that have a value; NaN if none has one."""
    low: float
    high: float
    seeds: int
    """How many seeds have a value."""
    diverged: int
    """How many have none because training diverged."""


@dataclass(frozen=True, eq=False)
class ArmReport:
    """An arm on a split, with its runs."""

    arm: Arm
    split: str
    random: bool
    """Whether another seed can give another result."""
    runs: tuple[SeedRun, ...]
    """In the order of the seeds; seeds that have not been run are missing."""
    estimate: Estimate | None
    """The test RMSE with what its doubt is computed from; None unless every run has a score."""

    @property
    def diverged(self) -> int:
        """How many of the runs diverged, also of those that have a score."""
        return sum(run.diverged for run in self.runs)

    def values(self, measure: Measure) -> list[float]:
        """A measure of each run."""
        return [run.value(measure) for run in self.runs]

    def measured(self, measure: Measure) -> MeasuredValue:
        """The mean of a measure, with its interval: over users and seeds for the test RMSE, else over seeds."""
        values = self.values(measure)
        finite = [value for value in values if math.isfinite(value)]
        if measure == "test" and self.estimate is not None:
            low, high = interval(self.estimate)
        else:
            low, high = mean_interval(finite)
        mean = sum(finite) / len(finite) if finite else math.nan
        return MeasuredValue(mean, low, high, len(finite), values.count(math.inf))

    def published(self, measure: Measure) -> PublishedValue | None:
        """What the paper reports: of this split, or else the one value of the arm; None if there is none."""
        values = [value for value in self.arm.published if value.measure == measure]
        of_split = [value for value in values if value.split in (self.split, None)]
        found = of_split or values
        return found[0] if len(found) == 1 else None


def report_arm(arm: Arm, split: str, records: list[Record], stored: StoredRuns, test_part: TestPart) -> ArmReport:
    """Read the curves and the predictions of an arm's runs; raises `RecordError`."""
    folders = [stored.results.place(record.request) for record in records]
    runs = []
    for record, folder in zip(records, folders, strict=True):
        rows = read_curve(folder)
        runs.append(SeedRun(record, tuple(Epoch(epochs=len(rows), **row) for row in rows)))
    estimate = None
    if runs and all(record.scored for record in records):
        estimate = estimate_score([[read_errors(folder, test_part)] for folder in folders], "rmse")
    is_random = any(record.request.plugin.random is not False for record in records)
    return ArmReport(arm, split, is_random, tuple(runs), estimate)
