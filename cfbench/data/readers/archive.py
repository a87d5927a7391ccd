"""ARCHIVE: one member of a zip file (a wheel is one), unpacked into memory, whole or piece by piece.

Nothing is extracted under a name that the archive gives, so no member can be written outside a folder. What unpacks to
more than the card allows is refused before it is unpacked, and again while it is, whatever the archive declares.
"""

from __future__ import annotations

import lzma
import stat
import struct
import zlib
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

from cfbench.data.progress import SilentListener
from cfbench.data.readers.stream import AGAIN
from cfbench.errors import ArchiveError
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cfbench.data.progress import ProgressListener

_PIECE = 1 << 20
_ENCRYPTED = 0x1
# What reading a damaged archive raises, beside its own errors.
_DAMAGE = (
    BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


def unpack(path: Path, member: str, max_bytes: int) -> bytes:
    """The bytes of `member` in the zip file at `path`, CRC checked; raises what `stream` raises."""
    return b"".join(stream(path, member, max_bytes))


def stream(path: Path, member: str, max_bytes: int, listener: ProgressListener | None = None) -> Iterator[bytes]:
    """The bytes of `member` in the zip file at `path`, about a megabyte at a time.

    The CRC is checked when the last piece was given, so what is made of the pieces must not be kept before the end.
    Raises `ArchiveError` when the file is no whole zip, lacks the member, or the member is encrypted, a link, a folder,
    damaged, or larger than `max_bytes`. `listener` hears how many bytes were unpacked.
    """
    where = f"{path}!{member}"
    with faults(path, where), ZipFile(path) as archive:
        yield from _pieces(archive, _find(archive, path, member), where, max_bytes, listener or SilentListener())


def members(path: Path) -> list[str]:
    """The names of the files in the zip file at `path`; raises `ArchiveError`."""
    with faults(path), ZipFile(path) as archive:
        return _files(archive)


@contextmanager
def faults(path: Path | str, where: str = "") -> Iterator[None]:
    """What files and archives raise, as `ArchiveError`; `where` is the member, if it is one."""
    try:
        yield
    except OSError as fault:
        raise ArchiveError(f"cannot read {path}: {fault.strerror or fault}; check the file and its path") from fault
    except _DAMAGE as fault:
        raise ArchiveError(f"cannot unpack {where or path}: {fault}; {AGAIN}") from fault


def _files(archive: ZipFile) -> list[str]:
    return [name for name in archive.namelist() if not name.endswith("/")]


def _find(archive: ZipFile, path: Path, member: str) -> ZipInfo:
    try:
        return archive.getinfo(member)
    except KeyError:
        names = _files(archive)
        near = ", ".join(get_close_matches(member, names, n=3, cutoff=0.3) or names[:3]) or "none"
        raise ArchiveError(
            f"{path} has no member {member!r}; of those it has ({len(names)}) the nearest: {near}; "
            "correct the card's member"
        ) from None


def _pieces(archive: ZipFile, info: ZipInfo, where: str, max_bytes: int, listener: ProgressListener) -> Iterator[bytes]:
    _refuse_unsafe(info, where)
    _refuse_large(info.file_size, where, max_bytes)
    done = 0
    with archive.open(info) as stream:
        while piece := stream.read(_PIECE):
            done += len(piece)
            _refuse_large(done, where, max_bytes)
            listener.progress(f"reading {info.filename}", done, max(done, info.file_size))
            yield piece


def _refuse_unsafe(info: ZipInfo, where: str) -> None:
    for wrong, what in (
        (info.is_dir(), "a folder"),
        (stat.S_ISLNK(info.external_attr >> 16), "a symbolic link"),
        (bool(info.flag_bits & _ENCRYPTED), "encrypted"),
    ):
        if wrong:
            raise ArchiveError(f"{where} is {what}, expected a plain file; get the original archive")


def _refuse_large(found: int, where: str, allowed: int) -> None:
    if found > allowed:
        raise ArchiveError(
            f"{where} unpacks to {format_bytes(found)} or more, expected at most {format_bytes(allowed)}; get "
            "the original archive, or raise max_bytes in the card"
        )
