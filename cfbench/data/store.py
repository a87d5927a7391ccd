"""The prepared data sets on disk.

    $CFBENCH_DATA, or the user's cache folder
    ├── downloads/                  the files of the sources, unchanged
    ├── datasets/<name>/            columns to be mapped, ratings.parquet, users.parquet, items.parquet, dataset.json
    ├── splits/<name>/              cached splits, for speed; safe to delete
    ├── rankings/                   item rankings that were computed, for speed; safe to delete
    ├── terms/<name>                exists when the terms of the data set have been shown
    └── current                     the name of the data set that commands use by default

A data set is prepared once: fetched, read, coded, compared with its card, and published by one rename. Opening it needs
no network. `dataset.json` has a checksum of each file, so that a damaged file is found before anything is computed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data import column_files, readers, split_cache
from cfbench.data.card import NEW_CARD, Expected, publish_new_cards, to_toml
from cfbench.data.checksums import checksum
from cfbench.data.fetch import download_command, exclusive_lock, fetch, find_cached_file
from cfbench.data.manifest import Manifest, dataset_folder, file_stamp, read_manifest, verified_file
from cfbench.data.split import Split, make_split
from cfbench.errors import CountError, DataError, WriteError
from cfbench.files import (
    DATA_VARIABLE,
    atomic_folder,
    data_home,
    make_folder,
    remove_leftovers,
    write_atomically,
    write_errors,
)
from cfbench.ratings import Catalogue, Ratings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import polars as pl

    from cfbench.data.card import Card
    from cfbench.data.progress import ProgressListener
    from cfbench.data.sources import ItemNumbers


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set: its card, its ratings, and the ids of their codes."""

    card: Card
    ratings: Ratings
    home: Path
    """The data folder that contains it."""

    @cached_property
    def catalogue(self) -> Catalogue:
        """The ids and titles of the codes, read on first use; raises `DataError` when the files are damaged."""
        import polars as pl

        manifest = read_manifest(self.home, self.card.name)
        if manifest is not None and manifest.has_old_ids(self.card):
            raise DataError(
                f"an older cfbench prepared data set {self.card.name!r} with titles as item ids; "
                f"run {download_command(self.card, '--again')} to get the original ids (splits and runs stay valid)"
            )
        users, items = (verified_file(self.home, self.card, manifest, f"{kind}.parquet") for kind in ("users", "items"))
        return Catalogue(pl.read_parquet(users, glob=False), pl.read_parquet(items, glob=False))

    @property
    def genres(self) -> tuple[tuple[str, ...], ...]:
        """(n_items,) the genres of each item, none where unknown; raises `DataError` if those of no item are known."""
        genres = self.catalogue.genres
        if any(genres):
            return genres
        if any(source.titles is not None and source.titles.has_genres for source in self.card.sources):
            raise DataError(
                f"data set {self.card.name!r} was prepared without genres, as an older cfbench did; run "
                f"{download_command(self.card, '--again')} to get them (splits and runs stay valid)"
            )
        raise DataError(f"the card of data set {self.card.name!r} names no genres of its items")

    def split(self, name: str) -> Split:
        """Return a split, cut once and then read from the cache. Raises `UnknownNameError`, `SplitError`."""
        definition, name = self.card.split(name), self.card.canonical_name(name)
        path = self._split_path(name)
        remove_leftovers(path.parent)  # of a process that was killed when its split was already visible
        split = split_cache.read_split(path, name, definition, self.ratings)
        if split is None:
            split = make_split(name, definition, self.ratings)
            with suppress(WriteError):  # on a full or read-only disk, the split is cut again next time
                split_cache.write_split(path, split)
        return split

    def report(self, name: str) -> dict[str, int] | None:
        """Return the report of a split from the cache, None if it is not there. Raises `UnknownNameError`."""
        return split_cache.read_report(self._split_path(self.card.canonical_name(name)))

    def _split_path(self, name: str) -> Path:
        folder = self.home / "splits" / self.card.name
        return split_cache.cache_path(folder, name, self.card.split(name), self.ratings)


def is_ready(card: Card) -> bool:
    """Whether the data set is prepared from this version of its card."""
    manifest = read_manifest(data_home(), card.name)
    return manifest is not None and not manifest.is_outdated(card)


def open_dataset(card: Card) -> Dataset:
    """Open a prepared data set.

    Raises `DataError` when it is not prepared, damaged, or prepared from another version of its card.
    """
    home = data_home()
    manifest = read_manifest(home, card.name)
    if manifest is None:
        raise DataError(f"data set {card.name!r} is not available; run {download_command(card)}")
    if manifest.is_outdated(card):
        raise DataError(
            f"data set {card.name!r} was prepared from version {manifest.version} of its card (fingerprint "
            f"{manifest.fingerprint[:12]}), expected version {card.version} ({card.expected.fingerprint[:12]}); "
            f"run {download_command(card)} to prepare it again"
        )
    for file in manifest.files:
        if file.endswith(".bin"):
            verified_file(home, card, manifest, file)
    ratings = column_files.read(
        dataset_folder(home, card.name), n_users=manifest.users, n_items=manifest.items, scale=card.scale,
        fingerprint=manifest.fingerprint,
    )  # fmt: skip
    return Dataset(card, ratings, home)


def prepare(card: Card, *, listener: ProgressListener, from_file: Path | None = None, again: bool = False) -> Dataset:
    """Fetch, read, code and check a data set, unless it is ready; then open it.

    `from_file` replaces the network, and `again` prepares a data set that is ready once more. A data set that an older
    version prepared with other ids is prepared again if its file is still there. Raises the errors of `fetch`, the
    readers and `open_dataset`, `CountError` when the ratings do not match the card, and `WriteError`.
    """
    if not again and _can_renew_ids(card):
        listener.message(f"preparing {card.name} again, with the original item ids in place of titles")
        again = True
    again = again or (from_file is not None and not card.expected.fingerprint)  # it may be another file than before
    if again or not is_ready(card):
        with exclusive(card.name, listener):
            if again or not is_ready(card):  # another process may have prepared it meanwhile
                _prepare(card, listener, from_file)
    remove_leftovers(data_home() / "datasets")  # of a process that was killed when its data set was already visible
    return open_dataset(card)


def _can_renew_ids(card: Card) -> bool:
    """Whether an older cfbench prepared the data set with other item ids, and its file is still there."""
    manifest = read_manifest(data_home(), card.name)
    if manifest is None or manifest.is_outdated(card) or not manifest.has_old_ids(card):
        return False
    return find_cached_file(card, data_home() / "downloads") is not None


def write_imported(own_card: Card, blocks: Iterable[pl.DataFrame], titles: pl.DataFrame | None) -> Dataset:
    """Publish a person's own ratings and their card in one step, in place of an earlier data set; then open it.

    The card gets the numbers of the ratings. The caller holds the lock `exclusive`. Raises the errors of `prepare`.
    """
    origin, replace = own_card.origin, dataset_folder(data_home(), own_card.name).exists()
    complete = _write_dataset(own_card, blocks, titles, where=origin, source=origin, keep_last=False, replace=replace)
    publish_new_cards()
    return open_dataset(complete)


def current() -> str | None:
    """The name of the current data set, or None."""
    try:
        return (data_home() / "current").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def make_current(name: str) -> None:
    """Make a data set the current one; raises `WriteError`."""
    write_atomically(make_folder(data_home(), DATA_VARIABLE) / "current", f"{name}\n", DATA_VARIABLE)


def forget_current() -> None:
    """Make no data set the current one; raises `WriteError`."""
    path = data_home() / "current"
    with write_errors(path, DATA_VARIABLE):
        path.unlink(missing_ok=True)


def terms_shown(name: str) -> bool:
    """Whether the terms of a data set have been shown."""
    return (data_home() / "terms" / name).is_file()


def mark_terms_shown(name: str) -> None:
    """Record that the terms of a data set have been shown; raises `WriteError`."""
    write_atomically(make_folder(data_home() / "terms", DATA_VARIABLE) / name, "", DATA_VARIABLE)


def exclusive(name: str, listener: ProgressListener) -> AbstractContextManager[None]:
    """Prevent other processes from changing the same data set; raises `WriteError`."""
    folder = make_folder(data_home() / "datasets", DATA_VARIABLE)
    return exclusive_lock(folder / f"{name}.lock", f"preparing {name}", listener)


def _prepare(card: Card, listener: ProgressListener, from_file: Path | None) -> None:
    import polars as pl

    file, source = fetch(card, data_home() / "downloads", listener=listener, from_file=from_file)
    listener.message(f"reading {file.name}")
    blocks = readers.read(file, source.ratings, card.scale, listener)
    titles = None if source.titles is None else pl.concat(readers.read(file, source.titles, None, listener))
    if titles is not None and source.item_numbers is not None:
        titles = _with_original_ids(titles, source.item_numbers, file)
    where = f"{file}!{source.ratings.member}" if source.ratings.member else str(file)
    keep_last = source.ratings.duplicates == "last"
    _write_dataset(card, blocks, titles, where=where, source=source.location, keep_last=keep_last)


def _with_original_ids(titles: pl.DataFrame, numbers: ItemNumbers, file: Path) -> pl.DataFrame:
    """The table of titles with the column `id`; raises `CountError` when it has another number of rows."""
    import polars as pl

    ids = numbers.ids
    if len(titles) != len(ids):
        raise CountError(f"{file} has {len(titles):,} titles, expected {len(ids):,}; get the original file")
    return titles.with_columns(id=pl.Series(ids))


def _write_dataset(
    card: Card, blocks: Iterable[pl.DataFrame], titles: pl.DataFrame | None, *, where: str, source: str,
    keep_last: bool, replace: bool = True,
) -> Card:  # fmt: skip
    """Write all files to a hidden folder and publish it. Return the card, with its numbers if it is a person's own.

    `where` names the file in messages, `source` is recorded in `dataset.json`. `replace` allows an earlier folder.
    """
    with atomic_folder(dataset_folder(data_home(), card.name), DATA_VARIABLE, replace=replace) as hidden:
        ratings, encoder = column_files.write(blocks, hidden, card.scale)
        catalogue = encoder.catalogue(titles)
        if keep_last:
            ratings = column_files.keep_last_of_duplicates(ratings, hidden)
        else:
            _refuse_duplicates(ratings, catalogue, where)
        _compare_with_card(card, ratings, where)
        column_files.write_parquet(ratings, hidden / "ratings.parquet")
        column_files.write_table(catalogue.users, hidden / "users.parquet")
        column_files.write_table(catalogue.items, hidden / "items.parquet")
        has_ids = titles is not None and "id" in titles.columns
        manifest = _describe(card, ratings, sorted(hidden.iterdir()), source, original_ids=has_ids)
        (hidden / "dataset.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if card.origin:
            card = card.model_copy(update={"expected": _numbers(ratings)})
            (hidden / NEW_CARD).write_text(to_toml(card), encoding="utf-8")
    return card


def _describe(card: Card, ratings: Ratings, files: list[Path], source: str, *, original_ids: bool) -> Manifest:
    return Manifest(
        name=card.name, version=card.version, fingerprint=ratings.fingerprint, users=ratings.n_users,
        items=ratings.n_items, ratings=len(ratings), source=source,
        files={path.name: checksum(path) for path in files}, stamps={path.name: file_stamp(path) for path in files},
        original_ids=original_ids,
    )  # fmt: skip


def _numbers(ratings: Ratings) -> Expected:
    return Expected(users=ratings.n_users, items=ratings.n_items, ratings=len(ratings), fingerprint=ratings.fingerprint)


def _refuse_duplicates(ratings: Ratings, catalogue: Catalogue, where: str) -> None:
    """Raise `CountError` when a pair is rated more than once: it is unclear which rating counts."""
    keys = column_files.pair_keys(ratings.users, ratings.items, ratings.n_items)
    keys.sort()
    duplicates = np.flatnonzero(keys[1:] == keys[:-1])
    if len(duplicates):
        user, item = divmod(int(keys[duplicates[0]]), ratings.n_items)
        pair = f"user {catalogue.users['id'][user]!r} with item {catalogue.items['id'][item]!r}"
        raise CountError(
            f"{where} rates {len(duplicates):,} pairs more than once, such as {pair}; get the original file, "
            'or set duplicates = "last" in the card'
        )


def _compare_with_card(card: Card, ratings: Ratings, where: str) -> None:
    """Raise `CountError` with every number that differs from the card."""
    expected = card.expected
    differences = [
        f"{name}: expected {wanted:,}, got {actual:,}"
        for name, wanted, actual in (
            ("users", expected.users, ratings.n_users),
            ("items", expected.items, ratings.n_items),
            ("ratings", expected.ratings, len(ratings)),
        )
        if wanted not in (None, actual)
    ]
    if not differences and expected.fingerprint not in ("", ratings.fingerprint):
        differences = [f"fingerprint: expected {expected.fingerprint}, got {ratings.fingerprint}"]
    if differences:
        raise CountError(
            f"{where} does not match the card of {card.name}: {'; '.join(differences)}; correct the card, "
            "or use another source with --from-file"
        )
