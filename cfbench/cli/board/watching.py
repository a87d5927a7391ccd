"""What the board reads: the leaderboard that was chosen, and the runs under way. Nothing here draws."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.data import card as cards
from cfbench.data import store
from cfbench.data.split_definitions import folds_name
from cfbench.errors import CfbenchError, SkippedRunsWarning
from cfbench.leaderboard import SLICES
from cfbench.leaderboard.ranking import load_ranked_board
from cfbench.runs.under_way import list_unfinished

if TYPE_CHECKING:
    from cfbench.data.progress import ProgressListener
    from cfbench.leaderboard import Clusters, Metric
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.runs.remembered import RememberedResults
    from cfbench.runs.under_way import UnfinishedRun


@dataclass(frozen=True)
class Choice:
    """Which leaderboard is shown; the fields are options of `compare`."""

    dataset: str
    split: str
    metric: Metric = "rmse"
    clusters: Clusters = "user"
    plugins: tuple[str, ...] = ()
    all_runs: bool = False


@dataclass(frozen=True)
class BoardView:
    """A leaderboard, and what could not be read for it."""

    ranked_board: RankedBoard
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """What a look at the results finds without reading a record."""

    unfinished: tuple[UnfinishedRun, ...]
    """The unfinished runs of all data sets."""
    version: tuple[object, ...]
    """Equal as long as the leaderboard has the same runs and data."""


def look(choice: Choice, results: RememberedResults) -> Look:
    """Look for runs under way, and for new runs of the leaderboard. Raises `CfbenchError`, `OSError`."""
    card = cards.load(choice.dataset)
    names = (results.run_names(card.name, split) for split in card.expand_split(choice.split))
    return Look(tuple(list_unfinished(results)), (choice, store.is_ready(card), *names))


def load_view(choice: Choice, results: RememberedResults, listener: ProgressListener) -> BoardView:
    """Build the leaderboard with all slices; `listener` receives the progress. Raises `CfbenchError`, `OSError`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkippedRunsWarning)
        ranked_board = load_ranked_board(
            choice.dataset,
            choice.split,
            results,
            metric=choice.metric,
            clusters=choice.clusters,
            by=SLICES if store.is_ready(cards.load(choice.dataset)) else (),
            plugins=choice.plugins,
            all_runs=choice.all_runs,
            listener=listener,
        )
    lines = (line for warning in caught for line in str(warning.message).splitlines())
    return BoardView(ranked_board, tuple(dict.fromkeys(lines)))


def splits_with_runs(results: RememberedResults) -> list[tuple[str, str]]:
    """Return the data sets and splits that have a leaderboard; all folds of a cross-validation have one together."""
    return list(dict.fromkeys((dataset, _leaderboard_of(dataset, split)) for dataset, split in results.splits()))


def _leaderboard_of(dataset: str, split: str) -> str:
    """Return the name of all folds if the split is one of them, else that of the split."""
    folds = folds_name(split)
    with suppress(CfbenchError):  # the data set may be unknown here
        if split in cards.load(dataset).expand_split(folds):
            return folds
    return split


def row_key(row: RankedRow) -> str:
    """Return what identifies a row while its runs become more: the id of its oldest run."""
    return min(record.run for record in row.row.shown_records)
