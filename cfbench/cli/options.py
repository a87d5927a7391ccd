"""Options that several commands share, and the data set they work on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console

if TYPE_CHECKING:
    from cfbench.data.store import Dataset

DEFAULT_DATASET = "ml-100k"
"""What is fetched when nothing was chosen."""


def complete_datasets() -> list[str]:
    """Names for the shell's completion."""
    from cfbench.data import card

    return card.names()


DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME", help="The data set; by default the one last downloaded.",
                 autocompletion=complete_datasets, show_default=False),
]  # fmt: skip


def dataset_name(name: str | None) -> str:
    """The data set a command works on: the one named, else the current one, else the first."""
    from cfbench.data import store

    return name or store.current() or DEFAULT_DATASET


def open_or_download(name: str | None, *, from_file: Path | None = None, again: bool = False) -> Dataset:
    """The data set a command works on, fetched when it is not here; its terms are shown the first time."""
    from cfbench.data import card, store

    asked = card.load(dataset_name(name))
    if not store.terms_shown(asked.name):
        console.say(f"{asked.title}, {asked.homepage}\n{asked.terms.strip()}\nPlease cite: {asked.citation}\n")
        store.mark_terms_shown(asked.name)
    with console.DownloadProgress() as watcher:
        return store.prepare(asked, listener=watcher, from_file=from_file, again=again)


RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run's id, a part of it, or `last`.", autocompletion=completion.runs),
]


ResultsOption = Annotated[
    Path, typer.Option("--results", envvar="CFBENCH_RESULTS", metavar="FOLDER", help="Where runs are kept.")
]


SplitOption = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help="How the ratings are cut; random90@7 is random90 drawn with seed 7, 5fold all five folds.",
        autocompletion=completion.splits,
    ),
]


JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]


DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where to compute: auto, cpu, cuda, cuda:N or mps.",
        autocompletion=completion.devices,
    ),
]


DEFAULT_RESULTS = Path("results")


DEFAULT_SPLIT = "random90"


StorageOption = Annotated[
    str | None,
    typer.Option("--storage", envvar="CFBENCH_STORAGE", metavar="URL", show_default=False,
                 help="A database for several machines, such as postgresql://me@host/db; by default a file in "
                      "the results folder."),
]  # fmt: skip
