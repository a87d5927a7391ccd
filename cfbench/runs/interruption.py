"""What ends a run without being the plugin's fault: Ctrl-C, the time limit, the machine, a damaged or missing file.

Such a run stays as it is, with its checkpoint, and can be resumed. A run fails only by a fault of its plugin.
"""

from __future__ import annotations

from cfbench.errors import CfbenchError, ConfigError, PluginError
from cfbench.memory import is_out_of_memory
from cfbench.runs.time_limit import TimeLimitError

_LONGEST_REASON = 250
_BROKEN_DEVICE = ("ecc error", "no cuda-capable device", "busy or unavailable", "(os error ")
"""Parts of messages by which libraries report a device or a file that fails, in place of an exception of its own."""


class InterruptedRunError(Exception):
    """The run `run` has not come to an end, and can be resumed; it ended after `epoch` epochs, None if that is unknown.

    `fault` is what the machine or a file caused, None after Ctrl-C and after the time limit.
    """

    def __init__(self, run: str, epoch: int | None, reason: str = "", fault: Exception | None = None) -> None:
        super().__init__(f"run {run}: {reason or 'Ctrl-C'}")
        self.run, self.epoch, self.fault = run, epoch, fault
        self.reason = reason
        """The time limit or the fault in one line; empty for Ctrl-C."""


def interruption(run: str, epoch: int | None, fault: BaseException) -> InterruptedRunError | None:
    """Return what a run that `fault` ended raises if it can be resumed; None if a program is at fault."""
    if isinstance(fault, TimeLimitError):
        return InterruptedRunError(run, epoch, str(fault))
    if isinstance(fault, KeyboardInterrupt):
        return InterruptedRunError(run, epoch)
    reason = outer_cause(fault)
    return InterruptedRunError(run, epoch, reason, fault) if reason and isinstance(fault, Exception) else None


def outer_cause(fault: BaseException) -> str:
    """Return in one line what the machine or a file did to cause an exception; empty if a program is at fault.

    A plugin's exception belongs to the machine if the machine caused it: `raise … from an OSError`.
    """
    cause: BaseException | None = fault
    while cause is not None:
        if is_out_of_memory(cause):
            return _shorten(str(cause) if isinstance(cause, CfbenchError) else f"the memory is not enough: {cause}")
        if isinstance(cause, CfbenchError) and not isinstance(cause, (PluginError, ConfigError)):
            return _shorten(str(cause))
        if isinstance(cause, OSError) or _tells_of_a_broken_device(cause):
            return _shorten(_describe(cause))
        cause = cause.__cause__
    return ""


def _tells_of_a_broken_device(fault: BaseException) -> bool:
    text = str(fault).lower()
    return not isinstance(fault, CfbenchError) and any(part in text for part in _BROKEN_DEVICE)


def _describe(fault: BaseException) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror + (f": {fault.filename}" if fault.filename else "")
    return f"{type(fault).__name__}: {fault}"


def _shorten(text: str) -> str:
    line = " ".join(text.split()).rstrip(".: ")
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + " …"
