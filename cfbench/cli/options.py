"""The options that several commands share, and the data set that a command uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console

if TYPE_CHECKING:
    from cfbench.data.store import Dataset

DEFAULT_DATASET = "ml-100k"
"""The data set of a command that names none, before any was downloaded."""
DEFAULT_SPLIT = "random90"
DEFAULT_RESULTS = Path("results")

DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="The data set. Default: the current one, which the last download or import chose.",
        autocompletion=completion.datasets,
        show_default=False,
    ),
]
SplitOption = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help="How the ratings are split. random90@7 draws random90 with seed 7. 5fold means all five folds.",
        autocompletion=completion.splits,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run's id, a part of its id, or `last`.", autocompletion=completion.runs),
]
RatingsOption = Annotated[
    Path | None,
    typer.Option(
        "--ratings",
        metavar="PATH",
        help="Predict for a new user, whose ratings this file holds as ITEM,RATING lines. Some models cannot do this.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="The device that computes: auto, cpu, cuda, cuda:N or mps.",
        autocompletion=completion.devices,
    ),
]
ResultsOption = Annotated[
    Path, typer.Option("--results", envvar="CFBENCH_RESULTS", metavar="FOLDER", help="The folder that holds the runs.")
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="CFBENCH_STORAGE",
        metavar="URL",
        help="A database that several machines share, such as postgresql://me@host/db. "
        "Default: a file in the results folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def dataset_name(name: str | None) -> str:
    """Return `name`, or the current data set, or the default one."""
    from cfbench.data import store

    return name or store.current() or DEFAULT_DATASET


def open_or_download(name: str | None, *, from_file: Path | None = None, again: bool = False) -> Dataset:
    """Open the data set that a command uses; download and prepare it first where that is necessary.

    The terms of a data set are shown once, before its first download. `from_file` is read in place of a download, and
    `again` prepares the data set again. Raises what `cfbench.data.store.prepare` raises.
    """
    from cfbench.data import card, store

    dataset_card = card.load(dataset_name(name))
    if not store.terms_shown(dataset_card.name):
        console.say(
            f"{dataset_card.title}, {dataset_card.homepage}\n{dataset_card.terms.strip()}\n"
            f"Please cite: {dataset_card.citation}\n"
        )
        store.mark_terms_shown(dataset_card.name)
    with console.FileProgress() as progress:
        return store.prepare(dataset_card, listener=progress, from_file=from_file, again=again)
