"""`cfbench datasets`: the data sets that can be had, and one in detail."""

from __future__ import annotations

from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.cli.options import complete_datasets


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
        from cfbench.cli.view import dataset_page

        one = card.load(name)
        told = dataset_page.facts(one, store.open_dataset(one) if store.is_ready(one) else None)
        console.print_json(told) if json else dataset_page.show(told)
        return
    cards = [card.load(name) for name in card.names()]
    here = {c.name: store.is_ready(c) for c in cards}
    current = store.current()
    if json:
        console.print_json(
            [
                c.model_dump(include={"name", "title", "licence", "scale", "version"})
                | c.expected.model_dump(exclude={"fingerprint"})
                | {"splits": c.split_names, "downloaded": here[c.name], "current": c.name == current}
                for c in cards
            ]
        )
        return
    from cfbench.cli.view import numbers, tables

    columns = [
        tables.Column("data set", [c.name for c in cards]),
        tables.Column("title", [c.title for c in cards], 6),
        tables.Column("users", [numbers.count(c.expected.users) for c in cards], 2, right=True),
        tables.Column("items", [numbers.count(c.expected.items) for c in cards], 3, right=True),
        tables.Column("ratings", [numbers.count(c.expected.ratings) for c in cards], 1, right=True),
        tables.Column("scale", [str(c.scale) for c in cards], 4, right=True),
        tables.Column("here", ["current" if c.name == current else "yes" if here[c.name] else "no" for c in cards], 1),
        tables.Column("licence", [c.licence for c in cards], 5),
    ]
    out = console.out()
    out.print(tables.on_terminal(tables.fitting(columns, out.width)))
