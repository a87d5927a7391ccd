"""The page of a leaderboard that is written again when the results have changed, and what is new since.

Nothing is computed unless somebody asks. To look at the results folder takes at most a tenth of a processor's time, and
so does writing the page, because models may be training on the same machine.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from cfbench.data.manifest import dataset_folder, file_stamp
from cfbench.errors import CfbenchError
from cfbench.files import data_home
from cfbench.leaderboard.ranking import SILENT
from cfbench.report import numbers
from cfbench.report.plain_text import page_text
from cfbench.runs.doubts import best_epoch
from cfbench.runs.under_way import list_unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.contract import Epoch
    from cfbench.data.progress import ProgressListener
    from cfbench.report.board_report import BoardReport
    from cfbench.runs.under_way import UnfinishedRun

SHARE = 10
"""The time until the next look, or the next page, is at least so many times the processor time of the last one."""


@dataclass(frozen=True)
class News:
    """What a page learns from its server."""

    stamp: str
    """The stamp of the page that the server has now, or would write."""
    problem: str
    """Why the newest results have no page; empty if they have one."""
    runs: tuple[tuple[str, ...], ...]
    """The runs under way: model, data and split, seed, epoch, validation RMSE and time."""


class LivePage:
    """The page of a leaderboard and its news. Several threads may ask."""

    def __init__(
        self, report: BoardReport, listener: ProgressListener = SILENT, look_pause: float = 1.0, page_pause: float = 5.0
    ) -> None:
        """Write the first page; raises what `BoardReport.write` raises.

        The pauses, in seconds, are the shortest ones between two looks at the results and between two pages.
        """
        self._report, self._lock = report, Lock()
        self._looks, self._pages = _Turns(look_pause), _Turns(page_pause)
        self._runs: tuple[tuple[str, ...], ...] = ()
        self._problem = ""
        self._look()
        self._stamp = self._tried = self._seen
        self._page = report.write(listener, stamp=self._stamp).encode(errors="replace")

    def page(self) -> bytes:
        """Return the page, written again if the results have changed; the last one if they cannot be read."""
        with self._lock:
            self._look()
            if self._is_due:
                self._write()
            return self._page

    def news(self) -> News:
        """Return the news."""
        with self._lock:
            self._look()
            return News(self._seen if self._is_due else self._stamp, self._problem, self._runs)

    @property
    def _is_due(self) -> bool:
        """Whether the next page differs from the last one and may be written now."""
        return self._seen != self._tried and self._pages.is_due

    def _look(self) -> None:
        """Look at the results folder again, if it is time."""
        if self._looks.is_due:
            with self._looks:
                self._seen = stamp_results(self._report)
                unfinished = list_unfinished(self._report.results)
                self._runs = tuple(_describe(run, time.time()) for run in unfinished if run.running)

    def _write(self) -> None:
        self._tried, self._problem = self._seen, ""
        with self._pages:
            try:
                self._page = self._report.write(stamp=self._tried).encode(errors="replace")
                self._stamp = self._tried
            except CfbenchError as fault:
                self._problem = page_text(f"the newest results have no page: {fault}")


class _Turns:
    """Work that may take one part in `SHARE` of a processor's time at most: a `with` block is a turn."""

    def __init__(self, pause: float) -> None:
        self._pause, self._next = pause, 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._start = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._next = time.monotonic() + max(self._pause, SHARE * (time.thread_time() - self._start))


def stamp_results(report: BoardReport) -> str:
    """Return a text that changes with what the page shows: the published runs, the studies and the data set.

    Runs of other splits count too, since they may be members of a blend.
    """
    root, data = report.results.root, dataset_folder(data_home(), report.card.name)
    digest = hashlib.sha256()
    for file in sorted((*root.glob("*/*/*/*/record.json"), *root.glob(".studies/*.db*"), data / "dataset.json")):
        with suppress(OSError):  # it is removed at this moment, or the data set is not downloaded
            digest.update(f"{file} {file_stamp(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _describe(run: UnfinishedRun, now: float) -> tuple[str, ...]:
    """A line about a run under way."""
    request = run.request
    where = f"{request.dataset.name}, {request.split.name}"
    line = (request.plugin.name, where, str(request.seed), *_describe_curve(run.epochs), _describe_time(run, now))
    return tuple(map(page_text, line))


def _describe_curve(epochs: Sequence[Epoch]) -> tuple[str, str]:
    """How far a run is, and how good."""
    if not epochs:
        return numbers.NONE, numbers.NONE
    progress = f"{epochs[-1].epoch} of {epochs[-1].epochs}"
    last = next((epoch for epoch in reversed(epochs) if epoch.valid_rmse is not None), None)
    best = best_epoch(epochs)
    if last is None or best is None:
        return progress, numbers.NONE
    return progress, f"{numbers.score(last.valid_rmse)}; best {numbers.score(best.valid_rmse)} in epoch {best.epoch}"


def _describe_time(run: UnfinishedRun, now: float) -> str:
    """When a run began, and how long its fit still takes."""
    passed, left = now - run.request.started.timestamp(), run.most_seconds_left(now)
    began = f"began {numbers.duration(max(0.0, passed))} ago"
    return began if left is None else f"{began}, at most {numbers.duration(left)} left"
