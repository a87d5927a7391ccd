"""A person's own file becomes a data set with a card, used like any other."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data import card, deeprecommender, store
from cfbench.data.duplicates import DuplicatePolicy, refuse_pairs_in_two_parts, resolve_duplicates
from cfbench.data.id_codes import encode_ratings
from cfbench.data.imported_rows import ImportedRows, RatingsFile, ReadOptions, read_rows, read_titles
from cfbench.data.parts import PART_NAMES, TEST, TRAIN, VALID
from cfbench.data.readers.table import LayoutOptions
from cfbench.data.scales import infer_scale_of, refuse_lost_ratings
from cfbench.data.split_definitions import OWN_SPLIT, OwnParts
from cfbench.errors import SplitError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from cfbench.data.parts import PartCodes
    from cfbench.data.progress import ProgressListener
    from cfbench.data.readers.wide import MatrixOptions
    from cfbench.data.split_definitions import SplitDefinition
    from cfbench.data.store import Dataset
    from cfbench.ratings import Scale


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and how."""

    path: Path | pl.DataFrame
    name: str
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    """What the person says about the file; the rest is inferred."""
    scale: Scale | None = None
    duplicates: DuplicatePolicy = "error"
    skip_bad: bool = False
    titles: Path | pl.DataFrame | None = None
    force: bool = False
    test: Path | None = None
    """The file with the test part; `path` then has the training part."""
    valid: Path | None = None
    """The file with the validation part, if there is one beside the test part."""
    matrix: MatrixOptions | None = None
    """For a file whose rows are users and whose columns are items."""
    deeprecommender: bool = False
    """Whether `path` is a folder of the reference implementation, which holds the parts in folders."""

    @property
    def files(self) -> list[RatingsFile]:
        """The files, in the order of the parts; raises `UsageError` for a folder that holds no parts."""
        if self.deeprecommender and isinstance(self.path, Path):
            return deeprecommender.find_files(self.path)
        if self.test is None:
            return [RatingsFile(self.path)]
        valid = [] if self.valid is None else [RatingsFile(self.valid, VALID)]
        return [RatingsFile(self.path, TRAIN), *valid, RatingsFile(self.test, TEST)]


def import_file(options: ImportOptions, listener: ProgressListener) -> Dataset:
    """Import ratings, and make the data set the current one; raises what `import_ratings` raises."""
    dataset = import_ratings(options, listener)
    store.make_current(options.name)
    return dataset


def import_ratings(options: ImportOptions, listener: ProgressListener, *, reuse: bool = False) -> Dataset:
    """Read, check and store the files, and write the card.

    With `force`, what a person wrote into the card of an earlier import stays. With `reuse`, an earlier import of the
    same ratings is returned. Raises `UsageError`, `ArchiveError`, `RowError`, `CountError` for duplicate pairs,
    `SplitError` for an empty part, `DataError`, `WriteError`.
    """
    _check_name(options)
    _check_parts(options)
    if not reuse:
        _earlier_card(options)  # reading the files may take minutes
    rows, scale = _read(options, listener)
    titles = None if options.titles is None else read_titles(options.titles, listener)
    same = _find_same(options.name, rows, scale, titles) if reuse else None
    if same is not None:
        return same
    new_card = _make_card(options, rows, scale)
    for summary in rows.summaries:
        listener.message(summary)
    with store.exclusive(options.name, listener):
        new_card = update_card(new_card, _earlier_card(options), listener)
        dataset = store.write_imported(new_card, rows.blocks(), titles)
    store.mark_terms_shown(options.name)
    return dataset


def _find_same(name: str, rows: ImportedRows, scale: Scale, titles: pl.DataFrame | None) -> Dataset | None:
    """Return an earlier import of that name with the same ratings, ids, titles, scale and parts; None if none is."""
    import polars as pl

    earlier = card.load(name) if name in card.names() else None
    if earlier is None or not earlier.origin or not store.is_ready(earlier):
        return None
    dataset = store.open_dataset(earlier)
    ratings, catalogue = encode_ratings(pl.concat(rows.blocks()), titles, scale)
    own, other = _own_splits(rows).get(OWN_SPLIT), earlier.splits.get(OWN_SPLIT)
    same_parts = own == (other and other.model_copy(update={"protocol": ""}))
    same_ratings = (ratings.fingerprint, scale) == (dataset.ratings.fingerprint, dataset.ratings.scale)
    users, items = dataset.catalogue.users, dataset.catalogue.items
    is_same = same_parts and same_ratings and catalogue.users.equals(users) and catalogue.items.equals(items)
    return dataset if is_same else None


def _read(options: ImportOptions, listener: ProgressListener) -> tuple[ImportedRows, Scale]:
    """The rows of the files, checked, one for each pair, part after part; and their scale."""
    reading = ReadOptions(options.layout, options.matrix, options.scale, options.skip_bad)
    rows = read_rows(options.files, reading, listener)
    refuse_lost_ratings(rows)
    refuse_pairs_in_two_parts(rows)
    scale = options.scale or infer_scale_of(rows)
    rows = resolve_duplicates(rows, options.duplicates, listener)
    if options.duplicates == "mean" and scale.invalid(rows.ratings).any():
        listener.message(f"some means are between the steps of the scale {scale}; the data set's scale has no steps")
        scale = scale.model_copy(update={"step": 0.0})
    return (rows if rows.parts is None else rows.take(np.argsort(rows.parts, kind="stable"))), scale


def update_card(new_card: card.Card, earlier: card.Card | None, listener: ProgressListener) -> card.Card:
    """The new card with what a person wrote into the card of an earlier import.

    That is the title, homepage, citation and licence, published scores, other splits, and the protocol of their own
    split.
    """
    if earlier is None:
        return new_card
    own, earlier_own = new_card.splits.get(OWN_SPLIT), earlier.splits.get(OWN_SPLIT)
    splits = {name: definition for name, definition in earlier.splits.items() if name != OWN_SPLIT}
    if own is not None:
        protocol = earlier_own.protocol if earlier_own is not None else ""
        splits[OWN_SPLIT] = own.model_copy(update={"protocol": protocol})
    elif earlier_own is not None:
        listener.message(f"{new_card.name} no longer has the split {OWN_SPLIT}; --test or --part-column imports one")
    names = ("title", "homepage", "citation", "licence", "published")
    return new_card.model_copy(update={"splits": splits, **{name: getattr(earlier, name) for name in names}})


def _check_name(options: ImportOptions) -> None:
    """Raise `UsageError` when the name of the data set is invalid, or that of a data set that cfbench ships."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", options.name):
        raise UsageError(
            f"{options.name!r} is not a valid name for a data set; expected at most 100 lower-case letters, digits, "
            "'.', '_' or '-', and a letter or digit first, as in my-ratings"
        )
    if options.name in card.shipped_names():
        raise UsageError(f"cfbench ships a data set {options.name!r}; choose another --name")


def _check_parts(options: ImportOptions) -> None:
    """Raise `UsageError` when the options contradict each other about parts."""
    by_column = "part" in options.layout.columns
    is_other_form = by_column or options.test is not None or options.valid is not None or options.matrix is not None
    if options.deeprecommender and is_other_form:
        raise UsageError(
            "--format deeprecommender finds the parts in folders; leave out --test, --valid, --part-column and --wide"
        )
    if options.valid is not None and options.test is None:
        raise UsageError("--valid needs --test: a validation part alone is no split; give the file of the test part")
    if by_column and options.test is not None:
        raise UsageError("--part-column and --test both say which part a rating is in; give one of them")
    if options.matrix is not None and (by_column or options.test is not None):
        raise UsageError("--wide cannot be used with --test or --part-column; write the parts as lists of ratings")


def _earlier_card(options: ImportOptions) -> card.Card | None:
    """The card of an earlier import of that name. Raises `UsageError` if there is one without `force`, `CardError`."""
    if options.name not in card.names():
        return None
    if not options.force:
        raise UsageError(
            f"there is a data set {options.name!r} already; choose another --name, or replace it with --force"
        )
    return card.load(options.name)


def _make_card(options: ImportOptions, rows: ImportedRows, scale: Scale) -> card.Card:
    """The card of the new data set; raises `SplitError` when the training or the test part is empty."""
    paths = [options.path] if options.deeprecommender else [file.path for file in options.files]
    origin = f"imported from {' and '.join(map(_describe_source, paths))}"
    return card.Card(
        name=options.name, title=options.name, homepage="", citation="your own data", licence="your own",
        terms=f"Your own ratings, {origin}.", scale=scale, sources=(), origin=origin, splits=_own_splits(rows),
    )  # fmt: skip


def _describe_source(source: Path | pl.DataFrame) -> str:
    if not isinstance(source, Path):
        return "a frame in Python"
    return os.fsencode(source.absolute()).decode(errors="backslashreplace")


def _own_splits(rows: ImportedRows) -> dict[str, SplitDefinition]:
    """The person's own split, if the files say which part a rating is in; raises what `_own_parts` raises."""
    return {} if rows.parts is None else {OWN_SPLIT: _own_parts(rows.parts, rows.where)}


def _own_parts(parts: PartCodes, where: str) -> OwnParts:
    counts = np.bincount(parts, minlength=3)
    for part in (TRAIN, TEST):
        if not counts[part]:
            raise SplitError(
                f"{where} has no rating in the {PART_NAMES[part]} part, expected one or more; check the column"
            )
    train, valid, test = counts.tolist()
    return OwnParts(train=train, valid=valid, test=test)
