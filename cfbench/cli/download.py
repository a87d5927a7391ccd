"""`cfbench download`: a data set is downloaded, checked and prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.dataset_choice import DEFAULT_DATASET, dataset_card, open_or_download


def download(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The data set. `cfbench datasets` lists them.",
            autocompletion=completion.datasets,
        ),
    ] = DEFAULT_DATASET,
    from_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Read this file or folder; download nothing.", show_default=False),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Prepare the data set again, even if it is already prepared.")
    ] = False,
) -> None:
    """Download, check and prepare a data set, and make it the current one.

    Example: cfbench download ml-1m
    """
    from cfbench.data import store
    from cfbench.files import data_home

    dataset = open_or_download(dataset_card(name), from_file=from_file, again=again)
    store.make_current(name)
    table = dataset.ratings
    console.say(
        f"{dataset.card.title}: {table.n_users:,} users, {table.n_items:,} items, {len(table):,} ratings "
        f"({table.scale}); this is now the current data set, in {data_home()}"
    )
