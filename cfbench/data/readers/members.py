"""MEMBERS: the files of a folder, a zip or a tar, each read once from front to back, none unpacked to the disk.

Nothing is written under a name that an archive gives. Links and devices in archives are refused, damage and truncation
are noticed: a zip's CRC, gzip's CRC and length, a tar's header checksums, sizes and end mark; and MD5 sums, where the
card or a member `MD5SUMS` of the archive itself has them, as the bytes pass.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from zipfile import ZipFile

from cfbench.data.readers.archive import faults
from cfbench.data.readers.stream import AGAIN, PIECE, Line, ahead, pieces
from cfbench.errors import ArchiveError, ChecksumError
from cfbench.files import format_bytes as bytes_for_people

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

LIST = "MD5SUMS"
"""The member that has checksums of the others, in lines `<md5>  <name>`."""
_BLOCK = 512  # bytes; a tar is made of these
_DEPTH = 3  # folders below the one named that are looked into
_PLAIN = {tarfile.REGTYPE, tarfile.AREGTYPE}
_PASSED_OVER = {tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}


class ArchiveMember:
    """One file of an archive or folder: `name` inside it, `where` for messages, and `left`, the bytes not yet read.

    `checksum`, "md5:…" when it is known, is what it is held to once it was read to the end.
    """

    def __init__(self, name: str, where: str, size: int, source: Callable[[int], bytes], *, hashed: bool) -> None:
        self.name, self.where, self.left = name, where, size
        self.checksum: str | None = None
        self._source = source
        self._digest = hashlib.md5(usedforsecurity=False) if hashed else None

    @property
    def file(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.name).name

    @property
    def md5(self) -> str | None:
        """Its MD5 once it was read to the end; None before, and where none was asked for."""
        return self._digest.hexdigest() if self._digest and not self.left else None

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end only.

        Raises `ArchiveError` when they are not there, `ChecksumError` at the end of what is not the right file.
        """
        wanted = min(count, self.left)
        data = self._source(wanted)
        if len(data) < wanted:
            raise ArchiveError(f"{self.where} ends {self.left - len(data):,} bytes too early; {AGAIN}")
        self.left -= wanted
        if self._digest:
            self._digest.update(data)
        self.verify()
        return data

    def verify(self) -> None:
        """Raise `ChecksumError` when it was read to the end and is not the right file."""
        if self.checksum and self.md5 and self.checksum != f"md5:{self.md5}":
            raise ChecksumError(f"{self.where} has the checksum md5:{self.md5}, expected {self.checksum}; {AGAIN}")

    def whole(self, limit: int) -> bytes:
        """All of it; raises `ArchiveError` when it is larger than `limit` bytes."""
        if self.left > limit:
            found, allowed = bytes_for_people(self.left), bytes_for_people(limit)
            raise ArchiveError(f"{self.where} has {found}, expected at most {allowed}; get the original archive")
        return self.read(self.left)

    def drain(self) -> None:
        """Read to the end."""
        while self.left:
            self.read(PIECE)


class Listed(NamedTuple):
    """A name and a size in bytes, known before reading."""

    name: str
    size: int


def listing(path: Path) -> list[Listed] | None:
    """The files of a folder or zip in the order of their names; None for a tar, which has no list.

    Raises `ArchiveError`.
    """
    with faults(path):
        if path.is_dir():
            return [Listed(name, (path / name).stat().st_size) for name in _names(path)]
        if _is_zip(path):
            with ZipFile(path) as archive:
                return sorted(Listed(info.filename, info.file_size) for info in archive.infolist())
    return None


def members(path: Path, checksums: Mapping[str, str], wanted: Callable[[str], bool]) -> Generator[ArchiveMember]:
    """The files of a folder or archive whose last name is `wanted`; what is read of them is verified.

    `checksums`: last part of a name → "md5:…". Folders and zips come by name, a tar in its own order. Take one member
    after the other: a member cannot be read once the next is asked for. Raises `ArchiveError`, `ChecksumError`.
    """
    read: list[ArchiveMember] = []
    promised: dict[str, str] = {}
    with closing(_source(path, lambda name: name == LIST or wanted(name))) as found:
        for member in found:
            member.checksum = checksums.get(member.file)
            if member.file == LIST:
                promised = _promises(member)
            elif wanted(member.file):
                yield member
            member.drain()
            member.verify()
            read.append(member)
    for member in read:
        member.checksum = promised.get(member.file)
        member.verify()


def tar_members(source: Callable[[int], bytes], where: str, *, hashed: bool) -> Generator[ArchiveMember]:
    """The plain files of the tar that `source(count)` gives, to its very end; raises `ArchiveError`."""
    while (header := source(_BLOCK)).strip(b"\0"):
        try:
            info = tarfile.TarInfo.frombuf(header, "latin-1", "strict")
        except tarfile.HeaderError as fault:
            raise ArchiveError(f"{where} is no whole tar file ({fault}); {AGAIN}") from fault
        if info.size < 0:
            raise ArchiveError(f"{where} is no whole tar file (a size of {info.size} bytes); {AGAIN}")
        member = ArchiveMember(info.name, f"{where}!{info.name}", info.size, source, hashed=hashed)
        if info.type in _PLAIN:
            yield member
        elif info.type not in _PASSED_OVER or (info.isdir() and info.size):
            raise ArchiveError(f"{member.where} is no plain file, expected one; get the original archive")
        member.drain()
        source(-info.size % _BLOCK)
    if len(header) < _BLOCK:
        raise ArchiveError(f"{where} stops without a tar's end mark; {AGAIN}")
    while rest := source(PIECE):
        if rest.strip(b"\0"):
            raise ArchiveError(f"{where} goes on after a tar's end mark; {AGAIN}")


def _source(path: Path, wanted: Callable[[str], bool]) -> Generator[ArchiveMember]:
    with faults(path):
        if path.is_dir():
            yield from _folder_members(path, wanted)
        elif _is_zip(path):
            yield from _zip_members(path, wanted)
        else:
            with closing(ahead(pieces(path), 4)) as made:
                yield from tar_members(Line(made).read, str(path), hashed=True)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _promises(member: ArchiveMember) -> dict[str, str]:
    """What a list of checksums says: file → "md5:…"."""
    lines = (line.split(maxsplit=1) for line in member.whole(PIECE).decode("latin-1").splitlines() if line.strip())
    return {PurePosixPath(line[-1].lstrip("*")).name: f"md5:{line[0].lower()}" for line in lines}


def _folder_members(folder: Path, wanted: Callable[[str], bool]) -> Iterator[ArchiveMember]:
    for name in _names(folder):
        path = folder / name
        if wanted(path.name):
            with path.open("rb") as file:
                yield ArchiveMember(name, str(path), os.fstat(file.fileno()).st_size, file.read, hashed=True)


def _names(folder: Path) -> list[str]:
    """The files below a folder, `/` between the parts of a name."""
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        inside = Path(root).relative_to(folder)
        if len(inside.parts) == _DEPTH:
            folders.clear()
        found += [(inside / file).as_posix() for file in files]
    return sorted(found)


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[ArchiveMember]:
    with ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            where = f"{path}!{info.filename}"
            if info.is_dir() or not wanted(PurePosixPath(info.filename).name):
                continue
            if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 0x1:
                raise ArchiveError(
                    f"{where} is no plain file or encrypted, expected one that is neither; get the original archive"
                )
            with archive.open(info) as file:
                yield ArchiveMember(info.filename, where, info.file_size, _careful(file.read, where), hashed=True)


def _careful(read: Callable[[int], bytes], where: str) -> Callable[[int], bytes]:
    def careful(count: int) -> bytes:
        with faults(where):
            return read(count)

    return careful
