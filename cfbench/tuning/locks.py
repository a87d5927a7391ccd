"""The locks of a study: each process that runs trials holds one, and the system releases it however the process ends.

    <database>.locks/<study>/<process id>-<command>.lock

The folder is beside a database file; for a server it is in the data folder. A process id alone does not say whether a
process still runs: after a container starts again, another process has the same id.
"""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cfbench.files import data_home
from cfbench.tuning.database_url import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_TO_LOCK = 5.0
"""Other processes hold a lock for a moment when they look whether it is free."""


def locks_folder(url: str) -> Path:
    """The folder of the locks of all studies in a database."""
    address = parse_url(url)
    if address.get_backend_name() == "sqlite":
        return Path(f"{address.database}.locks").absolute()
    place = f"{address.get_backend_name()} {address.host} {address.port} {address.database}"
    return data_home() / "studies" / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.locks"


def mark_of_process(command: str) -> str:
    """What a trial says of this process, which works for a command: `host:pid-command`."""
    return f"{platform.node()}:{os.getpid()}-{command}"


def lock_name(mark: str) -> str:
    """The name of the lock that the process of a mark holds."""
    return mark.rpartition(":")[2]


def describe_process(mark: str) -> str:
    """The process of a mark, as messages name it."""
    host, _, name = mark.rpartition(":")
    return f"process {name.partition('-')[0]} on {host}" if host else "an unknown process"


@dataclass(frozen=True)
class WorkerLocks:
    """The locks of the processes that run trials of one study."""

    folder: Path

    @staticmethod
    def of_study(name: str, url: str) -> WorkerLocks:
        """The locks of a study in the database at `url`."""
        return WorkerLocks(locks_folder(url) / name)

    @contextmanager
    def hold(self, command: str) -> Iterator[None]:
        """Hold the lock of this process; without one where the file system has no locks."""
        lock = FileLock(self._file(lock_name(mark_of_process(command))))
        with suppress(OSError, NotImplementedError, Timeout):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=SECONDS_TO_LOCK)
        try:
            yield
        finally:
            if lock.is_locked:
                self.remove({Path(lock.lock_file).stem})
                lock.release()

    def free(self) -> set[str]:
        """The names of the locks whose processes are gone."""
        return {name for name in self._names() if _is_free(self._file(name))}

    def held(self) -> set[str]:
        """The names of the locks whose processes run."""
        return self._names() - self.free()

    def remove(self, names: set[str]) -> None:
        """Remove the locks of processes that are gone, and the folder if it is empty then."""
        with suppress(OSError):
            for name in names:
                self._file(name).unlink(missing_ok=True)
            self.folder.rmdir()

    def _names(self) -> set[str]:
        return {file.stem for file in self.folder.glob("*.lock")}

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.lock"


def _is_free(file: Path) -> bool:
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except (OSError, NotImplementedError, Timeout):
        return False
    lock.release()
    return True
