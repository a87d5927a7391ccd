"""`cfbench predict`: the model of a stored run predicts ratings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, JsonOption, RatingsOption, ResultsOption, RunArgument

if TYPE_CHECKING:
    from cfbench.cli.view.rows import Row
    from cfbench.runs.stored_model import StoredModel


def predict(
    run: RunArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="USER,ITEM",
            help="Pairs of ids, as the data set has them, or an item's title. With --ratings: only items.",
            show_default=False,
            autocompletion=completion.pairs,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="A file with one pair on each line: USER,ITEM, or a tab for the comma. With --ratings: only items.",
            show_default=False,
        ),
    ] = None,
    ratings: RatingsOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Write CSV to this file; print nothing.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Predict ratings with the model of a stored run.

    Examples: cfbench predict last 196,242 186,302; cfbench predict last --file pairs.csv --output predictions.csv
    """
    lines = _lines(pairs or [], file)
    if not lines:
        wanted = "USER,ITEM pairs" if ratings is None else "ITEMs"
        raise typer.BadParameter(f"nothing to predict: give {wanted} or --file PATH")
    users_and_items = None if ratings is not None else [_parse_pair(text, where) for where, text in lines]
    from cfbench.cli.view.predictions import print_predictions
    from cfbench.runs.stored_model import load_model

    stored = load_model(run, results, device, ratings)
    if users_and_items is None:
        rows = _predict_items(stored, [text for _, text in lines])
    else:
        rows = _predict_pairs(stored, users_and_items)
    print_predictions(rows, json=json, output=output)


def _lines(arguments: list[str], file: Path | None) -> list[tuple[str, str]]:
    """Return the arguments and the lines of the file, each after a description of its place for error messages."""
    lines = [(f"argument {text!r}", text) for text in arguments]
    if file is not None:
        from cfbench.runs.recommend import read_lines as lines_of

        lines += [(f"{file}, line {number}: {text!r}", text) for number, text in lines_of(file, "user,item", "item")]
    return lines


def _parse_pair(text: str, where: str) -> tuple[str, str]:
    user, _, item = text.partition("\t" if "\t" in text else ",")
    if not (user.strip() and item.strip()):
        raise typer.BadParameter(f"{where}: expected USER,ITEM, such as 196,242")
    return user.strip(), item.strip()


def _predict_pairs(stored: StoredModel, users_and_items: list[tuple[str, str]]) -> list[Row]:
    from cfbench.cli.view.predictions import prediction_rows

    users, items = [user for user, _ in users_and_items], [item for _, item in users_and_items]
    scores = stored.predict(users, items)
    rows = prediction_rows(stored.dataset, stored.dataset.catalogue.item_codes(items), scores)
    return [{"user": user, **row} for user, row in zip(users, rows, strict=True)]


def _predict_items(stored: StoredModel, ids: list[str]) -> list[Row]:
    """Predict items for the new user."""
    import numpy as np

    from cfbench.cli.view.predictions import prediction_rows
    from cfbench.ratings import Pairs
    from cfbench.runs import fitting
    from cfbench.runs.recommend import NEW_USER

    items = stored.dataset.catalogue.item_codes(ids)
    pairs = Pairs(np.full_like(items, NEW_USER), items)
    return prediction_rows(stored.dataset, items, fitting.predict(stored.plugin, stored.model, pairs))
