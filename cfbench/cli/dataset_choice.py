"""The data set a command works on: its name becomes a card once, and the card becomes an open data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.progress import FileProgress

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.card import Card
    from cfbench.data.store import Dataset

DEFAULT_DATASET = "ml-100k"
"""The data set of a user who has not chosen one."""


def dataset_name(name: str | None) -> str:
    """Return `name`, or the current data set, or the default one."""
    from cfbench.data import store

    return name or store.current() or DEFAULT_DATASET


def dataset_card(name: str | None) -> Card:
    """Return the card of the data set `name`, or of the current or the default one; raises `UnknownNameError`."""
    from cfbench.data import card

    return card.load(dataset_name(name))


def readable_cards() -> list[Card]:
    """Return all cards; one that a person has edited wrongly is left out, with a message."""
    from cfbench.data import card
    from cfbench.errors import CardError

    cards = []
    for name in card.names():
        try:
            cards.append(card.load(name))
        except CardError as error:
            console.say(f"not listed: {error}")
    return cards


def open_or_download(card: Card, *, from_file: Path | None = None, again: bool = False) -> Dataset:
    """Open a data set; download and prepare it first where that is necessary.

    The terms of a data set are shown once, before its first download. `from_file` is read in place of a download, and
    `again` prepares the data set again. Raises what `cfbench.data.store.prepare` raises.
    """
    from cfbench.data import store

    if not store.terms_shown(card.name):
        console.say(f"{card.title}, {card.homepage}\n{card.terms.strip()}\nPlease cite: {card.citation}\n")
        store.mark_terms_shown(card.name)
    with FileProgress() as progress:
        return store.prepare(card, listener=progress, from_file=from_file, again=again)
