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
        words = ["cfbench", "report", "--dataset", self.card.name, "--split", ranked_board.board.split, *self._options]
        return render(gather_page(ranked_board, self.results, data), shlex.join(words), stamp)

    @property
    def _options(self) -> list[str]:
        """The options that are not the default ones."""
        words = [] if self.metric == "rmse" else ["--metric", self.metric]
        words += [] if self.clusters == "user" else ["--clusters", self.clusters]
        words += [word for name in self.plugins for word in ("--plugin", name)]
        return words + (["--all-runs"] if self.all_runs else [])
