"""Every error a person can cause, as one tree.

    CfbenchError            exit status 1
    ├── UsageError          what was asked cannot be done as asked; exit status 2
    │   ├── UnknownNameError    no such data set, plugin, split, preset, option or run; with near misses
    │   └── ConfigError         a hyper-parameter is of the wrong type or out of its range
    ├── DataError           the data are not what they should be
    │   ├── CardError           a data set's card is malformed
    │   ├── FetchError          no source delivered the file
    │   │   └── SourceTimeoutError          a source was given up early, for there is another
    │   ├── ChecksumError       a file arrived, but it is not the right one
    │   ├── ArchiveError        an archive is truncated, unsafe or lacks a member
    │   ├── RowError            a row cannot be read as a rating
    │   ├── CountError          what was read does not match the card
    │   └── SplitError          a split cannot be made of these ratings
    ├── PluginError         a plugin cannot be loaded, or broke its contract
    │   └── PredictionError     predictions of the wrong shape, or not finite
    ├── DeviceError         the device asked for is not here
    ├── RecordError         a stored run cannot be read
    └── WriteError          a folder cannot be written, or the disk is full

A message says what happened, where, what was expected, what was found, and what to do now. The command line prints it
as one line; a traceback means a bug in cfbench.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CfbenchError(Exception):
    """The root: anything a person, their data or their machine can cause."""

    exit_code = 1


class UsageError(CfbenchError):
    """What was asked cannot be done as it was asked."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing answers to; the message has the nearest of the known ones, or the first few.

    Case is no difference. A number has no near misses: user 94 is not what was meant by user 944.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, advice: str = "") -> None:
        known = sorted(known)
        by_lower = {other.lower(): other for other in known}
        near = [] if name.isdecimal() else get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
        if near:
            hint = f"did you mean {by_lower[near[0]]!r}?"
        elif known:
            shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
            hint = f"there are: {shown}"
        else:
            hint = "there are none yet"
        super().__init__(f"no {kind} {name!r}; {hint}" + (f"; {advice}" if advice else ""))


class ConfigError(UsageError):
    """A hyper-parameter is unknown, of the wrong type or out of its range."""


class DataError(CfbenchError):
    """The data are not what they should be."""


class CardError(DataError):
    """A data set's card is malformed."""


class FetchError(DataError):
    """No source delivered the file."""


class SourceTimeoutError(FetchError):
    """A source was given up at once for the sake of another; if that fails too, more patience may help."""


class ChecksumError(DataError):
    """A file arrived, but it is not the one the card describes."""


class ArchiveError(DataError):
    """An archive is truncated, unsafe, or lacks a member."""


class RowError(DataError):
    """A row cannot be read as a rating."""


class CountError(DataError):
    """What was read does not match what the card expects."""


class SplitError(DataError):
    """A split cannot be made of these ratings."""


class PluginError(CfbenchError):
    """A plugin cannot be loaded, or broke its contract."""


class PredictionError(PluginError):
    """A model's predictions have the wrong shape, or are not finite."""


class DeviceError(CfbenchError):
    """The device asked for is not here."""


class RecordError(CfbenchError):
    """A stored run cannot be read."""


class WriteError(CfbenchError):
    """A folder cannot be written, or the disk is full."""
