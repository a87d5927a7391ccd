"""Starts command lines of cfbench as processes of their own, which go on when the board ends.

What such a process prints goes to a file without a name, which disappears with the process and the board.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cfbench.errors import UsageError
from cfbench.report.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedRandom
    from pathlib import Path

_TAIL = 4096  # bytes: enough for the last lines


@dataclass(frozen=True, eq=False)
class StartedCommand:
    """A command line that runs as a process, and what it prints."""

    line: str
    process: subprocess.Popen[bytes]
    output: BufferedRandom

    @property
    def goes_on(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    @property
    def last_line(self) -> str:
        """The last line that it has printed, without control characters; empty before the first one."""
        size = os.fstat(self.output.fileno()).st_size
        # the process writes where its file position is, so this must not move
        tail = os.pread(self.output.fileno(), _TAIL, max(0, size - _TAIL))
        lines = [line for line in tail.decode(errors="replace").splitlines() if line.strip()]
        return plain(lines[-1]).strip() if lines else ""

    def interrupt(self) -> None:
        """Send Ctrl-C: a run stops and can be resumed."""
        with suppress(OSError):
            self.process.send_signal(signal.SIGINT)

    def close(self) -> EndedCommand:
        """Wait until the process has ended, and return how."""
        status, last_line = self.process.wait(), self.last_line
        self.output.close()
        return EndedCommand(self.line, status, last_line)


@dataclass(frozen=True)
class EndedCommand:
    """A command line that has ended: its exit status, and the last line that it printed."""

    line: str
    status: int
    last_line: str


@dataclass
class Launcher:
    """Starts command lines, and knows those that it has started."""

    results: Path
    program: Sequence[str] = (sys.executable, "-m", "cfbench")
    """What starts cfbench."""
    started: list[StartedCommand] = field(default_factory=list)

    def start(self, line: str) -> StartedCommand:
        """Start a command line such as `cfbench run bias`; raises `UsageError` if it is no run of cfbench."""
        words = read_run_command(line)
        if not any(word.partition("=")[0] == "--results" for word in words):
            words += ["--results", str(self.results)]
        output = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        try:
            with _heeded_interrupts():
                process = subprocess.Popen(
                    [*self.program, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as fault:
            output.close()
            raise UsageError(f"cannot start `{line}`: {fault.strerror}") from fault
        command = StartedCommand(line, process, output)
        self.started.append(command)
        return command

    def take_ended(self) -> list[EndedCommand]:
        """Return the commands that have ended since the last call, and forget them."""
        ended = [command for command in self.started if not command.goes_on]
        self.started = [command for command in self.started if command not in ended]
        return [command.close() for command in ended]


@contextmanager
def _heeded_interrupts() -> Iterator[None]:
    """Let new processes heed Ctrl-C, even if this one ignores it: they would inherit that."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if previous is signal.SIG_IGN:
            signal.signal(signal.SIGINT, previous)


def read_run_command(line: str) -> list[str]:
    """Return the words after `cfbench` of a command line `cfbench run …`; raises `UsageError` for any other line."""
    try:
        words = shlex.split(line)
    except ValueError as fault:
        raise UsageError(f"a quotation mark has no partner: {fault}") from fault
    if words[:2] != ["cfbench", "run"] or len(words) < 3:
        raise UsageError("expected a command such as `cfbench run bias --seed 1`")
    return words[1:]
