"""LEADERBOARD: the runs of a data set and split, best first, and what was published under the same protocol, apart.

Runs are ranked together only when they share the split's fingerprint: the same ratings, cut the same way. A row is a
plugin with one config: several seeds are one row, and so are the folds of a cross-validation, whose score is the mean
over folds, as papers report it. Of each plugin the row with the best validation RMSE stands for it, as a tuned model
would be chosen: to choose by the test ratings, or to show twenty configs of one plugin beside one of another, would
reward trying often.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cfbench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from cfbench.data.card import Card, Published
    from cfbench.runs.record import Outcome, Record
    from cfbench.runs.results import Results


@dataclass(frozen=True)
class Row:
    """A plugin with one config, as often as it was run."""

    seeds: dict[int, list[Record]]
    """Of each seed that is scored on every split of the board, its records in the order of the splits."""
    others: list[Record]
    """Records of seeds that are not."""
    splits: int

    @property
    def records(self) -> list[Record]:
        """All that the scores are made of."""
        return [record for records in self.seeds.values() for record in records]

    @property
    def last(self) -> Record:
        """The newest record, scored if any is."""
        return max(self.records or self.others, key=_age)

    @property
    def plugin(self) -> str:
        """Its name."""
        return self.last.request.plugin.name

    @property
    def ranked(self) -> bool:
        """Whether any seed is scored on every split."""
        return bool(self.seeds)

    def mean(self, of: Callable[[Outcome], float | None]) -> float | None:
        """The mean over seeds of the mean over splits; None when any is unknown."""
        each = [_mean([of(record.outcome) for record in records]) for records in self.seeds.values()]
        return _mean(each)

    def most(self, name: Literal["peak_memory", "peak_device_memory", "parameters"]) -> int | None:
        """The largest of any run."""
        values = [getattr(record.outcome, name) for record in self.records or self.others]
        return max((value for value in values if value is not None), default=None)

    @property
    def devices(self) -> str:
        """Where it was computed."""
        return ", ".join(sorted({record.request.device for record in self.records or self.others}))

    @property
    def rmse(self) -> float | None:
        """The mean test RMSE."""
        return self.mean(lambda outcome: outcome.rmse)

    @property
    def valid_rmse(self) -> float | None:
        """The mean validation RMSE, by which configs are chosen; None when any run did not report it."""
        return self.mean(lambda outcome: outcome.valid_rmse)

    @property
    def coverage(self) -> float | None:
        """The share of the test ratings whose user and item training met: what a model can answer for by itself."""
        reports = [record.request.split.report for record in self.records or self.others]
        asked = sum(report.get("test", 0) for report in reports)
        return 1 - sum(report.get("cold_ratings", 0) for report in reports) / asked if asked else None

    @property
    def sd(self) -> float | None:
        """The standard deviation of the test RMSE over seeds; None for one seed."""
        each = [statistics.mean(r.outcome.rmse or 0.0 for r in records) for records in self.seeds.values()]
        return statistics.stdev(each) if len(each) > 1 else None

    @property
    def source(self) -> str:
        """Where its config came from: `tuned`, `preset NAME`, `flags`, or `default`."""
        requests = [record.request for record in self.records or self.others]
        asked = next((request for request in requests if request.tuned), self.last.request)
        origins = set(asked.origins.values()) | ({"tuning"} if asked.tuned else set())
        preset = [f"preset {asked.preset}"] if asked.preset and "preset" in origins else []
        words = ["tuned"] * ("tuning" in origins) + preset + ["flags"] * ("flag" in origins)
        return ", ".join(words) or "default"

    @property
    def note(self) -> str:
        """What is not as it should be: a status, or folds and seeds that are missing."""
        statuses = dict.fromkeys(r.outcome.status for r in self.records if r.outcome.status != "finished")
        if not self.others:
            return ", ".join(statuses)
        if self.splits > 1 and not self.ranked:
            done = defaultdict(set)
            for record in self.others:
                done[record.request.seed].add(record.request.split.name if record.scored else "")
            most = max(len(names - {""}) for names in done.values())
            return f"{most} of {self.splits} folds"
        if not self.ranked:
            return ", ".join(dict.fromkeys(record.outcome.status for record in self.others))
        missing = len({record.request.seed for record in self.others})
        return ", ".join([*statuses, f"{missing} more seed{'s' * (missing > 1)} not complete"])


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return statistics.mean(v for v in known if v is not None) if known and None not in known else None


@dataclass(frozen=True)
class Leaderboard:
    """The rows of one split or of the folds of one cross-validation."""

    dataset: str
    split: str
    protocol: str
    fingerprints: dict[str, str]
    """Of each split."""
    rows: list[Row]
    """Smallest RMSE first; then those that cannot be ranked."""
    published: list[Published]
    left_out: int
    """Runs under the same names but of another fingerprint."""
    hidden: int
    """SparseRows for which a better one of the same plugin stands."""

    @property
    def ranked(self) -> list[Row]:
        """Those with a score."""
        return [row for row in self.rows if row.ranked]


def build_board(
    card: Card,
    split: str,
    results: Results,
    fingerprints: dict[str, str] | None = None,
    *,
    plugins: Collection[str] = (),
    all_runs: bool = False,
) -> Leaderboard:
    """The leaderboard of a split, or of `5fold`; raises `RecordError` when a run cannot be read, `UnknownNameError`.

    `fingerprints` of the splits, by name; without them, when the data are not here, those of the newest runs hold.
    """
    names = card.expand_split(split)
    found = [record for name in names for record in results.records(card.name, name)]
    newest = {record.request.split.name: record.request.split.fingerprint for record in sorted(found, key=_age)}
    held = newest if fingerprints is None else fingerprints
    for name in plugins:
        if name not in (known := {record.request.plugin.name for record in found}):
            raise UnknownNameError("plugin", name, known, advice=f"among the runs of {card.name}, split {split}")
    mine = [r for r in found if r.request.split.fingerprint == held.get(r.request.split.name)]
    rows = _rows([r for r in mine if not plugins or r.request.plugin.name in plugins], names)
    shown = rows if all_runs else [_chosen(of_one) for of_one in _grouped(rows, lambda row: row.plugin)]
    shown.sort(key=lambda row: (not row.ranked, row.rmse or 0.0, _age(row.last)))
    protocol = card.split(names[0]).protocol
    name = names[0] if len(names) == 1 else split
    scores = published(card, protocol)
    return Leaderboard(
        card.name, name, protocol, held, shown, scores, len(found) - len(mine), len(rows) - len(shown)
    )  # fmt: skip


def _age(record: Record) -> tuple[datetime, str]:
    """What grows with time: the ids of one second are in no order."""
    return record.request.started, record.run


def _worth(record: Record) -> tuple[bool, bool, tuple[datetime, str]]:
    """What grows with how much a run says."""
    return record.scored, record.request.tuned is not None, _age(record)


def _grouped(things: Iterable[Any], key: Callable[[Any], Any]) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return list(groups.values())


def _rows(records: list[Record], splits: list[str]) -> list[Row]:
    """A row a plugin, of the version of a package, and config."""
    configs = _grouped(
        records,
        lambda r: (r.request.plugin.name, r.request.plugin.package, json.dumps(r.request.config, sort_keys=True)),
    )
    return [_row(of_one, splits) for of_one in configs]


def _row(records: list[Record], splits: list[str]) -> Row:
    """Of the runs of a seed and split the newest counts, if possible a scored and tuned one: they predict the same."""
    seeds: dict[int, list[Record]] = {}
    others: list[Record] = []
    for of_seed in _grouped(sorted(records, key=lambda r: r.request.seed), lambda r: r.request.seed):
        newest = {
            r.request.split.name: r
            for r in sorted(of_seed, key=lambda r: (r.scored, r.request.tuned is not None, _age(r)))
        }
        if all(name in newest and newest[name].scored for name in splits):
            seeds[of_seed[0].request.seed] = [newest[name] for name in splits]
        else:
            others += newest.values()
    return Row(seeds, others, len(splits))


def _chosen(rows: list[Row]) -> Row:
    """The row that stands for its plugin: never chosen by test ratings."""
    ranked = [row for row in rows if row.ranked]
    known = [row for row in ranked if row.valid_rmse is not None]
    if known:
        return min(known, key=lambda row: (row.valid_rmse, _age(row.last)))
    return max(ranked or rows, key=lambda row: _age(row.last))


def published(card: Card, protocol: str) -> list[Published]:
    """Scores published under a protocol ("random 90/10" also finds "random 90/10, mean of 5"), best first."""
    same = [s for s in card.published if protocol and (s.protocol == protocol or s.protocol.startswith(f"{protocol},"))]
    return sorted(same, key=lambda score: score.rmse)
