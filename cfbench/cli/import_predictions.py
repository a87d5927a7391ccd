"""`cfbench import-predictions`: predictions that were made elsewhere join the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    DatasetOption,
    HeaderOption,
    JsonOption,
    ResultsOption,
    SeparatorOption,
    SplitOption,
)
from cfbench.cli.progress import FileProgress

_COLUMN = "its name, or its number from 0"


def import_predictions(  # noqa: PLR0913, PLR0917 (every option is a parameter)
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The predictions of the test part: CSV or other text, or Parquet.")
    ],
    plugin_name: Annotated[
        str,
        typer.Option("--plugin-name", metavar="NAME", help="What the leaderboard calls the model.", show_default=False),
    ],
    dataset: DatasetOption = None,
    split: SplitOption = None,
    valid: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The predictions of the validation part. With them, the model can be a member of an ensemble.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the model. Several seeds of one name are one row.")] = 0,
    user: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The column of users: {_COLUMN}.")] = None,
    item: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The column of items: {_COLUMN}.")] = None,
    prediction: Annotated[
        str | None, typer.Option(metavar="COLUMN", help=f"The column of predictions: {_COLUMN}.")
    ] = None,
    separator: SeparatorOption = "",
    header: HeaderOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Score predictions that were made elsewhere; they join the leaderboard, marked as imported.

    The file has one prediction for each rating of the test part, with the ids of `cfbench export split`, in any order.
    cfbench did not see how the model was trained: the number is as fair as its training was.

    Example: cfbench import-predictions theirs.csv --plugin-name their-svd --dataset ml-100k --split random90
    """
    from cfbench.cli.dataset_choice import dataset_card, open_or_download
    from cfbench.data.readers.table import LayoutOptions
    from cfbench.runs import imported_predictions as importing
    from cfbench.runs.results import Results

    options = {"user": user, "item": item, "prediction": prediction}
    columns = {role: column for role, column in options.items() if column is not None}
    card = dataset_card(dataset)
    data = open_or_download(card)
    files = importing.PredictionFiles(plugin_name, file, valid, seed, LayoutOptions(separator, header, columns=columns))
    with FileProgress() as progress:
        record, folder = importing.import_predictions(
            files, data, data.split(split or card.default_split), Results(results), progress
        )
    console.say_doubts(record)
    if json:
        console.print_json(record.model_dump(mode="json"))
        return
    outcome, cut = record.outcome, record.request.split.name
    valid_rmse = "" if outcome.valid_rmse is None else f", validation RMSE {outcome.valid_rmse:.4f}"
    console.result(f"{record.run}: test RMSE {outcome.rmse:.4f}, MAE {outcome.mae:.4f}{valid_rmse}")
    compare = advice.command("compare", dataset=card.name, split=cut, results=results)
    console.say(f"saved in {folder}; rank it with: {compare}")
