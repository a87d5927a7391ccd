"""Every run in a results folder, finished or not, with its size; and how runs are removed.

A run disappears by one rename into a hidden folder, which is deleted afterwards. So no reader ever sees half a run, and
the next run removes what a killed process could not delete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from cfbench import advice
from cfbench.errors import RecordError, UsageError
from cfbench.files import folder_bytes
from cfbench.runs.costs import members_of
from cfbench.runs.record import read_record, read_request
from cfbench.runs.results import match_run

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from pathlib import Path

    from cfbench.runs.record import Request
    from cfbench.runs.results import Results

RunState: TypeAlias = Literal["finished", "diverged", "stopped", "failed", "interrupted", "running", "unreadable"]
"""The status in the record of a published run. An unfinished run is `running` while a process works on it, otherwise
`interrupted`. `unreadable` means that the record cannot be read."""


@dataclass(frozen=True)
class StoredRun:
    """A run in the results folder. What only the record can tell is None where the record is unreadable."""

    run: str
    dataset: str | None
    split: str | None
    plugin: str | None
    status: RunState
    started: datetime | None
    rmse: float | None
    """The test RMSE."""
    bytes: int
    """The size of its files."""
    folder: Path
    members: tuple[str, ...] = ()
    """The ids of the runs that it blends."""

    @property
    def finished(self) -> bool:
        """Whether it is published, with whatever result."""
        return self.status not in ("interrupted", "running")


def list_runs(results: Results) -> list[StoredRun]:
    """Return all runs, oldest first: those of all data sets and splits, and the unfinished ones."""
    finished = (_describe_finished(folder) for folder in results.finished_folders())
    unfinished = (_describe_unfinished(folder, results) for folder in results.unfinished_folders())
    return sorted((run for run in (*finished, *unfinished) if run is not None), key=lambda run: run.run)


def _describe_finished(folder: Path) -> StoredRun:
    """Describe a run in the place of finished ones; without a readable record, by the names of its folders."""
    try:
        record = read_record(folder / "record.json")
    except RecordError:
        dataset, split, plugin, run = folder.parts[-4:]
        return StoredRun(run, dataset, split, plugin, "unreadable", None, None, folder_bytes(folder), folder)
    return _describe(record.request, record.outcome.status, folder, record.outcome.rmse)


def _describe_unfinished(folder: Path, results: Results) -> StoredRun | None:
    """Describe an unfinished run; None if it has been published meanwhile."""
    status: RunState = "running" if results.is_running(folder.name) else "interrupted"
    try:
        return _describe(read_request(folder / "request.json"), status, folder)
    except RecordError:
        if not folder.exists():
            return None
    return StoredRun(folder.name, None, None, None, status, None, None, folder_bytes(folder), folder)


def _describe(request: Request, status: RunState, folder: Path, rmse: float | None = None) -> StoredRun:
    return StoredRun(
        run=folder.name, dataset=request.dataset.name, split=request.split.name, plugin=request.plugin.name,
        status=status, started=request.started, rmse=rmse, bytes=folder_bytes(folder), folder=folder,
        members=tuple(members_of(request)),
    )  # fmt: skip


def find_finished(names: Sequence[str], runs: Sequence[StoredRun], results: Results) -> list[StoredRun]:
    """Return the finished runs with these ids, parts of ids, or `last`. Raises `UnknownNameError`, `UsageError`."""
    return _find(names, runs, results, finished=True)


def find_unfinished(names: Sequence[str], runs: Sequence[StoredRun], results: Results) -> list[StoredRun]:
    """Return the unfinished runs with these ids or parts of ids. Raises `UnknownNameError`, `UsageError`."""
    return _find(names, runs, results, finished=False)


def _find(names: Sequence[str], runs: Sequence[StoredRun], results: Results, *, finished: bool) -> list[StoredRun]:
    """Return the runs of one kind, each once; a run of the other kind gets a message that names its command."""
    known = {run.run: run for run in runs if run.finished == finished}
    newest = max((run.run for run in known.values() if run.status != "unreadable"), default="last")
    others = {run.run for run in runs} - set(known)
    found = {}
    for name in names:
        if name in others:
            state, command = ("unfinished", "discard") if finished else ("finished", "rm")
            remove = advice.command("runs", command, name, results=results.root)
            raise UsageError(f"run {name} is {state}; `{remove}` removes it")
        run = newest if finished and name == "last" else name
        match = match_run(run, list(known), "finished run" if finished else "unfinished run")
        found[match] = known[match]
    return list(found.values())


def blends_of(removed: Collection[StoredRun], runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the runs that stay and blend one of the removed runs: they lose their cost and their predictor."""
    names = {run.run for run in removed}
    return [run for run in runs if run.run not in names and names.intersection(run.members)]


def require_idle(run: StoredRun, results: Results) -> None:
    """Raise `RecordError` if a process is working on the run."""
    if results.is_running(run.run):
        raise RecordError(f"a process is working on run {run.run}; stop it with Ctrl-C, or wait until it ends")


def remove_run(run: StoredRun, results: Results) -> None:
    """Remove a run. Raises `RecordError` if a process is working on it, or if it is gone; `WriteError`."""
    require_idle(run, results)
    with results.lock(run.run):
        if not run.folder.exists():
            listing = advice.command("runs", results=results.root)
            raise RecordError(f"run {run.run} is no longer in {run.folder}; `{listing}` shows what there is")
        results.remove(run.folder)
