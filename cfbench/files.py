"""Files and folders that appear complete or not at all, and the locks of running processes.

Everything cfbench writes is written next to its final name and moved there by one rename, so no reader ever sees half a
file. Errors of the machine (no space, no permission) are raised as `WriteError`, which says where and what to do.

Unfinished files are in a hidden folder next to the target, `.<name>.<random>.cfbench`. The writing process holds a lock
in that folder, and the system releases the lock when the process ends, however it ends. So a hidden folder without a
held lock is a leftover of a killed process, and the next process that writes in the same folder removes it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from cfbench.errors import CfbenchError, WriteError
from cfbench.folder_exchange import HIDDEN_SUFFIX, put_folder, remove_hidden, remove_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock

_LOCK_NAME = ".lock"
# Another process may remove the folder before it is locked.
_LOCK_TRIES = 3
_LOCK_TIMEOUT = 1.0  # seconds; `is_locked` in another process holds the lock for a moment
_ADVICE = {
    errno.ENOSPC: "no space left on the disk; free some, or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space, or choose another folder",
    errno.EACCES: "you may not write there; change its permissions, or choose another folder",
    errno.EPERM: "you may not write there; change its permissions, or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "there is no such folder, and it cannot be created; choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file exists where a folder is needed; choose another folder",
    errno.EISDIR: "a folder exists where a file is needed; move it away, or choose another folder",
    errno.ENOTEMPTY: "a folder with files exists there; remove it, or choose another folder",
    errno.ENAMETOOLONG: "a name in that path is too long; choose another folder",
    errno.ELOOP: "symbolic links in that path lead to each other; correct them, or choose another folder",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows; choose another folder",
    errno.EIO: "the disk or its connection fails; check it, or choose another folder",
    errno.ESTALE: "the network file system has lost the file; try again, or choose another folder",
    errno.ENOLCK: "the file system gives no lock; try again, or choose another folder",
}


DATA_VARIABLE = "CFBENCH_DATA"
"""The environment variable that sets the data folder."""


def data_home() -> Path:
    """The folder of all data: `$CFBENCH_DATA`, else the user's cache folder. It may not exist yet.

    Raises `WriteError` for a name that no folder can have.
    """
    setting = os.environ.get(DATA_VARIABLE)
    if setting:
        folder = Path(setting).expanduser().absolute()
        with write_errors(folder, DATA_VARIABLE):
            folder.exists()  # an error if its name is too long
        return folder
    from platformdirs import user_cache_path

    return user_cache_path("cfbench", appauthor=False)


@contextmanager
def write_errors(path: Path, setting: str = "") -> Iterator[None]:
    """Turn an error of the system at `path` into a `WriteError`; other exceptions pass.

    `setting` names the variable or option that chooses another folder.
    """
    try:
        yield
    except CfbenchError:
        raise
    except Exception as error:
        number = _error_number(error)
        if not number and not _is_utf8(path):  # polars and safetensors need text
            shown = os.fsencode(path.absolute()).decode(errors="backslashreplace")
            raise WriteError(
                f"cannot write {shown}: its name is not UTF-8; choose another folder{_with_setting(setting)}"
            ) from error
        if not number:
            raise
        advice = _ADVICE.get(number) or f"{os.strerror(number).lower()}; choose another folder"
        raise WriteError(f"cannot write {path}: {advice}{_with_setting(setting)}") from error


def _error_number(error: Exception) -> int:
    """The system's error number, 0 if there is none. polars and safetensors give it only in their text."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else 0


def _is_utf8(path: Path) -> bool:
    """Whether the name is text. Python has a surrogate for each byte that is no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in str(path.absolute()))


def _with_setting(setting: str) -> str:
    return f" with {setting}" if setting else ""


def make_folder(path: Path, setting: str = "") -> Path:
    """Create `path` with its parents and return it; raises `WriteError`."""
    with write_errors(path, setting):
        path.mkdir(parents=True, exist_ok=True)
    return path


def require_space(folder: Path, needed: int, setting: str = "") -> None:
    """Raise `WriteError` unless the file system of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WriteError(
            f"not enough disk space in {folder}: {format_bytes(needed)} needed, {format_bytes(free)} free; "
            f"free some, or choose another folder{_with_setting(setting)}"
        )


def write_atomically(path: Path, content: bytes | str, setting: str = "") -> None:
    """Write `content` to `path`. Even after a crash, `path` is the old file or the complete new one.

    Raises `WriteError`.
    """
    with write_errors(path, setting), atomic_file(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a name to write to; on exit, one rename moves that file to `path`.

    On an error the unfinished file is removed and `path` stays as it was. Raises `OSError`: use it inside
    `write_errors`.
    """
    path = path.absolute()  # so that "." has a name
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path) as scratch:
        unfinished = scratch / path.name
        yield unfinished
        _flush(unfinished)
        unfinished.replace(path)


@contextmanager
def atomic_folder(path: Path, setting: str = "", *, replace: bool = False) -> Iterator[Path]:
    """Yield a hidden folder to fill; on exit, one rename moves it to `path`.

    With `replace`, an existing folder at `path` is replaced at that moment. On an error the hidden folder is removed
    and the existing one stays. A kill leaves the old folder or the new one, as `folder_exchange` explains. Raises
    `WriteError`.
    """
    with write_errors(path, setting):
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path) as scratch:
            hidden = scratch / path.name
            hidden.mkdir()
            yield hidden
            publish_folder(hidden, path, replace=replace)


def publish_folder(hidden: Path, path: Path, *, replace: bool = False) -> None:
    """Flush the files of a complete folder to the disk, then rename it to `path`.

    With `replace`, `hidden` is in a scratch folder next to `path`, and an existing folder at `path` moves there.
    Raises `OSError`: use it inside `write_errors`.
    """
    flush_files(hidden)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not replace:
        hidden.rename(path)
        return
    put_folder(hidden, path)
    with suppress(OSError):  # the old folder is removed next, so the new name must be on the disk before
        _flush(path.parent)


def flush_files(folder: Path) -> None:
    """Flush the files of a folder to the disk. Raises `OSError`: use it inside `write_errors`."""
    for file in folder.iterdir():
        _flush(file)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder next to `path`, whose parent exists; it is removed on exit. Raises `OSError`.

    Leftovers of dead processes next to `path` are removed first.
    """
    remove_leftovers(path.parent)
    scratch, lock = _create_locked_folder(path)
    try:
        yield scratch
    finally:
        remove_scratch(scratch)
        lock.release()


def remove_folder(folder: Path, below: Path, setting: str = "") -> None:
    """Remove `folder`: one rename moves it into a hidden folder in `below`, which is deleted with all that it holds.

    Both are on one file system. What a killed process could not delete is a leftover in `below`. Raises `WriteError`.
    """
    with write_errors(folder, setting):
        below.mkdir(parents=True, exist_ok=True)
        with scratch_folder(below / folder.name) as scratch:
            folder.rename(scratch / folder.name)


def folder_bytes(folder: Path) -> int:
    """The size of all files in `folder`; a file that disappears meanwhile counts nothing."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            status = file.lstat()
            total += status.st_size if S_ISREG(status.st_mode) else 0
    return total


def remove_leftovers(folder: Path) -> None:
    """Remove the hidden folders of dead processes from `folder`; those of running processes stay.

    Processes of other machines count as running if the file system shares its locks.
    """
    from filelock import FileLock

    for hidden in folder.glob(f".*{HIDDEN_SUFFIX}"):
        lock = FileLock(hidden / _LOCK_NAME)
        if _try_acquire(lock):
            remove_scratch(hidden)
        lock.release()


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Lock `path`, which need not exist, until the block ends. Yield True, or False if another process has the lock.

    Yields True also where the file system has no locks. The lock is in a hidden folder next to `path`, so
    `remove_leftovers` removes it after a crash.
    """
    from filelock import FileLock, Timeout

    hidden = _lock_folder(path)
    lock = FileLock(hidden / _LOCK_NAME)
    try:
        acquired = _acquire_in(hidden, lock)
    except Timeout:
        acquired = False
    except (OSError, NotImplementedError):
        acquired = True  # without a lock
    try:
        yield acquired
    finally:
        if acquired:  # remove before the release: afterwards another process may have created its own folder
            _remove_lock(hidden)
        lock.release()


def _remove_lock(hidden: Path) -> None:
    """Remove a lock's file and then its folder, unless another process has just put its own lock there."""
    for remove in (hidden / _LOCK_NAME).unlink, hidden.rmdir:
        for _ in range(2):  # disks and network file systems may fail once
            with suppress(OSError):
                remove()
                break


def _acquire_in(hidden: Path, lock: BaseFileLock) -> bool:
    """Acquire the lock in a hidden folder, which other processes remove when they release it.

    Returns False if that happens again and again. Raises `Timeout` while another process holds it, `OSError`.
    """
    for _ in range(_LOCK_TRIES):
        hidden.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            lock.acquire(timeout=_LOCK_TIMEOUT)
            if Path(lock.lock_file).exists():
                return True
            lock.release()
    return False


def is_locked(path: Path) -> bool:
    """Whether a running process holds the lock of `path`; True also if this cannot be determined."""
    from filelock import FileLock

    hidden = _lock_folder(path)
    if not (hidden / _LOCK_NAME).exists():
        return False
    lock = FileLock(hidden / _LOCK_NAME)
    free = _try_acquire(lock)
    lock.release()
    return not free


def _lock_folder(path: Path) -> Path:
    return path.with_name(f".{path.name}{HIDDEN_SUFFIX}")


def _create_locked_folder(path: Path) -> tuple[Path, BaseFileLock]:
    """Create a hidden folder next to `path` and lock it; another process may remove it before it is locked."""
    from filelock import FileLock

    for _ in range(_LOCK_TRIES):
        hidden = Path(mkdtemp(prefix=f".{path.name}.", suffix=HIDDEN_SUFFIX, dir=path.parent))
        lock = FileLock(hidden / _LOCK_NAME)
        if _try_acquire(lock):
            return hidden, lock
        remove_hidden(hidden)
    hidden.mkdir()
    return hidden, lock


def _try_acquire(lock: BaseFileLock) -> bool:
    """Acquire a free lock; False if it is held, if there are no locks, or if its file was deleted meanwhile."""
    try:
        lock.acquire(timeout=0)
    except (OSError, NotImplementedError):
        return False
    return Path(lock.lock_file).exists()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def format_bytes(count: float) -> str:
    """A number of bytes for people: `4.9 MB`."""
    for unit, digits in (("B", 0), ("kB", 1), ("MB", 1), ("GB", 1)):
        if round(count, digits) < 1000:
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
