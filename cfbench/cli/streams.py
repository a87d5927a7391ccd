"""The standard streams: closed ones, full ones, and those whose encoding lacks a character."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any

_ERRORS = "cfbench-plain"
_ASCII = str.maketrans({
    "–": "-", "−": "-", "─": "-", "│": "|", "└": "+", "±": "+-", "≈": "~", "≥": ">=", "≤": "<=", "×": "x", "…": "...",
    "●": "*", "◉": "@", "•": "o", "·": ".", "✓": "+", "✗": "x", **dict.fromkeys("█▏▎▍▌▋▊▉", "#"),
})  # fmt: skip
"""How the characters of cfbench's own tables and bars look where the encoding has none of them."""


class OutputError(OSError):
    """Standard output cannot be written."""

    @property
    def is_closed_pipe(self) -> bool:
        """Whether the reader of a pipe has ended, as `head` does when it has seen enough."""
        return self.errno == errno.EPIPE


class _OutputFile(io.FileIO):
    """The file of standard output, whose errors differ from those of all other files."""

    def write(self, data: Any, /) -> int:
        """Write some bytes; raises `OutputError`."""
        try:
            return super().write(data)
        except OSError as fault:
            raise OutputError(fault.errno, fault.strerror) from fault


def prepare() -> None:
    """Make the standard streams usable: all of them are open, and every character can be printed.

    A write to a standard output that is full or was closed raises `OutputError`.
    """
    _hold_places()
    codecs.register_error(_ERRORS, _write_otherwise)
    if sys.stdout is None or sys.stdout is sys.__stdout__:  # else a test or another program has replaced it
        sys.stdout = _open_output(sys.stdout)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _hold_places() -> None:
    """Open closed standard streams, so that no data file takes their numbers and receives what is printed.

    Standard output is opened for reading: then every write fails, as it must when nobody can read the results.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one


def _open_output(stream: io.TextIOWrapper | None) -> io.TextIOWrapper:
    """Return a standard output that raises `OutputError`, with the encoding of `stream`."""
    encoding = "utf-8" if stream is None else stream.encoding
    buffer = io.BufferedWriter(_OutputFile(1, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding=encoding, line_buffering=os.isatty(1))


def _write_otherwise(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace the characters that an encoding lacks: by similar ASCII ones, else by their codes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def drop_output() -> None:
    """Let the rest of the output vanish, so that Python does not fail once more when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
