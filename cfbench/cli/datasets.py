"""`cfbench datasets`: the list of all data sets, or the page of one. `datasets_rm` removes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.dataset_choice import readable_cards
from cfbench.cli.options import ColumnsOption, JsonOption

if TYPE_CHECKING:
    from cfbench.cli.view.tables import Column
    from cfbench.data.card import Card


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show this data set only.",
            autocompletion=completion.datasets_or_rm,
            show_default=False,
        ),
    ] = None,
    columns: ColumnsOption = None,
    json: JsonOption = False,
) -> None:
    """List the data sets with their size on this disk, or show one; `datasets rm` removes one.

    The page of one shows its ratings, the activity of its users and items, and its splits. `cfbench datasets rm NAME`
    removes its ratings, splits and downloads, and the card of your own data set.

    Examples: cfbench datasets; cfbench datasets ml-100k; cfbench datasets rm ml-25m
    """
    from cfbench.data import card

    if name is not None:
        _show_one(card.load(name), json=json)
        return
    cards = readable_cards()
    if json:
        console.print_json(_as_json(cards))
        return
    from cfbench.cli.view import tables

    tables.print_table(_columns(cards), columns)
    _say_total(cards)


def _say_total(cards: list[Card]) -> None:
    """Print the bytes of all data sets, also of those without a card that can be read."""
    from cfbench.data import disk_use
    from cfbench.files import data_home, format_bytes

    names = disk_use.known_names()
    total = sum(map(disk_use.stored_bytes, names))
    others = sorted(set(names) - {card.name for card in cards})
    listed = f", also of {', '.join(others)}" if others else ""
    remove = advice.command("datasets", "rm", "NAME")
    console.say(f"{format_bytes(total)} in {data_home()}{listed}; `{remove}` removes a data set")


def _show_one(card: Card, *, json: bool) -> None:
    from cfbench.cli.view import dataset_page
    from cfbench.data import disk_use, store
    from cfbench.files import format_bytes
    from cfbench.report.dataset_summary import summarize_dataset

    page = summarize_dataset(card, store.open_dataset(card) if store.is_ready(card) else None)
    parts = disk_use.stored_parts(card.name)
    if json:
        console.print_json(page.as_json() | {"bytes": {part.name: part.bytes for part in parts}})
        return
    dataset_page.print_page(page)
    if parts:
        console.result("on this disk: " + ", ".join(f"{part.name} {format_bytes(part.bytes)}" for part in parts))


def _as_json(cards: list[Card]) -> list[dict[str, Any]]:
    from cfbench.data import disk_use, store

    current = store.current()
    return [
        card.model_dump(include={"name", "title", "licence", "scale", "version"})
        | card.expected.model_dump(exclude={"fingerprint"})
        | {"splits": card.split_names, "downloaded": store.is_ready(card), "current": card.name == current}
        | {"bytes": disk_use.stored_bytes(card.name)}
        for card in cards
    ]


def _columns(cards: list[Card]) -> list[Column]:
    from cfbench.cli.view.tables import Column
    from cfbench.report import numbers

    return [
        Column("data set", [card.name for card in cards]),
        Column("title", [card.title for card in cards], 6),
        Column("users", [numbers.count(card.expected.users) for card in cards], 2, right=True),
        Column("items", [numbers.count(card.expected.items) for card in cards], 3, right=True),
        Column("ratings", [numbers.count(card.expected.ratings) for card in cards], 1, right=True),
        Column("scale", [str(card.scale) for card in cards], 4, right=True),
        Column("ready", _ready_states(cards), 1),
        Column("size", [_size(card) for card in cards], 3, right=True),
        Column("licence", [card.licence for card in cards], 5),
    ]


def _size(card: Card) -> str:
    from cfbench.data import disk_use
    from cfbench.files import format_bytes
    from cfbench.report import numbers

    count = disk_use.stored_bytes(card.name)
    return format_bytes(count) if count else numbers.NONE


def _ready_states(cards: list[Card]) -> list[str]:
    from cfbench.data import store

    current = store.current()
    states = []
    for card in cards:
        ready = "yes" if store.is_ready(card) else "no"
        states.append("current" if card.name == current else ready)
    return states
