"""NETFLIX LINES: `MovieID:` and below it `CustomerID,Rating,YYYY-MM-DD`, or `CustomerID` alone, parsed many at once.

Lines are taken from their ends, where everything has a fixed width, as 8-byte words; what is done to a word is done to
its eight characters at once. Every byte of every line is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from cfbench.ratings import Scale

PAD = bytes(24)
"""What a text to be parsed begins with, so that a word may reach beyond its first line."""
Words: TypeAlias = NDArray[np.uint64]
_FAULTS = 10
"""How many bad lines are told of."""
_SHOWN = 80  # characters of a bad line
_DAY = 86_400  # seconds


def _word(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


def _pattern(text: str) -> tuple[np.uint64, np.uint64]:
    """For a text of digits (0) and other characters: what to take away, and what to add so that a wrong one shows."""
    addends = bytes(0x76 if character == "0" else 0x7F for character in text).ljust(8, b"\x7f")
    return tuple(np.uint64(int.from_bytes(part.ljust(8, b"\0"), "little")) for part in (text.encode(), addends))  # type: ignore[return-value]  # two of them


_ZEROS, _HIGH, _TO_HIGH = _word(ord("0")), _word(0x80), _word(0x76)
_RATED, _DATED = _pattern(",0,00"), _pattern("00-00-00")


def _calendar() -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """By 10,000·(century − 19) + 100·year + month: the day before the month's first, since 1970; and its days or 0."""
    months = np.arange(np.datetime64("1900-01"), np.datetime64("2100-02"))
    first = months.astype("datetime64[D]").astype(np.int32)
    before, length = np.zeros((200, 100), np.int32), np.zeros((200, 100), np.uint8)
    before[:, 1:13] = first[:-1].reshape(200, 12) - 1
    length[:, 1:13] = np.diff(first).reshape(200, 12)
    return before.ravel(), length.ravel()


_BEFORE, _LENGTH = _calendar()


class Start(NamedTuple):
    """Where in a text a member, or a further part of one, begins."""

    at: int
    """Its first byte, counted without the padding."""
    where: str
    line: int
    """The number of its first line."""
    movie: int
    """Whose member it is; 0 when it may hold any movies."""


@dataclass(frozen=True)
class Text:
    """Whole lines, some megabytes of them: `PAD`, then the text."""

    content: bytes
    starts: list[Start]
    movie: int
    """Whose ratings the first lines are, when no header stands above them; 0 for nobody's."""


@dataclass
class Faults:
    """Bad lines: how many, and what is wrong with the first ten."""

    count: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, other: Faults) -> None:
        """Go on counting."""
        self.count += other.count
        self.told = (self.told + other.told)[:_FAULTS]


class Lines(NamedTuple):
    """The lines of a text: where each begins and ends, which are headers, whose each is, and which are bad."""

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    heads: NDArray[np.int64]
    rows: NDArray[np.int64]
    movies: NDArray[np.int32]
    """(heads + 1,) the movie in force before the first header, and of each header."""
    bad: NDArray[np.bool_]

    @property
    def runs(self) -> NDArray[np.int64]:
        """(heads + 2,) movie k of `movies` has the rows from the k-th number to the next."""
        before = self.heads - np.arange(len(self.heads))
        return np.concatenate([[0], before, [len(self.rows)]])


def ratings(
    text: Text, scale: Scale | None, mark: Callable[[Lines, NDArray[np.int32]], NDArray[np.bool_]] | None
) -> tuple[pl.DataFrame, Faults]:
    """`user` int32, `item` int32, `rating` float32, `time` int64 and, if asked for, `held_out`; and the bad lines.

    `mark` says which rows, by their lines and users, are held out. With bad lines the frame is of no use.
    """
    import polars as pl

    lines = _lines(text)
    starts, ends = lines.starts[lines.rows], lines.ends[lines.rows]
    first, middle, last = _words(lines.text, ends)
    shift = np.uint64(24)
    users, bad = _numbers((first >> shift) | (middle << np.uint64(40)), ends - starts - 13)
    stars, odd = _digits(middle >> shift, _RATED)
    dates, wrong = _digits(last, _DATED)
    values = (stars >> np.uint64(8)) & np.uint64(0xFF)
    days, impossible = _days(stars >> shift, dates)
    bad |= odd | wrong | impossible | _off(scale)[np.minimum(values, 10)]
    lines.bad[lines.rows] |= bad
    columns = {
        "user": users, "item": np.repeat(lines.movies, np.diff(lines.runs)), "rating": values.astype(np.float32),
        "time": days.astype(np.int64) * _DAY,
    }  # fmt: skip
    if mark:
        columns["held_out"] = mark(lines, users)
    return pl.DataFrame(columns), _faults(text, lines, lambda line: _why_no_rating(line, scale))


def pairs(text: Text) -> tuple[dict[int, NDArray[np.int32]], Faults]:
    """Movie → its customers, from lines of customers alone; and the bad lines."""
    lines = _lines(text)
    ends = lines.ends[lines.rows]
    users, bad = _numbers(_words(lines.text, ends)[2], ends - lines.starts[lines.rows])
    lines.bad[lines.rows] |= bad
    parts = np.split(users, lines.runs[1:-1])
    found = {int(movie): part for movie, part in zip(lines.movies, parts, strict=True) if len(part)}
    return found, _faults(text, lines, lambda line: f"expected a CustomerID from 1 to 9999999, got {line!r}")


def _lines(text: Text) -> Lines:
    content = np.frombuffer(text.content, np.uint8)
    ends = np.flatnonzero(content == ord("\n"))
    starts = np.concatenate([[len(PAD)], ends[:-1] + 1])
    head = content[ends - 1] == ord(":")
    heads, rows = np.flatnonzero(head), np.flatnonzero(~head)
    movies, bad_heads = _numbers(_words(content, ends[heads] - 1)[2], ends[heads] - 1 - starts[heads])
    bad = np.zeros(len(ends), np.bool_)
    bad[heads] = bad_heads
    firsts = np.searchsorted(starts, [start.at + len(PAD) for start in text.starts if start.line == 1])
    bad[firsts] |= ~head[firsts]  # a member begins with a header,
    expected = np.zeros(len(ends), np.int32)
    expected[firsts] = [start.movie for start in text.starts if start.line == 1]
    if expected.any():  # and that of one movie is its only one
        bad[heads] |= movies != expected[heads]
    if not text.movie and text.starts[0].line != 1:
        bad[: heads[0] if len(heads) else None] = True
    return Lines(content, starts, ends, heads, rows, np.concatenate([[np.int32(text.movie)], movies]), bad)


def _words(text: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[Words, Words, Words]:
    """The 24 characters before each end, the first of a word in its lowest byte."""
    windows = np.ndarray((max(len(text) - 23, 0),), "V24", text, strides=(1,))
    words = windows[ends - 24].view("<u8").reshape(-1, 3).T
    return words[0].copy(), words[1].copy(), words[2].copy()


def _digits(words: Words, pattern: tuple[np.uint64, np.uint64]) -> tuple[Words, NDArray[np.bool_]]:
    """The digits at the pattern's zeros by their values, 0 elsewhere; and where a word is not of the pattern."""
    characters, addends = pattern
    digits = words ^ characters
    return digits, (((digits + addends) | digits) & _HIGH) != 0


def _numbers(words: Words, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Numbers of 1 to 7 digits, the last of them in the highest byte; and where there is none, or a zero comes first.

    A bad one is 0.
    """
    bad = (lengths < 1) | (lengths > 7)
    shift = (8 * (8 - np.clip(lengths, 1, 7))).astype(np.uint64)
    digits = (words ^ _ZEROS) >> shift
    bad |= (digits & np.uint64(0xFF)) == 0
    digits <<= shift
    bad |= (((digits + _TO_HIGH) | digits) & _HIGH) != 0
    for width, factor in ((8, 10), (16, 100), (32, 10_000)):  # neighbours are joined: digits, pairs, fours
        digits = digits * np.uint64(factor) + (digits >> np.uint64(width))
        digits &= np.uint64(sum((1 << width) - 1 << at for at in range(0, 64, 2 * width)))
    numbers = digits.astype(np.int32)
    numbers[bad] = 0
    return numbers, bad


def _days(centuries: Words, dates: Words) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Days since 1970 of `CC` in the lowest bytes of one word and `YY MM DD` in the other; and where there is none."""
    byte = np.uint64(0xFF)
    century = (centuries & byte) * np.uint64(10) + ((centuries >> np.uint64(8)) & byte)
    tens = dates * np.uint64(10) + (dates >> np.uint64(8))  # every byte and the next, as two digits
    year, month, day = (((tens >> np.uint64(at)) & byte).astype(np.int32) for at in (0, 24, 48))
    place = (century.astype(np.int32) - 19) * 10_000 + year * 100 + month
    days: NDArray[np.int32] = _BEFORE.take(place, mode="clip") + day
    outside = (place < 0) | (place >= len(_BEFORE))
    return days, outside | (day < 1) | (day > _LENGTH.take(place, mode="clip"))


def _off(scale: Scale | None) -> NDArray[np.bool_]:
    """(11,) True for the digits that are no rating, and for what is no digit."""
    off = np.zeros(10, np.bool_) if scale is None else scale.invalid(np.arange(10.0))
    return np.append(off, np.True_)


def _faults(text: Text, lines: Lines, why: Callable[[str], str]) -> Faults:
    """Say of the first bad lines what is wrong with each."""
    bad = np.flatnonzero(lines.bad)
    told = []
    heads = set(lines.heads.tolist()) if len(bad) else set()
    for number in bad[:_FAULTS].tolist():
        first, end = int(lines.starts[number]), int(lines.ends[number])
        start = next(start for start in reversed(text.starts) if start.at + len(PAD) <= first)
        line = text.content[first:end].decode("latin-1")
        row = start.line + text.content.count(b"\n", start.at + len(PAD), first)
        expects_head = row == 1 or (start.movie == 0 and not text.movie and not (lines.heads < number).any())
        fault = _why_no_header(start, row, line) if expects_head or number in heads else why(line)
        shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
        told.append(f"{start.where}, line {row}: {fault}; the line is {shown!r}")
    return Faults(len(bad), told)


def _why_no_header(start: Start, row: int, line: str) -> str:
    if start.movie:
        return f"expected the header '{start.movie}:'" if row == 1 else "a second header, expected a rating"
    return "expected a header, a movie's number and a colon" + ("" if line.endswith(":") else ", before any rating")


def _why_no_rating(line: str, scale: Scale | None) -> str:
    fields = line.split(",")
    if len(fields) != 3:
        return f"expected CustomerID,Rating,YYYY-MM-DD, got {len(fields)} fields"
    user, rating, day = fields
    if not re.fullmatch("[1-9][0-9]{0,6}", user):
        return f"expected a CustomerID from 1 to 9999999, got {user!r}"
    if not re.fullmatch("[0-9]", rating):
        return f"expected a rating of one digit, got {rating!r}"
    if scale is not None and scale.invalid(np.array([float(rating)])).any():
        return f"rating {rating} is off the scale {scale}"
    return f"expected a day as YYYY-MM-DD, from 1900 to 2099, got {day!r}"
