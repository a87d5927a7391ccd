"""The bad rows of a file, collected for one error message, and the checks that find them.

`BadRows` serves a file whose lines are numbered from its beginning. `BadLines` serves an archive of many text files,
where every bad line needs the name of its file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

from cfbench.errors import RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

MAX_LISTED = 10
"""How many bad lines a message names."""
_MAX_SHOWN = 80  # characters of a bad line


@dataclass
class BadRows:
    """The bad rows of one file: their count, a full message about the first one, and the lines of the first ten."""

    where: str
    advice: str
    count: int = 0
    unreadable: bool = False
    """True when the rest of the file cannot be read at all."""
    _first: str = ""
    _lines: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.count > 0 or self.unreadable

    def add(self, lines: list[int], count: int, fault: str, text: str) -> None:
        """Add `count` bad rows: `lines` has the numbers of the first few, `fault` and `text` describe the first one."""
        self._first = self._first or f"{self.where}, line {lines[0]}: {fault}; the line is {shorten(text)!r}"
        self._lines += lines
        self.count += count

    def give_up(self, line: int, fault: str) -> None:
        """Record that nothing from `line` on can be read. The message says so only if there is no earlier bad row."""
        self.unreadable = True
        self._first = self._first or f"{self.where}, line {line}: {fault}"

    def raise_if_any(self) -> None:
        """Raise `RowError` if there is a bad row."""
        if not self:
            return
        if not self.count:
            raise RowError(self._first)
        extent = "so far" if self.unreadable else "in all"
        more = f"{self.count:,} bad rows {extent}, on lines {self.lines}" if self.count > 1 else "no other bad row"
        raise RowError(f"{self._first}; {more}; {self.advice}")

    @property
    def lines(self) -> str:
        """The line numbers of the first ten bad rows, as text."""
        return format_line_numbers(self._lines, self.count)


@dataclass
class BadLines:
    """The bad lines of several text files: their count, and a full message about each of the first ten."""

    count: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, other: BadLines) -> None:
        """Add the bad lines of a later text."""
        self.count += other.count
        self.messages = (self.messages + other.messages)[:MAX_LISTED]

    def raise_if_any(self) -> None:
        """Raise `RowError` if there is a bad line."""
        if self.count == 1:
            raise RowError(f"{self.messages[0]}; no other bad line; get the original file")
        if self.count:
            others = "; ".join(message.rsplit("; the line is", 1)[0] for message in self.messages[1:])
            raise RowError(f"{self.messages[0]}; {self.count:,} bad lines in all: also {others}; get the original file")


def shorten(text: str) -> str:
    """The text, cut to the length that a message shows of a bad line."""
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def format_line_numbers(lines: Sequence[int], count: int) -> str:
    """The first ten line numbers, and `…` if there are more than ten: `count` is the number of all."""
    return ", ".join(map(str, lines[:MAX_LISTED])) + (", …" if count > MAX_LISTED else "")


class RowCheck(NamedTuple):
    """One test of n rows, and the message about a row that fails it."""

    bad: pl.Series
    """(n,) True where the row fails; null where the row lacks the field, which another check reports."""
    fault: str
    """The message, with `{}` for the row's value."""
    values: pl.Series
    """(n,) the value that the message shows for a row."""


def find_bad_rows(
    checks: Sequence[RowCheck], line_of: Callable[[int], int], text_of: Callable[[int], str], bad: BadRows
) -> pl.Series | None:
    """Add to `bad` every row that fails a check; the message is about the first row and the first check it fails.

    `line_of(row)` is the row's line in the file, `text_of(row)` its text. Returns (n,) True for the rows that fail, or
    None when no row fails.
    """
    failed = reduce(or_, (check.bad.fill_null(value=False) for check in checks))
    rows = failed.arg_true()
    if not len(rows):
        return None
    first = rows[0]
    check = next(check for check in checks if check.bad[first])
    value = check.values[first]
    fault = check.fault.replace("{}", "" if value is None else str(value), 1)
    bad.add([line_of(row) for row in rows.head(MAX_LISTED)], len(rows), fault, text_of(first))
    return failed
