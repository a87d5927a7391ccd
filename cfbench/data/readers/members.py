"""The files of a folder, a zip or a tar, each read once from front to back; nothing is unpacked to the disk.

No file is written under a name that an archive gives. Links and devices in archives are refused. Damage and truncation
are noticed by a zip's CRC, by gzip's CRC and length, and by a tar's header checksums, sizes and end mark. MD5 sums are
checked while the bytes are read, where the card or the archive's own member `MD5SUMS` has them.
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

from cfbench.data.readers.stream import DAMAGED, PIECE_BYTES, ByteStream, archive_errors, prefetch, read_pieces
from cfbench.errors import ArchiveError, ChecksumError
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

CHECKSUM_LIST = "MD5SUMS"
"""The member with the checksums of the others, in lines `<md5>  <name>`."""
_TAR_BLOCK = 512  # bytes; a tar consists of blocks of this size
_MAX_DEPTH = 3  # how many levels of folders below the given one are searched
_PLAIN_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}
_SKIPPED_TYPES = {tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}


class ArchiveMember:
    """One file of an archive or folder: `name` inside it, `where` for messages, and `remaining` bytes to be read.

    `checksum` is "md5:…" when it is known. The member is compared with it once it is read to the end.
    """

    def __init__(self, name: str, where: str, size: int, source: Callable[[int], bytes], *, hashed: bool) -> None:
        self.name, self.where, self.remaining = name, where, size
        self.checksum: str | None = None
        self._source = source
        self._digest = hashlib.md5(usedforsecurity=False) if hashed else None

    @property
    def file_name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.name).name

    @property
    def md5(self) -> str | None:
        """Its MD5 sum once it is read to the end; None before that, and for a member that is not hashed."""
        return self._digest.hexdigest() if self._digest and not self.remaining else None

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end.

        Raises `ArchiveError` when the bytes are missing, and `ChecksumError` at the end of a wrong file.
        """
        size = min(count, self.remaining)
        content = self._source(size)
        if len(content) < size:
            raise ArchiveError(f"{self.where} ends {self.remaining - len(content):,} bytes too early; {DAMAGED}")
        self.remaining -= size
        if self._digest:
            self._digest.update(content)
        self.verify()
        return content

    def verify(self) -> None:
        """Raise `ChecksumError` when the member is read to the end and its checksum is wrong."""
        if self.checksum and self.md5 and self.checksum != f"md5:{self.md5}":
            raise ChecksumError(f"{self.where} has the checksum md5:{self.md5}, expected {self.checksum}; {DAMAGED}")

    def read_all(self, max_bytes: int) -> bytes:
        """The whole content. Raises `ArchiveError` when it is larger than `max_bytes`."""
        if self.remaining > max_bytes:
            size, allowed = format_bytes(self.remaining), format_bytes(max_bytes)
            raise ArchiveError(f"{self.where} has {size}, expected at most {allowed}; get the original archive")
        return self.read(self.remaining)

    def read_to_end(self) -> None:
        """Read the remaining bytes, for the checksum and for the position in the archive."""
        while self.remaining:
            self.read(PIECE_BYTES)


class FileEntry(NamedTuple):
    """A file's name and its size in bytes, known before it is read."""

    name: str
    size: int


def list_files(path: Path) -> list[FileEntry] | None:
    """The files of a folder or zip in the order of their names; None for a tar, which has no list of its members.

    Raises `ArchiveError`.
    """
    with archive_errors(path):
        if path.is_dir():
            return [FileEntry(name, (path / name).stat().st_size) for name in _names_below(path)]
        if _is_zip(path):
            with ZipFile(path) as archive:
                return sorted(FileEntry(info.filename, info.file_size) for info in archive.infolist())
    return None


def open_members(
    path: Path, checksums: Mapping[str, str], is_wanted: Callable[[str], bool]
) -> Generator[ArchiveMember]:
    """The members of a folder or archive whose file name `is_wanted`; their checksums are verified.

    `checksums` maps a file name to "md5:…". Folders and zips give their members by name, a tar gives them in its own
    order. Use one member at a time: a member cannot be read after the next one is requested. Raises `ArchiveError` and
    `ChecksumError`.
    """
    read: list[ArchiveMember] = []
    own_checksums: dict[str, str] = {}
    with closing(_open_all(path, lambda name: name == CHECKSUM_LIST or is_wanted(name))) as members:
        for member in members:
            member.checksum = checksums.get(member.file_name)
            if member.file_name == CHECKSUM_LIST:
                own_checksums = _read_checksums(member)
            elif is_wanted(member.file_name):
                yield member
            member.read_to_end()
            member.verify()
            read.append(member)
    for member in read:  # the archive's list of checksums may stand behind the members
        member.checksum = own_checksums.get(member.file_name)
        member.verify()


def open_tar_members(source: Callable[[int], bytes], where: str, *, hashed: bool) -> Generator[ArchiveMember]:
    """The plain files of a tar, whose next bytes `source(count)` returns. Raises `ArchiveError`."""
    while (header := source(_TAR_BLOCK)).strip(b"\0"):
        try:
            info = tarfile.TarInfo.frombuf(header, "latin-1", "strict")
        except tarfile.HeaderError as error:
            raise ArchiveError(f"{where} is not a whole tar file ({error}); {DAMAGED}") from error
        if info.size < 0:
            raise ArchiveError(f"{where} is not a whole tar file (a size of {info.size} bytes); {DAMAGED}")
        member = ArchiveMember(info.name, f"{where}!{info.name}", info.size, source, hashed=hashed)
        if info.type in _PLAIN_FILES:
            yield member
        elif info.type not in _SKIPPED_TYPES or (info.isdir() and info.size):
            raise ArchiveError(f"{member.where} is not a plain file, expected one; get the original archive")
        member.read_to_end()
        source(-info.size % _TAR_BLOCK)
    if len(header) < _TAR_BLOCK:
        raise ArchiveError(f"{where} ends without a tar's end mark; {DAMAGED}")
    while rest := source(PIECE_BYTES):
        if rest.strip(b"\0"):
            raise ArchiveError(f"{where} continues after a tar's end mark; {DAMAGED}")


def _open_all(path: Path, is_wanted: Callable[[str], bool]) -> Generator[ArchiveMember]:
    with archive_errors(path):
        if path.is_dir():
            yield from _open_folder_members(path, is_wanted)
        elif _is_zip(path):
            yield from _open_zip_members(path, is_wanted)
        else:
            with closing(prefetch(read_pieces(path), 4)) as pieces:
                yield from open_tar_members(ByteStream(pieces).read, str(path), hashed=True)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _read_checksums(member: ArchiveMember) -> dict[str, str]:
    """File name → "md5:…", from the archive's own list."""
    checksums = {}
    for line in member.read_all(PIECE_BYTES).decode("latin-1").splitlines():
        if line.strip():
            fields = line.split(maxsplit=1)
            checksums[PurePosixPath(fields[-1].lstrip("*")).name] = f"md5:{fields[0].lower()}"
    return checksums


def _open_folder_members(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[ArchiveMember]:
    for name in _names_below(folder):
        path = folder / name
        if is_wanted(path.name):
            with path.open("rb") as file:
                yield ArchiveMember(name, str(path), os.fstat(file.fileno()).st_size, file.read, hashed=True)


def _names_below(folder: Path) -> list[str]:
    """The names of the files below a folder, with `/` between the parts of a name."""
    names: list[str] = []
    for root, folders, files in os.walk(folder):
        inside = Path(root).relative_to(folder)
        if len(inside.parts) == _MAX_DEPTH:
            folders.clear()
        names += [(inside / file).as_posix() for file in files]
    return sorted(names)


def _open_zip_members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[ArchiveMember]:
    with ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            where = f"{path}!{info.filename}"
            if info.is_dir() or not is_wanted(PurePosixPath(info.filename).name):
                continue
            if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 0x1:
                raise ArchiveError(
                    f"{where} is encrypted or not a plain file, expected a plain file; get the original archive"
                )
            with archive.open(info) as file:
                yield ArchiveMember(info.filename, where, info.file_size, _guard(file.read, where), hashed=True)


def _guard(read: Callable[[int], bytes], where: str) -> Callable[[int], bytes]:
    """`read`, with `ArchiveError` in place of the errors of a damaged member."""

    def guarded_read(count: int) -> bytes:
        with archive_errors(where):
            return read(count)

    return guarded_read
