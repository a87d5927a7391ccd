"""STORE: where data sets live once they are prepared, and how they are opened.

    $CFBENCH_DATA, or the user's cache folder
    ├── downloads/                  the files of the sources, as they came
    ├── datasets/<name>/            columns to be mapped, ratings.parquet, users.parquet, items.parquet, dataset.json
    ├── splits/<name>/              parts already cut, for speed; safe to delete
    ├── terms/<name>                the data set's terms have been shown
    └── current                     the name of the data set that commands use unless told otherwise

A data set is prepared once: fetched, read, coded, counted against its card, and moved into place by one rename. Opening
it needs no network. `dataset.json` has a checksum of each file, so that damage is noticed before it is computed with.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, field_validator

from cfbench.data import column_files, readers
from cfbench.data.fetch import checksum, fetch, locked, remedy
from cfbench.data.split import Count, Split, make, restore
from cfbench.errors import CountError, DataError, WriteError
from cfbench.files import DATA_VARIABLE, atomic_folder, data_home, make_folder, write_atomically
from cfbench.ratings import Catalogue, Ratings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import polars as pl

    from cfbench.data.card import Card
    from cfbench.data.fetch import ProgressListener
    from cfbench.data.split import Definition

_CUT = "cfbench parts 2"  # part of a cached split's key: raise it when `split` cuts the same definition otherwise
_SUM = 32  # bytes of a SHA-256


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
    stamps: dict[str, tuple[int, int]]
    """Size in bytes and time of last change in ns of each file: while they are the same, it is not summed again."""


class _Head(BaseModel):
    """What a cached split begins with: its report, and the fingerprint that the parts after it give it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    report: dict[str, NonNegativeInt]
    fingerprint: str

    @field_validator("report")
    @classmethod
    def _complete(cls, report: dict[str, int]) -> dict[str, int]:
        if set(report) != set(get_args(Count)):
            raise ValueError("the report of a version that counted other things")
        return report


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

        manifest = _manifest(self.home, self.card.name)
        users, items = (_checked(self.home, self.card, manifest, f"{what}.parquet") for what in ("users", "items"))
        return Catalogue(pl.read_parquet(users, glob=False), pl.read_parquet(items, glob=False))

    def split(self, name: str) -> Split:
        """The split of that name, cut once and kept on disk. Raises `UnknownNameError`, `SplitError`."""
        definition, name = self.card.split(name), self.card.canonical(name)
        path = self._parts(name)
        split = _cached(path, name, definition, self.ratings)
        if split is None:
            split = make(name, definition, self.ratings)
            with suppress(WriteError):  # a full or read-only disk costs time, not the split
                _cache(path, split)
        return split

    def report(self, name: str) -> dict[str, int] | None:
        """The report of a split if it was cut before, else None: nothing is cut. Raises `UnknownNameError`."""
        with suppress(OSError), self._parts(self.card.canonical(name)).open("rb") as file:
            if head := _head(file):
                return head.report
        return None

    def _parts(self, name: str) -> Path:
        """Where the split of that one name is kept, as it is defined today."""
        key = f"{_CUT}: {self.ratings.fingerprint} {self.card.split(name).model_dump_json(exclude={'expected'})}"
        return self.home / "splits" / self.card.name / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parts"


def is_ready(card: Card) -> bool:
    """Whether the data set was prepared from this version of its card."""
    manifest = _manifest(data_home(), card.name)
    return manifest is not None and not _stale(manifest, card)


def open_dataset(card: Card) -> Dataset:
    """A prepared data set. Raises `DataError` when it is not here, of another version of its card, or damaged."""
    home = data_home()
    manifest = _manifest(home, card.name)
    if manifest is None:
        raise DataError(f"data set {card.name!r} is not here; {remedy(card)} gets it")
    if _stale(manifest, card):
        raise DataError(
            f"data set {card.name!r} was prepared from version {manifest.version} of its card (fingerprint "
            f"{manifest.fingerprint[:12]}), expected version {card.version} ({card.expected.fingerprint[:12]}); "
            f"{remedy(card)} prepares it anew"
        )
    for file in manifest.files:
        if file.endswith(".bin"):
            _checked(home, card, manifest, file)
    ratings = column_files.read(
        _folder(home, card.name), n_users=manifest.users, n_items=manifest.items, scale=card.scale,
        fingerprint=manifest.fingerprint,
    )  # fmt: skip
    return Dataset(card, ratings, home)


def prepare(card: Card, *, listener: ProgressListener, from_file: Path | None = None, again: bool = False) -> Dataset:
    """Fetch, read, code and check a data set, unless it is ready; then open it.

    `from_file` takes the place of the network, `again` prepares what is ready once more. Raises what `fetch`, the
    readers and `open_dataset` raise, `CountError` when the result is not what the card expects, and `WriteError`.
    """
    again = again or (from_file is not None and not card.expected.fingerprint)  # nothing says it is the same file
    if again or not is_ready(card):
        with _preparing(card, listener):
            if again or not is_ready(card):  # another process may have done it meanwhile
                _prepare(card, listener, from_file)
    return open_dataset(card)


def install(
    card: Card, blocks: Iterable[pl.DataFrame], titles: pl.DataFrame | None, *, source: str, listener: ProgressListener
) -> Dataset:
    """Prepare a data set from blocks at hand, whatever is there of that name, and open it; raises as `prepare` does."""
    with _preparing(card, listener):
        _install(card, blocks, titles, where=source, source=source, keep_last=False)
    return open_dataset(card)


def current() -> str | None:
    """The name of the data set in use, or None."""
    try:
        return (data_home() / "current").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def make_current(name: str) -> None:
    """Use the data set of that name from now on; raises `WriteError`."""
    write_atomically(make_folder(data_home(), DATA_VARIABLE) / "current", f"{name}\n", DATA_VARIABLE)


def terms_shown(name: str) -> bool:
    """Whether a data set's terms have been shown here."""
    return (data_home() / "terms" / name).is_file()


def mark_terms_shown(name: str) -> None:
    """Remember that a data set's terms have been shown; raises `WriteError`."""
    write_atomically(make_folder(data_home() / "terms", DATA_VARIABLE) / name, "", DATA_VARIABLE)


def _preparing(card: Card, listener: ProgressListener) -> AbstractContextManager[None]:
    """Keep other processes from preparing the same data set; raises `WriteError`."""
    folder = make_folder(data_home() / "datasets", DATA_VARIABLE)
    return locked(folder / f"{card.name}.lock", f"preparing {card.name}", listener)


def _folder(home: Path, name: str) -> Path:
    return home / "datasets" / name


def _manifest(home: Path, name: str) -> _Manifest | None:
    """What `dataset.json` says; None when it is absent or no such thing, for then nothing beside it can be trusted."""
    try:
        return _Manifest.model_validate_json((_folder(home, name) / "dataset.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _stale(manifest: _Manifest, card: Card) -> bool:
    return manifest.version != card.version or card.expected.fingerprint not in ("", manifest.fingerprint)


def _prepare(card: Card, listener: ProgressListener, from_file: Path | None) -> None:
    home = data_home()
    file, source = fetch(card, home / "downloads", listener=listener, from_file=from_file)
    listener.message(f"reading {file.name}")
    where = f"{file}!{source.ratings.member}" if source.ratings.member else str(file)
    blocks = readers.read(file, source.ratings, card.scale, listener)
    titles = None if source.titles is None else _whole(readers.read(file, source.titles, None, listener))
    keep_last = source.ratings.duplicates == "last"
    _install(card, blocks, titles, where=where, source=source.place, keep_last=keep_last)


def _install(  # the one way into the store
    card: Card, blocks: Iterable[pl.DataFrame], titles: pl.DataFrame | None, *, where: str, source: str, keep_last: bool
) -> None:
    """Write all files aside and let the folder appear, in place of the one that may be there."""
    folder = _folder(data_home(), card.name)
    with atomic_folder(folder, DATA_VARIABLE, replace=True) as hidden:
        ratings, coder = column_files.write(blocks, hidden, card.scale)
        catalogue = coder.catalogue(titles)
        if keep_last:
            ratings = column_files.without_earlier(ratings, hidden)
        else:
            _refuse_repeats(ratings, catalogue, where)
        _compare(card, ratings, where)
        column_files.write_parquet(ratings, hidden / "ratings.parquet")
        column_files.write_table(catalogue.users, hidden / "users.parquet")
        column_files.write_table(catalogue.items, hidden / "items.parquet")
        files = sorted(hidden.iterdir())
        manifest = _Manifest(
            name=card.name, version=card.version, fingerprint=ratings.fingerprint, users=ratings.n_users,
            items=ratings.n_items, ratings=len(ratings), source=source,
            files={path.name: checksum(path) for path in files}, stamps={path.name: _stamp(path) for path in files},
        )  # fmt: skip
        (hidden / "dataset.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _whole(blocks: Iterable[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    return pl.concat(blocks)


def _refuse_repeats(ratings: Ratings, catalogue: Catalogue, where: str) -> None:
    """Raise `CountError` when a pair is rated twice: which rating would count?"""
    keys = column_files.pairs(ratings.users, ratings.items, ratings.n_items)
    keys.sort()
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if len(repeated):
        user, item = divmod(int(keys[repeated[0]]), ratings.n_items)
        pair = f"user {catalogue.users['id'][user]!r} with item {catalogue.items['id'][item]!r}"
        raise CountError(
            f"{where} rates {len(repeated):,} pairs more than once, such as {pair}; get the original file, "
            'or set duplicates = "last" in the card'
        )


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
        if wanted not in (None, found)
    ]
    if not wrong and expected.fingerprint not in ("", ratings.fingerprint):
        wrong = [f"fingerprint: expected {expected.fingerprint}, got {ratings.fingerprint}"]
    if wrong:
        raise CountError(
            f"{where} does not hold what the card of {card.name} promises: {'; '.join(wrong)}; correct the card, "
            "or use another source with --from-file"
        )


def _checked(home: Path, card: Card, manifest: _Manifest | None, file: str) -> Path:
    """The path of a file of a data set that is as it was written; raises `DataError`."""
    path = _folder(home, card.name) / file
    try:
        whole = manifest is not None and (
            _stamp(path) == manifest.stamps.get(file) or checksum(path) == manifest.files.get(file)
        )
    except OSError:
        whole = False
    if not whole:
        raise DataError(f"{path} is damaged or missing; {remedy(card, ' --again')} repairs it")
    return path


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _head(file: BinaryIO) -> _Head | None:
    """What a cached split begins with, or None when that is not exactly what was written. Raises `OSError`."""
    digest, head = file.read(_SUM), file.readline()
    with suppress(ValidationError):
        return _Head.model_validate_json(head) if hashlib.sha256(head).digest() == digest else None
    return None


def _cached(path: Path, name: str, definition: Definition, ratings: Ratings) -> Split | None:
    """A split cut earlier, or None when there is none or it is not exactly what was written."""
    with suppress(OSError), path.open("rb") as file:
        if head := _head(file):
            parts = np.frombuffer(file.read(), np.uint8)
            split = restore(name, definition, ratings, parts, report=head.report)
            return split if split.fingerprint == head.fingerprint else None
    return None


def _cache(path: Path, split: Split) -> None:
    """Keep the SHA-256 of the head, the head as a line of JSON, and the part of each rating as a byte."""
    head = _Head(report=split.report, fingerprint=split.fingerprint).model_dump_json().encode() + b"\n"
    write_atomically(path, hashlib.sha256(head).digest() + head + split.parts.tobytes())
