"""The leaderboard of a split: its runs, best first, and apart from them the scores published for the same protocol.

Runs are ranked together only when their splits have the same fingerprint: the same ratings, cut the same way. A row is
a plugin with one config. Several seeds are one row, and so are the folds of a cross-validation, whose score is the
mean over folds, as papers report it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.errors import UnknownNameError
from cfbench.leaderboard.row import start_order
from cfbench.leaderboard.rows import add_settings, build_rows, choose_representatives
from cfbench.runs.costs import Costs

if TYPE_CHECKING:
    from collections.abc import Collection

    from cfbench.data.card import Card, Published
    from cfbench.leaderboard.row import Row
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results


@dataclass(frozen=True)
class Leaderboard:
    """The rows of one split, or of the folds of one cross-validation."""

    dataset: str
    split: str
    protocol: str
    fingerprints: dict[str, str]
    """The fingerprint of each split, by its name."""
    rows: list[Row]
    """The rows by ascending RMSE, followed by those without a score."""
    published: list[Published]
    left_out: int
    """How many runs on splits of the same names have other fingerprints."""
    hidden: int
    """How many rows are not shown because another row represents their plugin."""

    @property
    def ranked(self) -> list[Row]:
        """The rows with a score."""
        return [row for row in self.rows if row.ranked]


def build_board(
    card: Card,
    split: str,
    results: Results,
    fingerprints: dict[str, str] | None = None,
    *,
    plugins: Collection[str] = (),
    runs: Collection[str] = (),
    all_runs: bool = False,
) -> Leaderboard:
    """Build the leaderboard of a split, or of `5fold`.

    `fingerprints` holds the fingerprint of each split, by its name. Without it, when the data set is not downloaded,
    the newest run of each split decides. `plugins` limits the rows to some plugins, and `runs` to some runs, of
    which every config is shown; `all_runs` shows every config of a plugin. Raises `UnknownNameError`.
    """
    names = card.expand_split(split)
    records = [record for name in names for record in results.records(card.name, name)]
    _check_plugins(plugins, records, f"among the runs of {card.name}, split {split}")
    if fingerprints is None:
        fingerprints = _newest_fingerprints(records)
    comparable = [r for r in records if r.request.split.fingerprint == fingerprints.get(r.request.split.name)]
    shown = [r for r in comparable if not plugins or r.request.plugin.name in plugins]
    shown = [r for r in shown if not runs or r.run in runs]
    rows = build_rows(shown, names, Costs(results, records))
    visible_rows = rows if all_runs or runs else choose_representatives(rows)
    visible_rows.sort(key=lambda row: (not row.ranked, row.rmse or 0.0, start_order(row.newest)))
    protocol = card.split(names[0]).protocol
    return Leaderboard(
        dataset=card.name,
        split=names[0] if len(names) == 1 else split,
        protocol=protocol,
        fingerprints=fingerprints,
        rows=add_settings(visible_rows),
        published=published(card, protocol),
        left_out=len(records) - len(comparable),
        hidden=len(rows) - len(visible_rows),
    )


def _check_plugins(plugins: Collection[str], records: list[Record], advice: str) -> None:
    known_plugins = {record.request.plugin.name for record in records}
    for name in plugins:
        if name not in known_plugins:
            raise UnknownNameError("plugin", name, known_plugins, advice=advice)


def _newest_fingerprints(records: list[Record]) -> dict[str, str]:
    """The fingerprint of each split, by its name, in its newest run."""
    in_order = sorted(records, key=start_order)
    return {record.request.split.name: record.request.split.fingerprint for record in in_order}


def published(card: Card, protocol: str) -> list[Published]:
    """The scores published for a protocol, best first; none for a split without a protocol.

    The protocol "random 90/10" also selects the scores of "random 90/10, mean of 5".
    """
    if not protocol:
        return []
    scores = [s for s in card.published if s.protocol == protocol or s.protocol.startswith(f"{protocol},")]
    return sorted(scores, key=lambda score: score.rmse)
