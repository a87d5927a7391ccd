"""What the commands say, and how: results on standard output, everything else on standard error.

Colours, live progress and tables follow the terminal: none of them when output is piped, no colour under `NO_COLOR`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from cfbench.contract import Epoch
    from cfbench.runs.run import InterruptedRunError


@cache
def out() -> Console:
    """Where results go. Piped, a table is never cut to a width."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200
    return Console(highlight=False, soft_wrap=False, width=width)


@cache
def err() -> Console:
    """Where progress and complaints go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """A line for people, not a result; wrapped between words on a terminal, whole elsewhere."""
    err().print(line, markup=False, soft_wrap=not err().is_terminal)


def result(line: str) -> None:
    """A line of a result, on standard output; wrapped between words on a terminal, whole elsewhere."""
    out().print(line, markup=False, soft_wrap=not out().is_terminal)


def error(message: str) -> None:
    """One line a fault."""
    from rich.text import Text

    for line in message.splitlines() or [""]:
        text = Text.assemble(("error: ", "bold red"), line)
        err().print(text, soft_wrap=not err().is_terminal)


def print_json(data: Any) -> None:
    """Data for scripts, on standard output."""
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


class DownloadProgress:
    """Watches a download: bars with speed and time left on a terminal, a line at the end of each elsewhere."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        if err().is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text, done, left = (
                TextColumn("{task.description}"),
                TextColumn("{task.fields[done]}"),
                TimeRemainingColumn(),
            )
            self._bars = Progress(text, BarColumn(), done, left, console=err(), transient=True)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def message(self, line: str) -> None:
        """Above the bars."""
        say(line)

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar of `what`: a file of so many bytes, or a work such as "reading netflix" of so many steps."""
        if self._bars is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, done="")
            self._began[what] = time.monotonic(), done
        told = f"{100 * done / max(total, 1):3.0f} %"
        if " " not in what:
            began, at_first = self._began[what]
            speed = (done - at_first) / max(time.monotonic() - began, 0.1)
            told = f"{format_bytes(done)} of {format_bytes(total)}, {format_bytes(speed)}/s"
        self._bars.update(self._tasks[what], completed=done, total=total, done=told)


@contextmanager
def run_progress(what: str, stopped: Callable[[InterruptedRunError], str]) -> Iterator[RunProgress]:
    """Watch a run; when Ctrl-C ends it, tell what `stopped` says of that, and exit with status 130."""
    from cfbench.runs.run import InterruptedRunError

    try:
        with RunProgress(what) as watcher:
            yield watcher
    except InterruptedRunError as fault:
        say(stopped(fault))
        raise typer.Exit(130) from None


class RunProgress:
    """Watches a run: one live line on a terminal, gone on leaving; a plain line now and then elsewhere."""

    PAUSE = 30.0
    """Seconds between plain lines."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what, self._quiet = what, quiet
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._best = (float("inf"), 0)
        self._told = time.monotonic()
        self.run = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, run: str) -> None:
        """The run has its id."""
        self.run = run
        if not self._quiet and err().is_terminal:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

            text, bar = TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)
            self._bars = Progress(
                SpinnerColumn(), text, bar, TimeRemainingColumn(), console=err(), transient=True, expand=True
            )
            self._task = self._bars.add_task(f"{self._what} fitting", total=None)
            self._bars.start()

    def epoch(self, epoch: Epoch) -> None:
        """Show the epoch's errors and the best so far."""
        if epoch.valid_rmse is not None:
            self._best = min(self._best, (epoch.valid_rmse, epoch.epoch))
        line = f"{self._what} epoch {epoch.epoch}/{epoch.epochs} train {epoch.train_rmse:.4f}"
        if epoch.valid_rmse is not None:
            line += f" valid {epoch.valid_rmse:.4f} best {self._best[0]:.4f}@{self._best[1]}"
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=line, completed=epoch.epoch, total=epoch.epochs)
        elif not self._quiet and time.monotonic() - self._told >= self.PAUSE:
            self._told = time.monotonic()
            say(line)

    def end(self) -> None:
        """Take the live line away."""
        if self._bars:
            self._bars.stop()
