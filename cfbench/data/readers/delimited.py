"""Lines of fields with a separator between them: `u.data`, `ratings.dat`, CSV with or without quotes.

The separator is any text (`::`). Lines end in LF or CRLF, and the last one may lack its end. Blank lines may end the
file. Blocks of lines are read one after the other, so that the memory is bounded by the size of a block. A bad row
stops the import: nothing is skipped. Bad rows are reported only after the whole member was read, because the checksum
at its end tells whether the archive is damaged, and damage must not look like bad rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.data.readers.bad_rows import BadRows, RowCheck, find_bad_rows
from cfbench.data.readers.layout import genre_field
from cfbench.data.readers.lines import count_fields, group_lines, split_rows, to_utf8
from cfbench.data.readers.stream import PIECE_BYTES
from cfbench.data.readers.zip_archive import stream_member
from cfbench.errors import RowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.progress import ProgressListener
    from cfbench.data.readers.layout import TableLayout
    from cfbench.data.readers.lines import TextRows
    from cfbench.ratings import Scale


def read(
    path: Path,
    table: TableLayout,
    scale: Scale | None,
    listener: ProgressListener | None = None,
    *,
    block_bytes: int | None = None,
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[pl.DataFrame]:
    """Blocks with a column for each role: `user`, `item`, `title` as text, `rating` as float64, `time` as int64.

    If the table has genres, `genres` are lists of text, null where an item has none.

    Times are seconds since 1970 in UTC. An empty title is null. `block_bytes` and `piece_bytes` are those of
    `group_lines` and `stream_member`. Raises `ArchiveError`; and `RowError`, in place of the first block with a bad row
    and after the last line. A row is bad if it has too few or too many fields, an empty user or item, a user without
    the table's prefix, a rating that is not a number or off `scale`, an invalid time, a field for a genre that
    is neither 0 nor 1, bytes of another encoding, or an unclosed quote.
    """
    where = f"{path}!{table.member}"
    bad, line, n_fields = BadRows(where, "get the original file, or correct the card's columns"), 1, 0
    pieces = stream_member(path, table.member, table.max_bytes, listener, piece_bytes=piece_bytes)
    for content in group_lines(pieces, quoted=table.quote, block_bytes=block_bytes):
        if bad.unreadable:
            continue  # the archive's checksum comes at the very end
        text = to_utf8(content, table.encoding, line, bad)
        if line == 1:
            n_fields = max(count_fields(text, table, bad), max(table.fields.values()) + 1)
            if table.header:
                text, line = text.partition(b"\n")[2], 2
        if text and not bad.unreadable:
            rows = split_rows(text, table, n_fields, line)
            line += text.count(b"\n")
            parsed = _parse(rows.fields, table)
            _check(rows, parsed, n_fields, table, scale, bad)
            if not bad:
                yield parsed
    bad.raise_if_any()
    if line == 1 + table.header or not n_fields:
        raise RowError(f"{where} holds no rows{' below its header' if table.header else ''}; get the original file")


def _parse(fields: pl.DataFrame, table: TableLayout) -> pl.DataFrame:
    """The columns in their own types, null where the text is not a value of that type."""
    import polars as pl

    time, title, year = pl.col("time"), pl.col("title").replace("", None), pl.col("year")
    if "year" in table.columns:
        title = pl.when(year.str.contains(r"^\d{4}$")).then(pl.format("{} ({})", title, year)).otherwise(title)
    columns = {
        "user": pl.col("user").str.strip_prefix(table.user_prefix),
        "item": pl.col("item"),
        "rating": pl.col("rating").cast(pl.Float64, strict=False),
        "time": time.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s") if table.time == "date" else
                time.cast(pl.Int64, strict=False),
        "title": title,
    }  # fmt: skip
    genres = {"genres": _parse_genres(table)} if table.has_genres else {}
    roles = [role for role in table.columns if role not in ("year", "genres")]
    return fields.select(**{role: columns[role] for role in roles}, **genres)


def _parse_genres(table: TableLayout) -> pl.Expr:
    """The genres of each item; null where there are none."""
    import polars as pl

    if table.genre_columns:
        has = [pl.when(pl.col(genre_field(name)) == "1").then(pl.lit(name)) for name in table.genre_columns]
        genres = pl.concat_list(has).list.drop_nulls()
    else:
        genres = pl.col("genres").str.split(table.genre_separator)
    genres = genres.list.eval(pl.element().filter(~pl.element().is_in(["", table.no_genre])))
    return pl.when(genres.list.len() > 0).then(genres)


def _check(
    rows: TextRows, parsed: pl.DataFrame, n_fields: int, table: TableLayout, scale: Scale | None, bad: BadRows
) -> None:
    """Add the bad rows of a block to `bad`."""
    counts = rows.fields["fields"]
    # All rows should have as many fields as the first line, and as the card's columns need.
    checks = [RowCheck(counts != n_fields, f"expected {n_fields} fields, got {{}}", counts)]
    checks += _value_checks(rows.fields, parsed, table, scale)
    find_bad_rows(checks, rows.line, rows.text, bad)
    if rows.fault:
        bad.give_up(rows.starts[-1], rows.fault)


def _value_checks(
    fields: pl.DataFrame, parsed: pl.DataFrame, table: TableLayout, scale: Scale | None
) -> Iterator[RowCheck]:
    """The checks of the users, items, ratings and times."""
    for role in ("user", "item"):
        if role in parsed.columns:
            yield RowCheck(fields[role] == "", f"the {role} is empty", fields[role])
    if prefix := table.user_prefix:
        users = fields["user"]
        yield RowCheck(~users.str.starts_with(prefix), f"user '{{}}' does not begin with {prefix!r}", users)
        yield RowCheck(parsed["user"] == "", "the user is empty after its prefix", users)
    time = "a date as YYYY-MM-DD" if table.time == "date" else "a whole number of seconds"
    for role, expected in (("rating", "a number"), ("time", time)):
        if role in parsed.columns:
            yield RowCheck(parsed[role].is_null(), f"expected {expected} for the {role}, got '{{}}'", fields[role])
    for name in table.genre_columns:
        flag = fields[genre_field(name)]
        yield RowCheck(~flag.is_in(["0", "1"]), f"expected 0 or 1 for the genre {name}, got '{{}}'", flag)
    if "rating" in parsed.columns and scale is not None:
        yield _scale_check(fields, parsed, scale)


def _scale_check(fields: pl.DataFrame, parsed: pl.DataFrame, scale: Scale) -> RowCheck:
    import polars as pl

    is_off_scale = scale.invalid(parsed["rating"].fill_null(scale.low).to_numpy())
    return RowCheck(pl.Series(is_off_scale), f"rating {{}} is off the scale {scale}", fields["rating"])
