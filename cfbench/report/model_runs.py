"""The runs of each model in a page: what they share is written once, and what differs is a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.report import numbers
from cfbench.report.record_facts import record_facts
from cfbench.runs.rerun import portable_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.ranking import RankedRow
    from cfbench.runs.costs import Cost
    from cfbench.runs.record import Record


@dataclass(frozen=True)
class ModelRuns:
    """The records of a row of the leaderboard."""

    anchor: str
    label: str
    title: str
    score: str
    command: str
    """The command line that makes the first run again."""
    other_seeds: tuple[int, ...]
    needs_members: bool
    shared: tuple[tuple[str, str], ...]
    """The facts that all runs share, with their names."""
    config: tuple[tuple[str, str], ...]
    """The hyper-parameters with the origin of each value."""
    headings: tuple[str, ...]
    """The names of the facts that differ."""
    runs: tuple[tuple[str, ...], ...]
    """The facts that differ, of each run."""


def describe_runs(row: RankedRow, anchor: str, label: str, split: str) -> ModelRuns:
    """Everything that the records of a row hold; `split` is that of the leaderboard, which may mean several folds."""
    records = [*row.row.records, *row.row.others]
    facts = [_facts(record, row.row.costs[record.run]) for record in records]
    names = list(dict.fromkeys(name for each in facts for name in each))
    differing = [name for name in names if len({each.get(name, "") for each in facts}) > 1 or name == "run"]
    shared = [(name, facts[0][name]) for name in names if name not in differing]
    request = records[0].request
    seeds = sorted({record.request.seed for record in records} - {request.seed})
    return ModelRuns(
        anchor, label, request.plugin.title, numbers.score(row.score), portable_command(request, split),
        tuple(seeds), row.row.members > 0,
        tuple(fact for fact in shared if not fact[0].startswith(" ")),
        tuple((name.strip(), value) for name, value in shared if name.startswith(" ")),
        tuple(name.strip() for name in differing),
        tuple(tuple(each.get(name, "") for name in differing) for each in facts),
    )  # fmt: skip


def _facts(record: Record, cost: Cost) -> dict[str, str]:
    """The facts of a record, with the longest ones last; a fact without a value is a heading and is left out."""
    facts = record_facts(record, cost)
    files = ", ".join(sorted(record.files))
    return {name: value for name, value in facts.items() if value} | ({"files": files} if files else {})


def count_runs(models: Sequence[ModelRuns]) -> int:
    """How many records the models have."""
    return sum(len(model.runs) for model in models)
