"""A tracker: a program of others that shows runs, and where it keeps them."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from cfbench import advice
from cfbench.contract import Epoch
from cfbench.errors import CfbenchError, TrackerError, UsageError
from cfbench.runs.arrays import read_curve
from cfbench.tracking.facts import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cfbench.runs.record import Record, Request
    from cfbench.tracking.facts import TrackerName


class Tracker(Protocol):
    """Receives one run after the other. A run that it has already is replaced or completed, never doubled."""

    name: TrackerName

    @property
    def place(self) -> str:
        """Where it keeps the runs, for people."""

    def begin(self, request: Request) -> None:
        """A run begins."""

    def add(self, epochs: Sequence[Epoch]) -> None:
        """So many more epochs have finished."""

    def end(self, record: Record, folder: Path) -> None:
        """The run has ended; its files are in the folder."""

    def stop(self) -> None:
        """The run was interrupted, or its plugin failed."""


def parse_tracker(text: str) -> tuple[TrackerName, str | None]:
    """Return the name and the place of `mlflow` or `mlflow:PLACE`; raises `UsageError`."""
    name, _, place = text.partition(":")
    for known in NAMES:
        if known == name:
            return known, place or None
    raise UsageError(f"unknown tracker {name!r}; expected tensorboard or mlflow, or for example tensorboard:FOLDER")


def open_tracker(name: TrackerName, place: str | None) -> Tracker:
    """Return a tracker. `place` is a folder for TensorBoard, and a file or the address of a server for MLflow.

    By default they are `tensorboard` and `mlflow.db` in this folder; the variable `MLFLOW_TRACKING_URI` names another
    place for MLflow. Raises `UsageError` if the library is not installed.
    """
    if importlib.util.find_spec(name) is None:
        command = advice.pip_install("cfbench-recsys[tracking]")
        raise UsageError(f"{name} is not installed; install it with: {command}")
    if name == "tensorboard":
        from cfbench.tracking.tensorboard import TensorBoard

        return TensorBoard(place)
    from cfbench.tracking.mlflow import MLflow

    return MLflow(place)


def copy_run(record: Record, folder: Path, tracker: Tracker) -> None:
    """Copy a stored run to a tracker. Raises `RecordError`, `TrackerError`."""
    curve = [Epoch(epochs=record.outcome.epochs or 0, **row) for row in read_curve(folder)]
    with tracker_errors(tracker):
        tracker.begin(record.request)
        tracker.add(curve)
        tracker.end(record, folder)


@contextmanager
def tracker_errors(tracker: Tracker) -> Iterator[None]:
    """Turn any fault of a tracker's library into a `TrackerError` of one line."""
    try:
        yield
    except CfbenchError:
        raise
    except Exception as fault:
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise TrackerError(f"cannot write to {tracker.place}: {reason[:300]}") from fault
