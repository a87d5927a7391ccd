"""`cfbench compare`: the leaderboard, as a table or as data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.dataset_choice import dataset_card
from cfbench.cli.options import COLUMNS_HELP, DEFAULT_RESULTS, DatasetOption, JsonOption, ResultsOption, SplitOption
from cfbench.cli.view import numbers
from cfbench.errors import CfbenchError
from cfbench.leaderboard import Clusters, Metric, SliceBy

if TYPE_CHECKING:
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.runs.record import Request
    from cfbench.runs.results import Results

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
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="NAME", help="Show only this plugin; may be repeated.", show_default=False,
                     autocompletion=completion.plugins),
    ] = None,
    all_runs: Annotated[
        bool, typer.Option("--all-runs", help="Show every config, not only each plugin's best in validation.")
    ] = False,
    sort: Annotated[Order, typer.Option("--sort", help="The order of the rows; places stay the same.")] = "score",
    by: Annotated[
        SliceBy | None,
        typer.Option("--by", help="Show the RMSE over slices of the test ratings.", show_default=False),
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
    cfbench compare --all-runs --plugin deepae --format csv; cfbench compare --ranking --k 20
    """
    from cfbench.cli.view.board_page import print_board
    from cfbench.leaderboard.columns import board_data
    from cfbench.leaderboard.ranking import load_ranked_board
    from cfbench.runs.results import Results

    if not ranking and (k is not None or liked is not None):
        raise typer.BadParameter("--k and --liked need --ranking")
    if ranking and by:
        raise typer.BadParameter("--ranking adds columns, and --by shows slices instead; leave out one of them")
    if columns is not None and (json or form in {"csv", "json"}):
        raise typer.BadParameter("--columns chooses columns of tables; csv and json always have all of them")
    stored_runs, card = Results(results), dataset_card(dataset)
    ranked_board = load_ranked_board(
        card.name,
        split or card.default_split,
        stored_runs,
        metric=metric,
        clusters=clusters,
        by=by,
        plugins=plugin or [],
        all_runs=all_runs,
    )
    if ranking:
        from cfbench.leaderboard.stored_rankings import add_item_rankings

        ranked_board = add_item_rankings(ranked_board, stored_runs, k or DEFAULT_K, liked, console.say)
    if pareto and sort == "score":
        sort = "fit"
    ranked_board = replace(ranked_board, rows=_sort_rows(ranked_board.rows, sort))
    if json or form == "json":
        console.print_json(board_data(ranked_board))
    elif form == "csv":
        console.document(_csv(ranked_board.rows, by=by))
    elif form == "table":
        print_board(ranked_board, results, by=by, pareto=pareto, names=columns)
        _print_messages(ranked_board, stored_runs)
    else:
        console.document(_document(ranked_board, form, by=by, pareto=pareto, names=columns))


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


def _csv(rows: list[RankedRow], *, by: SliceBy | None) -> str:
    """The rows as CSV, with all digits: one line for each row or, with `by`, for each slice of each row."""
    import csv
    import io
    import json

    from cfbench.leaderboard.columns import row_data

    lines = [row_data(row) for row in rows]
    if by:
        lines = [{"place": row.place, "plugin": row.row.plugin} | part._asdict() for row in rows for part in row.slices]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, lines[0] if lines else ["place"], lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in line.items()}
        )
    return stream.getvalue()


def _document(ranked_board: RankedBoard, form: Format, *, by: SliceBy | None, pareto: bool, names: str | None) -> str:
    """The table in Markdown or LaTeX, with all columns that have a value, or with those that `names` chooses."""
    from cfbench.cli.view import board_columns, slices, tables

    if by:
        columns = slices.slice_columns(ranked_board.rows, 0, by)
    else:
        every = board_columns.format_columns(board_columns.columns_of(ranked_board, pareto=pareto), ranked_board.rows)
        columns = every if names else tables.drop_empty(every)
    if names:
        columns = tables.choose(columns, names)
    if form == "md":
        return tables.markdown(columns)
    board = ranked_board.board
    return f"% {board.dataset}, split {board.split}; needs the package booktabs\n{tables.latex(columns)}"


def _print_messages(ranked_board: RankedBoard, results: Results) -> None:
    """Print messages about what the table does not show."""
    board = ranked_board.board
    if not board.rows:
        command = advice.command("run", "deepae", dataset=board.dataset, split=board.split, results=results.root)
        console.say(f"no runs of {board.dataset}, split {board.split}, in {results.root}; `{command}` makes one")
    if board.rows and not ranked_board.has_ratings:
        console.say(
            f"data set {board.dataset} is not downloaded: the scores come from the records, without intervals and "
            f"tests; `{advice.command('download', board.dataset)}` gets it"
        )
    if board.hidden:
        console.say(
            f"configs not shown: {board.hidden}; each plugin is shown with its best in validation; where nothing "
            "validates, a tuned or preset config comes first, then the default, then the newest; --all-runs shows them"
        )
    _print_missing_rankings(ranked_board, results)
    if board.left_out:
        console.say(f"runs left out: {board.left_out}; they used other ratings, or another split of the same name")
    splits = ranked_board.card.expand_split(board.split)
    for request in results.interrupted():
        if request.dataset.name == board.dataset and request.split.name in splits:
            command = advice.command("run", "--resume", request.run, results=results.root)
            console.say(f"interrupted: {request.run}; resume it with: {command}")


def _print_missing_rankings(ranked_board: RankedBoard, results: Results) -> None:
    """Print why some rows have no item ranking, and how to get a model that is not stored."""
    items = ranked_board.items
    if items is None:
        return
    if items.without_model:
        from cfbench.runs.costs import members_of

        plugins = ", ".join(dict.fromkeys(record.request.plugin.name for record in items.without_model))
        requests = [record.request for record in items.without_model]
        example = next((request for request in requests if not members_of(request)), requests[0])
        console.say(
            f"– runs without a stored model: {numbers.count(len(requests))} ({plugins}); this makes one, and "
            f"--all-runs shows it: {_command_of(example, results)}"
        )
    console.say_notes(f"– {fault}" for fault in items.faults)


def _command_of(request: Request, results: Results) -> str:
    """The command line that makes a stored run again."""
    from cfbench.cli.run.flags import config_options
    from cfbench.runs import registry

    words = ["run", request.plugin.name, "--seed", str(request.seed), "--no-preset"]
    words += ["--refit"] if request.refit else []
    with suppress(CfbenchError):  # a plugin that is no longer installed
        words += config_options(registry.load(request.plugin.name).config, request.config, request.device)
    return advice.command(*words, dataset=request.dataset.name, split=request.split.name, results=results.root)
