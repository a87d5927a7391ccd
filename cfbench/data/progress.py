"""What long work in this room reports: messages and progress."""

from __future__ import annotations

from typing import Protocol


class ProgressListener(Protocol):
    """Receives the messages and the progress of long work."""

    def message(self, line: str, /) -> None:
        """Receive a line for people: what happened and what cfbench does about it."""

    def progress(self, name: str, position: int, total: int, /) -> None:
        """Receive that `position` of `total` bytes or steps of the work `name` are finished.

        Long work calls this often. `position == total` means that the work is complete.
        """


class SilentListener:
    """A listener that ignores everything."""

    def message(self, line: str, /) -> None:
        """Ignore the line."""

    def progress(self, name: str, position: int, total: int, /) -> None:
        """Ignore the progress."""
