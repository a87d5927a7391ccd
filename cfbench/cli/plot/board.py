"""`cfbench plot board` and `cfbench plot pareto`: the models of a leaderboard with their scores and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
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
from cfbench.cli.plot.options import OutOption, RunsArgument, WidthOption, write_picture
from cfbench.cli.plot.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cfbench.leaderboard.ranking import RankedRow
    from cfbench.report.drawing import Picture


def board(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    out: OutOption,
    run: RunsArgument = None,
    width: WidthOption = "single",
    dataset: DatasetOption = None,
    split: SplitOption = None,
    metric: MetricOption = "rmse",
    clusters: ClustersOption = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Draw the leaderboard: the score of each model with its 95 % interval, best first.

    A full point is the best model, or one that does not differ significantly from it. A model far above the others has
    an arrow at the edge; its score is on the right.

    Examples: cfbench plot board --dataset ml-100k --out board.pdf; cfbench plot board 3f2a 07c1 --out two.svg --out
    two.png
    """
    from cfbench.report.board_pictures import forest_picture

    selection = Selection(results, run or (), dataset, split, metric, clusters, plugin or (), all_runs)
    _draw("board", selection, forest_picture, out, width)


def pareto(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    out: OutOption,
    run: RunsArgument = None,
    width: WidthOption = "single",
    dataset: DatasetOption = None,
    split: SplitOption = None,
    metric: MetricOption = "rmse",
    clusters: ClustersOption = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Draw the score of each model against the seconds of its fit, with 95 % intervals and the Pareto front.

    No other model is both at least as good and fitted at least as fast as one on the front, whose points are full. The
    cost of an ensemble has that of its members. A triangle lies above the drawing.

    Examples: cfbench plot pareto --dataset ml-1m --out pareto.pdf; cfbench plot pareto --width 5.5 --out pareto.svg
    """
    from cfbench.report.board_pictures import cost_picture

    selection = Selection(results, run or (), dataset, split, metric, clusters, plugin or (), all_runs)
    _draw("pareto", selection, cost_picture, out, width)


def _draw(
    name: str,
    selection: Selection,
    picture_of: Callable[[Sequence[RankedRow], str], Picture | None],
    out: Sequence[Path],
    width: str,
) -> None:
    from cfbench.errors import UsageError
    from cfbench.report.explanations import METRIC_NAMES
    from cfbench.report.figure_files import check_endings

    check_endings(out, "--out")
    ranked_board, words = selection.load()
    picture = picture_of(ranked_board.placed_rows, METRIC_NAMES[selection.metric])
    if picture is None:
        raise UsageError("the cost of these models is not known: their predictions were made elsewhere")
    write_picture(picture, [name, *words], out, width)
    if not ranked_board.has_ratings:
        console.say(f"data set {ranked_board.board.dataset} is not downloaded: the figure has no intervals")
