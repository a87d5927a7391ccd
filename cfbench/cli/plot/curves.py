"""`cfbench plot curves`: the validation RMSE of models by epoch."""

from __future__ import annotations

from cfbench.cli import console
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    AllRunsOption,
    DatasetOption,
    PluginsOption,
    ResultsOption,
    SplitOption,
)
from cfbench.cli.plot.options import OutOption, RunsArgument, WidthOption, write_picture
from cfbench.cli.plot.selection import Selection


def curves(
    out: OutOption,
    run: RunsArgument = None,
    width: WidthOption = "single",
    dataset: DatasetOption = None,
    split: SplitOption = None,
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Draw the validation RMSE of models by epoch: the mean over the seeds, and a band from the lowest to the highest.

    A circle marks the epoch of the smallest mean. Models without epochs have no curve. At most eight models are drawn,
    the best ones.

    Examples: cfbench plot curves --dataset ml-100k --out curves.pdf; cfbench plot curves last 3f2a --out two.svg
    """
    from cfbench.errors import UsageError
    from cfbench.report.board_pictures import row_curves
    from cfbench.report.curve_figure import draw_curves
    from cfbench.report.figure_files import PAPER, check_endings
    from cfbench.runs.results import Results

    check_endings(out, "--out")
    selection = Selection(results, run or (), dataset, split, plugins=plugin or (), all_runs=all_runs)
    ranked_board, words = selection.load()
    rows = ranked_board.placed_rows
    lines = row_curves(rows, Results(results), len(PAPER.series))
    picture = draw_curves(lines)
    if picture is None:
        raise UsageError("none of these models has a learning curve: only models that learn in epochs have one")
    write_picture(picture, ["curves", *words], out, width)
    if len(lines) < len(rows):
        console.say(f"drawn: {len(lines)} of {len(rows)} models; the others have no curve, or are after the best eight")
