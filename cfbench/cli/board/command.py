"""`cfbench board`: the leaderboard on the whole terminal, always up to date."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.dataset_choice import dataset_card
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    AllRunsOption,
    DatasetOption,
    PluginsOption,
    ResultsOption,
    SplitOption,
)
from cfbench.errors import UsageError
from cfbench.leaderboard import Clusters, Metric
from cfbench.libraries import require


def board(
    dataset: DatasetOption = None,
    split: SplitOption = None,
    metric: Annotated[Metric, typer.Option("--metric", help="The score that ranks, as in `compare`.")] = "rmse",
    clusters: Annotated[
        Clusters, typer.Option("--clusters", help="Of what the test ratings are a sample, as in `compare`.")
    ] = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Watch the leaderboard and the runs under way on the whole terminal; start, stop and compare runs there.

    New runs appear by themselves. The runs under way have their learning curves and the time that is left. The last
    line shows the keys, and the mouse works too. A run that you start is a process of its own: it goes on when the
    board ends, and a run that you stop can be resumed. NO_COLOR turns the colours off.

    Examples: cfbench board; cfbench board --dataset ml-1m --split 5fold --metric mae
    """
    require("textual", "the board", "cfbench-recsys[board]")
    card = dataset_card(dataset)
    chosen_split = split or card.default_split
    card.expand_split(chosen_split)
    if not (console.out().is_terminal and sys.stdin.isatty()):
        compare = advice.command("compare", dataset=card.name, split=chosen_split, results=results)
        raise UsageError(f"the board needs a terminal for its input and output; `{compare}` prints the leaderboard")
    from cfbench.cli.board.app import BoardApp
    from cfbench.cli.board.watching import Choice

    choice = Choice(card.name, chosen_split, metric, clusters, tuple(plugin or ()), all_runs)
    BoardApp(choice, results, colours=not os.environ.get("NO_COLOR")).run()
