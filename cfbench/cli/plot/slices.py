"""`cfbench plot slices`: the errors of models over slices of the test ratings."""

from __future__ import annotations

from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    AllRunsOption,
    ClustersOption,
    DatasetOption,
    PluginsOption,
    ResultsOption,
    SplitOption,
)
from cfbench.cli.plot.options import OutOption, RunsArgument, WidthOption, write_picture
from cfbench.cli.plot.selection import Selection
from cfbench.leaderboard import SLICES, SliceBy


def slices(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    out: OutOption,
    run: RunsArgument = None,
    by: Annotated[
        SliceBy | None,
        typer.Option("--by", show_default=False, help="What divides the test ratings. Default: all three, in a panel "
                     "each."),
    ] = None,
    width: WidthOption = "single",
    dataset: DatasetOption = None,
    split: SplitOption = None,
    clusters: ClustersOption = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:  # fmt: skip
    """Draw the RMSE of models over slices of the test ratings, with 95 % intervals, in a panel for each way to slice.

    Panels stand side by side in a figure of 5 inches or more, else one below the other. At most eight models are
    drawn, the best ones.

    Examples: cfbench plot slices --dataset ml-100k --width double --out slices.pdf;
    cfbench plot slices last 3f2a --by user-activity --out users.svg
    """
    from cfbench.data import store
    from cfbench.leaderboard.slice_intervals import read_seeds, slice_intervals
    from cfbench.report.board_pictures import slice_panel
    from cfbench.report.figure_files import PAPER, check_endings
    from cfbench.report.slice_figure import draw_slices
    from cfbench.runs.results import Results

    check_endings(out, "--out")
    ways = (by,) if by else SLICES
    selection = Selection(results, run or (), dataset, split, "rmse", clusters, plugin or (), all_runs)
    ranked_board, words = selection.load(ways)
    rows = ranked_board.placed_rows
    drawn = rows[: len(PAPER.series)]
    dataset_of = store.open_dataset(ranked_board.card)
    seeds = [read_seeds(row.row, Results(results), dataset_of) for row in drawn]
    picture = draw_slices(
        [slice_panel(drawn, way, [slice_intervals(each, way, clusters) for each in seeds]) for way in ways]
    )
    if picture is not None:  # every row with a place has slices
        write_picture(picture, ["slices", *words, *(["--by", by] if by else [])], out, width)
    if len(drawn) < len(rows):
        console.say(f"drawn: the best {len(drawn)} of {len(rows)} models; --plugin or names of runs choose others")
