"""Every error that a person, their data or their machine can cause, as one tree::

    CfbenchError            exit status 1
    ├── UsageError          the command or call cannot be carried out as written; exit status 2
    │   ├── UnknownNameError    no such data set, plugin, split, preset, option or run; suggests similar names
    │   ├── DeviceError         the requested device is not available
    │   └── ConfigError         a hyper-parameter has the wrong type or is out of its range
    │       └── MemoryLimitError            a computation needs more memory than this process can use
    ├── DataError           the data are missing, wrong or damaged
    │   ├── CardError           a data set's card is malformed
    │   ├── FetchError          no source delivered the file
    │   │   └── SourceTimeoutError          a source did not answer within the short timeout
    │   ├── ChecksumError       a file arrived, but it is not the right one
    │   ├── ArchiveError        an archive is truncated, unsafe or lacks a member
    │   ├── RowError            a row cannot be read as a rating
    │   ├── CountError          the numbers of users, items or ratings differ from the card
    │   └── SplitError          a split cannot be made of these ratings
    ├── PluginError         a plugin cannot be loaded, or breaks its contract
    │   └── PredictionError     predictions have the wrong shape or are not finite
    ├── RecordError         a stored run cannot be read
    │   └── TakenRunError       another process works on the run, or has finished it
    ├── StoppedRunError     the machine or a file stopped a run, which can be resumed
    ├── TrackerError        TensorBoard or MLflow cannot be reached or written
    └── WriteError          a folder cannot be written, or the disk is full

A message says what happened, where, what was expected, what was found, and what to do now. The command line prints it
as one line. A traceback means a bug in cfbench.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CfbenchError(Exception):
    """The root of the tree."""

    exit_code = 1


class UsageError(CfbenchError):
    """The command or call cannot be carried out as written."""

    exit_code = 2


class UnknownNameError(UsageError):
    """An unknown name; the message has the most similar known name, or the first few known names.

    The search ignores case. A number gets no suggestion: a person who types user 944 does not mean user 94.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, advice: str = "") -> None:
        known = sorted(known)
        by_lower = {other.lower(): other for other in known}
        similar = [] if name.isdecimal() else get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
        if similar:
            hint = f"did you mean {by_lower[similar[0]]!r}?"
        elif known:
            shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
            hint = f"there are: {shown}"
        else:
            hint = "there are none yet"
        super().__init__(f"no {kind} {name!r}; {hint}" + (f"; {advice}" if advice else ""))


class DeviceError(UsageError):
    """The requested device is not available."""


class ConfigError(UsageError):
    """A hyper-parameter is unknown, has the wrong type or is out of its range."""


class MemoryLimitError(ConfigError, MemoryError):
    """A computation needs more memory than this process can use; tuning learns to avoid such hyper-parameters."""


class DataError(CfbenchError):
    """The data are missing, wrong or damaged."""


class CardError(DataError):
    """A data set's card is malformed."""


class FetchError(DataError):
    """No source delivered the file."""


class SourceTimeoutError(FetchError):
    """A source did not answer within the short timeout; other sources come first, then it is tried again."""


class ChecksumError(DataError):
    """A file arrived, but it is not the one the card describes."""


class ArchiveError(DataError):
    """An archive is truncated, unsafe, or lacks a member."""


class RowError(DataError):
    """A row cannot be read as a rating."""


class CountError(DataError):
    """The numbers of users, items or ratings differ from those in the card."""


class SplitError(DataError):
    """A split cannot be made of these ratings."""


class PluginError(CfbenchError):
    """A plugin cannot be loaded, or breaks its contract."""


class PredictionError(PluginError):
    """A model's predictions have the wrong shape, or are not finite."""


class RecordError(CfbenchError):
    """A stored run cannot be read."""


class TakenRunError(RecordError):
    """A run cannot be resumed, because another process works on it or has finished it."""


class StoppedRunError(CfbenchError):
    """The machine or a file stopped a run, which can be resumed. The Python API raises it; see `runs.interruption`."""


class RunWarning(UserWarning):
    """Something that a reader should know before believing the scores of a run."""


class SkippedRunsWarning(UserWarning):
    """Stored runs are left out because their records cannot be used; the message names each with the reason."""


class TrackerError(CfbenchError):
    """TensorBoard or MLflow cannot be reached or written."""


class WriteError(CfbenchError):
    """A folder cannot be written, or the disk is full."""
