"""A person's own file becomes a data set with a card, used like any other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from cfbench.data import card, store
from cfbench.data.imported_rows import DuplicatePolicy, read_rows, read_titles, resolve_duplicates
from cfbench.data.readers.table import LayoutOptions
from cfbench.errors import DataError, UsageError
from cfbench.files import DATA_VARIABLE, make_folder, write_atomically
from cfbench.ratings import Scale

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener
    from cfbench.data.store import Dataset


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and how."""

    path: Path
    name: str
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    """What the person says about the file; the rest is inferred."""
    scale: Scale | None = None
    duplicates: DuplicatePolicy = "error"
    skip_bad: bool = False
    titles: Path | None = None
    force: bool = False


def import_file(options: ImportOptions, listener: ProgressListener) -> Dataset:
    """Read, check and store a file, write its card, and make the data set the current one.

    Raises `UsageError`, `ArchiveError`, `RowError`, `CountError` for duplicate pairs, `DataError`, `WriteError`.
    """
    _check_name(options)
    rows = read_rows(options.path, options.layout, options.scale, listener, skip_bad=options.skip_bad)
    scale = options.scale or infer_scale(rows.ratings, rows.where)
    rows = resolve_duplicates(rows, options.duplicates, listener)
    if options.duplicates == "mean" and scale.invalid(rows.ratings).any():
        listener.message(f"some means are between the steps of the scale {scale}; the data set's scale has no steps")
        scale = scale.model_copy(update={"step": 0.0})
    titles = None if options.titles is None else read_titles(options.titles, listener)
    new_card = _make_card(options, scale)
    dataset = store.prepare_from_blocks(new_card, rows.blocks(), titles, source=new_card.origin, listener=listener)
    new_card = new_card.model_copy(update={"expected": _expected(dataset)})
    path = make_folder(card.imported_folder(), DATA_VARIABLE) / f"{new_card.name}.toml"
    write_atomically(path, card_to_toml(new_card), DATA_VARIABLE)
    store.mark_terms_shown(new_card.name)
    store.make_current(new_card.name)
    return store.open_dataset(new_card)


def parse_scale(text: str) -> Scale:
    """Parse `1:5:0.5` or `1:5`; raises `UsageError`."""
    try:
        low, high, step = (float(part) for part in (text if text.count(":") > 1 else f"{text}:0").split(":"))
        return Scale(low=low, high=high, step=step)
    except ValidationError as error:
        raise UsageError(f"--scale {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise UsageError(f"--scale {text!r} is no scale; expected LOW:HIGH or LOW:HIGH:STEP, as in 1:5:0.5") from error


def infer_scale(ratings: NDArray[np.float64], where: str) -> Scale:
    """The scale from the lowest to the highest rating, with the largest step that gives all ratings.

    The step is a multiple of 0.0001 and at least a thousandth of the scale; else it is 0, which allows any rating in
    between. Raises `DataError` when all ratings are equal.
    """
    values = np.unique(ratings)
    if len(values) == 1:
        raise DataError(f"every rating of {where} is {values[0]:g}, so its scale is unknown; give it with --scale")
    low, high, step = float(values[0]), float(values[-1]), 0.0
    if len(values) <= 1000:
        units = np.rint((values - low) * 10_000).astype(np.int64)
        divisor = int(np.gcd.reduce(units))
        is_exact = np.abs(units / 10_000 - (values - low)).max() < 1e-6
        if divisor and is_exact and units[-1] // divisor <= 1000:
            step = divisor / 10_000
    return Scale(low=low, high=high, step=step)


def card_to_toml(new_card: card.Card) -> str:
    """The card of an imported data set as TOML; `card.read` reads it back equal."""
    import tomlkit

    return tomlkit.dumps(new_card.model_dump(mode="json", exclude_none=True, exclude={"splits", "published"}))


def _check_name(options: ImportOptions) -> None:
    """Raise `UsageError` when the name of the data set is invalid or taken."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", options.name):
        raise UsageError(
            f"{options.name!r} is not a valid name for a data set; expected lower-case letters, digits, '.', '_' or "
            "'-', and a letter or digit first, as in my-ratings"
        )
    if options.name in card.shipped_names():
        raise UsageError(f"cfbench ships a data set {options.name!r}; choose another --name")
    if not options.force and (card.imported_folder() / f"{options.name}.toml").exists():
        raise UsageError(
            f"there is a data set {options.name!r} already; choose another --name, or replace it with --force"
        )


def _make_card(options: ImportOptions, scale: Scale) -> card.Card:
    origin = f"imported from {options.path.absolute()}"
    return card.Card(
        name=options.name, title=options.name, homepage="", citation="your own data", licence="your own",
        terms=f"Your own ratings, {origin}.", scale=scale, sources=(), origin=origin,
    )  # fmt: skip


def _expected(dataset: Dataset) -> card.Expected:
    ratings = dataset.ratings
    return card.Expected(
        users=ratings.n_users, items=ratings.n_items, ratings=len(ratings), fingerprint=ratings.fingerprint
    )
