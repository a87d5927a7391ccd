"""`cfbench datasets rm`: everything that a data set keeps in the data folder is removed."""

from __future__ import annotations

from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.confirmation import YesOption, confirm_removal
from cfbench.cli.dataset_choice import DEFAULT_DATASET
from cfbench.cli.progress import FileProgress
from cfbench.files import format_bytes


def datasets_rm(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The data set.", autocompletion=completion.datasets, show_default=False),
    ],
    yes: YesOption = False,
) -> None:
    """Remove a data set for good: ratings, splits, downloads, and the card of your own data set. Its runs stay.

    Example: cfbench datasets rm ml-25m
    """
    from cfbench.data import card, disk_use, store

    parts = disk_use.stored_parts(name)
    if not parts:
        console.say(f"{name} keeps nothing on this disk")
        return
    size = format_bytes(sum(part.bytes for part in parts))
    what = ", ".join(f"{part.name} {format_bytes(part.bytes)}" for part in parts)
    confirm_removal(f"{name} ({size}: {what})", yes=yes)
    was_current = store.current() == name
    with FileProgress() as progress:
        disk_use.remove_parts(name, progress)
    again = f"; `{advice.command('download', name)}` gets it again" if name in card.shipped_names() else ""
    console.say(f"removed {name} ({size}); its runs stay{again}")
    if was_current:
        console.say(f"it was the current data set; commands use {DEFAULT_DATASET} until you choose another one")
