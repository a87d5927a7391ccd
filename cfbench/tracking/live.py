"""Copies a run to a tracker while it learns. A tracker that fails, or is slow, never hurts the run.

The tracker works in a thread of its own, which receives the epochs of about a second at a time. Its first fault, or
a minute without an answer, ends the copy with one warning.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Self, TypeVar

from cfbench import advice
from cfbench.errors import CfbenchError
from cfbench.runs.publication import read_unfinished
from cfbench.tracking.tracker import tracker_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from cfbench.contract import Epoch
    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results
    from cfbench.runs.run import RunListener
    from cfbench.tracking.tracker import Tracker

T = TypeVar("T")
PAUSE = 1.0
"""Seconds in which epochs are gathered."""
PATIENCE = 60.0
"""Seconds that the beginning and the end of a run wait for the tracker."""


def track(
    work: Callable[[RunListener], tuple[Record, T]],
    listener: RunListener,
    tracker: Tracker,
    results: Results,
    warn: Callable[[str], None],
) -> tuple[Record, T]:
    """Do the work of one run, copy the run to the tracker meanwhile, and return what `work` returns."""
    with LiveTracker(listener, tracker, results, warn) as live:
        record, more = work(live)
        live.end(record)
    return record, more


class LiveTracker:
    """A listener of a run that tells another listener and a tracker what it hears."""

    def __init__(self, listener: RunListener, tracker: Tracker, results: Results, warn: Callable[[str], None]) -> None:
        self._listener, self._tracker, self._results, self._warn = listener, tracker, results, warn
        self._calls: SimpleQueue[tuple[Callable[[], None], Event] | None] = SimpleQueue()
        self._lock, self._ending = Lock(), Event()
        self._epochs: list[Epoch] = []
        self._run, self._last = "", 0
        self._has_failed = False

    def __enter__(self) -> Self:
        Thread(target=self._work, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run and not self._ending.is_set():
            self._finish(self._tracker.stop)
        self._calls.put(None)

    def wait(self) -> None:
        """Tell the listener."""
        self._listener.wait()

    def begin(self, run: str) -> None:
        """Tell both of them that the run has its id and its folder."""
        self._listener.begin(run)
        self._run = run
        self._call_and_wait(lambda: self._tracker.begin(self._read_request(run)))

    def epoch(self, epoch: Epoch) -> None:
        """Tell both of them about an epoch; only the listener about those that come again, as in a second fit."""
        self._listener.epoch(epoch)
        if epoch.epoch <= self._last:
            return
        self._last = epoch.epoch
        with self._lock:
            self._epochs.append(epoch)
            is_first = len(self._epochs) == 1
        if is_first and not self._has_failed:
            self._calls.put((self._add_epochs, Event()))

    def batch(self, epoch: int, finished: int, total: int) -> None:
        """Tell the listener."""
        self._listener.batch(epoch, finished, total)

    def end(self, record: Record) -> None:
        """Tell the tracker that the run is published. A run that another process has made does not concern it."""
        if self._run == record.run:
            self._finish(lambda: self._tracker.end(record, self._results.place(record.request)))

    def _finish(self, call: Callable[[], None]) -> None:
        self._ending.set()
        self._call_and_wait(call)

    def _read_request(self, run: str) -> Request:
        (folder,) = (folder for folder in self._results.unfinished_folders() if folder.name == run)
        return read_unfinished(folder)

    def _add_epochs(self) -> None:
        self._ending.wait(PAUSE)
        with self._lock:
            epochs, self._epochs = self._epochs, []
        self._tracker.add(epochs)

    def _call_and_wait(self, call: Callable[[], None]) -> None:
        """Let the tracker do something, and wait until it has, but not longer than the patience."""
        answered = Event()
        if not self._has_failed:
            self._calls.put((call, answered))
            if not answered.wait(PATIENCE):
                self._give_up(f"{self._tracker.place} has not answered for {PATIENCE:g} seconds")

    def _work(self) -> None:
        """Do one call after the other, in the thread, until the end."""
        while (job := self._calls.get()) is not None:
            call, answered = job
            try:
                if not self._has_failed:
                    with tracker_errors(self._tracker):
                        call()
            except CfbenchError as fault:
                self._give_up(str(fault))
            finally:
                answered.set()

    def _give_up(self, reason: str) -> None:
        """Tell the tracker nothing more, and say so once."""
        with self._lock:
            is_first, self._has_failed = not self._has_failed, True
        if is_first:
            again = advice.command("export", self._tracker.name, self._run, results=self._results.root)
            self._warn(f"{reason}; the run goes on, and `{again}` copies it once it has ended")
