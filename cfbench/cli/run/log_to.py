"""`cfbench run … --log-to`: a run that is copied to a tracker while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cfbench.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.runs.record import Record
    from cfbench.runs.results import Results
    from cfbench.runs.run import RunListener
    from cfbench.tracking.tracker import Tracker

T = TypeVar("T")


def choose_tracker(text: str | None) -> Tracker | None:
    """Return the tracker that the option names; raises `UsageError` if there is none, or if it is not installed."""
    if text is None:
        return None
    from cfbench.tracking.tracker import open_tracker, parse_tracker

    return open_tracker(*parse_tracker(text))


def make_run(
    work: Callable[[RunListener], tuple[Record, T]], listener: RunListener, tracker: Tracker | None, results: Results
) -> tuple[Record, T]:
    """Return what `work` returns, which makes a run; the tracker receives a copy, if there is a tracker."""
    if tracker is None:
        return work(listener)
    from cfbench.tracking.live import track

    return track(work, listener, tracker, results, console.warn)
