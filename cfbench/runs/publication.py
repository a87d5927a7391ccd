"""How a complete run is published: its record is written, its checkpoints are removed, and its folder is moved.

The record is written once every other file is on the disk, so a run that has it lacks nothing. If the process is killed
after that, the next command that reads runs removes what is left of the checkpoints and moves the folder.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cfbench.errors import RecordError
from cfbench.files import flush_files, publish_folder, remove_leftovers, write_atomically
from cfbench.runs.arrays import file_sha256
from cfbench.runs.record import read_record, read_request

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.runs.record import Record, Request

CHECKPOINT, REFIT_CHECKPOINT = "checkpoint.safetensors", "refit.safetensors"
"""The checkpoints of an unfinished run's first fit, and of its second one with `--refit`."""
PROGRESS = "progress.jsonl"
"""What an unfinished run tells other processes (`runs.under_way`)."""
_WORKING_FILES = ("request.json", CHECKPOINT, REFIT_CHECKPOINT, "resumed", PROGRESS)
"""Files that only an unfinished run needs."""


def write_record(folder: Path, record: Record) -> Record:
    """Write the record with the checksums of the files beside it, and return it; raises `OSError`, `WriteError`."""
    remove_leftovers(folder)
    names = {*_WORKING_FILES, "record.json"}
    files = {file.name: file_sha256(file) for file in sorted(folder.iterdir()) if file.name not in names}
    complete = record.model_copy(update={"files": files})
    flush_files(folder)
    write_atomically(folder / "record.json", complete.model_dump_json(indent=1) + "\n")
    return complete


def move(folder: Path, place: Path, record: Record) -> Path:
    """Move a complete run to its place, without its checkpoints unless it failed; raises `OSError`."""
    for name in _WORKING_FILES if record.outcome.status != "failed" else (PROGRESS,):
        (folder / name).unlink(missing_ok=True)
    remove_leftovers(folder)
    publish_folder(folder, place)
    return place


def complete_record(folder: Path) -> Record | None:
    """Return the record of an unfinished run that only has to be moved; None if it lacks anything else."""
    with suppress(RecordError, OSError):
        record = read_record(folder / "record.json")
        has_ended = record.outcome.status in ("finished", "diverged") and record.run == folder.name
        if has_ended and all(file_sha256(folder / name) == sha256 for name, sha256 in record.files.items()):
            return record
    return None


def read_unfinished(folder: Path) -> Request:
    """Read the request of an unfinished run; raises `RecordError`. A complete run may have it in its record only."""
    file = folder / "request.json"
    return read_request(file) if file.exists() else read_record(folder / "record.json").request


def remove_outputs(folder: Path) -> None:
    """Remove what a failed run published, so that it can be resumed; raises `OSError`."""
    for file in folder.iterdir():
        if file.name not in (*_WORKING_FILES, "record.json"):
            file.unlink()
