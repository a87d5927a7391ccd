"""A row of a leaderboard: one plugin with one config, however many seeds and folds were run, and its note."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cfbench.data.split_definitions import DEFAULT_SPLIT, OWN_SPLIT
from cfbench.runs import registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from cfbench.runs.costs import Cost
    from cfbench.runs.record import PluginFacts, Record

REFIT = "refit"
"""The note of a row whose models have learned the validation ratings too, in a second fit."""
MET_TEST = "preset met test ratings"
"""The note of a row whose preset was chosen on another split, with ratings that are test ratings of this one."""
KNOWS_DATE = "knows the date"
"""The note of a row whose plugin uses times: it is given the time of each rating that it predicts."""
IMPORTED = "imported"
"""The note of a row whose predictions were made elsewhere."""
ONE_SEED = "one seed"
"""The note of a row with one seed of a plugin whose predictions depend on the seed."""
LOST = "predictions lost"
"""The note of a row that has scores, but whose predictions are missing or damaged."""


@dataclass(frozen=True)
class Row:
    """A plugin with one config, and its runs."""

    seeds: dict[int, list[Record]]
    """For each seed with a score on every split of the leaderboard: its records, in the order of the splits."""
    others: list[Record]
    """The records of all other seeds."""
    splits: int
    """How many splits the leaderboard has: the number of folds, or 1."""
    costs: dict[str, Cost]
    """What each run took, with its members, by the run's id."""
    settings: str = ""
    """The hyper-parameters that distinguish this row from the others of its plugin, as `name=value name=value`."""

    @property
    def records(self) -> list[Record]:
        """The records that the scores consist of."""
        return [record for records in self.seeds.values() for record in records]

    @property
    def shown_records(self) -> list[Record]:
        """The records that describe the row: those with scores or, when there are none, the others."""
        return self.records or self.others

    @property
    def newest(self) -> Record:
        """The newest of the shown records."""
        return max(self.shown_records, key=start_order)

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.newest.request.plugin.name

    @property
    def config(self) -> dict[str, Any]:
        """The hyper-parameters."""
        return self.newest.request.config

    @property
    def ranked(self) -> bool:
        """Whether any seed has a score on every split."""
        return bool(self.seeds)

    def mean(self, value: Callable[[Record], float | None]) -> float | None:
        """The mean over seeds of the mean over splits; None when the value of any run is unknown."""
        means = [_mean([value(record) for record in records]) for records in self.seeds.values()]
        return _mean(means)

    def maximum(self, name: Literal["peak_memory", "peak_device_memory", "parameters"]) -> int | None:
        """The largest value of any run, with its members; None when no run has one, or a member is missing."""
        costs = [self.costs[record.run] for record in self.shown_records]
        values = [None if any(cost.missing for cost in costs) else getattr(cost, name) for cost in costs]
        return max((value for value in values if value is not None), default=None)

    @property
    def devices(self) -> str:
        """The devices that computed the runs."""
        return ", ".join(sorted({record.request.device for record in self.shown_records}))

    @property
    def rmse(self) -> float | None:
        """The mean test RMSE."""
        return self.mean(lambda record: record.outcome.rmse)

    @property
    def mae(self) -> float | None:
        """The mean test MAE."""
        return self.mean(lambda record: record.outcome.mae)

    @property
    def valid_rmse(self) -> float | None:
        """The mean validation RMSE, which chooses among configs; None when any run did not report it."""
        return self.mean(lambda record: record.outcome.valid_rmse)

    @property
    def fit_seconds(self) -> float | None:
        """The mean wall time of fitting, with that of the members."""
        return self.mean(lambda record: self.costs[record.run].fit_seconds)

    @property
    def energy_wh(self) -> float | None:
        """The mean estimated electricity of fitting in watt hours, with that of the members; None if any is unknown."""
        return self.mean(lambda record: self.costs[record.run].energy_wh)

    @property
    def predict_seconds(self) -> float | None:
        """The mean wall time of predicting the test part, with that of the members."""
        return self.mean(lambda record: self.costs[record.run].predict_seconds)

    @property
    def members(self) -> int:
        """How many runs the newest run blends; 0 for a model that is no ensemble."""
        return self.costs[self.newest.run].members

    @property
    def coverage(self) -> float | None:
        """The share of the test ratings whose user and item both have training ratings."""
        reports = [record.request.split.report for record in self.shown_records]
        test_ratings = sum(report.get("test", 0) for report in reports)
        return 1 - sum(report.get("cold_ratings", 0) for report in reports) / test_ratings if test_ratings else None

    @property
    def sd(self) -> float | None:
        """The standard deviation of the test RMSE over seeds; None for one seed."""
        means = [statistics.mean(r.outcome.rmse or 0.0 for r in records) for records in self.seeds.values()]
        return statistics.stdev(means) if len(means) > 1 else None

    @property
    def source(self) -> str:
        """Where the config came from: `tuned (30 trials)`, `preset NAME`, `flags`, several of them, or `default`.

        It is `imported` for predictions that were made elsewhere.
        """
        if self.is_imported:
            return IMPORTED
        requests = [record.request for record in self.shown_records]
        request = next((request for request in requests if request.tuned), self.newest.request)
        origins = set(request.origins.values())
        sources = []
        if request.tuned:
            sources.append(request.tuned.label)
        elif "tuning" in origins:
            sources.append("searched")
        if request.preset and "preset" in origins:
            sources.append(f"preset {request.preset}")
        if "flag" in origins:
            sources.append("flags")
        return ", ".join(sources) or "default"

    @property
    def refit(self) -> bool:
        """Whether the models were fitted again, to training and validation ratings, once validation had chosen."""
        return self.newest.request.refit

    @property
    def test_share_met(self) -> float | None:
        """The share of the test ratings that the choice of the preset has seen; None if no record has such a fact."""
        exposures = [record.request.exposure for record in self.shown_records if record.request.exposure]
        return max((exposure.share for exposure in exposures), default=None)

    @property
    def met_test(self) -> bool:
        """Whether the choice of the preset has seen test ratings; older records are judged by the preset's name."""
        return self.test_share_met is not None or any(
            request.preset == request.dataset.name and request.split.name not in (DEFAULT_SPLIT, OWN_SPLIT)
            for request in (record.request for record in self.shown_records)
        )

    @property
    def uses_times(self) -> bool:
        """Whether the plugin is given the times of the ratings that it predicts."""
        return any(record.request.plugin.uses_times for record in self.shown_records)

    @property
    def is_imported(self) -> bool:
        """Whether the predictions were made elsewhere."""
        return any(record.request.imported is not None for record in self.shown_records)

    @property
    def uses_imports(self) -> bool:
        """Whether any prediction behind the row was made elsewhere, its own or that of a member."""
        return self.is_imported or self.costs[self.newest.run].imported > 0

    @property
    def one_seed(self) -> bool:
        """Whether the score is that of one seed, and another seed could give another; unknown for imported ones."""
        return len(self.seeds) == 1 and not self.is_imported and _is_random(self.newest.request.plugin)

    @property
    def note(self) -> str:
        """The notes in one line."""
        return ", ".join(self.notes)

    @property
    def notes(self) -> list[str]:
        """What a reader of the score should know: unusual statuses, missing folds or seeds, times, imports."""
        notes = self._ranked_notes() if self.ranked else self._unranked_notes()
        if self.one_seed:
            notes.append(ONE_SEED)
        if self.refit:
            notes.append(REFIT)
        if self.met_test:
            notes.append(MET_TEST)
        if self.uses_times:
            notes.append(KNOWS_DATE)
        missing = len({name for record in self.shown_records for name in self.costs[record.run].missing})
        if missing:
            notes.append(f"cost unknown: {missing} {'member' if missing == 1 else 'members'} missing")
        imported = self.costs[self.newest.run].imported
        if imported:
            notes.append(f"cost unknown: {imported} imported {'member' if imported == 1 else 'members'}")
        if self.is_imported:
            notes.append(IMPORTED)
        return notes

    def _ranked_notes(self) -> list[str]:
        statuses = dict.fromkeys(record.outcome.status for record in self.records)
        notes: list[str] = [status for status in statuses if status != "finished"]
        notes += dict.fromkeys(doubt.kind for record in self.records for doubt in record.outcome.doubts)
        missing = len({record.request.seed for record in self.others})
        if missing:
            notes.append(f"{missing} more {'seed' if missing == 1 else 'seeds'} not complete")
        return notes

    def _unranked_notes(self) -> list[str]:
        if self.splits == 1:
            return list(dict.fromkeys(LOST if r.scored else r.outcome.status for r in self.others))
        scored_folds = defaultdict(set)
        for record in self.others:
            if record.scored:
                scored_folds[record.request.seed].add(record.request.split.name)
        most = max(map(len, scored_folds.values()), default=0)
        return [LOST if most == self.splits else f"{most} of {self.splits} folds"]


def _is_random(plugin: PluginFacts) -> bool:
    """Whether another seed can give other predictions; the installed plugin answers where the record does not."""
    return registry.is_random(plugin.name) if plugin.random is None else plugin.random


def _mean(values: list[float | None]) -> float | None:
    known_values = [value for value in values if value is not None]
    return statistics.mean(known_values) if known_values and len(known_values) == len(values) else None


def start_order(record: Record) -> tuple[datetime, str]:
    """A sort key by the start of the run; the ids alone have no order within a second."""
    return record.request.started, record.run
