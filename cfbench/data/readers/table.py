"""TABLE: a person's own file of ratings, whatever its form, as blocks of raw fields.

Text (`,` `;` tab `|` `::` or blanks between fields; plain, gzip, Zstandard or a zip's member), Parquet, and Arrow
(feather, IPC). What is not said (separator, header, columns) is found by looking at the first lines.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cfbench.data.card import TableLayout
from cfbench.data.readers import archive
from cfbench.data.readers.lines import Rows, blocks
from cfbench.data.readers.stream import AGAIN, pieces
from cfbench.errors import ArchiveError, RowError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.progress import ProgressListener

NAMES = {
    "user": ("user", "userid", "uid", "customer", "customerid", "reviewer", "reviewerid", "member", "memberid"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "book", "bookid", "product", "productid", "track",
             "trackid", "song", "songid", "isbn", "asin"),
    "rating": ("rating", "score", "stars", "value", "rate", "overall"),
    "time": ("time", "timestamp", "date", "datetime", "unixreviewtime", "ratedat"),
    "title": ("title", "name", "movietitle", "booktitle"),
}  # fmt: skip
"""What columns are called, in small letters without `_`, `-` and blanks; the first that is there counts."""
OPTIONAL = {"time"}
BINARY = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}
TEXT = {".csv", ".tsv", ".txt", ".dat", ".data", ".tab", ".base", ".test", ".inter", ""}
BLANKS = " "
"""The separator that stands for any run of blanks and tabs."""
_CANDIDATES = ("::", "\t", ",", ";", "|", BLANKS)
_LOOKED_AT = 50  # lines
_ROWS = 2_000_000  # of a block of a binary table
_LARGEST = 1 << 40  # bytes a zip's member may unpack to: it is the person's own file


@dataclass(frozen=True)
class Asked:
    """What a person said of the file; what they did not is found."""

    separator: str = ""
    header: bool | None = None
    member: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    """Role → a column's name, or its number from 0."""


@dataclass(frozen=True)
class Block:
    """n rows: `fields` has a column a role, text or of the file's own type; null where the row lacks the field.

    `lines` (n,) says where each begins, from 1; `text(row)` is how it stands in the file; `fault`, if any, is why
    nothing after the last row can be read.
    """

    fields: pl.DataFrame
    lines: pl.Series
    text: Callable[[int], str]
    expected: int = 0
    """How many fields a row should have; 0 where rows cannot differ."""
    fault: str = ""
    fault_line: int = 0


@dataclass(frozen=True)
class Opened:
    """A table whose columns are known: role → number from 0. `sample` holds the fields of its first rows."""

    where: str
    columns: dict[str, int]
    sample: pl.DataFrame
    blocks: Callable[[ProgressListener], Iterator[Block]]


def open_table(path: Path, asked: Asked, roles: tuple[str, ...], listener: ProgressListener) -> Opened:
    """Look at the file's beginning. Raises `UsageError` for what was asked wrongly, `ArchiveError`, `RowError`."""
    if not path.is_file():
        raise UsageError(f"no file {path}{'; it is a folder' if path.is_dir() else ''}; check its name")
    if not path.stat().st_size:
        raise RowError(f"{path} is empty, expected a line a rating")
    kind = BINARY.get(path.suffix.lower())
    return _binary(path, kind, asked, roles) if kind else _textual(path, asked, roles, listener)


def _binary(path: Path, kind: str, asked: Asked, roles: tuple[str, ...]) -> Opened:
    import polars as pl

    try:
        table = pl.scan_parquet(path, glob=False) if kind == "parquet" else pl.scan_ipc(path, glob=False)
        names = table.collect_schema().names()
        columns = _columns(names, asked, roles, str(path), header=True)
        table = table.select(**{role: pl.col(names[number]) for role, number in columns.items()})
        sample, count = table.head(1000).collect(), int(table.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise ArchiveError(f"cannot read {path} as {kind}: {_first_line(fault)}; {AGAIN}") from fault

    def read(listener: ProgressListener) -> Iterator[Block]:
        for start in range(0, count, _ROWS):
            try:
                part = table.slice(start, _ROWS).collect()
            except (pl.exceptions.PolarsError, OSError) as fault:
                raise ArchiveError(f"cannot read {path} as {kind}: {_first_line(fault)}; {AGAIN}") from fault
            listener.progress(f"reading {path.name}", min(start + _ROWS, count), count)
            lines = pl.int_range(start + 1, start + len(part) + 1, eager=True, dtype=pl.Int64)
            yield Block(part, lines, lambda row, part=part: ", ".join(map(str, part.row(row))))  # type: ignore[misc]

    if not count:
        raise RowError(f"{path} holds no rows, expected a row a rating")
    return Opened(str(path), columns, sample, read)


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or ["damaged"])[0]


def _textual(path: Path, asked: Asked, roles: tuple[str, ...], listener: ProgressListener) -> Opened:
    source, where = _source(path, asked)
    head = next(blocks(_only(source(listener), 1 << 18), quoted=False), b"")
    head = _utf8(head.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n"), 1, where)
    lines = [line for line in head.decode().split("\n")[:_LOOKED_AT] if line.strip()]
    if not lines:
        raise RowError(f"{where} is empty, expected a line a rating")
    separator = _spelled(asked.separator) or _sniffed(lines, where, len(roles) - ("time" in roles))
    names = _split(lines[0], separator)
    header = _has_header(names, asked, roles)
    columns = _columns(names, asked, roles, where, header=header)
    if not header and "time" in columns and "time" not in asked.columns:
        columns = _without_doubtful_time(columns, names)
    quote = separator in {",", ";"} or (len(separator) == 1 and separator != BLANKS and any(
        value.startswith('"') for line in lines for value in line.split(separator)))  # fmt: skip
    table = TableLayout(
        member=where, separator="\t" if separator == BLANKS else separator, quote=quote, columns=columns
    )

    def read(content: Iterable[bytes]) -> Iterator[Block]:
        expected, line = 0, 1
        for raw in blocks(content, quoted=quote):
            text = raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw
            text = _utf8(text.replace(b"\r\n", b"\n") if b"\r" in text else text, line, where)
            if separator == BLANKS:
                text = re.sub(rb"[ \t]+", b"\t", re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", text))
            if line == 1:
                first = text.partition(b"\n")[0].decode()
                count = len(_split(first, separator)) if quote else first.count(table.separator) + 1
                expected = max(count, max(columns.values()) + 1)
                if header:
                    text, line = text.partition(b"\n")[2], 2
            if text:
                yield _block(Rows.split(text, table, expected, line), expected)
                line += text.count(b"\n")

    sample = next((block.fields.head(1000) for block in read([head])), None)
    if sample is None:
        raise RowError(f"{where} holds no rows below its header, expected a line a rating")
    return Opened(where, columns, sample.drop("fields"), lambda listener: read(source(listener)))


def _block(rows: Rows, expected: int) -> Block:
    import polars as pl

    lines = rows.starts
    numbers = (
        pl.int_range(lines.start, lines.stop - 1, eager=True, dtype=pl.Int64)
        if isinstance(lines, range)
        else pl.Series(lines[:-1], dtype=pl.Int64)
    )
    return Block(rows.fields, numbers, rows.text, expected, rows.fault, rows.starts[-1])


def _source(path: Path, asked: Asked) -> tuple[Callable[[ProgressListener], Iterator[bytes]], str]:
    """What gives the bytes of the text, and how to call it."""
    import zipfile

    if asked.member or path.suffix.lower() == ".zip":
        if not zipfile.is_zipfile(path):
            raise ArchiveError(f"{path} is no whole zip file; {AGAIN}")
        member = asked.member or _only_member(path)
        return lambda listener: archive.stream(path, member, _LARGEST, listener), f"{path}!{member}"
    packed = path.suffix.lower() if path.suffix.lower() in {".gz", ".zst"} else ""
    suffix = path.with_suffix("").suffix.lower() if packed else path.suffix.lower()
    if suffix not in TEXT:
        known = ", ".join(sorted(TEXT - {""}) + sorted(BINARY) + [".zip"])
        raise UsageError(f"{path}: {suffix!r} is no ending of a table; expected {known}, text also as .gz or .zst")
    return lambda listener: _bytes(path, packed, listener), str(path)


def _only_member(path: Path) -> str:
    found = [name for name in archive.members(path) if not name.startswith("__MACOSX/")]
    if len(found) != 1:
        shown = ", ".join(found[:12]) + (", …" if len(found) > 12 else "")
        raise UsageError(f"{path} has {len(found)} members, expected one; choose with --member: {shown or 'none'}")
    return found[0]


def _bytes(path: Path, packed: str, listener: ProgressListener) -> Iterator[bytes]:
    done, total = 0, path.stat().st_size * (4 if packed else 1)  # what a packed file unpacks to is a guess
    with archive.faults(path):
        for piece in _unpacked(path) if packed == ".zst" else pieces(path):
            done += len(piece)
            listener.progress(f"reading rows of {path.name}", done, max(done, total))
            yield piece


def _unpacked(path: Path) -> Iterator[bytes]:
    """What Zstandard packed. polars unpacks it: as a table of one column, which is the line."""
    import polars as pl

    try:
        with path.open("rb") as file:
            if file.read(4) != b"\x28\xb5\x2f\xfd":
                raise ArchiveError(f"{path} is no Zstandard file; {AGAIN}")
        lines = pl.scan_csv(
            path, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String}, glob=False
        )
        for part in lines.collect_batches():
            yield ("\n".join(part["line"].fill_null("")) + "\n").encode()
    except pl.exceptions.PolarsError as fault:
        raise ArchiveError(f"cannot unpack {path}: {_first_line(fault)}; {AGAIN}") from fault


def _only(source: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The whole lines among the first bytes."""
    held = b""
    for piece in source:
        held += piece
        if len(held) >= count:
            break
    else:
        yield held
        return
    yield held[: held.rfind(b"\n") + 1] or held


def _utf8(text: bytes, line: int, where: str) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError as fault:
        at = line + text.count(b"\n", 0, fault.start)
        raise RowError(
            f"{where}, line {at}: byte 0x{text[fault.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from fault
    return text


def _spelled(separator: str) -> str:
    named = {"\\t": "\t", "tab": "\t", "blank": BLANKS, "whitespace": BLANKS, "comma": ","}
    return named.get(separator, separator)


def _split(line: str, separator: str) -> list[str]:
    if separator == BLANKS:
        return line.split()
    if len(separator) > 1:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error:
        return line.split(separator)


def _sniffed(lines: list[str], where: str, least: int) -> str:
    """The separator that cuts the most of the first lines into as many fields as the very first, `least` or more."""
    shares = {}
    for separator in _CANDIDATES:
        counts = [len(_split(line, separator)) for line in lines]
        if counts[0] >= least:
            shares[separator] = sum(count == counts[0] for count in counts)
    if shares:
        return max(shares, key=lambda separator: shares[separator])
    raise UsageError(
        f"cannot tell what separates the fields of {where}, whose first line is {lines[0][:80]!r}; "
        f"expected {least} fields or more; say it with --separator"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_header(first: list[str], asked: Asked, roles: tuple[str, ...]) -> bool:
    if asked.header is not None:
        return asked.header
    if any(not name.isdecimal() for name in asked.columns.values()):
        return True
    if "rating" not in roles:
        return any(_plain(name) in NAMES["item"] + NAMES["title"] for name in first)
    rating = int(asked.columns.get("rating", "2"))
    return rating < len(first) and bool(first[rating].strip()) and not _is_number(first[rating])


def _plain(name: str) -> str:
    """RecBole writes `user_id:token`; what follows the colon is no part of the name."""
    return re.sub(r"[\s_\-]", "", name.partition(":")[0]).lower()


def _columns(names: list[str], asked: Asked, roles: tuple[str, ...], where: str, *, header: bool) -> dict[str, int]:
    """Role → number of its column; raises `UsageError`."""
    names = [name.strip() for name in names]
    found: dict[str, int] = {}
    for position, role in enumerate(roles):
        wanted = asked.columns.get(role)
        if wanted is not None:
            found[role] = _asked_column(names, wanted, role, where, header=header)
        elif header:
            plain = [_plain(name) for name in names]
            number = next((plain.index(name) for name in NAMES[role] if name in plain), None)
            if number is not None:
                found[role] = number
            elif role not in OPTIONAL:
                advice = f"say which with --{role}" if role != "title" else "call it so in the first line"
                raise UsageError(f"{where} has no column for the {role}: {_some(names)}; {advice}, or --no-header")
        elif position < len(names) and position not in found.values():
            found[role] = position
        elif role not in OPTIONAL:
            raise UsageError(f"{where} has {len(names)} columns, none left for the {role}; say which with --{role}")
    for role, number in found.items():
        if list(found.values()).count(number) > 1:
            raise UsageError(f"{where}: column {number} cannot be the {role} and something else; say which is which")
    return found


def _asked_column(names: list[str], wanted: str, role: str, where: str, *, header: bool) -> int:
    if header and wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    if not header or wanted.isdecimal():
        raise UsageError(
            f"{where} has no column {wanted!r} for the {role}; expected a number from 0 to {len(names) - 1}"
        )
    near = get_close_matches(wanted.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    hint = next((f"did you mean {name!r}? " for name in names if [name.lower()] == near), "")
    raise UsageError(f"{where} has no column {wanted!r} for the {role}; {hint}there are: {_some(names)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _without_doubtful_time(columns: dict[str, int], first: list[str]) -> dict[str, int]:
    """The fourth column of a file without a header is the time only if it looks like one."""
    value = first[columns["time"]].strip()
    if _is_number(value) or re.match(r"\d{4}-\d\d-\d\d", value):
        return columns
    return {role: number for role, number in columns.items() if role != "time"}
