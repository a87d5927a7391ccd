"""Which models a figure shows: those of runs, or those of a leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.cli.dataset_choice import dataset_card
from cfbench.cli.progress import FileProgress
from cfbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from cfbench.leaderboard import Clusters, Metric, SliceBy
    from cfbench.leaderboard.ranking import RankedBoard
    from cfbench.runs.record import Record


@dataclass(frozen=True)
class Selection:
    """What the command line chooses; dataset and split are None for the default ones."""

    results: Path
    runs: Sequence[str] = ()
    dataset: str | None = None
    split: str | None = None
    metric: Metric = "rmse"
    clusters: Clusters = "user"
    plugins: Sequence[str] = ()
    all_runs: bool = False

    def load(self, by: Collection[SliceBy] = ()) -> tuple[RankedBoard, list[str]]:
        """The leaderboard with the chosen rows, and the words of a command line that choose them.

        Raises `UsageError`, `UnknownNameError`.
        """
        from cfbench.leaderboard.ranking import load_ranked_board
        from cfbench.report.board_report import board_words
        from cfbench.runs.results import Results

        options = board_words(self.metric, self.clusters, self.plugins, all_runs=self.all_runs)
        records = self._find()
        if records:
            dataset, split = records[0].request.dataset.name, records[0].request.split.name
            words = [*(record.run for record in records), *options]
        else:
            card = dataset_card(self.dataset)
            dataset, split = card.name, self.split or card.default_split
            words = ["--dataset", dataset, "--split", split, *options]
        with FileProgress() as progress:
            ranked_board = load_ranked_board(
                dataset, split, Results(self.results), metric=self.metric, clusters=self.clusters, by=by,
                plugins=self.plugins, runs=[record.run for record in records], all_runs=self.all_runs,
                listener=progress,
            )  # fmt: skip
        self._require_rows(ranked_board, records)
        return ranked_board, words

    def _find(self) -> list[Record]:
        """The records of the runs; raises `UsageError` if they cannot be in one figure."""
        from cfbench.runs.results import Results

        records = list({r.run: r for r, _ in map(Results(self.results).find, self.runs)}.values())
        if records and (self.dataset or self.split or self.plugins or self.all_runs):
            raise UsageError(
                "the runs say what is drawn; leave out --dataset, --split, --plugin and --all-runs, or the runs"
            )
        for record in records:
            if _place(record) != _place(records[0]):
                raise UsageError(
                    f"one figure needs runs on one split, but {records[0].run} is on {_place(records[0])} and "
                    f"{record.run} on {_place(record)}"
                )
        return records

    def _require_rows(self, ranked_board: RankedBoard, records: Sequence[Record]) -> None:
        """Raise `UsageError` if a run has no score that can be drawn, or if nothing has."""
        scored = {record.run for row in ranked_board.placed_rows for record in row.row.records}
        for record in records:
            if record.run not in scored:
                raise UsageError(
                    f"run {record.run} has no score on these ratings, or another of the runs repeats it with the same "
                    f"seed; see {advice.command('show', record.run, results=self.results)}"
                )
        if not scored:
            board = ranked_board.board
            command = advice.command("run", "bias", dataset=board.dataset, split=board.split, results=self.results)
            raise UsageError(
                f"no run of {board.dataset}, split {board.split}, in {self.results} has a score; `{command}` makes one"
            )


def _place(record: Record) -> str:
    return f"{record.request.dataset.name}, {record.request.split.name}"
