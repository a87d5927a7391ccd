"""The studies that are kept, each with its size; one that no process works on can be removed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from cfbench.errors import RecordError, UnknownNameError, WriteError
from cfbench.files import write_errors
from cfbench.tuning.database import creation_lock, open_storage, storage_errors
from cfbench.tuning.database_url import display_url, study_urls
from cfbench.tuning.locks import WorkerLocks, describe_process, lock_name, locks_folder
from cfbench.tuning.retry import trials_in_progress
from cfbench.tuning.study import load_studies

if TYPE_CHECKING:
    from optuna import Study


@dataclass(frozen=True)
class StoredStudy:
    """A study of `cfbench tune`, or a file in its place that holds none."""

    name: str
    url: str
    file: Path | None
    """The database file, if the study has it for itself."""
    study: Study | None
    """None if the file cannot be read or holds no study; `fault` then says why."""
    fault: str = ""

    @property
    def bytes(self) -> int | None:
        """The size of its files; None in a database that several studies share."""
        if self.file is None:
            return None
        return sum(file.stat().st_size for file in _files(self.file) if file.exists())


def list_studies(results: Path, storage: str | None) -> list[StoredStudy]:
    """The studies in a results folder, or in the database `storage`; raises `WriteError`, `UsageError`."""
    if storage:
        return [StoredStudy(study.study_name, storage, None, study) for study in load_studies(storage)]
    return [study for url in study_urls(results) for study in _list_file(url)]


def _list_file(url: str) -> list[StoredStudy]:
    file = Path(display_url(url))
    try:
        studies = load_studies(url)
    except (WriteError, RecordError) as error:
        return [StoredStudy(file.stem, url, file, None, str(error))]
    if not studies:
        return [StoredStudy(file.stem, url, file, None, f"{file} holds no study")]
    own = file if len(studies) == 1 else None
    return [StoredStudy(study.study_name, url, own, study) for study in studies]


def find_study(name: str, studies: list[StoredStudy]) -> StoredStudy:
    """The study of that name; raises `UnknownNameError`."""
    found = next((study for study in studies if study.name == name), None)
    if found is None:
        raise UnknownNameError("study", name, (study.name for study in studies))
    return found


def require_idle(stored: StoredStudy) -> None:
    """Raise `RecordError` if a process works on a study."""
    held = WorkerLocks.of_study(stored.name, stored.url).held()
    processes = {name: describe_process(f"this machine:{name}") for name in held}
    if stored.study is not None:
        for trial in trials_in_progress(stored.study, stored.url):
            mark = trial.user_attrs.get("worker", "")
            processes[lock_name(mark)] = describe_process(mark)
    if processes:
        who = ", ".join(sorted(processes.values()))
        raise RecordError(f"study {stored.name} is running in {who}; stop it with Ctrl-C first")


def remove_study(stored: StoredStudy) -> None:
    """Remove a study for good; raises `RecordError` if a process works on it, `WriteError`."""
    with storage_errors(stored.url):
        storage = open_storage(stored.url) if stored.file is None else None
        with creation_lock(stored.url), suppress(KeyError):  # another process removes it too
            require_idle(stored)
            if storage is not None:
                optuna.delete_study(study_name=stored.name, storage=storage)
            elif stored.file is not None:
                _remove_files(stored.file)
    locks = locks_folder(stored.url)
    shutil.rmtree(locks / stored.name if stored.file is None else locks, ignore_errors=True)


def _remove_files(database: Path) -> None:
    """Remove the files of a database; the database itself last, so that it stays listed until then."""
    with write_errors(database):
        for file in reversed(_files(database)):
            file.unlink(missing_ok=True)


def _files(database: Path) -> list[Path]:
    """The database, and the files that SQLite keeps beside it; they may not exist."""
    return [database.with_name(database.name + ending) for ending in ("", "-shm", "-wal", "-journal")]
