"""`cfbench report`: the leaderboard as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.cli.dataset_choice import dataset_card
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    AllRunsOption,
    ClustersOption,
    DatasetOption,
    MetricOption,
    PluginsOption,
    ResultsOption,
    SplitOption,
)
from cfbench.cli.progress import FileProgress

DEFAULT_OUT = Path("report.html")


def report(
    dataset: DatasetOption = None,
    split: SplitOption = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file that is written.")] = DEFAULT_OUT,
    metric: MetricOption = "rmse",
    clusters: ClustersOption = "user",
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
    from cfbench.files import format_bytes, write_atomically
    from cfbench.report.board_report import BoardReport
    from cfbench.report.html import require_libraries
    from cfbench.runs.results import Results

    require_libraries()
    card = dataset_card(dataset)
    chosen = BoardReport(
        card, split or card.default_split, Results(results), metric, clusters, tuple(plugin or ()), all_runs
    )
    with FileProgress() as progress:
        page = chosen.write(progress).encode(errors="replace")
    write_atomically(out, page, "--out")
    console.say(f"wrote {out} ({format_bytes(len(page))})")
