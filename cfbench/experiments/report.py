"""The report of an experiment on a data set: what was measured of each arm, and the verdict on each claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from cfbench.experiments.claims import ExactClaim, Measure
from cfbench.experiments.grid import plan_grid
from cfbench.experiments.measures import report_arm
from cfbench.experiments.parameters import count_parameters
from cfbench.experiments.verdict import judge
from cfbench.leaderboard.scoring import build_test_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cfbench.experiments.claims import Claim
    from cfbench.experiments.definition import Arm, Experiment
    from cfbench.experiments.grid import Grid, GridRun
    from cfbench.experiments.measures import ArmReport
    from cfbench.experiments.stored import StoredRuns
    from cfbench.experiments.verdict import Verdict


@dataclass(frozen=True, eq=False)
class SplitReport:
    """The arms and the verdicts of one split. `ArmReport.runs` has the learning curves of each seed."""

    split: str
    protocol: str
    arms: tuple[ArmReport, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class ExperimentReport:
    """An experiment on a data set."""

    grid: Grid
    measures: tuple[Measure, ...]
    """What the claims and the published values are about, and the test RMSE."""
    splits: tuple[SplitReport, ...]
    missing: tuple[GridRun, ...]
    """The runs that have not been made."""
    outdated: int
    """How many of them have been made by other code of their plugin, and do not count."""

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts of all splits."""
        return [verdict for split in self.splits for verdict in split.verdicts]

    @property
    def made(self) -> int:
        """How many runs have been made."""
        return len(self.grid.runs) - len(self.missing)


def plan_stored_grid(experiment: Experiment, stored: StoredRuns) -> Grid:
    """Plan the grid with as many seeds as all arms have been run with, and no fewer than the experiment wants.

    Experiments share runs, so that one arm may have been run with more seeds, for another experiment.
    """
    dataset = stored.dataset.card.name
    grid = plan_grid(experiment, dataset)
    while True:
        larger = plan_grid(experiment, dataset, seeds=grid.seeds + 1)
        added = [run for run in larger.runs if run.planned.seed == grid.seeds]
        if not all(stored.find(run.planned) for run in added):
            return grid
        grid = larger


def build_report(grid: Grid, stored: StoredRuns) -> ExperimentReport:
    """Report what the stored runs of a grid say; raises `RecordError`, `DataError`s."""
    experiment = grid.experiment
    found = {run: stored.find(run.planned) for run in grid.runs}
    splits = []
    for name in grid.splits:
        split = stored.dataset.split(name)
        test_part = build_test_part(stored.dataset.ratings, split)
        arms = []
        for arm in grid.arms(name):
            records = [record for run in grid.of(arm, name) if (record := found[run]) is not None]
            arms.append(report_arm(arm, name, records, stored, test_part))
        splits.append(SplitReport(name, split.definition.protocol, tuple(arms), _judge_all(grid, name, arms)))
    missing = tuple(run for run in grid.runs if found[run] is None)
    outdated = sum(stored.is_outdated(run.planned) for run in missing)
    return ExperimentReport(grid, _measures(experiment.arms, experiment.claims), tuple(splits), missing, outdated)


def _judge_all(grid: Grid, split: str, arms: list[ArmReport]) -> tuple[Verdict, ...]:
    """The verdict on each claim whose arms are all run on the split."""
    by_label = {arm.arm.label: arm for arm in arms}
    claims = [claim for claim in grid.experiment.claims if set(claim.labels) <= by_label.keys()]
    return tuple(judge(claim, split, by_label, _counts(grid, claim)) for claim in claims)


def _counts(grid: Grid, claim: Claim) -> dict[str, int]:
    """The numbers of parameters that an exact claim is about."""
    if not isinstance(claim, ExactClaim):
        return {}
    first_runs = {run.arm.label: run for run in reversed(grid.runs)}
    return {label: count_parameters(first_runs[label].planned.setup, claim.items) for label in claim.labels}


def _measures(arms: Iterable[Arm], claims: Iterable[Claim]) -> tuple[Measure, ...]:
    """What is shown, in the order in which `Measure` names it."""
    shown = {"test"} | {value.measure for arm in arms for value in arm.published}
    shown |= {measure for claim in claims if (measure := getattr(claim, "measure", None)) is not None}
    return tuple(measure for measure in get_args(Measure) if measure in shown)
