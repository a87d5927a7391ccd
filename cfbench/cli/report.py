"""`cfbench report`: the leaderboard as one HTML file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from cfbench.cli.progress import FileProgress
from cfbench.leaderboard import Clusters, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_OUT = Path("report.html")


def report(
    dataset: DatasetOption = None,
    split: SplitOption = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file that is written.")] = DEFAULT_OUT,
    metric: Annotated[Metric, typer.Option("--metric", help="The score that ranks, as in `compare`.")] = "rmse",
    clusters: Annotated[
        Clusters, typer.Option("--clusters", help="Of what the test ratings are a sample, as in `compare`.")
    ] = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:  # fmt: skip
    """Write the leaderboard of a data set and split as one HTML file that needs no network.

    The page says which model is best, whether that is sure, and what it costs. It has the leaderboard with its
    intervals, the errors by slice, learning curves, the differences of all pairs, and the record of every run with the
    command that makes it again.

    Examples: cfbench report --dataset ml-100k; cfbench report --dataset ml-1m --out ml-1m.html
    """
    from cfbench.data import store
    from cfbench.files import format_bytes, write_atomically
    from cfbench.leaderboard import SLICES
    from cfbench.leaderboard.ranking import load_ranked_board
    from cfbench.report.html import render, require_libraries
    from cfbench.report.page import gather_page
    from cfbench.runs.results import Results

    require_libraries()
    card, stored_runs = dataset_card(dataset), Results(results)
    data = store.open_dataset(card) if store.is_ready(card) else None
    with FileProgress() as progress:
        ranked_board = load_ranked_board(
            card.name,
            split or card.default_split,
            stored_runs,
            metric=metric,
            clusters=clusters,
            by=() if data is None else SLICES,
            plugins=plugin or [],
            all_runs=all_runs,
            listener=progress,
        )
    options = _options(metric, clusters, plugin or [], all_runs=all_runs)
    words = ["cfbench", "report", "--dataset", card.name, "--split", ranked_board.board.split, *options]
    page = render(gather_page(ranked_board, stored_runs, data), shlex.join(words)).encode(errors="replace")
    write_atomically(out, page, "--out")
    console.say(f"wrote {out} ({format_bytes(len(page))})")


def _options(metric: Metric, clusters: Clusters, plugins: Sequence[str], *, all_runs: bool) -> list[str]:
    """The options that are not the default ones."""
    words = [] if metric == "rmse" else ["--metric", metric]
    words += [] if clusters == "user" else ["--clusters", clusters]
    words += [word for name in plugins for word in ("--plugin", name)]
    return words + (["--all-runs"] if all_runs else [])
