"""IMPORTING: a person's own file → a data set with a card, used like any other.

Every row is checked: a user and an item with a name, a rating that is a number on the scale, a time. Bad rows stop the
import, or are dropped when that was asked for, and said. The columns are held as codes, about 30 bytes a rating, so
that the scale is known and repeated pairs are settled before anything is stored. Duplicates: `last` keeps the rating
that stands last in the file, whatever its time; `mean` averages and keeps the latest time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ValidationError

from cfbench.data import card, column_files, store
from cfbench.data.readers.bad_rows import MAX_LISTED, BadRows, RowCheck, find_bad_rows, format_line_numbers
from cfbench.data.readers.table import LayoutOptions, OpenTable, TableBlock, open_table
from cfbench.errors import CountError, DataError, RowError, UsageError
from cfbench.files import DATA_VARIABLE, make_folder, write_atomically
from cfbench.ratings import Catalogue, IdEncoder, Scale, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.store import Dataset
    from cfbench.data.transfer import ProgressListener

Duplicates = Literal["error", "last", "mean"]
_BLOCK = 4_000_000  # rows
_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (np.inf, 1_000_000_000))  # an epoch below this: parts a second
_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f%:z")


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and how."""

    path: Path
    name: str
    asked: LayoutOptions = field(default_factory=LayoutOptions)
    scale: Scale | None = None
    duplicates: Duplicates = "error"
    skip_bad: bool = False
    titles: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class _Table:
    """n coded ratings, and the line each stands on."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: NDArray[np.float64]
    times: NDArray[np.int64] | None
    lines: NDArray[np.int64]
    catalogue: Catalogue

    def take(self, rows: NDArray[np.int64]) -> _Table:
        names = ("users", "items", "ratings", "lines") + (("times",) if self.times is not None else ())
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def import_file(wish: ImportOptions, listener: ProgressListener) -> Dataset:
    """Read, check and store the file, and write its card.

    Raises `UsageError`, `ArchiveError`, `RowError`, `CountError` for repeated pairs, `DataError`, `WriteError`.
    """
    _refuse_name(wish)
    table, where = _read(wish, listener)
    scale = wish.scale or scale_of(table.ratings, where)
    table = _settle_repeats(table, wish.duplicates, where, listener)
    if wish.duplicates == "mean" and scale.off(table.ratings).any():
        listener.message(f"averages of repeated pairs lie between the steps of the scale {scale}: it has no steps now")
        scale = scale.model_copy(update={"step": 0.0})
    titles = None if wish.titles is None else _titles(wish.titles, listener)
    origin = f"imported from {wish.path.absolute()}"
    new = card.Card(
        name=wish.name, title=wish.name, homepage="", citation="your own data", licence="your own",
        terms=f"Your own ratings, {origin}.", scale=scale, sources=(), origin=origin,
    )  # fmt: skip
    dataset = store.install(new, _blocks(table), titles, source=origin, listener=listener)
    found = dataset.ratings
    expected = card.Expected(
        users=found.n_users, items=found.n_items, ratings=len(found), fingerprint=found.fingerprint
    )
    new = new.model_copy(update={"expected": expected})
    write_atomically(make_folder(card.own_folder(), DATA_VARIABLE) / f"{new.name}.toml", _toml(new), DATA_VARIABLE)
    store.mark_terms_shown(new.name)
    store.make_current(new.name)
    return store.open_dataset(new)


def parse_scale(text: str) -> Scale:
    """`1:5:0.5` or `1:5`; raises `UsageError`."""
    try:
        low, high, step = (float(part) for part in (text if text.count(":") > 1 else f"{text}:0").split(":"))
        return Scale(low=low, high=high, step=step)
    except ValidationError as fault:
        raise UsageError(f"--scale {text}: {fault.errors()[0]['msg'].removeprefix('Value error, ')}") from fault
    except ValueError as fault:
        raise UsageError(f"--scale {text!r} is no scale; expected LOW:HIGH or LOW:HIGH:STEP, as in 1:5:0.5") from fault


def scale_of(ratings: NDArray[np.float64], where: str) -> Scale:
    """From the lowest to the highest rating there is, in the largest step that reaches all; step 0 if that is tiny.

    Raises `DataError` when all ratings are the same.
    """
    values = np.unique(ratings)
    if len(values) == 1:
        raise DataError(f"every rating of {where} is {values[0]:g}, so its scale cannot be found; give it with --scale")
    low, high, step = float(values[0]), float(values[-1]), 0.0
    if len(values) <= 1000:
        units = np.rint((values - low) * 10_000).astype(np.int64)
        gcd = int(np.gcd.reduce(units))
        if gcd and np.abs(units / 10_000 - (values - low)).max() < 1e-6 and units[-1] // gcd <= 1000:
            step = gcd / 10_000
    return Scale(low=low, high=high, step=step)


def _refuse_name(wish: ImportOptions) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", wish.name):
        raise UsageError(
            f"{wish.name!r} is no name for a data set; expected small letters, digits, '.', '_' or '-', "
            "a letter or digit first, as in my-ratings"
        )
    if wish.name in card.shipped():
        raise UsageError(f"{wish.name!r} is the name of a data set of cfbench's own; choose another --name")
    if not wish.force and (card.own_folder() / f"{wish.name}.toml").exists():
        raise UsageError(
            f"there is a data set {wish.name!r} already; choose another --name, or replace it with --force"
        )


def _read(wish: ImportOptions, listener: ProgressListener) -> tuple[_Table, str]:
    """The good rows of the file, coded."""
    opened = open_table(wish.path, wish.asked, ("user", "item", "rating", "time"), listener)
    bad = BadRows(opened.where, "correct the file, or drop such rows with --skip-bad")
    coder, parts = IdEncoder(), list[dict[str, Any]]()
    for block in _checked(opened, wish.scale, bad, listener):
        if bad and not wish.skip_bad:
            continue
        parts.append(coder.add(block) | {"ratings": block["rating"].to_numpy(), "lines": block["line"].to_numpy()})
    if bad.unreadable or (bad and not wish.skip_bad):
        bad.raise_if_any()
    if bad:
        listener.message(f"dropped {bad.count:,} bad rows of {opened.where}, on lines {bad.lines}")
    if not coder.n_users:
        raise RowError(f"{opened.where} holds no row that is good, expected one or more; look at its columns")
    whole: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _Table(**({"times": None} | whole), catalogue=coder.catalogue(None)), opened.where


def _checked(
    opened: OpenTable, scale: Scale | None, bad: BadRows, listener: ProgressListener
) -> Iterator[pl.DataFrame]:
    """The good rows of each block, `line` beside them; the others are told to `bad`."""
    import polars as pl

    time = _time(opened.sample["time"]) if "time" in opened.columns else None
    for block in opened.blocks(listener):
        parsed = block.fields.select(
            user=_id(block.fields["user"]), item=_id(block.fields["item"]),
            rating=pl.col("rating").cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
            if block.fields["rating"].dtype == pl.String else pl.col("rating").cast(pl.Float64, strict=False),
            **({} if time is None else {"time": time}), line=block.lines,
        )  # fmt: skip
        good = _tell(block, parsed, scale, bad)
        if block.fault:
            bad.give_up(block.fault_line, block.fault)
            return
        yield parsed if good is None else parsed.filter(good)


def _tell(block: TableBlock, parsed: pl.DataFrame, scale: Scale | None, bad: BadRows) -> pl.Series | None:
    """Tell `bad` of every bad row, the first by its first fault; returns (n,) True for good ones, None if all are."""
    fields, values = block.fields, parsed["rating"].fill_null(np.nan)
    off = ~values.is_finite()
    checks: list[RowCheck] = []
    if block.expected:
        told = f"expected {block.expected} fields, got {{}}"
        checks.append(RowCheck(fields["fields"] != block.expected, told, fields["fields"]))
    checks += [RowCheck(parsed[role].is_null(), f"the {role} is empty", fields[role]) for role in ("user", "item")]
    checks.append(RowCheck(off, "expected a number for the rating, got '{}'", fields["rating"]))
    if scale is not None:
        beside = type(off)(scale.off(values.to_numpy()))
        checks.append(RowCheck(beside, f"rating {{}} is off the scale {scale}", fields["rating"]))
    if "time" in parsed.columns:
        checks.append(RowCheck(parsed["time"].is_null(), "expected a time as most rows have, got '{}'", fields["time"]))
    wrong = find_bad_rows(checks, lambda row: int(block.lines[row]), block.text, bad)
    return None if wrong is None else ~wrong


def _id(column: pl.Series) -> pl.Series:
    """Whole numbers, or text without blanks around it; null where there is none."""
    import polars as pl

    if column.dtype.is_integer():
        return column
    if column.dtype.is_float():  # whole numbers with gaps come so
        whole = column.is_finite() & (column == column.round())
        return column.set(~whole.fill_null(value=False), None).cast(pl.Int64, strict=False)
    text = column.cast(pl.String).str.strip_chars()
    return text.set((text == "").fill_null(value=False), None)


def _time(sample: pl.Series) -> pl.Expr:
    """What makes seconds since 1970 of the column `time`, by the look of its first values; null where nothing does."""
    import polars as pl

    column = pl.col("time")
    if sample.dtype.is_temporal():
        return column.dt.epoch("s")
    text = column.cast(pl.String).str.strip_chars()
    values = sample.cast(pl.String).str.strip_chars()
    numbers = values.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    if len(numbers) * 2 >= len(values):
        unit = next(unit for below, unit in _UNITS if float(numbers.abs().median() or 0) < below)  # type: ignore[arg-type]
        whole, exact = text.cast(pl.Int64, strict=False), text.cast(pl.Float64, strict=False)
        exact = pl.when(exact.is_finite()).then(exact)
        return pl.coalesce(whole.floordiv(unit), (exact / unit).floor().cast(pl.Int64, strict=False))
    iso = (
        text.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00").str.replace(r"([+-]\d\d)(\d\d)$", "$1:$2")
    )
    day = iso.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s")
    forms = [iso.str.to_datetime(form, strict=False).dt.epoch("s") for form in _FORMATS]
    return pl.coalesce(day, *forms)


def _settle_repeats(table: _Table, policy: Duplicates, where: str, listener: ProgressListener) -> _Table:
    """One rating a pair. Raises `CountError` under the policy `error`."""
    keys = column_files.pairs(table.users, table.items, len(table.catalogue.items))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    repeats = len(keys) - len(begins)
    if not repeats:
        return table
    if policy == "error":
        again = np.ones(len(keys), bool)
        again[begins] = False
        rows = np.sort(order[again])
        user, item = (
            ids["id"][int(codes[rows[0]])]
            for ids, codes in ((table.catalogue.users, table.users), (table.catalogue.items, table.items))
        )
        lines = format_line_numbers(table.lines[rows[:MAX_LISTED]].tolist(), repeats)
        raise CountError(
            f"{where}: {repeats:,} rows rate a pair that was rated before, expected one a pair; on lines "
            f"{lines}, the first user {user!r} with item {item!r}; choose with --duplicates last or --duplicates mean"
        )
    ends = np.append(begins[1:], len(keys)) - 1
    last = order[ends]
    if policy == "mean":
        ratings, times = table.ratings.copy(), None if table.times is None else table.times.copy()
        ratings[last] = np.add.reduceat(table.ratings[order], begins) / (ends - begins + 1)
        if times is not None and table.times is not None:
            times[last] = np.maximum.reduceat(table.times[order], begins)
        table = replace(table, ratings=ratings, times=times)
    listener.message(f"{where}: {repeats:,} repeats of a pair, settled by --duplicates {policy}")
    return table.take(np.sort(last))


def _titles(path: Path, listener: ProgressListener) -> pl.DataFrame:
    """`item` and `title`, whatever of them there is; raises `RowError` for a row without an item."""
    import polars as pl

    opened = open_table(path, LayoutOptions(), ("item", "title"), listener)
    bad, parts = BadRows(opened.where, "correct the file"), []
    for block in opened.blocks(listener):
        titles = block.fields.select(
            item=_id(block.fields["item"]).cast(pl.String), title=pl.col("title").cast(pl.String).replace("", None)
        )
        rows = titles["item"].is_null().arg_true()
        if len(rows):
            lines = [int(block.lines[row]) for row in rows.head(MAX_LISTED)]
            bad.add(lines, len(rows), "the item is empty", block.text(rows[0]))
        if block.fault:
            bad.give_up(block.fault_line, block.fault)
        parts.append(titles)
    bad.raise_if_any()
    return pl.concat(parts)


def _blocks(table: _Table) -> Iterator[pl.DataFrame]:
    """The rows as a reader gives them."""
    import polars as pl

    users, items = table.catalogue.users["id"], table.catalogue.items["id"]
    for part in blocks(len(table.users), _BLOCK):
        told = {
            "user": users.gather(table.users[part]), "item": items.gather(table.items[part]),
            "rating": table.ratings[part],
        }  # fmt: skip
        yield pl.DataFrame(told | ({} if table.times is None else {"time": table.times[part]}))


def _toml(new: card.Card) -> str:
    told = new.model_dump(include={"name", "version", "title", "homepage", "citation", "licence", "terms", "origin"})
    lines = [f"{key} = {_string(value) if isinstance(value, str) else value}" for key, value in told.items()]
    scale = ", ".join(f"{key} = {value!r}" for key, value in new.scale.model_dump().items())
    expected = ", ".join(
        f"{key} = {_string(value) if isinstance(value, str) else value}"
        for key, value in new.expected.model_dump(exclude_none=True).items()
    )
    return "\n".join([*lines, "sources = []", f"scale = {{ {scale} }}", f"expected = {{ {expected} }}", ""])


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
