"""The rows of a leaderboard, made from records, and which of them represent a plugin.

A plugin is represented by its row with the best validation RMSE, as a tuned model is chosen. A choice by the test
ratings, or twenty configs of one plugin beside one config of another, would reward the plugin that was tried most
often.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from cfbench.contract import format_value
from cfbench.leaderboard.row import Row, start_order

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from cfbench.runs.costs import Costs
    from cfbench.runs.record import Record

T = TypeVar("T")


def _group_by(values: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """The values in groups of equal keys, in the order in which the keys first appear."""
    groups: dict[Hashable, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return list(groups.values())


def build_rows(records: list[Record], splits: list[str], costs: Costs) -> list[Row]:
    """One row for each plugin, version of its package, source, and config; runs with `--refit` have rows of their own.

    Records that are older than the hash of the source have none, and are grouped as if their sources were the same.
    """
    groups = _group_by(records, lambda r: (_code_of(r), r.request.refit, json.dumps(r.request.config, sort_keys=True)))
    return [_build_row(group, splits, costs) for group in groups]


def _code_of(record: Record) -> tuple[str, str, str]:
    """The plugin, the version of its package, and the hash of its source."""
    plugin = record.request.plugin
    return plugin.name, plugin.package, plugin.source


def _build_row(records: list[Record], splits: list[str], costs: Costs) -> Row:
    """Build a row with one run for each seed and split.

    Runs of the same config, seed and split predict the same. The newest one counts, but a run with a score comes before
    one without, and a tuned run before one that is not.
    """
    seeds: dict[int, list[Record]] = {}
    others: list[Record] = []
    for group in _group_by(sorted(records, key=lambda r: r.request.seed), lambda r: r.request.seed):
        ascending = sorted(group, key=lambda r: (r.scored, r.request.tuned is not None, start_order(r)))
        by_split = {record.request.split.name: record for record in ascending}
        if all(name in by_split and by_split[name].scored for name in splits):
            seeds[group[0].request.seed] = [by_split[name] for name in splits]
        else:
            others += by_split.values()
    return Row(seeds, others, len(splits), {record.run: costs.of(record) for record in records})


def choose_representatives(rows: list[Row]) -> list[Row]:
    """The row that represents each plugin, and the one that represents its runs with `--refit`: the best by validation.

    When no row has one, a deliberate config comes first: tuned or a preset, then the default, then any other. Of equals
    the newest is chosen; the test ratings never choose.
    """
    return [_choose_representative(group) for group in _group_by(rows, lambda row: (row.plugin, row.refit))]


def _choose_representative(rows: list[Row]) -> Row:
    ranked = [row for row in rows if row.ranked]
    with_validation = [row for row in ranked if row.valid_rmse is not None]
    if with_validation:
        return min(with_validation, key=lambda row: (row.valid_rmse, start_order(row.newest)))
    return max(ranked or rows, key=lambda row: (_choice_level(row), start_order(row.newest)))


def _choice_level(row: Row) -> int:
    """How deliberately a config was chosen: 2 if tuned or a preset, 1 for the default, 0 if flags changed it."""
    origins = {origin for record in row.shown_records for origin in record.request.origins.values()}
    if "tuning" in origins or any(record.request.tuned for record in row.shown_records):
        return 2
    if "flag" in origins:
        return 0
    return 2 if "preset" in origins else 1


def add_settings(rows: list[Row]) -> list[Row]:
    """The rows, each with the hyper-parameters, and the code, that differ between the rows of its plugin."""
    rows_by_plugin = _group_by(rows, lambda row: row.plugin)
    settings = {id(row): text for group in rows_by_plugin for row, text in zip(group, _settings(group), strict=True)}
    return [replace(row, settings=settings[id(row)]) for row in rows]


def _settings(rows: list[Row]) -> list[str]:
    """The text of what differs between the rows of one plugin, for each of them.

    The record of an older version lacks newer hyper-parameters. They have the default that another record shows, or
    are left out.
    """
    requests = [row.newest.request for row in rows]
    defaults = {name: r.config[name] for r in requests for name in r.config if r.origins.get(name) == "default"}
    # the start of the hash of the plugin's source is shown as if it were a hyper-parameter
    configs = [{"code": r.plugin.source[:7] or "unknown"} | defaults | r.config for r in requests]
    names = dict.fromkeys(name for config in configs for name in config)
    differing = [name for name in names if len({str(config.get(name)) for config in configs}) > 1]
    return [" ".join(f"{n}={format_value(config[n])}" for n in differing if n in config) for config in configs]
