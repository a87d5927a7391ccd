"""One member of a zip file (a Python wheel is one), unpacked into memory, whole or piece by piece.

Nothing is extracted under a name that the archive gives, so no member can be written outside a folder. The card limits
the unpacked size: a larger member is refused before it is unpacked, by the size that the archive declares, and again
while it is unpacked, by the bytes that really come out.
"""

from __future__ import annotations

import stat
from difflib import get_close_matches
from typing import TYPE_CHECKING
from zipfile import ZipFile, ZipInfo

from cfbench.data.progress import SilentListener
from cfbench.data.readers.stream import PIECE_BYTES, archive_errors
from cfbench.errors import ArchiveError
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cfbench.data.progress import ProgressListener

_ENCRYPTED = 0x1  # the bit of a member's flags


def read_member(path: Path, member: str, max_bytes: int) -> bytes:
    """The bytes of `member` in the zip file at `path`, with the CRC checked. Raises what `stream_member` raises."""
    return b"".join(stream_member(path, member, max_bytes))


def stream_member(
    path: Path,
    member: str,
    max_bytes: int,
    listener: ProgressListener | None = None,
    *,
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[bytes]:
    """The bytes of `member` in the zip file at `path`, `piece_bytes` at a time.

    The CRC is checked after the last piece, so a caller must not keep results before the end. `listener` receives the
    number of unpacked bytes. Raises `ArchiveError` when the file is not a whole zip file, when it lacks the member, or
    when the member is encrypted, a link, a folder, damaged, or larger than `max_bytes`.
    """
    where, listener, size = f"{path}!{member}", listener or SilentListener(), 0
    with archive_errors(path, where), ZipFile(path) as archive:
        info = _find(archive, path, member)
        _refuse_unsafe(info, where)
        _refuse_large(info.file_size, where, max_bytes)
        with archive.open(info) as file:
            while piece := file.read(piece_bytes):
                size += len(piece)
                _refuse_large(size, where, max_bytes)
                listener.progress(f"reading {info.filename}", size, max(size, info.file_size))
                yield piece


def list_members(path: Path) -> list[str]:
    """The names of the files in the zip file at `path`. Raises `ArchiveError`."""
    with archive_errors(path), ZipFile(path) as archive:
        return _file_names(archive)


def _file_names(archive: ZipFile) -> list[str]:
    return [name for name in archive.namelist() if not name.endswith("/")]


def _find(archive: ZipFile, path: Path, member: str) -> ZipInfo:
    try:
        return archive.getinfo(member)
    except KeyError:
        names = _file_names(archive)
        near = ", ".join(get_close_matches(member, names, n=3, cutoff=0.3) or names[:3]) or "none"
        raise ArchiveError(
            f"{path} has no member {member!r}; the nearest of its {len(names)} members: {near}; "
            "correct the card's member"
        ) from None


def _refuse_unsafe(info: ZipInfo, where: str) -> None:
    for is_unsafe, kind in (
        (info.is_dir(), "a folder"),
        (stat.S_ISLNK(info.external_attr >> 16), "a symbolic link"),
        (bool(info.flag_bits & _ENCRYPTED), "encrypted"),
    ):
        if is_unsafe:
            raise ArchiveError(f"{where} is {kind}, expected a plain file; get the original archive")


def _refuse_large(size: int, where: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ArchiveError(
            f"{where} unpacks to {format_bytes(size)} or more, expected at most {format_bytes(max_bytes)}; get "
            "the original archive, or raise max_bytes in the card"
        )
