"""The results folder: where runs are stored, found and locked.

    <results>/<dataset>/<split>/<plugin>/<run-id>/
        record.json                 the record
        predictions.parquet         one prediction for each test rating, in the split's order
        valid_predictions.parquet   the same for the validation ratings, if the split has any
        curve.parquet               one row an epoch, for models with epochs
        model.safetensors           the model's state, from which it predicts again
    <results>/.unfinished/<run-id>/
        request.json                everything that was decided before the run started
        checkpoint.safetensors      from where it can be resumed
        refit.safetensors           the same for the second fit, with --refit
        record.json                 its state when it was stopped
        resumed                     one line for each time the run was resumed
        progress.jsonl              who works on it, and its epochs so far

A run is written in `.unfinished` and moved to its place by one rename when it is complete (`runs.publication`). A
failed run keeps its checkpoints there: it can be resumed once its plugin is repaired.

The process that works on a run holds a lock beside the run's folder, so that two processes never work on the same run.
Ratings are not copied: most licences forbid it, and the split's fingerprint says exactly which ratings they are.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from itertools import groupby
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.errors import CfbenchError, RecordError, SkippedRunsWarning, TakenRunError, UnknownNameError
from cfbench.files import (
    atomic_folder,
    is_locked,
    publish_folder,
    remove_folder,
    remove_leftovers,
    scratch_folder,
    try_lock,
    write_atomically,
    write_errors,
)
from cfbench.runs import publication
from cfbench.runs.arrays import write_arrays
from cfbench.runs.record import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cfbench.runs.arrays import RunArrays
    from cfbench.runs.record import Record, Request

_OPTION = "--results or CFBENCH_RESULTS"
_ID_TIME = len("20261124-041500")


@dataclass(frozen=True)
class Results:
    """A results folder."""

    root: Path

    def create(self, request: Request) -> Path:
        """Create the folder of an unfinished run with its request in it, and return it; raises `WriteError`."""
        self.complete_moves()
        folder = self._unfinished / request.run
        with atomic_folder(folder, _OPTION) as hidden:
            (hidden / "request.json").write_text(request.model_dump_json(indent=1), encoding="utf-8")
        return folder

    def remove_leftovers(self) -> None:
        """Remove what killed processes left beside the unfinished runs."""
        remove_leftovers(self._unfinished)

    def try_lock(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lock of this name until the block ends; gives False if another process holds it."""
        return try_lock(self._unfinished / name)

    @contextmanager
    def lock(self, run: str) -> Iterator[None]:
        """Hold the lock of a run; raises `TakenRunError` while another process holds it."""
        with self.try_lock(run) as is_free:
            if not is_free:
                raise TakenRunError(
                    f"another process is working on run {run}; resume the run once that process has stopped"
                )
            yield

    @contextmanager
    def resume(self, run: str) -> Iterator[tuple[Request, Path]]:
        """Hold the lock of an interrupted or failed run; gives its request and its unfinished folder.

        `run` is the run's id or a part of it. Raises `UnknownNameError`, `TakenRunError`, `RecordError`, `WriteError`.
        """
        failed = {path.parent.name: path.parent for path in self.root.glob("*/*/*/*/request.json")}
        known = [*self._unfinished_ids(), *failed]
        if run not in known and run in map(_run_id, self._record_files()):
            raise self._finished(run)
        name = match_run(run, known, "interrupted run")
        folder = self._unfinished / name
        self.remove_leftovers()
        with self.lock(name):
            if name in failed and not folder.exists():
                self._reopen_failed(failed[name], folder)
            if not folder.exists():
                raise self._finished(name)
            remove_leftovers(folder)  # a checkpoint that was being written
            yield self._read_request(name), folder

    def _reopen_failed(self, place: Path, folder: Path) -> None:
        """Move a failed run back to the unfinished ones, without what it published; raises `TakenRunError`."""
        if not place.exists() or read_record(place / "record.json").outcome.status != "failed":
            raise self._finished(place.name)
        with write_errors(folder, _OPTION):
            folder.parent.mkdir(parents=True, exist_ok=True)
            place.rename(folder)
            publication.remove_outputs(folder)

    def _finished(self, run: str) -> TakenRunError:
        show = advice.command("show", run, results=self.root)
        return TakenRunError(f"run {run!r} is finished; `{show}` shows it")

    def mark_stopped(self, folder: Path, record: Record) -> None:
        """Write the record of a stopped run into its unfinished folder, unless it is complete; raises `WriteError`."""
        if publication.complete_record(folder) is None:
            write_atomically(folder / "record.json", record.model_dump_json(indent=1) + "\n")

    def unfinished(self) -> list[str]:
        """Return the ids of unfinished runs that no process is working on, oldest first."""
        return [run for run in self._unfinished_ids() if not self.is_running(run)]

    def interrupted(self) -> list[Request]:
        """Return the requests of the unfinished runs; skip those that cannot be read or have just finished."""
        requests = []
        for run in self.unfinished():
            with suppress(RecordError):
                requests.append(self._read_request(run))
        return requests

    def _read_request(self, run: str) -> Request:
        """Read the request of an unfinished run; raises `RecordError`, also if its folder has another name."""
        folder = self._unfinished / run
        request = publication.read_unfinished(folder)
        _check_folder(folder / "request.json", request.run)
        return request

    def publish(self, folder: Path, record: Record) -> tuple[Record, Path]:
        """Write the record with the checksums of the files beside it, and move the folder to its place in one rename.

        Returns the complete record and the run's new folder. Raises `WriteError`.
        """
        with write_errors(self.root, _OPTION):
            complete = publication.write_record(folder, record)
            return complete, publication.move(folder, self.place(record.request), complete)

    def add(self, record: Record, arrays: RunArrays) -> tuple[Record, Path]:
        """Store a run that was made elsewhere; returns its complete record and its folder. Raises `WriteError`.

        It cannot be resumed, so an error leaves nothing of it, and what a kill leaves is removed with other leftovers.
        """
        place = self.place(record.request)
        with write_errors(self.root, _OPTION):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            with scratch_folder(self._unfinished / record.run) as scratch:
                folder = scratch / record.run
                folder.mkdir()
                write_arrays(folder, arrays)
                complete = publication.write_record(folder, record)
                publish_folder(folder, place)
        return complete, place

    def complete_move(self, folder: Path) -> tuple[Record, Path] | None:
        """Move a run whose process was killed when it was complete; None if it is not. Raises `WriteError`."""
        record = publication.complete_record(folder)
        if record is None:
            return None
        with write_errors(self.root, _OPTION):
            return record, publication.move(folder, self.place(record.request), record)

    def complete_moves(self) -> None:
        """Move all runs whose processes were killed when they were complete, where this is possible."""
        for folder in self.unfinished_folders():
            if publication.complete_record(folder) is not None and not self.is_running(folder.name):
                with suppress(CfbenchError), self.lock(folder.name):
                    self.complete_move(folder)

    def place(self, request: Request) -> Path:
        """Return the folder of a finished run."""
        return self.root / request.dataset.name / request.split.name / request.plugin.name / request.run

    def records(self, dataset: str, split: str) -> list[Record]:
        """Return the finished runs of a data set and split, oldest first.

        Records that are unreadable, newer or moved are left out; a `SkippedRunsWarning` counts and names them.
        """
        self.complete_moves()
        return self._read(sorted(self.root.glob(f"{dataset}/{split}/*/*/record.json"), key=_run_id))

    def _read(self, files: Iterable[Path]) -> list[Record]:
        """Return the records that can be used; a `SkippedRunsWarning` counts and names the others."""
        records, faults = [], []
        for path in files:
            try:
                records.append(self._read_in_place(path))
            except RecordError as fault:
                faults.append(fault)
        warn_of_skipped(faults)
        return records

    def _read_in_place(self, path: Path) -> Record:
        """Read the record of a finished run; raises `RecordError`, also if its folder belongs to another run."""
        record = read_record(path)
        place = self.place(record.request)
        if path.parent != place:
            raise RecordError(f"{path} is the record of run {record.run}; move its folder to {place}")
        return record

    def get(self, run: str) -> Record | None:
        """Return the finished run of this full id, or None if it is not there; raises `RecordError`."""
        return next(map(self._read_in_place, self.root.glob(f"*/*/*/{escape(run)}/record.json")), None)

    def find(self, run: str) -> tuple[Record, Path]:
        """Return a finished or stopped run and its folder.

        `run` is its id, a part of it, or `last` for the newest finished one that can be read. Raises
        `UnknownNameError`, `RecordError`.
        """
        self.complete_moves()
        finished = self._record_files()
        newest = self._newest(finished) if run == "last" else None
        if newest is not None:
            return newest, self.place(newest.request)
        stopped = {_run_id(path): path for path in self._unfinished.glob("*/record.json")}
        files = {_run_id(path): path for path in finished} | stopped
        name = match_run(run, list(files), "run")
        if name not in stopped:
            return self._read_in_place(files[name]), files[name].parent
        record = read_record(files[name])
        _check_folder(files[name], record.run)
        return record, files[name].parent

    def _newest(self, files: Sequence[Path]) -> Record | None:
        """Return the newest record that can be read. Ids tell the second in which a run began, and records the rest."""
        for _, of_one_second in groupby(reversed(files), key=lambda path: _run_id(path)[:_ID_TIME]):
            records = self._read(of_one_second)
            if records:
                return max(records, key=lambda record: record.request.started)
        return None

    def finished_folders(self) -> list[Path]:
        """Return the folders of all finished runs, oldest first, also of those whose records cannot be read."""
        self.complete_moves()
        return [path.parent for path in self._record_files()]

    def unfinished_folders(self) -> list[Path]:
        """Return the folders of all unfinished runs, oldest first."""
        return sorted(path for path in self._unfinished.glob("*") if path.is_dir() and not path.name.startswith("."))

    def is_running(self, run: str) -> bool:
        """Return whether a process is working on a run."""
        return is_locked(self._unfinished / run)

    def remove(self, folder: Path) -> None:
        """Remove the folder of a run, which disappears at once; hold its lock. Raises `WriteError`."""
        remove_folder(folder, self._unfinished, _OPTION)

    def _unfinished_ids(self) -> list[str]:
        return sorted({path.parent.name for path in self._unfinished.glob("*/re*.json")})

    def _record_files(self) -> list[Path]:
        """Return the record file of each finished run, oldest first."""
        return sorted(self.root.glob("*/*/*/*/record.json"), key=_run_id)

    @property
    def _unfinished(self) -> Path:
        return self.root / ".unfinished"


def warn_of_skipped(faults: Sequence[RecordError]) -> None:
    """Warn once of all runs that are left out, if there are any."""
    if faults:
        runs = "1 run" if len(faults) == 1 else f"{len(faults)} runs"
        lines = [f"skipped {runs}:", *map(str, faults)]
        warnings.warn("\n".join(lines), SkippedRunsWarning, stacklevel=1)


def _check_folder(file: Path, run: str) -> None:
    """Raise `RecordError` unless the folder of an unfinished run bears the run's id."""
    if file.parent.name != run:
        raise RecordError(f"{file} belongs to run {run}; rename its folder to {run}")


def _run_id(record_file: Path) -> str:
    return record_file.parent.name


def match_run(run: str, known: list[str], kind: str) -> str:
    """Return the one id that is `run` or contains it; raises `UnknownNameError`."""
    matches = [run] if run in known else [name for name in known if run in name]
    if len(matches) != 1:
        advice = "several runs match; type more of the id" if matches else ""
        raise UnknownNameError(kind, run, matches or known, advice=advice)
    return matches[0]
