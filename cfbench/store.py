"""STORE: where data sets live once they are prepared, and how they are opened.

    $CFBENCH_DATA, or the user's cache folder
    ├── downloads/                  the files of the sources, as they came
    ├── datasets/<name>/            ratings.parquet, users.parquet, items.parquet, dataset.json
    ├── splits/<name>/              parts already cut, for speed; safe to delete
    ├── terms/<name>                the data set's terms have been shown
    └── current                     the name of the data set that commands use unless told otherwise

A data set is prepared once: fetched, read, coded, counted against its card, and moved into place by one rename. Opening
it needs no network. `dataset.json` has a checksum of each file, so that damage is noticed before it is computed with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cfbench import readers
from cfbench.errors import CountError, DataError, PlaceError
from cfbench.fetch import SETTING, fetch, locked, sha256
from cfbench.files import folder_appearing, make_folder, write_atomically
from cfbench.ratings import Catalogue, Ratings, code, write_table
from cfbench.split import Split, make, restore

if TYPE_CHECKING:
    from cfbench.card import Card, Source
    from cfbench.fetch import Listener
    from cfbench.split import Definition

_CUT = "cfbench parts 1"  # part of a cached split's key: raise it when `split` cuts the same definition otherwise


class _Manifest(BaseModel):
    """`dataset.json`: what was prepared, from what, and the checksum of every file beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    fingerprint: str
    users: int
    items: int
    ratings: int
    source: str
    files: dict[str, str]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set: its card, its ratings, and what their codes stand for."""

    card: Card
    ratings: Ratings
    home: Path
    """The data folder it was opened from."""

    @cached_property
    def catalogue(self) -> Catalogue:
        """The ids and titles behind the codes, read on first use; raises `DataError` when the files are damaged."""
        import polars as pl

        users, items = (_checked(self.home, self.card.name, f"{what}.parquet") for what in ("users", "items"))
        return Catalogue(pl.read_parquet(users, glob=False), pl.read_parquet(items, glob=False))

    def split(self, name: str) -> Split:
        """The split of that name, cut once and kept on disk. Raises `UnknownNameError`, `SplitError`."""
        definition, name = self.card.split(name), self.card.canonical(name)
        key = f"{_CUT}: {self.ratings.fingerprint} {definition.model_dump_json()}"
        path = self.home / "splits" / self.card.name / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parts"
        split = _cached(path, name, definition, self.ratings)
        if split is None:
            split = make(name, definition, self.ratings)
            with suppress(PlaceError):  # a full or read-only disk costs time, not the split
                _cache(path, split)
        return split


def data_home() -> Path:
    """The folder of all data: `$CFBENCH_DATA`, else the user's cache folder. It may not exist yet."""
    chosen = os.environ.get(SETTING)
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("cfbench", appauthor=False)


def is_ready(card: Card) -> bool:
    """Whether the data set was prepared from this version of its card."""
    manifest = _manifest(data_home(), card.name)
    return manifest is not None and not _stale(manifest, card)


def open_dataset(card: Card) -> Dataset:
    """A prepared data set. Raises `DataError` when it is not here, of another version of its card, or damaged."""
    home = data_home()
    manifest = _manifest(home, card.name)
    if manifest is None:
        raise DataError(f"data set {card.name!r} is not here; `cfbench download {card.name}` gets it")
    if _stale(manifest, card):
        raise DataError(
            f"data set {card.name!r} was prepared from version {manifest.version} of its card (fingerprint "
            f"{manifest.fingerprint[:12]}), expected version {card.version} ({card.expected.fingerprint[:12]}); "
            f"`cfbench download {card.name}` prepares it anew"
        )
    path = _checked(home, card.name, "ratings.parquet")
    return Dataset(card, Ratings.read(path, n_users=manifest.users, n_items=manifest.items, scale=card.scale), home)


def prepare(card: Card, *, listener: Listener, from_file: Path | None = None, again: bool = False) -> Dataset:
    """Fetch, read, code and check a data set, unless it is ready; then open it.

    `from_file` takes the place of the network, `again` prepares what is ready once more. Raises what `fetch`, the
    readers and `open_dataset` raise, `CountError` when the result is not what the card expects, and `PlaceError`.
    """
    if again or not is_ready(card):
        folder = make_folder(data_home() / "datasets", SETTING)
        with locked(folder / f"{card.name}.lock", f"preparing {card.name}", listener):
            if again or not is_ready(card):  # another process may have done it meanwhile
                _prepare(card, listener, from_file)
    return open_dataset(card)


def current() -> str | None:
    """The name of the data set in use, or None."""
    try:
        return (data_home() / "current").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def make_current(name: str) -> None:
    """Use the data set of that name from now on; raises `PlaceError`."""
    write_atomically(make_folder(data_home(), SETTING) / "current", f"{name}\n", SETTING)


def terms_shown(name: str) -> bool:
    """Whether a data set's terms have been shown here."""
    return (data_home() / "terms" / name).is_file()


def mark_terms_shown(name: str) -> None:
    """Remember that a data set's terms have been shown; raises `PlaceError`."""
    write_atomically(make_folder(data_home() / "terms", SETTING) / name, "", SETTING)


def _folder(home: Path, name: str) -> Path:
    return home / "datasets" / name


def _manifest(home: Path, name: str) -> _Manifest | None:
    """What `dataset.json` says; None when it is absent or no such thing, for then nothing beside it can be trusted."""
    try:
        return _Manifest.model_validate_json((_folder(home, name) / "dataset.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _stale(manifest: _Manifest, card: Card) -> bool:
    return (manifest.version, manifest.fingerprint) != (card.version, card.expected.fingerprint)


def _prepare(card: Card, listener: Listener, from_file: Path | None) -> None:
    home = data_home()
    file, source = fetch(card, home / "downloads", listener=listener, from_file=from_file)
    listener.say(f"reading {file.name}")
    columns = readers.read(file, source.ratings, card.scale)
    titles = None if source.titles is None else readers.read(file, source.titles)
    ratings, catalogue = code(columns, titles, card.scale)
    _compare(card, ratings, f"{file}!{source.ratings.member}")
    _write(_folder(home, card.name), card, ratings, catalogue, source)


def _compare(card: Card, ratings: Ratings, where: str) -> None:
    """Raise `CountError` naming every number that is not the card's."""
    expected = card.expected
    wrong = [
        f"{what}: expected {wanted:,}, got {found:,}"
        for what, wanted, found in (
            ("users", expected.users, ratings.n_users),
            ("items", expected.items, ratings.n_items),
            ("ratings", expected.ratings, len(ratings)),
        )
        if wanted != found
    ]
    if not wrong and ratings.fingerprint != expected.fingerprint:
        wrong = [f"fingerprint: expected {expected.fingerprint}, got {ratings.fingerprint}"]
    if wrong:
        raise CountError(
            f"{where} does not hold what the card of {card.name} promises: {'; '.join(wrong)}; correct the card, "
            "or use another source with --from-file"
        )


def _write(folder: Path, card: Card, ratings: Ratings, catalogue: Catalogue, source: Source) -> None:
    """Write all files aside and let the folder appear, in place of the one that may be there."""
    with folder_appearing(folder, SETTING) as hidden:
        ratings.write(hidden / "ratings.parquet")
        write_table(catalogue.users, hidden / "users.parquet")
        write_table(catalogue.items, hidden / "items.parquet")
        manifest = _Manifest(
            name=card.name, version=card.version, fingerprint=ratings.fingerprint, users=ratings.n_users,
            items=ratings.n_items, ratings=len(ratings), source=source.place,
            files={path.name: sha256(path) for path in sorted(hidden.iterdir())},
        )  # fmt: skip
        (hidden / "dataset.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
    shutil.rmtree(old, ignore_errors=True)


def _checked(home: Path, name: str, file: str) -> Path:
    """The path of a file that is as it was written; raises `DataError`."""
    path, manifest = _folder(home, name) / file, _manifest(home, name)
    try:
        whole = manifest is not None and sha256(path) == manifest.files.get(file)
    except OSError:
        whole = False
    if not whole:
        raise DataError(f"{path} is damaged or missing; `cfbench download {name} --again` repairs it")
    return path


def _cached(path: Path, name: str, definition: Definition, ratings: Ratings) -> Split | None:
    """A split cut earlier, or None when there is none or it is not exactly what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, cut = content[:32], content[32:]
    if len(cut) != 8 + len(ratings) or hashlib.sha256(cut).digest() != digest:
        return None
    parts = np.frombuffer(cut, np.uint8, offset=8)
    return restore(name, definition, ratings, parts, dropped=int.from_bytes(cut[:8], "little"))


def _cache(path: Path, split: Split) -> None:
    """Keep a SHA-256 (32 bytes) of what follows; how many ratings were dropped (8 bytes); the part of each (1 byte)."""
    cut = split.report["dropped"].to_bytes(8, "little") + split.parts.tobytes()
    write_atomically(path, hashlib.sha256(cut).digest() + cut)
