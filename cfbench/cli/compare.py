"""`cfbench compare`: the leaderboard, as a table or as data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

import typer

from cfbench.cli import completion, console
from cfbench.cli.baseline import check_leaderboard, slices_or_allowance
from cfbench.cli.dataset_choice import dataset_card
from cfbench.cli.options import (
    COLUMNS_HELP,
    DEFAULT_RESULTS,
    AllRunsOption,
    DatasetOption,
    JsonOption,
    PluginsOption,
    ResultsOption,
    SplitOption,
)
from cfbench.cli.progress import FileProgress
from cfbench.leaderboard import Clusters, Metric, SliceBy

if TYPE_CHECKING:
    from cfbench.leaderboard.ranking import RankedRow

Format: TypeAlias = Literal["table", "md", "csv", "json", "latex"]
Order: TypeAlias = Literal[
    "score", "mae", "user-rmse", "fit", "predict", "memory", "parameters", "plugin", "ndcg", "recall", "mrr"
]
DEFAULT_K = 10
_SORT_KEYS: dict[Order, str] = {
    "mae": "mae", "user-rmse": "user_rmse", "fit": "fit_seconds", "predict": "predict_seconds",
    "memory": "peak_memory", "parameters": "parameters", "plugin": "plugin",
    "ndcg": "ndcg", "recall": "recall", "mrr": "mrr",
}  # fmt: skip
_DESCENDING = {"ndcg", "recall", "mrr"}


def compare(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    dataset: DatasetOption = None,
    split: SplitOption = None,
    metric: Annotated[
        Metric, typer.Option("--metric", help="The score that ranks; intervals and tests are computed for it.")
    ] = "rmse",
    clusters: Annotated[
        Clusters,
        typer.Option("--clusters", help="Of what the test ratings are a sample: intervals and tests hold for others."),
    ] = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    sort: Annotated[Order, typer.Option("--sort", help="The order of the rows; places stay the same.")] = "score",
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="SLICES|X", help=f"Show the RMSE over slices of the test ratings: "
                     f"{', '.join(get_args(SliceBy))}. With --fail-if-worse: how much worse is allowed, such as .001.",
                     autocompletion=completion.slices, show_default=False),
    ] = None,
    fail_if_worse: Annotated[
        str | None,
        typer.Option("--fail-if-worse", metavar="RUN", help="Print one line instead: whether the best other row, or "
                     "the newest row of --plugin, is worse than this run. If so, the exit status is 1.",
                     autocompletion=completion.runs, show_default=False),
    ] = None,
    pareto: Annotated[
        bool,
        typer.Option("--pareto", help="Sort by fitting time, and mark models that none beats in score and time."),
    ] = False,
    ranking: Annotated[
        bool,
        typer.Option("--ranking", help="Rank all items for each user by the stored models: nDCG@k, recall@k and MRR of "
                     "the test items that the user liked."),
    ] = False,
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, metavar="N", help="With --ranking: how many first places count. Default: 10.",
                     show_default=False),
    ] = None,
    liked: Annotated[
        float | None,
        typer.Option("--liked", metavar="RATING", help="With --ranking: the lowest rating of a liked item. Default: "
                     "three quarters up the scale, such as 4 on 1–5.", show_default=False),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAME,NAME,…", help=COLUMNS_HELP, show_default=False,
                     autocompletion=completion.board_columns),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="The output format.")] = "table",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Rank the models of a data set and split, best first, beside published scores of the same protocol.

    Several seeds of one config are one row, and so are the folds of --split 5fold. Each plugin is shown with the
    config that has the best validation RMSE; the test ratings never choose a config. Intervals are 95 %; they and all
    tests hold for other users like these (--clusters both: for other items too), and for other seeds where several were
    run. ≈ marks models that do not differ significantly from the best.

    Examples: cfbench compare --dataset ml-100k --split 5fold; cfbench compare --by user-activity;
    cfbench compare --all-runs --plugin deepae --format csv; cfbench compare --ranking --k 20;
    cfbench compare --plugin deepae --fail-if-worse 3f2a --by .001
    """
    from cfbench.cli.view import board_documents
    from cfbench.cli.view.board_messages import board_messages
    from cfbench.cli.view.board_page import print_board
    from cfbench.leaderboard.columns import board_data
    from cfbench.leaderboard.ranking import load_ranked_board
    from cfbench.runs.results import Results

    slices, allowed = slices_or_allowance(by, checks=fail_if_worse is not None)
    form = "json" if json else form
    _check_options(ranking=ranking, depth=(k, liked), slices=slices, columns=columns, form=form)
    stored_runs = Results(results)
    if fail_if_worse is not None:
        if any((ranking, pareto, all_runs, columns, form not in {"table", "json"})):
            raise typer.BadParameter("--fail-if-worse prints one line and takes none of the options of the table")
        check_leaderboard(
            fail_if_worse,
            stored_runs,
            dataset=dataset,
            split=split,
            metric=metric,
            plugins=plugin or [],
            allowed=allowed,
            json=form == "json",
        )
        return
    card = dataset_card(dataset)
    with FileProgress() as progress:
        ranked_board = load_ranked_board(
            card.name,
            split or card.default_split,
            stored_runs,
            metric=metric,
            clusters=clusters,
            by=(slices,) if slices else (),
            plugins=plugin or [],
            all_runs=all_runs,
            listener=progress,
        )
    if ranking:
        from cfbench.leaderboard.stored_rankings import add_item_rankings

        ranked_board = add_item_rankings(ranked_board, stored_runs, k or DEFAULT_K, liked, console.say)
    if pareto and sort == "score":
        sort = "fit"
    ranked_board = replace(ranked_board, rows=_sort_rows(ranked_board.rows, sort))
    if form == "json":
        console.print_json(board_data(ranked_board))
    elif form == "csv":
        console.document(board_documents.csv_text(ranked_board.rows, by=slices))
    elif form == "table":
        print_board(ranked_board, results, by=slices, pareto=pareto, names=columns)
        for line in board_messages(ranked_board, stored_runs):
            console.say(line)
    else:
        console.document(board_documents.document(ranked_board, form, by=slices, pareto=pareto, names=columns))


def _check_options(
    *, ranking: bool, depth: tuple[int | None, float | None], slices: SliceBy | None, columns: str | None, form: Format
) -> None:
    """Raise an error about options that contradict each other; `depth` has the values of --k and --liked."""
    if not ranking and depth != (None, None):
        raise typer.BadParameter("--k and --liked need --ranking")
    if ranking and slices:
        raise typer.BadParameter("--ranking adds columns, and --by shows slices instead; leave out one of them")
    if columns is not None and form in {"csv", "json"}:
        raise typer.BadParameter("--columns chooses columns of tables; csv and json always have all of them")


def _sort_rows(rows: list[RankedRow], order: Order) -> list[RankedRow]:
    """The rows in the requested order; rows whose value is unknown come last."""
    from cfbench.leaderboard.columns import row_data

    if order == "score":
        return rows
    key = _SORT_KEYS[order]
    return sorted(rows, key=lambda row: _unknown_last(row_data(row)[key], descending=key in _DESCENDING))


def _unknown_last(value: Any, *, descending: bool) -> tuple[bool, Any]:
    """A sort key that puts None after all other values."""
    if value is None:
        return True, 0
    return False, -value if descending else value
