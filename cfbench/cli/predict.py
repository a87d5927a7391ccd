"""`cfbench predict` and `cfbench recommend`: what a stored run's model says of users and items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, JsonOption, ResultsOption, RunArgument

if TYPE_CHECKING:
    from cfbench.contract import Predictor
    from cfbench.data.store import Dataset
    from cfbench.ratings import Codes, Scores

RatingsOption = Annotated[
    Path | None,
    typer.Option(
        "--ratings", metavar="PATH", show_default=False,
        help="Speak of a new user, who gave these ratings: ITEM,RATING lines. Not every model can.",
    ),
]  # fmt: skip


def predict(
    run: RunArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[USER,ITEM]...", help="Ids as in the data set; ITEM alone with --ratings.", show_default=False
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="Pairs, one a line, user and item apart by a tab or comma; items alone with --ratings.",
            show_default=False,
        ),
    ] = None,
    ratings: RatingsOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="PATH", help="Write CSV there instead.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Predict ratings with the model of a stored run.

    Examples: cfbench predict last 196,242 186,302; cfbench predict last --file pairs.csv --output predictions.csv
    """
    texts = [(f"argument {text!r}", text) for text in pairs or []] + (list(_lines(file)) if file else [])
    if not texts:
        what = "USER,ITEM pairs" if ratings is None else "ITEMs"
        raise typer.BadParameter(f"nothing to predict: give {what} or --file PATH")
    asked = [_pair(text, where) for where, text in texts] if ratings is None else [("", text) for _, text in texts]
    from cfbench.ratings import Pairs
    from cfbench.runs import run as harness
    from cfbench.runs.recommend import NOBODY

    plugin, model, dataset, _ = reopen(run, results, device, ratings)
    items = dataset.catalogue.item_codes([item for _, item in asked])
    users = dataset.catalogue.user_codes([user for user, _ in asked]) if ratings is None else 0 * items + NOBODY
    rows = prediction_rows(dataset, items, harness.predict(plugin, model, Pairs(users, items)))
    if ratings is None:
        rows = [{"user": user} | row for (user, _), row in zip(asked, rows, strict=True)]
    show_predictions(rows, json=json, output=output)


def reopen(run: str, results: Path, device: str, ratings: Path | None) -> tuple[str, Predictor, Dataset, str]:
    """The run's plugin, its model (speaking of a new user, if `ratings` are given), data set and split."""
    from cfbench.runs import run as harness
    from cfbench.runs.recommend import NewUser, read_ratings
    from cfbench.runs.record import Results

    record, folder = Results(results).find(run)
    plugin, split = record.request.plugin.name, record.request.split.name
    model, dataset = harness.reopen(record, folder, device)
    if ratings is None:
        return plugin, model, dataset, split
    return plugin, NewUser(plugin, model, *read_ratings(ratings, dataset)), dataset, split


def prediction_rows(dataset: Dataset, items: Codes, scores: Scores) -> list[dict[str, object]]:
    """A row an item: its id, the clipped prediction and its title."""
    names, titles = (dataset.catalogue.items[column] for column in ("id", "title"))
    clipped = dataset.ratings.scale.clip(scores)
    return [
        {"item": names[int(item)], "prediction": round(float(score), 4), "title": titles[int(item)] or ""}
        for item, score in zip(items, clipped, strict=True)
    ]


def _pair(text: str, where: str) -> tuple[str, str]:
    user, found, item = text.partition("\t" if "\t" in text else ",")
    if not (found and user.strip() and item.strip()):
        raise typer.BadParameter(f"{where}: expected USER,ITEM, such as 196,242")
    return user.strip(), item.strip()


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """Where each line is that says something, and the line; a heading is passed over."""
    from cfbench.runs.recommend import lines

    for number, line in lines(file, "user,item", "item"):
        yield f"{file}, line {number}: {line!r}", line


def show_predictions(rows: list[dict[str, object]], *, json: bool, output: Path | None = None) -> None:
    """As JSON, as CSV when piped or written to a file, or as a table."""
    if json:
        console.print_json(rows)
    elif output or not console.out().is_terminal:
        _csv(rows, output)
    else:
        _table(rows)


def _csv(rows: list[dict[str, object]], output: Path | None) -> None:
    import polars as pl

    from cfbench.files import write_atomically

    text = pl.DataFrame(rows).write_csv()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
        console.say(f"{len(rows)} predictions written to {output}")


def _table(rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="right" if heading == "prediction" else "left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.out().print(table, markup=False)  # a title may be [REC]
