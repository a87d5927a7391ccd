"""Lines of fields with a separator between them: `u.data`, `ratings.dat`, CSV without quotes.

The separator is any text (`::`), lines end in LF or CRLF, the last one with or without; blank lines may end the file.
The whole table is read by columns, and a row that is not what it should be stops the reading: nothing is skipped.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

from cfbench.errors import RowError
from cfbench.readers.archive import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.card import Table
    from cfbench.ratings import Scale

_BOM = b"\xef\xbb\xbf"
_SHOWN = 80  # characters of a bad line


class _Check(NamedTuple):
    """What makes a row bad, and how to say so of one row."""

    bad: pl.Series
    """(n,) True where the row is bad; null where it lacks the field, which is another check's business."""
    text: str
    """The fault, with `{}` for the row's value."""
    values: pl.Series
    """(n,) what to show of a row."""


def read(path: Path, table: Table, scale: Scale | None) -> pl.DataFrame:
    """Columns by role: `user` and `item` as text, `rating` as float64, `time` as int64; or `item` and `title` as text.

    Empty titles are null. Raises `ArchiveError`, and `RowError` for the first line that has too few or too many fields,
    an empty user or item, a user without the table's prefix, a rating that is no number or off `scale`, a time that is
    no whole number, or a pair (in titles: an item) that an earlier line has.
    """
    where = f"{path}!{table.member}"
    lines = _lines(unpack(path, table.member, table.max_bytes), table, where)
    rows = lines[1:] if table.header else lines
    if not len(rows):
        raise RowError(f"{where} holds no rows{' below its header' if table.header else ''}; get the original file")
    fields = _fields(rows, table)
    parsed = _parsed(fields, table)
    checks = [
        _has_fields(fields, max(lines[0].count(table.separator), *table.columns.values()) + 1),
        *_identity_checks(fields, parsed, table),
        *_value_checks(fields, parsed, scale),
        *_repeat_checks(parsed),
    ]
    _refuse_bad_rows(rows, checks, where, first_line=2 if table.header else 1)
    return parsed


def _lines(content: bytes, table: Table, where: str) -> pl.Series:
    """(n,) the lines without their ends, up to the last that is not blank."""
    import polars as pl

    content = content.removeprefix(_BOM)
    try:
        text = content.decode(table.encoding)
    except UnicodeDecodeError as fault:
        number, byte = content.count(b"\n", 0, fault.start) + 1, content[fault.start]
        raise RowError(
            f"{where}, line {number}: byte 0x{byte:02x} is not {table.encoding}; set the card's encoding"
        ) from fault
    lines = pl.Series("line", [text]).str.split("\n").explode().str.strip_suffix("\r")
    filled = (lines != "").arg_true()
    return lines.head(filled[-1] + 1 if len(filled) else 0)


def _fields(rows: pl.Series, table: Table) -> pl.DataFrame:
    """The raw text of each role's field, null where the row ends before it; and `fields`, how many the row has."""
    import polars as pl

    split = rows.str.split_exact(table.separator, max(table.columns.values())).struct.unnest()
    roles = {role: split[f"field_{number}"] for role, number in table.columns.items()}
    return pl.DataFrame(roles | {"fields": rows.str.count_matches(table.separator, literal=True) + 1})


def _parsed(fields: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The columns as their own types; null where the text is none of that type."""
    import polars as pl

    how = {
        "user": pl.col("user").str.strip_prefix(table.user_prefix),
        "item": pl.col("item"),
        "rating": pl.col("rating").cast(pl.Float64, strict=False),
        "time": pl.col("time").cast(pl.Int64, strict=False),
        "title": pl.col("title").replace("", None),
    }
    return fields.select(**{role: how[role] for role in table.columns})


def _has_fields(fields: pl.DataFrame, expected: int) -> _Check:
    """As many fields as the first line has, and as the card's columns ask for."""
    return _Check(fields["fields"] != expected, f"expected {expected} fields, got {{}}", fields["fields"])


def _identity_checks(fields: pl.DataFrame, parsed: pl.DataFrame, table: Table) -> Iterator[_Check]:
    """A user and an item, each with a name."""
    for role in ("user", "item"):
        if role in parsed.columns:
            yield _Check(fields[role] == "", f"the {role} is empty", fields[role])
    if prefix := table.user_prefix:
        users = fields["user"]
        yield _Check(~users.str.starts_with(prefix), f"user '{{}}' does not begin with {prefix!r}", users)
        yield _Check(parsed["user"] == "", "the user is empty after its prefix", users)


def _value_checks(fields: pl.DataFrame, parsed: pl.DataFrame, scale: Scale | None) -> Iterator[_Check]:
    """A rating that is a number on the scale, a time that is a whole number."""
    import polars as pl

    for role, expected in (("rating", "a number"), ("time", "a whole number of seconds")):
        if role in parsed.columns:
            yield _Check(parsed[role].is_null(), f"expected {expected} for the {role}, got '{{}}'", fields[role])
    if "rating" in parsed.columns and scale is not None:
        off = scale.off(parsed["rating"].fill_null(scale.low).to_numpy())
        yield _Check(pl.Series(off), f"rating {{}} is off the scale {scale}", fields["rating"])


def _repeat_checks(parsed: pl.DataFrame) -> Iterator[_Check]:
    """One rating a pair, one title an item."""
    import polars as pl

    key = [role for role in ("user", "item") if role in parsed.columns]
    if parsed.n_unique(key) == len(parsed):  # much the quicker question, and nearly always the last
        return
    bad = ~parsed.select(pl.struct(key).is_first_distinct()).to_series()
    whom = parsed.select(pl.concat_str([pl.format(f"{role} '{{}}'", role) for role in key], separator=" with "))
    yield _Check(bad, "{} stands on an earlier line already", whom.to_series())


def _refuse_bad_rows(rows: pl.Series, checks: list[_Check], where: str, first_line: int) -> None:
    """Raise `RowError` for the first bad row, saying how many there are."""
    bad = reduce(or_, (check.bad.fill_null(value=False) for check in checks)).arg_true()
    if not len(bad):
        return
    row = bad[0]
    check = next(check for check in checks if check.bad[row])
    fault = check.text.replace("{}", str(check.values[row]), 1)
    line = rows[row] if len(rows[row]) <= _SHOWN else rows[row][:_SHOWN] + "…"
    count = f"{len(bad):,} bad rows in all" if len(bad) > 1 else "no other bad row"
    raise RowError(
        f"{where}, line {row + first_line}: {fault}; the line is {line!r}; {count}; "
        "get the original file, or correct the card's columns"
    )
