"""The text of a person's own file, as a stream of bytes: a plain file, gzip, Zstandard, or a member of a zip."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from cfbench.data.readers.stream import DAMAGED, archive_errors, read_pieces
from cfbench.data.readers.zip_archive import list_members, stream_member
from cfbench.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cfbench.data.progress import ProgressListener

BINARY_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}
"""The ending of a file's name → the format of its table."""
TEXT_ENDINGS = {".csv", ".tsv", ".txt", ".dat", ".data", ".tab", ".base", ".train", ".valid", ".test", ".inter", ""}
_MAX_BYTES = 1 << 40  # what a zip's member may unpack to: it is the person's own file
_MAX_FIRST_LINES = 1 << 26  # bytes
_ZSTANDARD_MAGIC = b"\x28\xb5\x2f\xfd"


def find_source(path: Path, member: str) -> tuple[Callable[[ProgressListener], Iterator[bytes]], str]:
    """A function that reads the bytes of the text, and the name of the text in messages.

    `member` names the file in a zip of several files. Raises `UsageError`, `ArchiveError`.
    """
    suffix = path.suffix.lower()
    if member or suffix == ".zip":
        if not zipfile.is_zipfile(path):
            raise ArchiveError(f"{path} is not a whole zip file; {DAMAGED}")
        name = member or _find_only_member(path)
        return lambda listener: stream_member(path, name, _MAX_BYTES, listener), f"{path}!{name}"
    compression = suffix if suffix in {".gz", ".zst"} else ""
    if compression:
        suffix = path.with_suffix("").suffix.lower()
    if suffix not in TEXT_ENDINGS:
        known = ", ".join(sorted(TEXT_ENDINGS - {""}) + sorted(BINARY_ENDINGS) + [".zip"])
        raise UsageError(f"{path}: a table cannot end in {suffix!r}; expected {known}, text also as .gz or .zst")
    return lambda listener: _stream_file(path, compression, listener), str(path)


def _find_only_member(path: Path) -> str:
    names = [name for name in list_members(path) if not name.startswith("__MACOSX/")]
    if len(names) != 1:
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise UsageError(f"{path} has {len(names)} members, expected one; choose with --member: {shown or 'none'}")
    return names[0]


def _stream_file(path: Path, compression: str, listener: ProgressListener) -> Iterator[bytes]:
    # The unpacked size of a compressed file is unknown: four times its own is a guess, for the progress bar.
    size, expected = 0, path.stat().st_size * (4 if compression else 1)
    with archive_errors(path):
        for piece in _unpack_zstandard(path) if compression == ".zst" else read_pieces(path):
            size += len(piece)
            listener.progress(f"reading rows of {path.name}", size, max(size, expected))
            yield piece


def _unpack_zstandard(path: Path) -> Iterator[bytes]:
    """The text of a Zstandard file. polars unpacks it, as a table with one column: the line."""
    import polars as pl

    try:
        with path.open("rb") as file:
            if file.read(4) != _ZSTANDARD_MAGIC:
                raise ArchiveError(f"{path} is not a Zstandard file; {DAMAGED}")
        lines = pl.scan_csv(
            path, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String}, glob=False
        )
        for part in lines.collect_batches():
            yield ("\n".join(part["line"].fill_null("")) + "\n").encode()
    except pl.exceptions.PolarsError as error:
        raise ArchiveError(f"cannot unpack {path}: {first_line(error)}; {DAMAGED}") from error


def take_lines(pieces: Iterator[bytes], size: int, *, max_bytes: int = _MAX_FIRST_LINES) -> Iterator[bytes]:
    """The whole lines among the first `size` bytes or more, as one piece: two lines at least, if there are two.

    More than `max_bytes` are not looked at, so that a file without line ends does not fill the memory.
    """
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= size and (head.count(b"\n") > 1 or len(head) >= max_bytes):
            yield head[: head.rfind(b"\n") + 1] or head
            return
    yield head


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or ["damaged"])[0]
