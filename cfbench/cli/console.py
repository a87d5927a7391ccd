"""What the commands print: results on standard output, messages and progress on standard error.

Colours and live progress appear on a terminal only. `NO_COLOR` turns the colours off.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from cfbench.errors import SkippedRunsWarning
from cfbench.files import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID

    from cfbench.cli.plain import PlainConsole
    from cfbench.contract import Epoch
    from cfbench.runs.interruption import InterruptedRunError
    from cfbench.runs.record import Record

PIPE_WIDTH = 200
"""Columns of a table whose output is piped, unless `COLUMNS` gives another number."""


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
    """Print a message on standard error. A terminal wraps it between words; a pipe gets one line."""
    err().print(line, soft_wrap=not err().is_terminal)


def say_notes(notes: Iterable[str]) -> None:
    """Print each different note once on standard error; empty ones are skipped."""
    for note in dict.fromkeys(notes):
        if note:
            say(note)


def say_doubts(record: Record) -> None:
    """Print a line on standard error for each reason to doubt the scores of a run, and its warning."""
    say_notes([record.outcome.warning, *(f"doubtful: {doubt.detail}" for doubt in record.outcome.doubts)])


def result(line: str) -> None:
    """Print a line of a result on standard output. A terminal wraps it between words; a pipe gets one line."""
    out().print(line, soft_wrap=not out().is_terminal)


@contextmanager
def warnings_as_messages() -> Iterator[None]:
    """Print a warning about skipped runs as a message, once; all other warnings appear as Python prints them."""
    python_print = warnings.showwarning

    def print_message(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, SkippedRunsWarning):
            for line in str(message).splitlines():
                say(line)
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
        text = Text.assemble(("error: ", "bold red"), line)
        err().print(text, soft_wrap=not err().is_terminal)


def document(text: str) -> None:
    """Print a document, such as CSV, on standard output: to a pipe as it is, on a terminal without control characters.

    `text` ends with a newline.
    """
    from cfbench.cli.plain import plain

    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)


def print_json(data: Any) -> None:
    """Print data for scripts on standard output."""
    from cfbench.cli.plain import CONTROL

    text = json.dumps(_without_nan(data), indent=1, ensure_ascii=False, default=str, allow_nan=False)
    sys.stdout.write(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def _without_nan(data: Any) -> Any:
    """Return the data with None for each number that JSON does not have: NaN and the infinities."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    return [_without_nan(value) for value in data] if isinstance(data, list | tuple) else data


class FileProgress:
    """Shows work on files, such as a download: one bar for each file on a terminal, only messages in a pipe."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._starts: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        if err().is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(),
                TextColumn("{task.fields[state]}", markup=False),
                TimeRemainingColumn(), console=err(), transient=True,
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
        say(line)

    def progress(self, name: str, position: int, total: int) -> None:
        """Move the bar of `name`: a file name counts bytes; a phrase such as "reading netflix" counts steps."""
        if self._bars is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, state="")
            self._starts[name] = time.monotonic(), position
        is_phrase = " " in name
        percent = f"{100 * position / max(total, 1):3.0f} %"
        state = percent if is_phrase else self._bytes_and_speed(name, position, total)
        self._bars.update(self._tasks[name], completed=position, total=total, state=state)

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
            error(f"{interruption.reason}: {message_after(interruption)}")
            raise typer.Exit(1) from None
        say(message_after(interruption))
        raise typer.Exit(130) from None


def after_epoch(interruption: InterruptedRunError) -> str:
    """Return ` after epoch 7`; empty if it is unknown how many epochs the run has finished."""
    return "" if interruption.epoch is None else f" after epoch {interruption.epoch}"


class RunProgress:
    """Shows a run: one live line on a terminal, which disappears at the end; in a pipe a line from time to time."""

    PAUSE = 30.0
    """Seconds between two lines where there is no terminal."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._best = (float("inf"), 0)
        self._last_line_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def begin(self, run: str) -> None:  # noqa: ARG002 (the live line shows the label, not the id)
        """Show the live line."""
        if err().is_terminal:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=None),
                TimeRemainingColumn(), console=err(), transient=True, expand=True,
            )  # fmt: skip
            self._task = self._bars.add_task(f"{self._label} fitting", total=None)
            self._bars.start()

    def epoch(self, epoch: Epoch) -> None:
        """Show the errors of an epoch and the best validation RMSE so far."""
        if epoch.valid_rmse is not None:
            self._best = min(self._best, (epoch.valid_rmse, epoch.epoch))
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=self._line(epoch), completed=epoch.epoch, total=epoch.epochs)
        elif time.monotonic() - self._last_line_at >= self.PAUSE:
            self._last_line_at = time.monotonic()
            say(self._line(epoch))

    def _line(self, epoch: Epoch) -> str:
        line = f"{self._label} epoch {epoch.epoch}/{epoch.epochs} train {epoch.train_rmse:.4f}"
        if epoch.valid_rmse is None:
            return line
        best_rmse, best_epoch = self._best
        return f"{line} valid {epoch.valid_rmse:.4f} best {best_rmse:.4f}@{best_epoch}"
