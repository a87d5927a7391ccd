"""A time limit for a plugin's work: a model that hangs is stopped as Ctrl-C would stop it, and can be resumed.

A signal raises `TimeLimitError` in the running Python code. Code in C that never returns to Python does not see it, and
a model may catch it. So a second process waits a little longer, and then kills this one; a killed run can be resumed
from its last checkpoint, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cfbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE = 30.0
"""Seconds after the limit in which a model may write its checkpoint, before the process is killed."""
REPEAT = 10.0
"""Seconds after which the signal comes again, in case the model caught the first error."""

WATCHDOG = """
import os, signal, sys, time
parent, seconds, message = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
end = time.monotonic() + seconds
while time.monotonic() < end:
    if os.getppid() != parent:
        sys.exit()
    time.sleep(min(0.2, max(0.0, end - time.monotonic())))
if os.getppid() == parent:
    sys.stderr.write(message + "\\n")
    sys.stderr.flush()
    os.kill(parent, signal.SIGKILL)
"""


class TimeLimitError(KeyboardInterrupt):
    """The time limit is over. It is an interrupt, because models let interrupts pass and write a checkpoint first."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimeLimitError` inside after so many seconds; None is no limit.

    Only the main thread may use it. Raises `UsageError` where the system has no such signals.
    """
    if seconds is None:
        yield
        return
    if not hasattr(signal, "setitimer"):
        raise UsageError(f"--time-limit needs signals, which {sys.platform} lacks; leave it out")
    message = f"the time limit of {seconds:g} s is over"

    def stop(*_: object) -> None:
        raise TimeLimitError(message)

    before = signal.signal(signal.SIGALRM, stop)
    watchdog = _start_watchdog(seconds, message)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        watchdog.kill()
        watchdog.wait()


def _start_watchdog(seconds: float, message: str) -> subprocess.Popen[bytes]:
    """Start a process that kills this one if it still works when the grace is over."""
    line = f"error: {message}, and the plugin did not stop within {GRACE:g} s more: the process is killed"
    arguments = [str(os.getpid()), str(seconds + GRACE), line]
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", WATCHDOG, *arguments], stdin=subprocess.DEVNULL)
