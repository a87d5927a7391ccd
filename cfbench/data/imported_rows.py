"""The rows of a person's own file: read, checked and coded, without duplicate pairs.

A valid row has a user, an item, a rating that is a number on the scale, and a time if the file has times. The columns
are in memory as codes, about 30 bytes per rating, so that the scale and the duplicates are known before anything is
stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cfbench.data.column_files import pair_keys
from cfbench.data.id_codes import IdEncoder
from cfbench.data.readers.bad_rows import MAX_LISTED, BadRows, RowCheck, find_bad_rows, format_line_numbers
from cfbench.data.readers.table import LayoutOptions, OpenTable, TableBlock, open_table
from cfbench.errors import CountError, RowError
from cfbench.ratings import Catalogue, Codes, Scale, Times, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener

DuplicatePolicy: TypeAlias = Literal["error", "last", "mean"]
"""What to do with several ratings of a pair: refuse the file; keep the last one in the file, whatever its time; or keep
the mean rating and the latest time."""
_BLOCK_ROWS = 4_000_000
_PARTS_PER_SECOND = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (np.inf, 1_000_000_000))
"""The unit of numeric times by their size: below 1e11 seconds, below 1e14 milliseconds, and so on."""
_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f%:z")


@dataclass(frozen=True)
class ImportedRows:
    """n coded ratings, and the line of each in the file."""

    where: str
    """The file, for messages."""
    users: Codes
    items: Codes
    ratings: NDArray[np.float64]
    times: Times | None
    lines: NDArray[np.int64]
    catalogue: Catalogue

    def take(self, rows: NDArray[np.int64]) -> ImportedRows:
        """Return the given rows, in the given order."""
        return replace(
            self, users=self.users[rows], items=self.items[rows], ratings=self.ratings[rows], lines=self.lines[rows],
            times=None if self.times is None else self.times[rows],
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


def read_rows(
    path: Path, layout: LayoutOptions, scale: Scale | None, listener: ProgressListener, *, skip_bad: bool
) -> ImportedRows:
    """Read the valid rows of a file.

    Bad rows raise `RowError`, or are dropped with a message if `skip_bad`. Raises also `UsageError`, `ArchiveError`.
    """
    opened = open_table(path, layout, ("user", "item", "rating", "time"), listener)
    bad = BadRows(opened.where, "correct the file, or drop such rows with --skip-bad")
    encoder, encoded_blocks = IdEncoder(), list[dict[str, Any]]()
    for block in _valid_rows(opened, scale, bad, listener):
        if bad and not skip_bad:
            continue  # the file is refused, and the rest is read only to count its bad rows
        columns = encoder.encode(block)
        columns |= {"ratings": block["rating"].to_numpy(), "lines": block["line"].to_numpy()}
        encoded_blocks.append(columns)
    if bad.unreadable or (bad and not skip_bad):
        bad.raise_if_any()
    if bad:
        listener.message(f"dropped {bad.count:,} bad rows of {opened.where}, on lines {bad.lines}")
    if not encoder.n_users:
        raise RowError(f"{opened.where} has no valid row, expected one or more; check its columns")
    columns = {name: np.concatenate([block[name] for block in encoded_blocks]) for name in encoded_blocks[0]}
    return ImportedRows(
        opened.where, columns["users"], columns["items"], columns["ratings"], columns.get("times"), columns["lines"],
        encoder.catalogue(None),
    )  # fmt: skip


def _valid_rows(
    opened: OpenTable, scale: Scale | None, bad: BadRows, listener: ProgressListener
) -> Iterator[pl.DataFrame]:
    """Yield the valid rows of each block with a column `line`; report the others to `bad`."""
    import polars as pl

    time = {"time": _to_seconds(opened.sample["time"])} if "time" in opened.columns else {}
    for block in opened.blocks(listener):
        rating = pl.col("rating")
        if block.fields["rating"].dtype == pl.String:
            rating = rating.str.strip_chars()
        parsed = block.fields.select(
            user=_parse_ids(block.fields["user"]), item=_parse_ids(block.fields["item"]),
            rating=rating.cast(pl.Float64, strict=False), **time, line=block.lines,
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
    wrong = find_bad_rows(checks, lambda row: int(block.lines[row]), block.text, bad)
    return None if wrong is None else ~wrong


def _parse_ids(column: pl.Series) -> pl.Series:
    """The ids as whole numbers, or as text without spaces around it; null where there is none."""
    import polars as pl

    if column.dtype.is_integer():
        return column
    if column.dtype.is_float():  # a column of whole numbers with gaps has this type
        whole = column.is_finite() & (column == column.round())
        return column.set(~whole.fill_null(value=False), None).cast(pl.Int64, strict=False)
    text = column.cast(pl.String).str.strip_chars()
    return text.set((text == "").fill_null(value=False), None)


def _to_seconds(sample: pl.Series) -> pl.Expr:
    """An expression that turns the column `time` into seconds since 1970, null where that fails.

    The first values of the column, `sample`, decide between date types, numbers and text.
    """
    import polars as pl

    if sample.dtype.is_temporal():
        return pl.col("time").dt.epoch("s")
    values = sample.cast(pl.String).str.strip_chars()
    numbers = values.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    text = pl.col("time").cast(pl.String).str.strip_chars()
    if len(numbers) * 2 >= len(values):
        size = float(numbers.abs().median() or 0)  # type: ignore[arg-type]
        return _numbers_to_seconds(text, next(unit for limit, unit in _PARTS_PER_SECOND if size < limit))
    return _dates_to_seconds(text)


def _numbers_to_seconds(text: pl.Expr, unit: int) -> pl.Expr:
    import polars as pl

    whole, decimal = text.cast(pl.Int64, strict=False), text.cast(pl.Float64, strict=False)
    decimal = pl.when(decimal.is_finite()).then(decimal)
    return pl.coalesce(whole.floordiv(unit), (decimal / unit).floor().cast(pl.Int64, strict=False))


def _dates_to_seconds(text: pl.Expr) -> pl.Expr:
    import polars as pl

    text = text.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    text = text.str.replace(r"([+-]\d\d)(\d\d)$", "$1:$2")
    day = text.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s")
    moments = [text.str.to_datetime(form, strict=False).dt.epoch("s") for form in _TIME_FORMATS]
    return pl.coalesce(day, *moments)


def resolve_duplicates(rows: ImportedRows, policy: DuplicatePolicy, listener: ProgressListener) -> ImportedRows:
    """Keep one rating per pair, in the order of the file. Raises `CountError` for duplicates if `policy` is "error"."""
    keys = pair_keys(rows.users, rows.items, len(rows.catalogue.items))
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]]))
    n_duplicates = len(keys) - len(starts)
    if not n_duplicates:
        return rows
    if policy == "error":
        raise _duplicates_error(rows, np.sort(np.delete(order, starts)))
    last = order[np.append(starts[1:], len(keys)) - 1]
    if policy == "mean":
        rows = _with_means(rows, order, starts, last)
    listener.message(f"{rows.where}: {n_duplicates:,} duplicate ratings of a pair, resolved by --duplicates {policy}")
    return rows.take(np.sort(last))


def _duplicates_error(rows: ImportedRows, duplicates: NDArray[np.int64]) -> CountError:
    first, catalogue = duplicates[0], rows.catalogue
    user, item = catalogue.users["id"][int(rows.users[first])], catalogue.items["id"][int(rows.items[first])]
    lines = format_line_numbers(rows.lines[duplicates[:MAX_LISTED]].tolist(), len(duplicates))
    return CountError(
        f"{rows.where}: {len(duplicates):,} rows rate a pair that an earlier row rates, expected one rating per pair; "
        f"on lines {lines}, the first is user {user!r} with item {item!r}; "
        "choose with --duplicates last or --duplicates mean"
    )


def _with_means(
    rows: ImportedRows, order: NDArray[np.int64], starts: NDArray[np.int64], last: NDArray[np.int64]
) -> ImportedRows:
    """Give the last row of each pair the pair's mean rating and latest time.

    `order` sorts the rows by pair, `starts` are the positions in `order` where pairs begin, `last` are the last rows.
    """
    counts = np.diff(np.append(starts, len(order)))
    ratings = rows.ratings.copy()
    ratings[last] = np.add.reduceat(rows.ratings[order], starts) / counts
    if rows.times is None:
        return replace(rows, ratings=ratings)
    times = rows.times.copy()
    times[last] = np.maximum.reduceat(rows.times[order], starts)
    return replace(rows, ratings=ratings, times=times)


def read_titles(path: Path, listener: ProgressListener) -> pl.DataFrame:
    """Read a file of titles, `item` and `title`; raises `RowError` for a row without an item."""
    import polars as pl

    opened = open_table(path, LayoutOptions(), ("item", "title"), listener)
    bad, frames = BadRows(opened.where, "correct the file"), []
    for block in opened.blocks(listener):
        titles = block.fields.select(
            item=_parse_ids(block.fields["item"]).cast(pl.String),
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
