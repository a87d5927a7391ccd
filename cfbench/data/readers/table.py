"""A person's own file of ratings, in one of many forms, as blocks of fields that are not checked yet.

The file is text (`,` `;` tab `|` `::` or whitespace between fields; plain, gzip, Zstandard or a zip's member), Parquet,
or Arrow (feather, IPC). The person may give the separator, the header and the columns; the rest is detected from the
first lines.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from itertools import chain
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from cfbench.data.readers.layout import TableLayout
from cfbench.data.readers.lines import group_lines, normalize_lines, split_rows
from cfbench.data.readers.stream import DAMAGED
from cfbench.data.readers.table_columns import (
    WHITESPACE,
    describe_columns,
    detect_header,
    detect_separator,
    drop_doubtful_time,
    find_columns,
    parse_separator,
    split_fields,
)
from cfbench.data.readers.text_source import BINARY_ENDINGS, find_source, first_line, take_lines
from cfbench.errors import ArchiveError, RowError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.progress import ProgressListener
    from cfbench.data.readers.lines import TextRows

FRAME = "frame"
"""What messages and records call a frame, which has no file name."""
_SAMPLE_BYTES = 1 << 18  # how much of a text is looked at before reading
_SAMPLE_LINES = 50
_SAMPLE_ROWS = 1000
_BLOCK_ROWS = 2_000_000  # rows in a block of a binary table


@dataclass(frozen=True)
class LayoutOptions:
    """What the person says about the file's layout; the rest is detected."""

    separator: str = ""
    header: bool | None = None
    member: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    """Role → a column's name, or its number from 0."""


@dataclass(frozen=True)
class TableBlock:
    """n rows of a table, whose values are not checked yet."""

    fields: pl.DataFrame
    """One column for each role, text or of the file's own type, null where the row is too short; and `fields`, the
    number of fields in the row, in a text file."""
    lines: pl.Series
    """(n,) the line on which each row begins, from 1."""
    text: Callable[[int], str]
    """Row → the row as it stands in the file."""
    expected: int = 0
    """The number of fields a row should have; 0 where rows cannot differ."""
    fault: str = ""
    """Why nothing after the last row can be read; empty if all is well."""
    fault_line: int = 0


@dataclass(frozen=True)
class OpenTable:
    """A table whose columns are known."""

    where: str
    columns: dict[str, int]
    """Role → number of its column from 0."""
    names: list[str]
    """The name of each column; of a text without a header, the fields of its first line."""
    summary: str
    """Which column has which role, for people."""
    sample: pl.DataFrame
    """The fields of its first rows."""
    blocks: Callable[[ProgressListener], Iterator[TableBlock]]
    """Reads the table from the beginning."""


def open_table(
    path: Path, options: LayoutOptions, roles: tuple[str, ...] | None, listener: ProgressListener
) -> OpenTable:
    """Look at the file's beginning. Without `roles`, every column has its number as its role.

    Raises `UsageError` for wrong options, `ArchiveError` and `RowError`.
    """
    require_content(path)
    kind = BINARY_ENDINGS.get(path.suffix.lower())
    if kind:
        return _open_binary(path, kind, options, roles)
    return _open_text(path, options, roles, listener)


def open_source(
    source: Path | pl.DataFrame, options: LayoutOptions, roles: tuple[str, ...], listener: ProgressListener
) -> OpenTable:
    """Look at a file's beginning, or at a frame; raises what `open_table` raises."""
    import polars as pl

    if not isinstance(source, pl.DataFrame):
        return open_table(source, options, roles, listener)
    return _open_rows(source.lazy, "the frame", FRAME, "frame", options, roles)


def first_fields(path: Path, options: LayoutOptions, listener: ProgressListener) -> list[str] | None:
    """The fields of a text's first line; None for a binary table. Raises what `open_table` raises."""
    require_content(path)
    if path.suffix.lower() in BINARY_ENDINGS:
        return None
    beginning = _read_beginning(path, options, listener)
    separator = parse_separator(options.separator) or detect_separator(beginning.lines, beginning.where, 2)
    return [name.strip() for name in split_fields(beginning.lines[0], separator)]


def require_content(path: Path) -> None:
    """Raise `UsageError` if there is no such file, and `RowError` if it is empty."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"no file {path} ({reason}); check its name") from error
    if not S_ISREG(status.st_mode):
        kind = "a folder" if S_ISDIR(status.st_mode) else "no plain file"
        raise UsageError(f"no file {path}; it is {kind}; check its name")
    if not status.st_size:
        raise RowError(f"{path} is empty, expected one rating in each line")


def _open_binary(path: Path, kind: str, options: LayoutOptions, roles: tuple[str, ...] | None) -> OpenTable:
    import polars as pl

    scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
    return _open_rows(lambda: scan(path, glob=False), str(path), path.name, kind, options, roles)


def _open_rows(
    scan: Callable[[], pl.LazyFrame], where: str, name: str, kind: str, options: LayoutOptions,
    roles: tuple[str, ...] | None,
) -> OpenTable:  # fmt: skip
    """Look at a table that polars can read; `where` and `name` are its long and its short name for messages."""
    import polars as pl

    try:
        table = scan()
        names = table.collect_schema().names()
        columns = _find_columns(names, options, roles, where, header=True)
        table = table.select(**{role: pl.col(names[number]) for role, number in columns.items()})
        sample, n_rows = table.head(_SAMPLE_ROWS).collect(), int(table.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(where, kind, error) from error
    if not n_rows:
        raise RowError(f"{where} holds no rows, expected one rating in each row")

    def read(listener: ProgressListener) -> Iterator[TableBlock]:
        for start in range(0, n_rows, _BLOCK_ROWS):
            try:
                rows = table.slice(start, _BLOCK_ROWS).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise _unreadable(where, kind, error) from error
            listener.progress(f"reading {name}", min(start + _BLOCK_ROWS, n_rows), n_rows)
            lines = pl.int_range(start + 1, start + len(rows) + 1, eager=True, dtype=pl.Int64)
            yield TableBlock(rows, lines, lambda row, rows=rows: ", ".join(map(str, rows.row(row))))  # type: ignore[misc]

    summary = describe_columns(columns, names, header=True)
    return OpenTable(where, columns, names, summary, sample, read)


def _unreadable(where: str, kind: str, error: Exception) -> ArchiveError:
    return ArchiveError(f"cannot read {where} as {kind}: {first_line(error)}; {DAMAGED}")


def _find_columns(
    names: list[str], options: LayoutOptions, roles: tuple[str, ...] | None, where: str, *, header: bool
) -> dict[str, int]:
    """Role → number of its column; see `open_table`."""
    if roles is None:
        return {str(number): number for number in range(len(names))}
    return find_columns(names, options.columns, roles, where, header=header)


@dataclass(frozen=True)
class _Beginning:
    """The beginning of a text."""

    where: str
    source: Callable[[ProgressListener], Iterator[bytes]]
    head: bytes
    lines: list[str]
    """The first lines that are not blank."""


def _read_beginning(path: Path, options: LayoutOptions, listener: ProgressListener) -> _Beginning:
    source, where = find_source(path, options.member)
    head = next(group_lines(take_lines(source(listener), _SAMPLE_BYTES)), b"")
    head = _require_utf8(normalize_lines(head, 1), 1, where)
    lines = [line for line in head.decode().split("\n")[:_SAMPLE_LINES] if line.strip()]
    if not lines:
        raise RowError(f"{where} is empty, expected one rating in each line")
    if "\r" in lines[0].rstrip("\r"):
        raise RowError(_describe_old_line_ends(path, where))
    return _Beginning(where, source, head, lines)


def _describe_old_line_ends(path: Path, where: str) -> str:
    is_packed = where != str(path) or path.suffix.lower() in {".gz", ".zst"}
    unpack, file = ("unpack it and then ", "FILE") if is_packed else ("", shlex.quote(str(path)))
    return (
        f"{where} has lines that end in a carriage return, as on old Macs, expected LF or CRLF; {unpack}convert it, "
        f"for example with `tr '\\r' '\\n' < {file} > new.csv`"
    )


def _open_text(
    path: Path, options: LayoutOptions, roles: tuple[str, ...] | None, listener: ProgressListener
) -> OpenTable:
    beginning = _read_beginning(path, options, listener)
    where, source = beginning.where, beginning.source
    layout = _detect_layout(beginning.lines, where, options, roles)
    sample = next((block.fields.head(_SAMPLE_ROWS) for block in layout.read([beginning.head])), None)
    if sample is None:
        raise RowError(f"{where} holds no rows below its header, expected one rating in each line")
    names = [name.strip() for name in split_fields(beginning.lines[0], layout.separator)]
    summary = describe_columns(layout.columns, names, header=layout.header)
    return OpenTable(
        where, layout.columns, names, summary, sample.drop("fields"), lambda listener: layout.read(source(listener))
    )


def _detect_layout(
    first_lines: list[str], where: str, options: LayoutOptions, roles: tuple[str, ...] | None
) -> _TextLayout:
    """The layout of a text, from the options and the first lines that are not blank. Raises `UsageError`."""
    min_fields = 2 if roles is None else len(set(roles) - {"time"})
    separator = parse_separator(options.separator) or detect_separator(first_lines, where, min_fields)
    first = split_fields(first_lines[0], separator)
    header = options.header
    if header is None:
        header = detect_header(first, options.columns, roles or ())
    columns = _find_columns(first, options, roles, where, header=header)
    if not header and "time" in columns and "time" not in options.columns:
        columns = drop_doubtful_time(columns, first)
    return _TextLayout(where, separator, header, _detect_quotes(first_lines, separator), columns)


def _detect_quotes(lines: list[str], separator: str) -> bool:
    """Whether double quotes may enclose fields: always with a comma or semicolon, else if a field begins with one."""
    if separator in {",", ";"}:
        return True
    if len(separator) > 1 or separator == WHITESPACE:
        return False
    return any(value.startswith('"') for value in chain.from_iterable(line.split(separator) for line in lines))


@dataclass(frozen=True)
class _TextLayout:
    """How to split a text file into the fields of its columns."""

    where: str
    separator: str
    header: bool
    quote: bool
    columns: dict[str, int]

    def read(self, pieces: Iterable[bytes]) -> Iterator[TableBlock]:
        """The rows of the text, a block of lines at a time. Raises `RowError` for text that is not UTF-8."""
        # Runs of blanks and tabs become one tab before the lines are split.
        separator = "\t" if self.separator == WHITESPACE else self.separator
        table = TableLayout(member=self.where, separator=separator, quote=self.quote, columns=self.columns)
        n_fields, line = 0, 1
        for content in group_lines(pieces, quoted=self.quote):
            text = _require_utf8(normalize_lines(content, line), line, self.where)
            if self.separator == WHITESPACE:
                text = re.sub(rb"[ \t]+", b"\t", re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", text))
            if line == 1:
                n_fields = self._count_fields(text.partition(b"\n")[0].decode(), separator)
                if self.header:
                    text, line = text.partition(b"\n")[2], 2
            if text:
                yield _to_block(split_rows(text, table, n_fields, line), n_fields)
                line += text.count(b"\n")

    def _count_fields(self, first: str, separator: str) -> int:
        """The number of fields each row should have: that of the first line, or what the columns need."""
        count = len(split_fields(first, separator)) if self.quote else first.count(separator) + 1
        return max(count, max(self.columns.values()) + 1)


def _to_block(rows: TextRows, n_fields: int) -> TableBlock:
    import polars as pl

    lines = rows.starts
    if isinstance(lines, range):
        numbers = pl.int_range(lines.start, lines.stop - 1, eager=True, dtype=pl.Int64)
    else:
        numbers = pl.Series(lines[:-1], dtype=pl.Int64)
    return TableBlock(rows.fields, numbers, rows.text, n_fields, rows.fault, lines[-1])


def _require_utf8(text: bytes, line: int, where: str) -> bytes:
    """The text, which begins on that line. Raises `RowError` if it is not UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        bad_line = line + text.count(b"\n", 0, error.start)
        raise RowError(
            f"{where}, line {bad_line}: byte 0x{text[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from error
    return text
