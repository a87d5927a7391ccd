"""`cfbench compare`: the leaderboard, as a table or as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    DEFAULT_SPLIT,
    DatasetOption,
    JsonOption,
    ResultsOption,
    SplitOption,
    dataset_name,
)

if TYPE_CHECKING:
    from rich.table import Table

    from cfbench.data.card import Card
    from cfbench.data.store import Dataset
    from cfbench.leaderboard.board import Leaderboard
    from cfbench.leaderboard.ranking import RankedRow
    from cfbench.runs.record import Results

# those of `scoring`, which loads too much for `--help`
Metric: TypeAlias = Literal["rmse", "mae", "user-rmse"]
By: TypeAlias = Literal["user-activity", "item-popularity", "rating"]
Format: TypeAlias = Literal["table", "md", "csv", "json", "latex"]
Order: TypeAlias = Literal["score", "mae", "user-rmse", "fit", "predict", "memory", "parameters", "plugin"]
_KEYS = {
    "mae": "mae", "user-rmse": "user_rmse", "fit": "fit_seconds", "predict": "predict_seconds",
    "memory": "peak_memory", "parameters": "parameters", "plugin": "plugin",
}  # fmt: skip


def compare(  # noqa: PLR0913, PLR0917 (each an option of the command line)
    dataset: DatasetOption = None,
    split: SplitOption = DEFAULT_SPLIT,
    metric: Annotated[Metric, typer.Option("--metric", help="What ranks; intervals and tests are of it.")] = "rmse",
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="NAME", help="Only this one; may be given again.", show_default=False,
                     autocompletion=completion.plugins),
    ] = None,
    all_runs: Annotated[
        bool, typer.Option("--all-runs", help="Every configuration, not each plugin's best in validation alone.")
    ] = False,
    sort: Annotated[Order, typer.Option("--sort", help="The order of the rows; places stay.")] = "score",
    by: Annotated[
        By | None, typer.Option("--by", help="The RMSE over slices of the test ratings.", show_default=False)
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="By time of fitting; mark those that none beats in score and time.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = "table",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Rank the models of a data set and split, best first; published scores of the same protocol stand apart.

    Several seeds of one configuration are one row, and so are the folds of --split 5fold. Of each plugin the
    configuration with the best validation RMSE is shown, never chosen by the test ratings. Intervals are 95 %, by a
    bootstrap over users; ≈ marks what cannot be told from the best.

    Examples: cfbench compare --dataset ml-100k --split 5fold; cfbench compare --by user-activity;
    cfbench compare --all-runs --plugin deepae --format csv
    """
    from cfbench.leaderboard.ranking import rank_rows

    board, kept, data, card = opened(dataset_name(dataset), split, results, plugins=plugin or [], all_runs=all_runs)
    ranks = rank_rows(board, kept, data, metric=metric, by=by)
    ordered = _sorted(ranks, "fit" if pareto and sort == "score" else sort)
    if json or form == "json":
        console.print_json(as_json(board, ordered, metric))
    elif form == "csv":
        typer.echo(_csv(ordered, sliced=by is not None), nl=False)
    elif form == "table":
        show_board(board, ordered, card, metric=metric, all_runs=all_runs, by=by, pareto=pareto)
        _remarks(board, kept, here=data is not None)
    else:
        typer.echo(_document(board, ordered, form, metric, all_runs=all_runs, by=by, pareto=pareto), nl=False)


def opened(
    dataset: str, split: str, results: Any, *, plugins: list[str], all_runs: bool
) -> tuple[Leaderboard, Results, Dataset | None, Card]:
    """The board of a split, and the data set if it is here: nothing is fetched to look at results."""
    from cfbench.data import card as cards
    from cfbench.data import store
    from cfbench.leaderboard.board import build_board
    from cfbench.runs.record import Results

    card, kept = cards.load(dataset), Results(results)
    data = store.open_dataset(card) if store.is_ready(card) else None
    prints = None if data is None else {name: data.split(name).fingerprint for name in card.family(split)}
    board = build_board(card, split, kept, prints, plugins=plugins, all_runs=all_runs)
    return board, kept, data, card


def as_json(board: Leaderboard, ranks: list[RankedRow], metric: str) -> dict[str, Any]:
    """The board as plain data, for scripts."""
    rows = [standing.as_dict() | _slices(standing) for standing in ranks]
    return {
        "dataset": board.dataset, "split": board.split, "protocol": board.protocol, "metric": metric,
        "fingerprints": board.fingerprints, "rows": rows, "left_out": board.left_out, "hidden": board.hidden,
        "published": [score.model_dump(mode="json") for score in board.published],
    }  # fmt: skip


def _slices(standing: RankedRow) -> dict[str, Any]:
    return {"slices": [part._asdict() for part in standing.slices]} if standing.slices else {}


def _sorted(ranks: list[RankedRow], order: str) -> list[RankedRow]:
    """In the order asked for; what is not known comes last."""
    if order == "score":
        return ranks
    values = {id(s): s.as_dict()[_KEYS[order]] for s in ranks}
    return sorted(
        ranks, key=lambda s: (values[id(s)] is None, values[id(s)] or 0 if order != "plugin" else s.row.plugin)
    )


def _csv(ranks: list[RankedRow], *, sliced: bool) -> str:
    """One line a row, or a row and slice; numbers in full."""
    import csv
    import io
    import json

    rows = [standing.as_dict() for standing in ranks]
    if sliced:
        rows = [{"place": s.place, "plugin": s.row.plugin} | part._asdict() for s in ranks for part in s.slices]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0] if rows else ["place"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: json.dumps(v) if isinstance(v, list | dict) else v for key, v in row.items()})
    return stream.getvalue()


def _document(
    board: Leaderboard, ranks: list[RankedRow], form: Format, metric: str, *, all_runs: bool, by: str | None,
    pareto: bool,
) -> str:  # fmt: skip
    from cfbench.cli.view import board_columns, slices, tables

    every = board_columns.columns(ranks, metric, all_runs=all_runs, pareto=pareto)
    columns = slices.columns(ranks, 0, by) if by else tables.filled(every)
    if form == "md":
        return tables.markdown(columns)
    return f"% {board.dataset}, split {board.split}; needs the package booktabs\n{tables.latex(columns)}"


def show_board(
    board: Leaderboard, ranks: list[RankedRow], card: Card, *, metric: str = "rmse", all_runs: bool = False,
    by: str | None = None, pareto: bool = False,
) -> None:  # fmt: skip
    """Print the board as it fits the terminal."""
    from cfbench.cli.view import board_columns, slices, tables

    out = console.out()
    out.print(f"[bold]{card.title}[/], split {board.split}" + (f" ({board.protocol})" if board.protocol else ""))
    if by and board.ranked:
        out.print(tables.on_terminal(slices.fitting(ranks, out.width, by)))
    elif ranks:
        columns = board_columns.columns(ranks, metric, all_runs=all_runs, pareto=pareto)
        best = next((at for at, standing in enumerate(ranks) if standing.place == 1), None)
        out.print(tables.on_terminal(tables.fitting(columns, out.width), bold=best))
        _explain(ranks, pareto=pareto)
    if board.published and not by:
        out.print(_published(board))


def _explain(ranks: list[RankedRow], *, pareto: bool) -> None:
    """What the marks mean, when there are any."""
    if any(standing.tied for standing in ranks):
        console.result("≈ cannot be told from the best: paired over users, Holm over all pairs, 5 %")
    if pareto:
        console.result("● no other is both at least as good and fitted at least as fast")


def _published(board: Leaderboard) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title="Published, measured elsewhere", title_justify="left", box=box.SIMPLE, header_style="bold",
                  title_style="dim", style="dim", pad_edge=False, padding=(0, 1))  # fmt: skip
    table.add_column("method")
    table.add_column("RMSE", justify="right")
    table.add_column("protocol and source")
    for score in board.published:
        note = f"; {score.note}" if score.note else ""
        table.add_row(score.method, f"{score.rmse:.4g}", f"{score.protocol}; {score.source}{note}", style="dim")
    return table


def _remarks(board: Leaderboard, results: Results, *, here: bool) -> None:
    """What is not in the table, and what can be done about it."""
    from cfbench.data import card

    if not board.rows:
        console.say(
            f"no runs of {board.dataset}, split {board.split}, in {results.root}; `cfbench run deepae` makes one"
        )
    if board.rows and not here:
        console.say(
            f"data set {board.dataset} is not here: scores are as the records say, without intervals and tests; "
            f"`cfbench download {board.dataset}` gets it"
        )
    if board.hidden:
        console.say(
            f"{board.hidden} more configurations: of each plugin the best in validation is shown, or the latest where "
            "that is not known; --all-runs shows them"
        )
    if board.left_out:
        console.say(f"{board.left_out} runs left out: made on other ratings or another cut under the same name")
    names = card.load(board.dataset).family(board.split)
    for past in results.interrupted():
        if past.dataset.name == board.dataset and past.split.name in names:
            console.say(f"interrupted: {past.run}; go on with: cfbench run --resume {past.run}")
