"""How much the commands print on standard error, and the log file: what --quiet, --verbose and --log choose."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from cfbench.errors import WriteError


@dataclass
class Verbosity:
    """The choice of this command line."""

    quiet: bool = False
    """Print only results, warnings and errors."""
    verbose: bool = False
    """Print a line for each epoch."""
    log: Log | None = None


class Log:
    """A file to which each message is appended, with its time. If it cannot be written any more, the work goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: TextIO | None = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as fault:
            raise WriteError(f"cannot write {path}: {fault.strerror}; choose another file with --log") from fault

    def write(self, line: str) -> None:
        """Append a line, without control characters."""
        from cfbench.report.plain_text import plain

        if self._file is None:
            return
        time = datetime.now().astimezone().isoformat(" ", "seconds")
        try:
            self._file.write(f"{time}  {plain(line)}\n")
        except OSError as fault:
            self.close()
            with suppress(OSError):
                sys.stderr.write(f"log {self._path} ends here: {fault.strerror}\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):  # the last line is lost
                self._file.close()
        self._file = None


_chosen = Verbosity()


def chosen() -> Verbosity:
    """Return the choice of the current command line."""
    return _chosen


def reset() -> None:
    """Begin another command line: nothing is chosen."""
    global _chosen  # noqa: PLW0603 (one process runs one command line at a time)
    if _chosen.log is not None:
        _chosen.log.close()
    _chosen = Verbosity()


def open_log(path: Path) -> None:
    """Append all messages to a file from now on; raises `WriteError`."""
    if _chosen.log is not None:
        _chosen.log.close()
    _chosen.log = Log(path)


def log(line: str) -> None:
    """Append a line to the log, if there is one."""
    if _chosen.log is not None:
        _chosen.log.write(line)
