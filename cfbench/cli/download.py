"""`cfbench download` and `cfbench datasets`: what there is to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_DATASET, complete_datasets, open_or_download


def download(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="The data set; see `cfbench datasets`.", autocompletion=complete_datasets
        ),
    ] = DEFAULT_DATASET,
    from_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Use a file already held instead of the network.", show_default=False),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Make it anew although it is here.")] = False,
) -> None:
    """Fetch, verify and prepare a data set, and make it the current one.

    Example: cfbench download ml-1m
    """
    from cfbench.data import store
    from cfbench.files import data_home

    dataset = open_or_download(name, from_file=from_file, again=again)
    store.make_current(name)
    table = dataset.ratings
    console.say(
        f"{dataset.card.title}: {table.n_users:,} users, {table.n_items:,} items, {len(table):,} ratings "
        f"({table.scale}); now the current data set, in {data_home()}"
    )
