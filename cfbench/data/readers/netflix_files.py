"""The files of the Netflix Prize in an archive or folder: which of them hold ratings, and the order to read them in."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data.readers.members import ArchiveMember, list_files, open_members, open_tar_members
from cfbench.errors import ArchiveError, RowError
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from cfbench.data.readers.layout import TableLayout

RATINGS = 100_480_507
"""The number of ratings in the original."""
TITLES, PROBE, TRAINING = ("movie_titles.txt", "movie_titles.csv"), "probe.txt", "training_set.tar"
CHUNK_BYTES = 8_000_000
"""How much of a large file is read at once."""
_MOVIE, _COMBINED = re.compile(r"mv_([0-9]{7})\.txt"), re.compile(r"combined_data_([0-9])\.txt")
_COMBINED_FILES = 4  # the number of files in Kaggle's copy
_SMALL_BYTES = 100_000_000  # the largest file that is read into memory whole
_BYTES_PER_RATING = 20.7  # with a rating's share of headers and of the archive


@dataclass(frozen=True)
class Chunk:
    """Whole lines of one member."""

    where: str
    line: int
    """The number of its first line, from 1."""
    movie: int
    """The movie of the member; 0 for a member with several movies."""
    content: bytes


@dataclass
class CountEstimate:
    """The estimated number of ratings, for the progress bar: the thread that reads the archive updates it."""

    ratings: int = RATINGS

    def update(self, n_bytes: int) -> None:
        """Estimate the number of ratings in so many bytes."""
        self.ratings = max(1, round(n_bytes / _BYTES_PER_RATING))


def read_small_file(path: Path, table: TableLayout, names: tuple[str, ...]) -> tuple[str, bytes | None]:
    """The place and the content of the first member with one of the names; the content is None when there is none.

    Raises `ArchiveError` and `ChecksumError`.
    """
    with closing(open_members(path, table.members, lambda name: name in names)) as members:
        member = next(members, None)
        if member is None:
            return str(path), None
        return member.where, member.read_all(min(_SMALL_BYTES, table.max_bytes))


def read_chunks(
    path: Path, table: TableLayout, estimate: CountEstimate, chunk_bytes: int = CHUNK_BYTES
) -> Generator[Chunk]:
    """The text of the ratings, in the order of the movies. Raises `ArchiveError`, `ChecksumError` and `RowError`."""
    is_wanted = _choose_files(path, estimate)
    with closing(open_members(path, table.members, is_wanted)) as members:
        yield from _read_in_order(path, _open_rating_files(members, estimate, table.max_bytes), chunk_bytes)


def _choose_files(path: Path, estimate: CountEstimate) -> Callable[[str], bool]:
    """Choose the members to read. A folder may hold the ratings both packed and unpacked: one kind is chosen.

    The titles and the probe are chosen too, so that their checksums are verified.
    """
    files = [(entry.name.rsplit("/", 1)[-1], entry.size) for entry in list_files(path) or []]
    for kind in (re.compile(re.escape(TRAINING)), _MOVIE, _COMBINED):
        sizes = [size for name, size in files if kind.fullmatch(name)]
        if sizes:
            estimate.update(sum(sizes))
            return partial(_is_chosen, kind)
    return lambda _: True


def _is_chosen(kind: re.Pattern[str], name: str) -> bool:
    return name in {*TITLES, PROBE} or kind.fullmatch(name) is not None


def _open_rating_files(
    members: Iterator[ArchiveMember], estimate: CountEstimate, max_bytes: int
) -> Iterator[ArchiveMember]:
    """All members, with those of the inner tar in place of the tar. Ratings larger than `max_bytes` are refused."""
    allowed = max_bytes
    for member in members:
        name = member.file_name
        if name == TRAINING or _MOVIE.fullmatch(name) or _COMBINED.fullmatch(name):
            allowed -= member.remaining
            if allowed < 0:
                raise ArchiveError(
                    f"{member.where} and the files before it have more than the {format_bytes(max_bytes)} expected; "
                    "get the original archive, or raise max_bytes in the card"
                )
        if name == TRAINING:
            estimate.update(member.remaining)
            yield from open_tar_members(member.read, member.where, hashed=False)
        else:
            yield member


def _read_in_order(path: Path, members: Iterator[ArchiveMember], chunk_bytes: int) -> Iterator[Chunk]:
    """The chunks by movie. A movie that comes too early waits for those before it."""
    waiting: dict[int, Chunk] = {}
    next_movie, next_combined = 1, 1
    for member in members:
        if movie := _MOVIE.fullmatch(member.file_name):
            number = int(movie[1])
            if not member.remaining:
                raise ArchiveError(f"{member.where} is empty; get the original archive")
            if number < next_movie or number in waiting:
                raise ArchiveError(f"{member.where} is a duplicate, or its number is 0; get the original archive")
            waiting[number] = Chunk(member.where, 1, number, end_lines_with_lf(member.read_all(_SMALL_BYTES)))
            while next_movie in waiting:
                yield waiting.pop(next_movie)
                next_movie += 1
        elif combined := _COMBINED.fullmatch(member.file_name):
            _require_next(member, int(combined[1]), next_combined)
            yield from _split_into_chunks(member, chunk_bytes)
            next_combined += 1
    _require_all(path, next_movie, next_combined, waiting)


def _require_next(member: ArchiveMember, number: int, expected: int) -> None:
    """Raise `ArchiveError` unless the member is the expected file of Kaggle's copy."""
    if not member.remaining:
        raise ArchiveError(f"{member.where} is empty; get the whole copy")
    if number != expected or expected > _COMBINED_FILES:
        raise ArchiveError(f"{member.where}: expected combined_data_{expected}.txt first; get the whole copy")


def _require_all(path: Path, next_movie: int, next_combined: int, waiting: dict[int, Chunk]) -> None:
    """Raise `ArchiveError` if files are missing, or if there are ratings of both kinds."""
    if waiting:
        raise ArchiveError(
            f"{path} has no mv_{next_movie:07d}.txt, but {len(waiting):,} later ones; get the original archive"
        )
    if next_movie > 1 and next_combined > 1:
        raise ArchiveError(f"{path} holds mv_0000001.txt and combined_data_1.txt, expected one kind; give its folder")
    if next_movie == 1 and next_combined == 1:
        raise ArchiveError(
            f"{path} holds no Netflix ratings: expected {TRAINING}, training_set/mv_0000001.txt or "
            "combined_data_1.txt; give the original archive, its folder, or Kaggle's copy"
        )
    if 1 < next_combined <= _COMBINED_FILES:
        raise ArchiveError(f"{path} has no combined_data_{next_combined}.txt; get the whole copy")


def _split_into_chunks(member: ArchiveMember, chunk_bytes: int) -> Iterator[Chunk]:
    """A large member as chunks of whole lines."""
    line, rest = 1, b""
    while member.remaining:
        content = rest + member.read(chunk_bytes)
        end = content.rfind(b"\n") + 1 if member.remaining else len(content)
        if not end:
            raise RowError(
                f"{member.where}, line {line}: no line end within {chunk_bytes:,} bytes; get the original file"
            )
        content, rest = end_lines_with_lf(content[:end]), content[end:]
        yield Chunk(member.where, line, 0, content)
        line += int(np.count_nonzero(np.frombuffer(content, np.uint8) == ord("\n")))


def end_lines_with_lf(content: bytes) -> bytes:
    """The text with LF at the end of every line, the last one too."""
    content = content.replace(b"\r\n", b"\n") if b"\r" in content else content
    return content if content.endswith(b"\n") or not content else content + b"\n"
