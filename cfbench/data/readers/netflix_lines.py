"""The lines of the Netflix Prize, parsed many at once with NumPy.

A line is `MovieID:`, and below it `CustomerID,Rating,YYYY-MM-DD` or, in the probe, `CustomerID` alone. A line is read
from its end, where every field but the CustomerID has a fixed width: as 8-byte words, so that one operation works on
eight characters. Every byte of every line is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cfbench.data.readers.bad_rows import MAX_LISTED, BadLines, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from cfbench.ratings import Scale

PADDING = bytes(24)
"""The bytes before the first line of a batch, because the three words that end at a line's end may begin before it."""
Words: TypeAlias = NDArray[np.uint64]
_DAY = 86_400  # seconds


def _repeat_byte(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


class _Pattern(NamedTuple):
    """What the characters of a word must be: digits at some places, given characters at the others."""

    characters: np.uint64
    """The given characters, and "0" for a digit: XOR leaves the digits' values, and 0 elsewhere."""
    addends: np.uint64
    """Added to these values, they set the highest bit of every byte that is wrong."""

    @staticmethod
    def of(text: str) -> _Pattern:
        """The pattern of a text of at most eight characters, with 0 for any digit."""
        addends = bytes(0x76 if character == "0" else 0x7F for character in text).ljust(8, b"\x7f")
        characters = text.encode().ljust(8, b"\0")
        return _Pattern(np.uint64(int.from_bytes(characters, "little")), np.uint64(int.from_bytes(addends, "little")))


_ZEROS, _HIGH_BITS, _DIGIT_ADDENDS = _repeat_byte(ord("0")), _repeat_byte(0x80), _repeat_byte(0x76)
_RATING_PATTERN, _DATE_PATTERN = _Pattern.of(",0,00"), _Pattern.of("00-00-00")


def _calendar() -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """By 10,000·(century − 19) + 100·year + month: the day before the month, since 1970; and the month's length.

    The length is 0 where there is no such month.
    """
    months = np.arange(np.datetime64("1900-01"), np.datetime64("2100-02"))
    first = months.astype("datetime64[D]").astype(np.int32)
    before, length = np.zeros((200, 100), np.int32), np.zeros((200, 100), np.uint8)
    before[:, 1:13] = first[:-1].reshape(200, 12) - 1
    length[:, 1:13] = np.diff(first).reshape(200, 12)
    return before.ravel(), length.ravel()


_DAY_BEFORE_MONTH, _MONTH_LENGTH = _calendar()


class ChunkStart(NamedTuple):
    """The place in a batch where a chunk of a member begins."""

    offset: int
    """Its first byte, counted without the padding."""
    where: str
    line: int
    """The number of its first line in the member, from 1."""
    movie: int
    """The movie of the member; 0 for a member with several movies."""


@dataclass(frozen=True)
class TextBatch:
    """Some megabytes of whole lines: `PADDING`, then the text of one or more chunks."""

    content: bytes
    starts: list[ChunkStart]
    movie: int
    """The movie of the first lines if no header stands above them; 0 if it is unknown."""


class LineIndex(NamedTuple):
    """The n lines of a batch: their places, and which of them are headers, ratings or bad lines."""

    text: NDArray[np.uint8]
    """All bytes of the batch, with the padding."""
    starts: NDArray[np.int64]
    """(n,) the first byte of each line."""
    ends: NDArray[np.int64]
    """(n,) the LF of each line."""
    headers: NDArray[np.int64]
    """(headers,) the numbers of the lines that are headers."""
    rows: NDArray[np.int64]
    """(rows,) the numbers of the other lines."""
    movies: NDArray[np.int32]
    """(headers + 1,) the movie of the lines before the first header, then the movie of each header."""
    bad: NDArray[np.bool_]
    """(n,) True for a bad line."""

    @property
    def movie_rows(self) -> NDArray[np.int64]:
        """(headers + 2,) movie k of `movies` has the rows from the k-th of these numbers to the next."""
        before = self.headers - np.arange(len(self.headers))
        return np.concatenate([[0], before, [len(self.rows)]])


def parse_ratings(
    batch: TextBatch,
    scale: Scale | None,
    mark: Callable[[LineIndex, NDArray[np.int32]], NDArray[np.bool_]] | None,
) -> tuple[pl.DataFrame, BadLines]:
    """`user` int32, `item` int32, `rating` float32, `time` int64 and, with `mark`, `held_out`; and the bad lines.

    `mark(lines, users)` returns (rows,) True for the rows that are held out. If there are bad lines, the frame has
    meaningless rows for them.
    """
    import polars as pl

    lines = _index_lines(batch)
    starts, ends = lines.starts[lines.rows], lines.ends[lines.rows]
    first, middle, last = _words_before(lines.text, ends)  # the line ends in: user (0 to 7 digits) ",R,CC" "YY-MM-DD"
    shift = np.uint64(24)
    users, bad_users = _parse_numbers((first >> shift) | (middle << np.uint64(40)), ends - starts - 13)
    digits, bad_ratings = _parse_digits(middle >> shift, _RATING_PATTERN)
    dates, bad_dates = _parse_digits(last, _DATE_PATTERN)
    values = (digits >> np.uint64(8)) & np.uint64(0xFF)
    days, bad_days = _parse_days(digits >> shift, dates)
    off_scale = _digits_off_scale(scale)[np.minimum(values, 10)]
    lines.bad[lines.rows] |= bad_users | bad_ratings | bad_dates | bad_days | off_scale
    columns = {
        "user": users, "item": np.repeat(lines.movies, np.diff(lines.movie_rows)), "rating": values.astype(np.float32),
        "time": days.astype(np.int64) * _DAY,
    }  # fmt: skip
    if mark:
        columns["held_out"] = mark(lines, users)
    return pl.DataFrame(columns), _describe_bad_lines(batch, lines, lambda line: _rating_fault(line, scale))


def parse_pairs(batch: TextBatch) -> tuple[dict[int, NDArray[np.int32]], BadLines]:
    """Movie → its customers, from lines with a CustomerID alone; and the bad lines."""
    lines = _index_lines(batch)
    ends = lines.ends[lines.rows]
    users, bad = _parse_numbers(_words_before(lines.text, ends)[2], ends - lines.starts[lines.rows])
    lines.bad[lines.rows] |= bad
    parts = np.split(users, lines.movie_rows[1:-1])
    users_by_movie = {int(movie): part for movie, part in zip(lines.movies, parts, strict=True) if len(part)}
    return users_by_movie, _describe_bad_lines(batch, lines, _user_fault)


def _index_lines(batch: TextBatch) -> LineIndex:
    """Find the lines and check the headers."""
    text = np.frombuffer(batch.content, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    starts = np.concatenate([[len(PADDING)], ends[:-1] + 1])
    is_header = text[ends - 1] == ord(":")
    headers, rows = np.flatnonzero(is_header), np.flatnonzero(~is_header)
    movies, bad_headers = _parse_numbers(_words_before(text, ends[headers] - 1)[2], ends[headers] - 1 - starts[headers])
    bad = np.zeros(len(ends), np.bool_)
    bad[headers] = bad_headers
    member_starts = [start for start in batch.starts if start.line == 1]
    first_lines = np.searchsorted(starts, [start.offset + len(PADDING) for start in member_starts])
    bad[first_lines] |= ~is_header[first_lines]  # a member begins with a header
    expected = np.zeros(len(ends), np.int32)
    expected[first_lines] = [start.movie for start in member_starts]
    if expected.any():  # a member of one movie has no other header
        bad[headers] |= movies != expected[headers]
    if not batch.movie and batch.starts[0].line != 1:  # the first lines have no movie
        bad[: headers[0] if len(headers) else None] = True
    return LineIndex(text, starts, ends, headers, rows, np.concatenate([[np.int32(batch.movie)], movies]), bad)


def _words_before(text: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[Words, Words, Words]:
    """The 24 characters before each end as three words, the first character of a word in its lowest byte."""
    windows = np.ndarray((max(len(text) - 23, 0),), "V24", text, strides=(1,))
    words = windows[ends - 24].view("<u8").reshape(-1, 3).T
    return words[0].copy(), words[1].copy(), words[2].copy()


def _parse_digits(words: Words, pattern: _Pattern) -> tuple[Words, NDArray[np.bool_]]:
    """The values of the digits at the pattern's zeros, with 0 elsewhere; and True where a word breaks the pattern."""
    digits = words ^ pattern.characters
    return digits, (((digits + pattern.addends) | digits) & _HIGH_BITS) != 0


def _parse_numbers(words: Words, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Numbers of 1 to 7 digits, whose last digit is in the highest byte; and True for what is not such a number.

    A number with a leading zero is bad too. The value of a bad number is 0.
    """
    bad = (lengths < 1) | (lengths > 7)
    shift = (8 * (8 - np.clip(lengths, 1, 7))).astype(np.uint64)
    digits = (words ^ _ZEROS) >> shift
    bad |= (digits & np.uint64(0xFF)) == 0
    digits <<= shift
    bad |= (((digits + _DIGIT_ADDENDS) | digits) & _HIGH_BITS) != 0
    # Join neighbours: digits to numbers of two digits, these to numbers of four, these to one number.
    for width, factor in ((8, 10), (16, 100), (32, 10_000)):
        digits = digits * np.uint64(factor) + (digits >> np.uint64(width))
        digits &= np.uint64(sum((1 << width) - 1 << place for place in range(0, 64, 2 * width)))
    numbers = digits.astype(np.int32)
    numbers[bad] = 0
    return numbers, bad


def _parse_days(centuries: Words, dates: Words) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Days since 1970, and True for an impossible date.

    The digits of `CC` are the lowest bytes of one word, those of `YY-MM-DD` are the bytes of the other.
    """
    byte = np.uint64(0xFF)
    century = (centuries & byte) * np.uint64(10) + ((centuries >> np.uint64(8)) & byte)
    tens = dates * np.uint64(10) + (dates >> np.uint64(8))  # each byte and the next one, as a number of two digits
    year, month, day = (((tens >> np.uint64(place)) & byte).astype(np.int32) for place in (0, 24, 48))
    index = (century.astype(np.int32) - 19) * 10_000 + year * 100 + month
    days: NDArray[np.int32] = _DAY_BEFORE_MONTH.take(index, mode="clip") + day
    outside = (index < 0) | (index >= len(_DAY_BEFORE_MONTH))
    return days, outside | (day < 1) | (day > _MONTH_LENGTH.take(index, mode="clip"))


def _digits_off_scale(scale: Scale | None) -> NDArray[np.bool_]:
    """(11,) True for a digit that is not a rating on the scale, and for 10, which stands for no digit."""
    off_scale = np.zeros(10, np.bool_) if scale is None else scale.invalid(np.arange(10.0))
    return np.append(off_scale, np.True_)


def _describe_bad_lines(batch: TextBatch, lines: LineIndex, row_fault: Callable[[str], str]) -> BadLines:
    """The number of bad lines, and a message about each of the first; `row_fault(line)` is what is wrong with a row."""
    bad = np.flatnonzero(lines.bad)
    headers = set(lines.headers.tolist()) if len(bad) else set()
    messages = []
    for number in bad[:MAX_LISTED].tolist():
        first, end = int(lines.starts[number]), int(lines.ends[number])
        chunk = next(chunk for chunk in reversed(batch.starts) if chunk.offset + len(PADDING) <= first)
        line = batch.content[first:end].decode("latin-1")
        line_number = chunk.line + batch.content.count(b"\n", chunk.offset + len(PADDING), first)
        has_movie = chunk.movie != 0 or batch.movie != 0 or bool((lines.headers < number).any())
        if line_number == 1 or not has_movie or number in headers:
            fault = _header_fault(chunk, line_number, line)
        else:
            fault = row_fault(line)
        messages.append(f"{chunk.where}, line {line_number}: {fault}; the line is {shorten(line)!r}")
    return BadLines(len(bad), messages)


def _header_fault(chunk: ChunkStart, line_number: int, line: str) -> str:
    if chunk.movie and line_number == 1:
        return f"expected the header '{chunk.movie}:'"
    if chunk.movie:
        return "a second header, expected a rating"
    return "expected a header, a movie's number and a colon" + ("" if line.endswith(":") else ", before any rating")


def _user_fault(user: str) -> str:
    return f"expected a CustomerID from 1 to 9999999, got {user!r}"


def _rating_fault(line: str, scale: Scale | None) -> str:
    fields = line.split(",")
    if len(fields) != 3:
        return f"expected CustomerID,Rating,YYYY-MM-DD, got {len(fields)} fields"
    user, rating, day = fields
    if not re.fullmatch("[1-9][0-9]{0,6}", user):
        return _user_fault(user)
    if not re.fullmatch("[0-9]", rating):
        return f"expected a rating of one digit, got {rating!r}"
    if scale is not None and scale.invalid(np.array([float(rating)])).any():
        return f"rating {rating} is off the scale {scale}"
    return f"expected a day as YYYY-MM-DD, from 1900 to 2099, got {day!r}"
