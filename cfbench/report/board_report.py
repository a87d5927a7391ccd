"""The page of a leaderboard, as the options of `report` and of `serve` choose it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.data import store
from cfbench.leaderboard import SLICES
from cfbench.leaderboard.ranking import SILENT, load_ranked_board
from cfbench.report.html import render
from cfbench.report.page import gather_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.data.card import Card
    from cfbench.data.progress import ProgressListener
    from cfbench.leaderboard import Clusters, Metric
    from cfbench.runs.results import Results


@dataclass(frozen=True)
class BoardReport:
    """Which leaderboard a page shows."""

    card: Card
    split: str
    results: Results
    metric: Metric = "rmse"
    clusters: Clusters = "user"
    plugins: tuple[str, ...] = ()
    all_runs: bool = False

    def write(self, listener: ProgressListener = SILENT, *, stamp: str = "") -> str:
        """Return the page as HTML, as `render` does with this stamp. Raises what `load_ranked_board` raises."""
        data = store.open_dataset(self.card) if store.is_ready(self.card) else None
        ranked_board = load_ranked_board(
            self.card.name,
            self.split,
            self.results,
            metric=self.metric,
            clusters=self.clusters,
            by=() if data is None else SLICES,
            plugins=self.plugins,
            all_runs=self.all_runs,
            listener=listener,
        )
        options = board_words(self.metric, self.clusters, self.plugins, all_runs=self.all_runs)
        words = ["cfbench", "report", "--dataset", self.card.name, "--split", ranked_board.board.split, *options]
        return render(gather_page(ranked_board, self.results, data), shlex.join(words), stamp)


def board_words(metric: Metric, clusters: Clusters, plugins: Sequence[str], *, all_runs: bool) -> list[str]:
    """Return the options of a leaderboard that are not the default ones, as words of a command line."""
    words = [] if metric == "rmse" else ["--metric", metric]
    words += [] if clusters == "user" else ["--clusters", clusters]
    words += [word for name in plugins for word in ("--plugin", name)]
    return words + (["--all-runs"] if all_runs else [])
