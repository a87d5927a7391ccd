"""Files that appear whole or not at all.

Everything cfbench keeps is written beside its final name and moved there by one rename, so that no reader ever meets
half a file. Faults of the machine (no space, no permission) come out as `WriteError`, saying where and what to do.

What is not whole yet stands in a hidden folder beside it, `.<name>.<random>.cfbench`, and a lock in there is held as
long as its process lives, however that ends. So what a killed process left is known for that, and the next one that
writes into the same folder removes it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from cfbench.errors import CfbenchError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock

_UNFINISHED = ".cfbench"
_LOCK = ".lock"
_CLAIMS = 3  # tries to lock a place before another sweeps it; where that many fail there are no locks, nor sweepers
_LOOK = 1.0  # seconds to wait for a lock that may be tried by one who only looks
_ADVICE = {
    errno.ENOSPC: "no space left on the disk; free some, or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space, or choose another folder",
    errno.EACCES: "you may not write there; change its permissions, or choose another folder",
    errno.EPERM: "you may not write there; change its permissions, or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "there is no such folder, and none can be made there; choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
    errno.EISDIR: "a folder stands where a file is needed; move it away, or choose another place",
    errno.ENOTEMPTY: "a folder with files in it stands there; remove it, or choose another folder",
    errno.ENAMETOOLONG: "a name in that path is too long; choose another folder",
}


DATA_VARIABLE = "CFBENCH_DATA"
"""The environment variable that moves the data elsewhere."""


def data_home() -> Path:
    """The folder of all data: `$CFBENCH_DATA`, else the user's cache folder. It may not exist yet."""
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("cfbench", appauthor=False)


@contextmanager
def write_errors(path: Path, setting: str = "") -> Iterator[None]:
    """Turn a fault of the file system at `path` into a `WriteError` (other exceptions pass).

    `setting` names the variable or option that moves the folder elsewhere.
    """
    try:
        yield
    except CfbenchError:
        raise
    except Exception as fault:
        advice = _ADVICE.get(_error_number(fault))
        if advice is None:
            raise
        raise WriteError(f"cannot write {path}: {advice}{_by(setting)}") from fault


def _error_number(fault: Exception) -> int:
    """The system's number of a fault, 0 if it has none. polars and safetensors tell it only in their text."""
    if isinstance(fault, OSError) and fault.errno:
        return fault.errno
    told = re.search(r"\(os error (\d+)\)", str(fault))
    return int(told[1]) if told else 0


def _by(setting: str) -> str:
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
            f"free some, or choose another folder{_by(setting)}"
        )


def write_atomically(path: Path, content: bytes | str, setting: str = "") -> None:
    """Write `content` to `path`: the old file or the whole new one is there, even after a crash.

    Raises `WriteError`.
    """
    with write_errors(path, setting), atomic_file(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; on leaving, that file takes the place of `path` in one rename.

    On an error it is removed and `path` stays as it was. Raises `OSError`: use it inside `write_errors`.
    """
    path = path.absolute()  # so that "." has a name
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path) as place:
        beside = place / path.name
        yield beside
        _flush(beside)
        beside.replace(path)


@contextmanager
def atomic_folder(path: Path, setting: str = "", *, replace: bool = False) -> Iterator[Path]:
    """Give a hidden folder to fill; on leaving, it becomes `path` in one rename.

    With `replace` a folder that is there gives way at that moment. On an error the hidden one is removed and the other
    stays. Raises `WriteError`.
    """
    with write_errors(path, setting):
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path) as place:
            hidden = place / path.name
            hidden.mkdir()
            yield hidden
            publish_folder(hidden, path, aside=place / "old" if replace else None)


def publish_folder(hidden: Path, path: Path, *, aside: Path | None = None) -> None:
    """Move a complete folder to the name people see, in one rename, with its bytes on the disk first.

    A folder that has the name is moved `aside` if that is given. Raises `OSError`: use it inside `write_errors`.
    """
    for file in hidden.iterdir():
        _flush(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    if aside is not None and path.exists():
        path.rename(aside)
    hidden.rename(path)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`, whose parent exists, to make it in; removed on leaving. Raises `OSError`.

    What processes that are gone left beside `path` is swept first.
    """
    remove_leftovers(path.parent)
    place, lock = _claimed(path)
    try:
        yield place
    finally:
        lock.release()
        shutil.rmtree(place, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished things of processes that are gone from a folder; those of living ones stay.

    Processes of other machines count as living where the file system shares its locks, as it must for data sets to be
    prepared by one at a time anyway.
    """
    from filelock import FileLock

    for place in folder.glob(f".*{_UNFINISHED}"):
        lock = FileLock(place / _LOCK)
        if _is_taken(lock):
            shutil.rmtree(place, ignore_errors=True)
        lock.release()


@contextmanager
def held_lock(path: Path) -> Iterator[bool]:
    """Hold `path`, which need not be there yet, as long as this process lives; False while another holds it.

    True also where there are no locks. A hidden folder beside it carries the lock, and is swept as those above are.
    """
    from filelock import FileLock, Timeout

    place = _holding(path)
    lock = FileLock(place / _LOCK)
    mine = True
    try:
        for _ in range(_CLAIMS):
            place.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_LOOK)
            if Path(lock.lock_file).exists():  # else it was swept meanwhile
                break
            lock.release()
    except Timeout:
        mine = False
    except (OSError, NotImplementedError):
        pass
    try:
        yield mine
    finally:
        if mine:  # removed while it is held: what the next one makes is not taken away
            shutil.rmtree(place, ignore_errors=True)
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a living process holds `path`, or may, where that cannot be told."""
    from filelock import FileLock

    place = _holding(path)
    if not (place / _LOCK).exists():
        return False
    lock = FileLock(place / _LOCK)
    free = _is_taken(lock)
    lock.release()
    return not free


def _holding(path: Path) -> Path:
    return path.with_name(f".{path.name}{_UNFINISHED}")


def _claimed(path: Path) -> tuple[Path, BaseFileLock]:
    """A new hidden folder beside `path`, and its lock, which is held. Another may sweep it before that is so."""
    from filelock import FileLock

    for _ in range(_CLAIMS):
        place = Path(mkdtemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent))
        lock = FileLock(place / _LOCK)
        if _is_taken(lock):
            return place, lock
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place, lock


def _is_taken(lock: BaseFileLock) -> bool:
    """Take a lock if nobody holds it; False also where there are no locks, or it was swept meanwhile."""
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
