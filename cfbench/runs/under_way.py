"""Unfinished runs, as other processes see them: who works on a run, and its learning curve so far.

A run appends each epoch to a file in its unfinished folder. Nothing that a run does depends on this file, so what
cannot be written is lost, and what cannot be read is left out.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cfbench.contract import Epoch
from cfbench.errors import RecordError
from cfbench.runs.publication import PROGRESS, read_unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.runs.record import Request
    from cfbench.runs.results import Results

_RECENT = 5  # epochs whose times estimate that of the next ones: the first epochs compile and load


class ProgressFile:
    """Tells other processes who works on a run, and its epochs."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PROGRESS
        self._write("w", {"process": os.getpid(), "machine": socket.gethostname(), "since": time.time()})

    def epoch(self, epoch: Epoch) -> None:
        """Append an epoch."""
        numbers = {name: value if value is None else float(value) for name, value in asdict(epoch).items()}
        self._write("a", numbers | {"at": time.time()})

    def _write(self, mode: str, line: dict[str, Any]) -> None:
        with suppress(OSError), self._file.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Process:
    """The process that works on a run, or the last one that did."""

    number: int
    machine: str
    since: float
    """When it began, in seconds since 1970."""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.machine == socket.gethostname()


@dataclass(frozen=True)
class UnfinishedRun:
    """An unfinished run: its request, and what its process has written."""

    request: Request
    running: bool
    """Whether a process works on it."""
    process: Process | None
    """None if it is not known."""
    epochs: tuple[Epoch, ...]
    """The epochs so far; of a run with two fits, those of the fit that goes on."""
    last_epoch_at: float | None
    """When the last epoch ended, in seconds since 1970."""

    def most_seconds_left(self, now: float) -> float | None:
        """How long the fit still takes at most, if it goes on as fast as lately; None if that is not known.

        It may take less, because many models stop early.
        """
        if not self.running or self.last_epoch_at is None or not self.epochs:
            return None
        recent = self.epochs[-_RECENT - 1 :]
        steps = [after.seconds - before.seconds for before, after in pairwise(recent)] or [recent[0].seconds]
        last = self.epochs[-1]
        left = (last.epochs - last.epoch) * statistics.mean(steps)
        return max(0.0, left - (now - self.last_epoch_at))

    def curve(self) -> list[dict[str, Any]]:
        """The epochs in the form of a stored learning curve."""
        return [asdict(epoch) for epoch in self.epochs]


def list_unfinished(results: Results) -> list[UnfinishedRun]:
    """Return the unfinished runs, oldest first, without those that cannot be read or have just finished."""
    runs = []
    for folder in results.unfinished_folders():
        with suppress(RecordError):
            runs.append(_read(folder, running=results.is_running(folder.name)))
    return runs


def _read(folder: Path, *, running: bool) -> UnfinishedRun:
    request = read_unfinished(folder)
    process, epochs, last = None, list[Epoch](), None
    for line in _read_lines(folder / PROGRESS):
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            if "process" in line:
                process = Process(int(line["process"]), str(line["machine"]), float(line["since"]))
            else:
                epoch, last = _read_epoch(line), float(line["at"])
                # the second fit begins with epoch 1, and a fit that diverged goes back to an earlier epoch
                epochs = [*(each for each in epochs if each.epoch < epoch.epoch), epoch]
    return UnfinishedRun(request, running, process, tuple(epochs), last)


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the values of the lines; without those that are not complete."""
    lines: list[dict[str, Any]] = []
    with suppress(OSError):
        for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                line = json.loads(text)
                lines += [line] if isinstance(line, dict) else []
    return lines


def _read_epoch(line: dict[str, Any]) -> Epoch:
    valid = line["valid_rmse"]
    return Epoch(
        int(line["epoch"]), int(line["epochs"]), float(line["train_rmse"]), None if valid is None else float(valid),
        float(line["seconds"]),
    )  # fmt: skip


def interrupt(run: UnfinishedRun, *, kill: bool = False) -> bool:
    """Send Ctrl-C to the process that works on a run of this machine, and return whether it could be sent.

    The run stops, and can be resumed. With `kill` the process ends even if it ignores Ctrl-C, as those do that a script
    has started in the background; the run can be resumed from its last checkpoint.
    """
    if not run.running or run.process is None or not run.process.is_here:
        return False
    with suppress(OSError):
        os.kill(run.process.number, signal.SIGTERM if kill else signal.SIGINT)
        return True
    return False
