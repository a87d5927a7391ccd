"""`cfbench download` and `cfbench datasets`: what there is to predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import console

if TYPE_CHECKING:
    from cfbench.data.store import Dataset

FIRST = "ml-100k"
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


def download(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="The data set; see `cfbench datasets`.", autocompletion=complete_datasets
        ),
    ] = FIRST,
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

    dataset = obtain(name, from_file=from_file, again=again)
    store.make_current(name)
    table = dataset.ratings
    console.say(
        f"{dataset.card.title}: {table.n_users:,} users, {table.n_items:,} items, {len(table):,} ratings "
        f"({table.scale}); now the current data set, in {data_home()}"
    )


def chosen(name: str | None) -> str:
    """The data set a command works on: the one named, else the current one, else the first."""
    from cfbench.data import store

    return name or store.current() or FIRST


def obtain(name: str | None, *, from_file: Path | None = None, again: bool = False) -> Dataset:
    """The data set a command works on, fetched when it is not here; its terms are shown the first time."""
    from cfbench.data import card, store

    asked = card.load(chosen(name))
    if not store.terms_shown(asked.name):
        console.say(f"{asked.title}, {asked.homepage}\n{asked.terms.strip()}\nPlease cite: {asked.citation}\n")
        store.mark_terms_shown(asked.name)
    with console.Transfers() as watcher:
        return store.prepare(asked, listener=watcher, from_file=from_file, again=again)


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Show this one alone.", autocompletion=complete_datasets, show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the data sets that can be downloaded, or show one: its ratings, how active users are, its splits.

    Examples: cfbench datasets; cfbench datasets ml-100k
    """
    from cfbench.data import card, store

    if name is not None:
        from cfbench.cli import profile

        one = card.load(name)
        told = profile.facts(one, store.open_dataset(one) if store.is_ready(one) else None)
        console.as_json(told) if json else profile.show(told)
        return
    cards = [card.load(name) for name in card.names()]
    here = {c.name: store.is_ready(c) for c in cards}
    current = store.current()
    if json:
        console.as_json(
            [
                c.model_dump(include={"name", "title", "licence", "scale", "version"})
                | c.expected.model_dump(exclude={"fingerprint"})
                | {"splits": c.split_names, "downloaded": here[c.name], "current": c.name == current}
                for c in cards
            ]
        )
        return
    from cfbench.cli import figures, table

    columns = [
        table.Column("data set", [c.name for c in cards]),
        table.Column("title", [c.title for c in cards], 6),
        table.Column("users", [figures.count(c.expected.users) for c in cards], 2, right=True),
        table.Column("items", [figures.count(c.expected.items) for c in cards], 3, right=True),
        table.Column("ratings", [figures.count(c.expected.ratings) for c in cards], 1, right=True),
        table.Column("scale", [str(c.scale) for c in cards], 4, right=True),
        table.Column("here", ["current" if c.name == current else "yes" if here[c.name] else "no" for c in cards], 1),
        table.Column("licence", [c.licence for c in cards], 5),
    ]
    out = console.out()
    out.print(table.on_terminal(table.fitting(columns, out.width)))
