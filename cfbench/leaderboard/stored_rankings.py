"""The item rankings of stored runs, whose models are opened again. Each is kept in the data folder.

A kept ranking is found again only for the same run with the same model and code (and those of its members), the same
split, and the same task.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cfbench import advice
from cfbench.errors import CfbenchError, UsageError, WriteError
from cfbench.files import data_home, write_atomically
from cfbench.leaderboard.item_ranking import ItemRanking, ItemRankings, RankingTask, default_liked, measure
from cfbench.runs import registry
from cfbench.runs.arrays import STATE
from cfbench.runs.costs import Costs
from cfbench.runs.job import reopen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.leaderboard.ranking import RankedBoard
    from cfbench.leaderboard.row import Row
    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results

FOLDER = "rankings"
"""The folder of kept rankings in the data folder; it is safe to delete."""
_VERSION = "cfbench item ranking 1"
"""Part of the key: change it when `measure` computes something else."""


def add_item_rankings(
    ranked_board: RankedBoard, results: Results, k: int, liked: float | None, listener: Callable[[str], None]
) -> RankedBoard:
    """Rank all items by the stored models of a leaderboard's rows.

    A user likes an item if the rating is at least `liked`, or for None at least `default_liked`. `listener` receives a
    line before each computation, which may take minutes. Raises `UsageError` when the data set is not downloaded.
    """
    card = ranked_board.card
    if not ranked_board.has_ratings:
        raise UsageError(
            f"items are ranked for the users of data set {card.name!r}, and it is not downloaded; "
            f"`{advice.command('download', card.name)}` gets it"
        )
    task = RankingTask(k, default_liked(card.scale) if liked is None else liked)
    reader = _RankingReader(results, task, listener)
    rows = [replace(row, items=reader.read(row.row)) for row in ranked_board.rows]
    example = next((row.items for row in rows if row.items is not None), None)
    users, left_out = (example.users, example.left_out) if example else (0, 0)
    items = ItemRankings(task, users, left_out, tuple(reader.without_model), tuple(reader.faults))
    return replace(ranked_board, rows=rows, items=items)


@dataclass
class _RankingReader:
    """Reads or computes the item rankings of stored runs, and keeps what could not be computed."""

    results: Results
    task: RankingTask
    listener: Callable[[str], None]
    without_model: list[Record] = field(default_factory=list)
    """The runs whose model is not stored."""
    faults: list[str] = field(default_factory=list)
    """Why the models of other runs could not be used."""

    def read(self, row: Row) -> ItemRanking | None:
        """The mean ranking over the seeds of a row whose models are stored on all splits; None if there is none."""
        seeds = []
        for records in row.seeds.values():
            folds = [self._read_run(record) for record in records]
            known = [fold for fold in folds if fold is not None]
            if len(known) == len(folds):
                users, left_out = sum(fold.users for fold in known), sum(fold.left_out for fold in known)
                seeds.append(_mean(known).model_copy(update={"users": users, "left_out": left_out}))
        return _mean(seeds) if seeds else None

    def _read_run(self, record: Record) -> ItemRanking | None:
        folder = self.results.place(record.request)
        if record.request.imported is not None:
            return None  # predictions of the held-out ratings alone
        if not (folder / STATE).exists():
            self.without_model.append(record)
            return None
        try:
            return self._kept_or_computed(record, folder)
        except CfbenchError as fault:
            self.faults.append(f"{record.run} could not rank items: {fault}")
            return None

    def _kept_or_computed(self, record: Record, folder: Path) -> ItemRanking | None:
        file = data_home() / FOLDER / f"{record.run}-{self._key(record)}.json"
        with suppress(OSError, ValidationError):
            return ItemRanking.model_validate_json(file.read_bytes())
        self.listener(f"ranking all items for each user: {record.run}")
        model, dataset = reopen(record, folder, self.results, "auto")
        name = record.request.plugin.name
        ranking = measure(name, model, dataset.ratings, dataset.split(record.request.split.name), self.task)
        if ranking is not None:
            with suppress(WriteError):  # then it is computed again the next time
                write_atomically(file, ranking.model_dump_json())
        return ranking

    def _key(self, record: Record) -> str:
        """The hash of everything that determines the ranking."""
        runs = [record, *Costs(self.results).members(record).values()]
        facts = [(r.run, r.files.get(STATE), _code_of(r.request)) for r in runs if r is not None]
        key = [_VERSION, record.request.split.fingerprint, self.task.k, self.task.liked, facts]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def _code_of(request: Request) -> str:
    """The hash of the code that predicts now; empty for predictions that were made elsewhere."""
    return "" if request.imported else registry.locate(request.plugin.name).source


def _mean(rankings: list[ItemRanking]) -> ItemRanking:
    """The means of the measures; users are counted in the first of the rankings."""
    means = {name: statistics.mean(getattr(r, name) for r in rankings) for name in ("ndcg", "recall", "mrr")}
    return rankings[0].model_copy(update=means)
