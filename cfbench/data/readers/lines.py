"""LINES: the bytes of a file as blocks of whole lines, and a block as the text of its fields.

A block whose every line has as many separators as it should goes through the CSV parser of polars; any other is split
with care, so that each line's fault can be told. Both ways give the same fields.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cfbench.errors import RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import polars as pl

    from cfbench.data.card import TableLayout

_BLOCK, _QUOTED_BLOCK = 1 << 26, 1 << 23  # bytes; quoted lines are split in Python, at a higher cost in memory
_BOM = b"\xef\xbb\xbf"
_SHOWN = 80  # characters of a bad line
NAMED = 10
"""How many bad lines a message names."""
_LF, _QUOTE = ord("\n"), ord('"')
_STAND_INS = tuple(bytes([code]) for code in (0x1F, 0x1E, 0x1D, 0x1C, 0x09))  # for separators longer than a byte


@dataclass
class BadRows:
    """The bad rows found so far: all counted, the first told in full, the first ten by their line."""

    where: str
    advice: str
    count: int = 0
    hopeless: bool = False
    """What follows cannot be read at all."""
    _first: str = ""
    _lines: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.count > 0 or self.hopeless

    def add(self, lines: list[int], count: int, fault: str, text: str) -> None:
        """Count more bad rows. `lines`: those of the first few, from 1; `fault` and `text` are of the first of them."""
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        self._first = self._first or f"{self.where}, line {lines[0]}: {fault}; the line is {shown!r}"
        self._lines += lines
        self.count += count

    def give_up(self, line: int, fault: str) -> None:
        """Remember that nothing from `line` on can be read; it is told if no bad row was found before."""
        self.hopeless = True
        self._first = self._first or f"{self.where}, line {line}: {fault}"

    def refuse(self) -> None:
        """Raise `RowError` if there is a bad row."""
        if not self:
            return
        if not self.count:
            raise RowError(self._first)
        all_ = "so far" if self.hopeless else "in all"
        more = f"{self.count:,} bad rows {all_}, on lines {self.lines}" if self.count > 1 else "no other bad row"
        raise RowError(f"{self._first}; {more}; {self.advice}")

    @property
    def lines(self) -> str:
        """Where the first ten are."""
        return named(self._lines, self.count)


def named(lines: Sequence[int], count: int) -> str:
    """The first ten line numbers, and a sign if there are more: `count` in all."""
    return ", ".join(map(str, lines[:NAMED])) + (", …" if count > NAMED else "")


class Check(NamedTuple):
    """What makes a row bad, and how to say so of one row."""

    bad: pl.Series
    """(n,) True where the row is bad; null where it lacks the field, which is another check's business."""
    text: str
    """The fault, with `{}` for the row's value."""
    values: pl.Series
    """(n,) what to show of a row."""


def tell(
    checks: Sequence[Check], line: Callable[[int], int], text: Callable[[int], str], bad: BadRows
) -> pl.Series | None:
    """Tell `bad` of every row that fails a check, the first of them by the first one it fails.

    `line` and `text` say of a row where it begins and how it stands in the file. Returns (n,) True for the rows that
    fail, None when all are good.
    """
    wrong = reduce(or_, (check.bad.fill_null(value=False) for check in checks))
    rows = wrong.arg_true()
    if not len(rows):
        return None
    first = rows[0]
    check = next(check for check in checks if check.bad[first])
    value = check.values[first]
    fault = check.text.replace("{}", "" if value is None else str(value), 1)
    bad.add([line(row) for row in rows.head(NAMED)], len(rows), fault, text(first))
    return wrong


def blocks(pieces: Iterable[bytes], *, quoted: bool = False) -> Iterator[bytes]:
    """Whole lines, each ended by LF, about 64 MB at a time. Blank lines at the very end are left out.

    With `quoted` a line end between double quotes is none, and blocks are smaller.
    """
    size = enough = _QUOTED_BLOCK if quoted else _BLOCK
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) < enough:
            continue
        end = _last_line_end(held, quoted=quoted)
        if end:
            yield bytes(held[:end])
            del held[:end]
        enough = max(size, 2 * len(held))  # one huge line is not looked through again at every piece
    if rest := held.rstrip(b"\r\n"):
        yield bytes(rest) + b"\n"


def _last_line_end(held: bytearray, *, quoted: bool) -> int:
    """How many bytes of `held` are whole lines, the last of them not blank; 0 if there is no such line."""
    end = held.rfind(b"\n") + 1
    if quoted:
        codes = np.frombuffer(bytes(held), np.uint8)
        open_quotes = np.cumsum(codes == _QUOTE, dtype=np.uint8) & 1  # the sum wraps at 256, its lowest bit does not
        ends = np.flatnonzero((codes == _LF) & (open_quotes == 0))
        end = int(ends[-1]) + 1 if len(ends) else 0
    filled = len(held[:end].rstrip(b"\r\n"))
    return held.find(b"\n", filled) + 1 if filled else 0


def text_of(content: bytes, encoding: str, line: int, bad: BadRows) -> bytes:
    """The block as UTF-8 with line ends of LF, without a byte order mark at the file's start (`line` 1).

    Bytes of another encoding make `bad` hopeless.
    """
    content = content.removeprefix(_BOM) if line == 1 else content
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    if content.isascii():
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError as fault:
        line += content.count(b"\n", 0, fault.start)
        bad.give_up(line, f"byte 0x{content[fault.start]:02x} is not {encoding}; set the card's encoding")
        return b""


@dataclass
class Rows:
    """A block of n rows, split."""

    fields: pl.DataFrame
    """The raw text of each role's field, null where the row ends before it; and `fields`, how many the row has."""
    content: bytes
    starts: Sequence[int]
    """(n + 1,) the line each row begins on, and the one after the last."""
    fault: str = ""
    """Why nothing after the last row can be read."""

    def line(self, row: int) -> int:
        """The number of the row's first line in the file, from 1."""
        return self.starts[row]

    def text(self, row: int) -> str:
        """The row as it stands in the file."""
        first, end = (line - self.starts[0] for line in self.starts[row : row + 2])
        return "\n".join(self.content.decode().split("\n")[first:end])

    @staticmethod
    def count_fields(content: bytes, table: TableLayout, bad: BadRows) -> int:
        """How many fields the file's first line has. Quotes that are none of CSV make `bad` hopeless."""
        line = content.partition(b"\n")[0].decode()
        if not table.quote:
            return line.count(table.separator) + 1
        try:
            return max(map(len, csv.reader([line], delimiter=table.separator)), default=1)
        except csv.Error as fault:
            bad.give_up(1, _told(fault))
            return 1

    @staticmethod
    def split(content: bytes, table: TableLayout, expected: int, line: int) -> Rows:
        """Split a block that begins on `line` of the file; its lines should have `expected` fields each."""
        if table.quote and b'"' in content:
            return _quoted(content, table, line)
        starts = range(line, line + content.count(b"\n") + 1)
        fields = _regular(content, table, expected)
        return Rows(_with_care(content, table) if fields is None else fields, content, starts)


def _regular(content: bytes, table: TableLayout, expected: int) -> pl.DataFrame | None:
    """The fields if every line has exactly `expected` of them (two or more), else None."""
    import polars as pl

    separator = table.separator.encode()
    if len(separator) > 1:
        stand_in = next((code for code in _STAND_INS if code not in content), None)
        if stand_in is None:
            return None
        content, separator = content.replace(separator, stand_in), stand_in
    marks = content.translate(None, _all_but(separator + b"\n"))
    # polars takes a byte order mark at a block's beginning and a CR at a line's end for no part of the text
    if expected < 2 or marks != (separator * (expected - 1) + b"\n") * (len(marks) // expected):
        return None
    if content.startswith(_BOM) or b"\r" in content:
        return None
    fields = pl.read_csv(
        content, has_header=False, separator=separator.decode(), quote_char=None,
        schema={f"column_{number + 1}": pl.String for number in range(expected)},
        columns=sorted(set(table.columns.values())),
    )  # fmt: skip
    if len(fields) != len(marks) // expected:
        return None
    roles = {role: pl.col(f"column_{number + 1}").fill_null("") for role, number in table.columns.items()}
    return fields.select(**roles, fields=pl.lit(expected, pl.UInt32))


def _all_but(kept: bytes) -> bytes:
    return bytes(code for code in range(256) if code not in kept)


def _with_care(content: bytes, table: TableLayout) -> pl.DataFrame:
    """The fields, whatever the lines hold."""
    import polars as pl

    lines = pl.Series("line", content.decode().removesuffix("\n").split("\n"))
    split = lines.str.split_exact(table.separator, max(table.columns.values())).struct.unnest()
    roles = {role: split[f"field_{number}"] for role, number in table.columns.items()}
    return pl.DataFrame(roles | {"fields": lines.str.count_matches(table.separator, literal=True) + 1})


def _quoted(content: bytes, table: TableLayout, line: int) -> Rows:
    """The fields of lines in which double quotes may enclose a field, and two of them inside are one."""
    import polars as pl

    reader = csv.reader(io.StringIO(content.decode(), newline="\n"), delimiter=table.separator, strict=True)
    records, starts, broken = [], [line], ""
    try:
        for record in reader:
            records.append(record)
            starts.append(line + reader.line_num)
    except csv.Error as fault:
        broken = _told(fault)
    roles = {
        role: pl.Series([record[number] if number < len(record) else None for record in records], dtype=pl.String)
        for role, number in table.columns.items()
    }
    counts = pl.Series([max(len(record), 1) for record in records], dtype=pl.UInt32)
    return Rows(pl.DataFrame(roles | {"fields": counts}), content, starts, broken)


def _told(fault: csv.Error) -> str:
    """Why a quoted file cannot be split."""
    if "new-line character" in str(fault):
        return "a carriage return stands outside quotes, expected lines that end in LF or CRLF; get the original file"
    return f"the quotes are not those of a CSV file ({fault}); get the original file"
