"""Lines of fields with a separator between them: `u.data`, `ratings.dat`, CSV with or without quotes.

The separator is any text (`::`), lines end in LF or CRLF, the last one with or without; blank lines may end the file.
The table is read a block of lines at a time, each by columns, in memory bounded by the block. A row that is not what it
should be stops the reading: nothing is skipped. Faults are told when the whole member was seen, so that damage to the
archive, which its checksum shows only at the end, is never taken for a fault of the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.data.readers.archive import stream
from cfbench.data.readers.lines import BadRows, Check, Rows, blocks, tell, text_of
from cfbench.errors import RowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.card import TableLayout
    from cfbench.data.progress import ProgressListener
    from cfbench.ratings import Scale


def read(
    path: Path, table: TableLayout, scale: Scale | None, listener: ProgressListener | None = None
) -> Iterator[pl.DataFrame]:
    """Blocks of columns by role: `user`, `item`, `title` as text, `rating` as float64, `time` as int64 (seconds, UTC).

    Empty titles are null. Raises `ArchiveError`; and, in place of the first block that would have a bad row, `RowError`
    for the lines that have too few or too many fields, an empty user or item, a user without the table's prefix, a
    rating that is no number or off `scale`, a time that is none, bytes of another encoding, or a quote left open.
    """
    where = f"{path}!{table.member}"
    bad, line, expected = BadRows(where, "get the original file, or correct the card's columns"), 1, 0
    for content in blocks(stream(path, table.member, table.max_bytes, listener), quoted=table.quote):
        if bad.hopeless:
            continue
        text = text_of(content, table.encoding, line, bad)
        if line == 1:
            expected = max(Rows.count_fields(text, table, bad), max(table.columns.values()) + 1)
            if table.header:
                text, line = text.partition(b"\n")[2], 2
        if text and not bad.hopeless:
            rows = Rows.split(text, table, expected, line)
            line += text.count(b"\n")
            parsed = _parsed(rows.fields, table)
            checks = [_has_fields(rows.fields, expected), *_checks(rows.fields, parsed, table, scale)]
            tell(checks, rows.line, rows.text, bad)
            if rows.fault:
                bad.give_up(rows.starts[-1], rows.fault)
            if not bad:
                yield parsed
    bad.refuse()
    if line == 1 + table.header or not expected:
        raise RowError(f"{where} holds no rows{' below its header' if table.header else ''}; get the original file")


def _parsed(fields: pl.DataFrame, table: TableLayout) -> pl.DataFrame:
    """The columns as their own types; null where the text is none of that type."""
    import polars as pl

    time = pl.col("time")
    how = {
        "user": pl.col("user").str.strip_prefix(table.user_prefix),
        "item": pl.col("item"),
        "rating": pl.col("rating").cast(pl.Float64, strict=False),
        "time": time.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s") if table.time == "date" else
                time.cast(pl.Int64, strict=False),
        "title": pl.col("title").replace("", None),
    }  # fmt: skip
    return fields.select(**{role: how[role] for role in table.columns})


def _checks(fields: pl.DataFrame, parsed: pl.DataFrame, table: TableLayout, scale: Scale | None) -> Iterator[Check]:
    """A user and an item, each with a name; a rating that is a number on the scale; a time of the table's kind."""
    for role in ("user", "item"):
        if role in parsed.columns:
            yield Check(fields[role] == "", f"the {role} is empty", fields[role])
    if prefix := table.user_prefix:
        users = fields["user"]
        yield Check(~users.str.starts_with(prefix), f"user '{{}}' does not begin with {prefix!r}", users)
        yield Check(parsed["user"] == "", "the user is empty after its prefix", users)
    time = "a date as YYYY-MM-DD" if table.time == "date" else "a whole number of seconds"
    for role, expected in (("rating", "a number"), ("time", time)):
        if role in parsed.columns:
            yield Check(parsed[role].is_null(), f"expected {expected} for the {role}, got '{{}}'", fields[role])
    if "rating" in parsed.columns and scale is not None:
        yield _on_scale(fields, parsed, scale)


def _on_scale(fields: pl.DataFrame, parsed: pl.DataFrame, scale: Scale) -> Check:
    import polars as pl

    off = scale.invalid(parsed["rating"].fill_null(scale.low).to_numpy())
    return Check(pl.Series(off), f"rating {{}} is off the scale {scale}", fields["rating"])


def _has_fields(fields: pl.DataFrame, expected: int) -> Check:
    """As many fields as the first line has, and as the card's columns ask for."""
    return Check(fields["fields"] != expected, f"expected {expected} fields, got {{}}", fields["fields"])
