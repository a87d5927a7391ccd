"""How the harness calls a plugin, so that an accident in the plugin stays the plugin's failure.

A model that prints would spoil a command's JSON, one that calls `sys.exit` would end the command with success, and one
that forks would leave a second harness, which publishes the run once more. None of this is a defence against a plugin
that cheats: it runs in the same process and can reach everything.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import traceback
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cfbench.contract import DivergedError
from cfbench.errors import CfbenchError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_FOR_CHILD = 1.0
"""Seconds that a call waits, after the plugin forked, for a child process that returns from the same call."""
_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 (a fork concerns the whole process)
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_count_fork)


@contextmanager
def plugin_call(plugin: str, method: str) -> Iterator[None]:
    """Call a plugin's code inside, contained, so that every fault of it is a `CfbenchError` or a `DivergedError`.

    Another exception becomes a `PluginError` of one line, whose cause is that exception.
    """
    try:
        with contained(method):
            yield
    except PluginError as fault:
        if str(fault).startswith(f"plugin {plugin!r}"):
            raise
        raise type(fault)(f"plugin {plugin!r}: {fault}") from fault.__cause__
    except (CfbenchError, DivergedError):
        raise
    except Exception as fault:
        raise PluginError(f"plugin {plugin!r} failed in {method}: {describe(fault)}") from fault


@contextmanager
def contained(call: str) -> Iterator[None]:
    """Make a call of a plugin's code inside: it can neither write to standard output nor end or double the program.

    Raises `PluginError` if it calls `sys.exit`, or if a child process that it forked returns as well.
    """
    try:
        with stdout_into(sys.stderr, 2), _one_process(call):
            yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as fault:
        raise PluginError(
            f"{call} ended the program ({describe(fault)}); a plugin must raise an Exception instead"
        ) from fault


def describe(fault: BaseException) -> str:
    """Return the type, the message and the place of an exception in one line."""
    message = " ".join(str(fault).split())
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(fault).__name__}{': ' if message else ''}{message}{place}"


@contextmanager
def stdout_into(stream: IO[str], descriptor: int) -> Iterator[None]:
    """Send what Python code prints to a stream, and what other code writes to standard output to a file descriptor."""
    original = sys.stdout
    _flush(original)
    try:
        saved = os.dup(1)
        os.dup2(descriptor, 1)
    except OSError:  # the process has no standard output
        saved = None
    try:
        with redirect_stdout(stream):
            yield
    finally:
        _flush(original)  # the plugin may hold the original stream, as a logger does
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def _flush(stream: IO[str] | None) -> None:
    """Flush a stream, and the buffer that libraries in C share."""
    with suppress(AttributeError, OSError, ValueError):
        if stream is not None:
            stream.flush()
    with suppress(AttributeError, OSError, TypeError):  # Windows does not find the C library this way
        ctypes.CDLL(None).fflush(None)


@contextmanager
def _one_process(call: str) -> Iterator[None]:
    """End a child process that returns from the call, which only the parent may do; then raise in the parent.

    A child that ends by itself, as those of `multiprocessing` do, is none of the harness's business.
    """
    parent, forks = os.getpid(), _forks
    reader, writer = os.pipe()
    try:
        yield
    finally:
        if os.getpid() != parent:
            try:
                os.write(writer, b"!")
            finally:
                os._exit(1)
        os.close(writer)
        returned = _forks > forks and _says_something(reader)
        os.close(reader)
    if returned:
        raise PluginError(
            f"{call} forked, and the child process returned from it too; a child process must end with os._exit"
        )


def _says_something(reader: int) -> bool:
    """Whether a child process wrote to the pipe; waits until all have closed it, but not for long."""
    ready, _, _ = select.select([reader], [], [], WAIT_FOR_CHILD)
    return bool(ready) and bool(os.read(reader, 1))
