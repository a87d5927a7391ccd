"""Where the ratings of the Netflix Prize stand in an archive or folder, and in what order to read them."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data.readers.members import ArchiveMember, listing, members, tar_members
from cfbench.errors import ArchiveError, RowError
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from cfbench.data.card import TableLayout

RATINGS = 100_480_507
"""How many there are in the real one."""
TITLES, PROBE, TRAINING = ("movie_titles.txt", "movie_titles.csv"), "probe.txt", "training_set.tar"
TEXT = 8_000_000
"""Bytes to parse at once: few enough to stay near the processor."""
_MOVIE, _COMBINED = re.compile(r"mv_([0-9]{7})\.txt"), re.compile(r"combined_data_([0-9])\.txt")
_PARTS = 4  # of Kaggle's copy
_SMALL = 100_000_000  # bytes a member that is held whole may have
_PER_RATING = 20.7  # bytes, with all that stands around them


@dataclass(frozen=True)
class Part:
    """Whole lines of one member."""

    where: str
    line: int
    """The number of the first of them, from 1."""
    movie: int
    """Whose member it is; 0 when it may hold any movies."""
    content: bytes


@dataclass
class State:
    """What the thread that walks the archive finds out for the one that tells how far things are."""

    expected: int = RATINGS


def small(path: Path, table: TableLayout, names: tuple[str, ...]) -> tuple[str, bytes | None]:
    """Where the first member of one of the names is, and what it holds; None when there is none.

    Raises `ArchiveError`, `ChecksumError`.
    """
    with closing(members(path, table.members, lambda name: name in names)) as found:
        member = next(found, None)
        if member is None:
            return str(path), None
        return member.where, member.whole(min(_SMALL, table.max_bytes))


def parts(path: Path, table: TableLayout, state: State) -> Generator[Part]:
    """The ratings' text, in the order of the movies. Raises `ArchiveError`, `ChecksumError`, `RowError`."""
    with closing(members(path, table.members, _wanted(path, state))) as found:
        yield from _in_order(path, _ratings_members(found, state, table.max_bytes))


def _wanted(path: Path, state: State) -> Callable[[str], bool]:
    """Which members to read: in a folder that has the ratings twice, packed and unpacked, those of one kind.

    The small ones are among them, so that they are verified.
    """
    files = [(entry.name.rsplit("/", 1)[-1], entry.size) for entry in listing(path) or []]
    for kind in (re.compile(re.escape(TRAINING)), _MOVIE, _COMBINED):
        if sizes := [count for name, count in files if kind.fullmatch(name)]:
            state.expected = max(1, round(sum(sizes) / _PER_RATING))
            return partial(_is_wanted, kind)
    return lambda _: True


def _is_wanted(kind: re.Pattern[str], name: str) -> bool:
    return name in {*TITLES, PROBE} or kind.fullmatch(name) is not None


def _ratings_members(found: Iterator[ArchiveMember], state: State, max_bytes: int) -> Iterator[ArchiveMember]:
    """The members that hold ratings, those of the inner tar among them."""
    allowed = max_bytes
    for member in found:
        if member.file == TRAINING or _MOVIE.fullmatch(member.file) or _COMBINED.fullmatch(member.file):
            allowed -= member.left
            if allowed < 0:
                raise ArchiveError(
                    f"{member.where} and those before it have more than the {format_bytes(max_bytes)} expected; get "
                    "the original archive, or raise max_bytes in the card"
                )
        if member.file == TRAINING:
            state.expected = max(1, round(member.left / _PER_RATING))
            yield from tar_members(member.read, member.where, hashed=False)
        else:
            yield member


def _in_order(path: Path, found: Iterator[ArchiveMember]) -> Iterator[Part]:
    """Movies that come too early wait for those before them."""
    waiting: dict[int, Part] = {}
    next_movie, next_part = 1, 1
    for member in found:
        if movie := _MOVIE.fullmatch(member.file):
            number = int(movie[1])
            if not member.left:
                raise ArchiveError(f"{member.where} is empty; get the original archive")
            if number < next_movie or number in waiting:
                raise ArchiveError(f"{member.where} is there twice, or its number is 0; get the original archive")
            waiting[number] = Part(member.where, 1, number, whole_lines(member.whole(_SMALL)))
            while next_movie in waiting:
                yield waiting.pop(next_movie)
                next_movie += 1
        elif combined := _COMBINED.fullmatch(member.file):
            if not member.left:
                raise ArchiveError(f"{member.where} is empty; get the whole copy")
            if int(combined[1]) != next_part or next_part > _PARTS:
                raise ArchiveError(f"{member.where}: expected combined_data_{next_part}.txt first; get the whole copy")
            yield from _cut(member)
            next_part += 1
    _require_all(path, next_movie, next_part, waiting)


def _require_all(path: Path, next_movie: int, next_part: int, waiting: dict[int, Part]) -> None:
    if waiting:
        raise ArchiveError(
            f"{path} has no mv_{next_movie:07d}.txt, but {len(waiting):,} later ones; get the original archive"
        )
    if next_movie > 1 and next_part > 1:
        raise ArchiveError(f"{path} holds mv_0000001.txt and combined_data_1.txt, expected one kind; give its folder")
    if next_movie == 1 and next_part == 1:
        raise ArchiveError(
            f"{path} holds no Netflix ratings: expected {TRAINING}, training_set/mv_0000001.txt or "
            "combined_data_1.txt; give the original archive, its folder, or Kaggle's copy"
        )
    if 1 < next_part <= _PARTS:
        raise ArchiveError(f"{path} has no combined_data_{next_part}.txt; get the whole copy")


def _cut(member: ArchiveMember) -> Iterator[Part]:
    """A large member, some megabytes of lines at a time."""
    line, rest = 1, b""
    while member.left:
        content = rest + member.read(TEXT)
        end = content.rfind(b"\n") + 1 if member.left else len(content)
        if not end:
            raise RowError(f"{member.where}, line {line}: no line end within {TEXT:,} bytes; get the original file")
        content, rest = whole_lines(content[:end]), content[end:]
        yield Part(member.where, line, 0, content)
        line += int(np.count_nonzero(np.frombuffer(content, np.uint8) == ord("\n")))


def whole_lines(content: bytes) -> bytes:
    """With LF at the ends of all lines, the last one's too."""
    content = content.replace(b"\r\n", b"\n") if b"\r" in content else content
    return content if content.endswith(b"\n") or not content else content + b"\n"
