"""What the commands print: results on standard output, messages and progress on standard error.

Colours and live progress appear on a terminal only. `NO_COLOR` turns the colours off.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from cfbench.cli import verbosity
from cfbench.errors import SkippedRunsWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cfbench.cli.plain import PlainConsole
    from cfbench.runs.record import Record

PIPE_WIDTH = 200
"""Columns of a table whose output is piped, unless `COLUMNS` gives another number."""

LONGEST_ERROR = 1500
"""Characters of an error message from which its middle is left out."""


@cache
def out() -> PlainConsole:
    """Return the console of standard output, for results."""
    from cfbench.cli.plain import PlainConsole

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return PlainConsole(soft_wrap=False, width=width)


@cache
def err() -> PlainConsole:
    """Return the console of standard error, for messages and progress."""
    from cfbench.cli.plain import MessageConsole

    return MessageConsole()


def say(line: str) -> None:
    """Print a message on standard error, unless --quiet is given. A terminal wraps it; a pipe gets one line."""
    if verbosity.chosen().quiet:
        verbosity.log(line)
    else:
        warn(line)


def warn(line: str) -> None:
    """Print a message on standard error that people need also if they gave --quiet."""
    verbosity.log(line)
    err().print(line, soft_wrap=not err().is_terminal)


def say_progress(line: str, *, is_due: bool) -> None:
    """Print a line about the progress of long work if it is due or --verbose is given; the log has all of them."""
    if is_due or verbosity.chosen().verbose:
        say(line)
    else:
        verbosity.log(line)


def say_notes(notes: Iterable[str]) -> None:
    """Print each different note once on standard error; empty ones are skipped."""
    for note in dict.fromkeys(notes):
        if note:
            say(note)


def say_doubts(record: Record) -> None:
    """Print a line on standard error for each reason to doubt the scores of a run, and its warning."""
    for line in record.notes:
        warn(line)


def result(line: str) -> None:
    """Print a line of a result on standard output. A terminal wraps it between words; a pipe gets one line."""
    verbosity.log(line)
    out().print(line, soft_wrap=not out().is_terminal)


@contextmanager
def warnings_as_messages() -> Iterator[None]:
    """Print a warning about skipped runs as a message, once; all other warnings appear as Python prints them."""
    python_print = warnings.showwarning

    def print_message(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, SkippedRunsWarning):
            for line in str(message).splitlines():
                warn(line)
        else:
            python_print(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("default", SkippedRunsWarning)
        warnings.showwarning = print_message
        yield


def error(message: str) -> None:
    """Print each line of an error message on standard error, after `error: `."""
    from rich.text import Text

    for line in message.splitlines() or [""]:
        text = Text.assemble(("error: ", "bold red"), _shorten(line))
        verbosity.log(text.plain)
        err().print(text, soft_wrap=not err().is_terminal)


def _shorten(line: str) -> str:
    """Leave out the middle of a line that quotes a very long text: the advice is at the end."""
    return line if len(line) <= LONGEST_ERROR else f"{line[: LONGEST_ERROR // 2]} … {line[-LONGEST_ERROR // 3 :]}"


def document(text: str) -> None:
    """Print a document, such as CSV, on standard output: to a pipe as it is, on a terminal without control characters.

    `text` ends with a newline.
    """
    from cfbench.report.plain_text import plain

    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)


def print_json(data: Any) -> None:
    """Print data for scripts on standard output."""
    from cfbench.report.plain_text import CONTROL

    text = json.dumps(_without_nan(data), indent=1, ensure_ascii=False, default=str, allow_nan=False)
    sys.stdout.write(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def _without_nan(data: Any) -> Any:
    """Return the data with None for each number that JSON does not have: NaN and the infinities."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    return [_without_nan(value) for value in data] if isinstance(data, list | tuple) else data
