"""A text file as blocks of whole lines, and a block of lines as a table of its fields.

Two functions split lines and give the same fields. `split_uniform_lines` uses the CSV parser of polars and is fast, but
it needs the expected number of fields in every line. `split_any_lines` accepts any lines, so that a message can name
what is wrong with each of them.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import polars as pl

    from cfbench.data.readers.bad_rows import BadRows
    from cfbench.data.readers.layout import TableLayout

BLOCK_BYTES = 1 << 26
"""The size of a block of lines."""
QUOTED_BLOCK_BYTES = 1 << 23
"""The same for quoted lines, which Python splits and which take more memory."""
BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""
_LF, _QUOTE = ord("\n"), ord('"')
_STAND_INS = tuple(bytes([code]) for code in (0x1F, 0x1E, 0x1D, 0x1C, 0x09))  # replace a separator of several bytes


def group_lines(pieces: Iterable[bytes], *, quoted: bool = False, block_bytes: int | None = None) -> Iterator[bytes]:
    """The bytes as blocks of whole lines, each line with its LF, without the blank lines at the very end.

    With `quoted`, a line end between double quotes does not end the line. A block has about `block_bytes`, which is
    `BLOCK_BYTES` or `QUOTED_BLOCK_BYTES` by default.
    """
    size = enough = block_bytes or (QUOTED_BLOCK_BYTES if quoted else BLOCK_BYTES)
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) < enough:
            continue
        end = _last_line_end(buffer, quoted=quoted)
        if end:
            yield bytes(buffer[:end])
            del buffer[:end]
        enough = max(size, 2 * len(buffer))  # otherwise every piece of one huge line would search all of it again
    if rest := buffer.rstrip(b"\r\n"):
        yield bytes(rest) + b"\n"


def _last_line_end(buffer: bytearray, *, quoted: bool) -> int:
    """How many bytes of `buffer` are whole lines, the last of them not blank; 0 if there is no such line."""
    end = buffer.rfind(b"\n") + 1
    if quoted:
        codes = np.frombuffer(bytes(buffer), np.uint8)
        open_quotes = np.cumsum(codes == _QUOTE, dtype=np.uint8) & 1  # the sum wraps at 256, its lowest bit does not
        ends = np.flatnonzero((codes == _LF) & (open_quotes == 0))
        end = int(ends[-1]) + 1 if len(ends) else 0
    filled = len(buffer[:end].rstrip(b"\r\n"))
    return buffer.find(b"\n", filled) + 1 if filled else 0


def to_utf8(content: bytes, encoding: str, line: int, bad: BadRows) -> bytes:
    """The block as UTF-8, with LF line ends and without the byte order mark at the file's beginning (`line` 1).

    Bytes of another encoding make the rest of the file unreadable, which is added to `bad`.
    """
    content = normalize_lines(content, line)
    if content.isascii():
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        bad.give_up(line, f"byte 0x{content[error.start]:02x} is not {encoding}; set the card's encoding")
        return b""


def normalize_lines(content: bytes, line: int) -> bytes:
    """The block with LF line ends and, where it begins the file (`line` 1), without a byte order mark."""
    content = content.removeprefix(BOM) if line == 1 else content
    return content.replace(b"\r\n", b"\n") if b"\r" in content else content


@dataclass
class TextRows:
    """A block of n rows of text, split into fields."""

    fields: pl.DataFrame
    """One column of text for each role, null where the row is too short; and `fields`, the row's number of fields."""
    content: bytes
    starts: Sequence[int]
    """(n + 1,) the line on which each row begins, and the line after the last row."""
    fault: str = ""
    """Why nothing after the last row can be read; empty if all is well."""

    def line(self, row: int) -> int:
        """The number of the row's first line in the file, from 1."""
        return self.starts[row]

    def text(self, row: int) -> str:
        """The row as it stands in the file."""
        first, end = self.starts[row] - self.starts[0], self.starts[row + 1] - self.starts[0]
        return "\n".join(self.content.decode().split("\n")[first:end])


def count_fields(content: bytes, table: TableLayout, bad: BadRows) -> int:
    """The number of fields in the file's first line. Invalid quotes are added to `bad`."""
    line = content.partition(b"\n")[0].decode()
    if not table.quote:
        return line.count(table.separator) + 1
    try:
        return max(map(len, csv.reader([line], delimiter=table.separator)), default=1)
    except csv.Error as error:
        bad.give_up(1, _describe_csv_error(error))
        return 1


def split_rows(content: bytes, table: TableLayout, n_fields: int, line: int) -> TextRows:
    """Split a block that begins on `line` of the file and whose lines should have `n_fields` fields each."""
    if table.quote and b'"' in content:
        return _split_quoted_lines(content, table, line)
    starts = range(line, line + content.count(b"\n") + 1)
    fields = split_uniform_lines(content, table, n_fields)
    return TextRows(split_any_lines(content, table) if fields is None else fields, content, starts)


def split_uniform_lines(content: bytes, table: TableLayout, n_fields: int) -> pl.DataFrame | None:
    """The fields if every line has exactly `n_fields` of them (two or more), else None."""
    import polars as pl

    separator = table.separator.encode()
    if len(separator) > 1:
        stand_in = next((code for code in _STAND_INS if code not in content), None)
        if stand_in is None:
            return None
        content, separator = content.replace(separator, stand_in), stand_in
    marks = content.translate(None, _all_bytes_except(separator + b"\n"))
    if n_fields < 2 or marks != (separator * (n_fields - 1) + b"\n") * (len(marks) // n_fields):
        return None
    # polars drops a byte order mark at a block's beginning and a CR at a line's end, which are a part of the text here
    if content.startswith(BOM) or b"\r" in content:
        return None
    fields = pl.read_csv(
        content, has_header=False, separator=separator.decode(), quote_char=None,
        schema={f"column_{number + 1}": pl.String for number in range(n_fields)},
        columns=sorted(set(table.fields.values())),
    )  # fmt: skip
    if len(fields) != len(marks) // n_fields:
        return None
    roles = {role: pl.col(f"column_{number + 1}").fill_null("") for role, number in table.fields.items()}
    return fields.select(**roles, fields=pl.lit(n_fields, pl.UInt32))


def _all_bytes_except(keep: bytes) -> bytes:
    return bytes(code for code in range(256) if code not in keep)


def split_any_lines(content: bytes, table: TableLayout) -> pl.DataFrame:
    """The fields of lines without quotes, whatever the lines contain."""
    import polars as pl

    lines = pl.Series("line", content.decode().removesuffix("\n").split("\n"))
    split = lines.str.split_exact(table.separator, max(table.fields.values())).struct.unnest()
    roles = {role: split[f"field_{number}"] for role, number in table.fields.items()}
    return pl.DataFrame(roles | {"fields": lines.str.count_matches(table.separator, literal=True) + 1})


def _split_quoted_lines(content: bytes, table: TableLayout, line: int) -> TextRows:
    """Split lines in which double quotes may enclose a field, with two of them inside for one (RFC 4180)."""
    import polars as pl

    reader = csv.reader(io.StringIO(content.decode(), newline="\n"), delimiter=table.separator, strict=True)
    rows, starts, fault = [], [line], ""
    try:
        for row in reader:
            rows.append(row)
            starts.append(line + reader.line_num)
    except csv.Error as error:
        fault = _describe_csv_error(error)
    roles = {
        role: pl.Series([row[number] if number < len(row) else None for row in rows], dtype=pl.String)
        for role, number in table.fields.items()
    }
    counts = pl.Series([max(len(row), 1) for row in rows], dtype=pl.UInt32)
    return TextRows(pl.DataFrame(roles | {"fields": counts}), content, starts, fault)


def _describe_csv_error(error: csv.Error) -> str:
    """Why a quoted file cannot be split."""
    if "new-line character" in str(error):
        return "a carriage return stands outside quotes, expected lines that end in LF or CRLF; get the original file"
    return f"the quotes are not those of a CSV file ({error}); get the original file"
