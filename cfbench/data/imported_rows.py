"""The rows of a person's own file, or files: read, checked and coded.

A valid row has a user, an item, a rating that is a number on the scale, and a time if the file has times. The columns
are in memory as codes, about 30 bytes per rating, so that the scale and the duplicates are known before anything is
stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.data.id_codes import IdEncoder
from cfbench.data.parts import PART_NAMES, PartCodes
from cfbench.data.readers.bad_rows import MAX_LISTED, BadRows, RowCheck, find_bad_rows
from cfbench.data.readers.table import LayoutOptions, OpenTable, TableBlock, open_source
from cfbench.data.readers.values import parse_ids, to_seconds
from cfbench.data.readers.wide import MatrixOptions, open_matrix
from cfbench.errors import RowError
from cfbench.ratings import Catalogue, Codes, Scale, Times, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener

_BLOCK_ROWS = 4_000_000


@dataclass(frozen=True)
class RatingsFile:
    """A file of an import, or a frame; all its ratings are in one part, unless `part` is None."""

    path: Path | pl.DataFrame
    part: int | None = None


@dataclass(frozen=True)
class ReadOptions:
    """How to read the files of an import."""

    layout: LayoutOptions = field(default_factory=LayoutOptions)
    """The role `part` is that of a column with the part of each rating: train, valid or test."""
    matrix: MatrixOptions | None = None
    """For files whose rows are users and whose columns are items; None for one rating in each row."""
    scale: Scale | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class ImportedRows:
    """n coded ratings, and the place of each in the files."""

    files: tuple[str, ...]
    """The names of the files, for messages."""
    summaries: tuple[str, ...]
    """For each file, which of its columns became what, for people."""
    file: NDArray[np.uint16]
    """(n,) which of the files each row is in."""
    lines: NDArray[np.int64]
    """(n,) on which line of its file each row begins."""
    users: Codes
    items: Codes
    ratings: NDArray[np.float64]
    times: Times | None
    parts: PartCodes | None
    """None when neither the files nor a column say which part a rating is in."""
    catalogue: Catalogue

    @property
    def where(self) -> str:
        """The files, for messages."""
        return " and ".join(self.files)

    def file_of(self, row: int) -> str:
        """The file of a row."""
        return self.files[int(self.file[row])]

    def place(self, row: int) -> str:
        """The place of a row, as in `r.csv, line 3`."""
        return f"{self.file_of(row)}, line {self.lines[row]}"

    def pair(self, row: int) -> str:
        """The user and the item of a row, with the ids of the file."""
        users, items = self.catalogue.users["id"], self.catalogue.items["id"]
        return f"user {users[int(self.users[row])]!r} with item {items[int(self.items[row])]!r}"

    def take(self, rows: NDArray[np.int64]) -> ImportedRows:
        """Return the given rows, in the given order."""
        return replace(
            self, file=self.file[rows], lines=self.lines[rows], users=self.users[rows], items=self.items[rows],
            ratings=self.ratings[rows], times=None if self.times is None else self.times[rows],
            parts=None if self.parts is None else self.parts[rows],
        )  # fmt: skip

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The rows in the form in which a reader yields them, with the ids of the file."""
        import polars as pl

        users, items = self.catalogue.users["id"], self.catalogue.items["id"]
        for rows in blocks(len(self.users), _BLOCK_ROWS):
            columns: dict[str, Any] = {
                "user": users.gather(self.users[rows]), "item": items.gather(self.items[rows]),
                "rating": self.ratings[rows],
            }  # fmt: skip
            if self.times is not None:
                columns["time"] = self.times[rows]
            yield pl.DataFrame(columns)


def read_rows(files: Sequence[RatingsFile], options: ReadOptions, listener: ProgressListener) -> ImportedRows:
    """Read the valid rows of all files, in their order.

    Bad rows raise `RowError`, or are dropped with a message if `skip_bad`. Raises also `UsageError`, `ArchiveError`.
    """
    encoder, opened_files, columns_of_files = IdEncoder(), list[OpenTable](), list[dict[str, Any]]()
    for number, file in enumerate(files):
        opened = _open(file, options, listener)
        columns = _read_file(opened, options, encoder, listener)
        n = len(columns["users"])
        columns["file"] = np.full(n, number, np.uint16)
        if file.part is not None:
            columns["parts"] = np.full(n, file.part, np.uint8)
        opened_files.append(opened)
        columns_of_files.append(columns)
    names = tuple(opened.where for opened in opened_files)
    _refuse_other_columns(names, columns_of_files)
    columns = {name: np.concatenate([each[name] for each in columns_of_files]) for name in columns_of_files[0]}
    return ImportedRows(
        files=names, summaries=tuple(f"{opened.where}: {opened.summary}" for opened in opened_files),
        file=columns["file"], lines=columns["lines"], users=columns["users"], items=columns["items"],
        ratings=columns["ratings"], times=columns.get("times"), parts=columns.get("parts"),
        catalogue=encoder.catalogue(None),
    )  # fmt: skip


def _open(file: RatingsFile, options: ReadOptions, listener: ProgressListener) -> OpenTable:
    if options.matrix is not None and isinstance(file.path, Path):
        return open_matrix(file.path, options.layout, options.matrix, listener)
    roles = ("user", "item", "rating", "time", *(["part"] if "part" in options.layout.columns else []))
    return open_source(file.path, options.layout, roles, listener)


def _refuse_other_columns(files: Sequence[str], columns: list[dict[str, Any]]) -> None:
    """Raise `RowError` when one file has times and another one has none."""
    for name, other in zip(files[1:], columns[1:], strict=True):
        if other.keys() != columns[0].keys():
            with_times, without = (files[0], name) if "times" in columns[0] else (name, files[0])
            raise RowError(
                f"{with_times} has times and {without} has none, expected the same columns in each file; name the "
                "columns in the first line of each file, or give them with --user, --item, --rating and --time"
            )


def _read_file(
    opened: OpenTable, options: ReadOptions, encoder: IdEncoder, listener: ProgressListener
) -> dict[str, NDArray[Any]]:
    """The columns of the valid rows of one file; see `read_rows`."""
    bad = BadRows(opened.where, "correct the file, or drop such rows with --skip-bad")
    encoded_blocks = list[dict[str, Any]]()
    for block in _valid_rows(opened, options.scale, bad, listener):
        if bad and not options.skip_bad:
            continue  # the file is refused, and the rest is read only to count its bad rows
        columns = encoder.encode(block)
        columns |= {"ratings": block["rating"].to_numpy(), "lines": block["line"].to_numpy()}
        if "part" in block.columns:
            columns["parts"] = block["part"].to_numpy()
        encoded_blocks.append(columns)
    if bad.unreadable or (bad and not options.skip_bad):
        bad.raise_if_any()
    if bad:
        listener.message(f"dropped {bad.count:,} bad rows of {opened.where}, on lines {bad.lines}")
    if not any(len(block["users"]) for block in encoded_blocks):
        raise RowError(f"{opened.where} has no valid row, expected one or more; check its columns")
    return {name: np.concatenate([block[name] for block in encoded_blocks]) for name in encoded_blocks[0]}


def _valid_rows(
    opened: OpenTable, scale: Scale | None, bad: BadRows, listener: ProgressListener
) -> Iterator[pl.DataFrame]:
    """Yield the valid rows of each block with a column `line`; report the others to `bad`."""
    import polars as pl

    others = {"time": to_seconds(opened.sample["time"])} if "time" in opened.columns else {}
    if "part" in opened.columns:
        codes = {name: code for code, name in enumerate(PART_NAMES)}
        text = pl.col("part").cast(pl.String).str.strip_chars().str.to_lowercase()
        others["part"] = text.replace_strict(codes, default=None, return_dtype=pl.UInt8)
    for block in opened.blocks(listener):
        rating = pl.col("rating")
        if block.fields["rating"].dtype == pl.String:
            rating = rating.str.strip_chars()
        parsed = block.fields.select(
            user=parse_ids(block.fields["user"]), item=parse_ids(block.fields["item"]),
            rating=rating.cast(pl.Float64, strict=False), **others, line=block.lines,
        )  # fmt: skip
        valid = _check(block, parsed, scale, bad)
        if block.fault:
            bad.give_up(block.fault_line, block.fault)
            return
        yield parsed if valid is None else parsed.filter(valid)


def _check(block: TableBlock, parsed: pl.DataFrame, scale: Scale | None, bad: BadRows) -> pl.Series | None:
    """Report every bad row to `bad`, each with its first error. Return (n,) True for valid rows, None if all are."""
    import polars as pl

    fields, ratings = block.fields, parsed["rating"].fill_null(np.nan)
    checks: list[RowCheck] = []
    if block.expected:
        message = f"expected {block.expected} fields, got {{}}"
        checks.append(RowCheck(fields["fields"] != block.expected, message, fields["fields"]))
    checks += [RowCheck(parsed[role].is_null(), f"the {role} is empty", fields[role]) for role in ("user", "item")]
    checks.append(RowCheck(~ratings.is_finite(), "expected a number for the rating, got '{}'", fields["rating"]))
    if scale is not None:
        invalid = pl.Series(scale.invalid(ratings.to_numpy()))
        checks.append(RowCheck(invalid, f"rating {{}} is off the scale {scale}", fields["rating"]))
    if "time" in parsed.columns:
        checks.append(RowCheck(parsed["time"].is_null(), "expected a time as most rows have, got '{}'", fields["time"]))
    if "part" in parsed.columns:
        expected = f"expected {', '.join(PART_NAMES[:-1])} or {PART_NAMES[-1]} for the part, got '{{}}'"
        checks.append(RowCheck(parsed["part"].is_null(), expected, fields["part"]))
    wrong = find_bad_rows(checks, lambda row: int(block.lines[row]), block.text, bad)
    return None if wrong is None else ~wrong


def read_titles(path: Path | pl.DataFrame, listener: ProgressListener) -> pl.DataFrame:
    """Read a file or a frame of titles, `item` and `title`; raises `RowError` for a row without an item."""
    import polars as pl

    opened = open_source(path, LayoutOptions(), ("item", "title"), listener)
    bad, frames = BadRows(opened.where, "correct the file"), []
    for block in opened.blocks(listener):
        titles = block.fields.select(
            item=parse_ids(block.fields["item"]).cast(pl.String),
            title=pl.col("title").cast(pl.String).replace("", None),
        )
        rows = titles["item"].is_null().arg_true()
        if len(rows):
            lines = [int(block.lines[row]) for row in rows.head(MAX_LISTED)]
            bad.add(lines, len(rows), "the item is empty", block.text(rows[0]))
        if block.fault:
            bad.give_up(block.fault_line, block.fault)
        frames.append(titles)
    bad.raise_if_any()
    return pl.concat(frames)
