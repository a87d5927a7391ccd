"""What people see of long work: bars on a terminal, and a line from time to time where there is none."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from cfbench.cli import console, verbosity
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID

    from cfbench.contract import Epoch
    from cfbench.runs.interruption import InterruptedRunError

PAUSE = 15.0
"""Seconds between two lines about the progress of long work where there is no terminal."""


QUICK = 0.5
"""Seconds of work for which no bar appears."""


class FileProgress:
    """Shows work on files, such as a download: one bar for each on a terminal, else a line from time to time."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._starts: dict[str, tuple[float, int]] = {}
        self._entered_at = self._last_line_at = time.monotonic()

    def __enter__(self) -> Self:
        if console.err().is_terminal and not verbosity.chosen().quiet:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(),
                TextColumn("{task.fields[state]}", markup=False),
                TimeRemainingColumn(), console=console.err(), transient=True,
            )  # fmt: skip
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def message(self, line: str) -> None:
        """Print a message above the bars."""
        console.say(line)

    def progress(self, name: str, position: int, total: int) -> None:
        """Move the bar of `name`: a file name counts bytes; a phrase such as "reading netflix" counts steps."""
        self._starts.setdefault(name, (time.monotonic(), position))
        if time.monotonic() - self._entered_at < QUICK:
            return
        if self._bars is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, state="")
            self._bars.update(
                self._tasks[name], completed=position, total=total, state=self._state(name, position, total)
            )
        elif time.monotonic() - self._last_line_at >= PAUSE:
            self._last_line_at = time.monotonic()
            console.say(f"{name}: {self._state(name, position, total).strip()}")

    def _state(self, name: str, position: int, total: int) -> str:
        is_phrase = " " in name
        return f"{100 * position / max(total, 1):3.0f} %" if is_phrase else self._bytes_and_speed(name, position, total)

    def _bytes_and_speed(self, file: str, position: int, total: int) -> str:
        start_time, bytes_at_start = self._starts[file]
        speed = (position - bytes_at_start) / max(time.monotonic() - start_time, 0.1)
        return f"{format_bytes(position)} of {format_bytes(total)}, {format_bytes(speed)}/s"


@contextmanager
def run_progress(label: str, message_after: Callable[[InterruptedRunError], str]) -> Iterator[RunProgress]:
    """Show the progress of a run. When it is interrupted, print the message that `message_after` returns, and exit.

    The status is 130 after Ctrl-C, and 1 after the time limit or a fault that is not the plugin's.
    """
    from cfbench.runs.interruption import InterruptedRunError

    try:
        with RunProgress(label) as progress:
            yield progress
    except InterruptedRunError as interruption:
        if interruption.reason:
            console.error(f"{interruption.reason}: {message_after(interruption)}")
            raise typer.Exit(1) from None
        console.warn(message_after(interruption))
        raise typer.Exit(130) from None


def after_epoch(interruption: InterruptedRunError) -> str:
    """Return ` after epoch 7`; empty if it is unknown how many epochs the run has finished."""
    return "" if interruption.epoch is None else f" after epoch {interruption.epoch}"


class RunProgress:
    """Shows a run: one live line on a terminal, which disappears at the end; in a pipe a line from time to time.

    With --verbose, and in the log, every epoch has a line.
    """

    def __init__(self, label: str) -> None:
        self._label, self._activity = label, f"{label} fitting"
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._best = (float("inf"), 0)
        self._epochs = 0
        self._started = self._last_line_at = self._last_batch_at = time.monotonic()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bars:
            self._bars.stop()

    def wait(self) -> None:
        """Say why nothing happens."""
        console.say(f"{self._label} waits for another process, which makes the same run")

    def begin(self, run: str) -> None:
        """Show the live line, or begin to print a line from time to time."""
        verbosity.log(f"run {run}")
        if verbosity.chosen().quiet:
            return
        if console.err().is_terminal:
            from rich.progress import (
                BarColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.table import Column

            self._bars = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=None),
                TimeElapsedColumn(Column(min_width=7)), TimeRemainingColumn(),
                console=console.err(), transient=True, expand=True,
            )  # fmt: skip
            self._task = self._bars.add_task(self._activity, total=None)
            self._bars.start()
        else:
            threading.Thread(target=self._print_from_time_to_time, daemon=True).start()

    def epoch(self, epoch: Epoch) -> None:
        """Show the errors of an epoch and the best validation RMSE so far."""
        if epoch.valid_rmse is not None:
            self._best = min(self._best, (epoch.valid_rmse, epoch.epoch))
        self._epochs = epoch.epochs
        line = self._activity = self._line(epoch)
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=line, completed=epoch.epoch, total=epoch.epochs)
        is_due = not self._bars and time.monotonic() - self._last_line_at >= PAUSE
        if is_due or verbosity.chosen().verbose:
            self._last_line_at = time.monotonic()
        console.say_progress(line, is_due=is_due)

    def batch(self, epoch: int, finished: int, total: int) -> None:
        """Show how many batches of an epoch are finished. Models call it often, so that it mostly returns at once."""
        now = time.monotonic()
        if now - self._last_batch_at < 0.1:
            return
        self._last_batch_at = now
        of_epochs = f"/{self._epochs}" if self._epochs else ""
        self._activity = f"{self._label} epoch {epoch}{of_epochs} batch {finished:,}/{total:,}"
        if self._bars and self._task is not None:
            bar = (epoch - 1 + finished / total, self._epochs) if self._epochs else (finished, total)
            self._bars.update(self._task, description=self._activity, completed=bar[0], total=bar[1])

    def _print_from_time_to_time(self) -> None:
        """Print what the run is doing where no epoch ends for long."""
        while not self._ended.wait(max(PAUSE, 1.0)):
            if time.monotonic() - self._last_line_at >= PAUSE:
                self._last_line_at = time.monotonic()
                console.say(f"{self._activity}, {time.monotonic() - self._started:.0f} s")

    def _line(self, epoch: Epoch) -> str:
        line = f"{self._label} epoch {epoch.epoch}/{epoch.epochs} train {epoch.train_rmse:.4f}"
        if epoch.valid_rmse is None:
            return line
        best_rmse, best_epoch = self._best
        return f"{line} valid {epoch.valid_rmse:.4f} best {best_rmse:.4f}@{best_epoch}"
