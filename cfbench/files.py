"""Files that appear whole or not at all.

Everything cfbench keeps is written beside its final name and moved there by one rename, so that no reader ever meets half a
file. Faults of the machine (no space, no permission) come out as `PlaceError`, saying which folder and what to do.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from cfbench.errors import PlaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADVICE = {
    errno.ENOSPC: "no space left on the disk; free some, or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space, or choose another folder",
    errno.EACCES: "you may not write there; change its permissions, or choose another folder",
    errno.EPERM: "you may not write there; change its permissions, or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
}


@contextmanager
def place_errors(path: Path, setting: str = "") -> Iterator[None]:
    """Turn a fault of the file system at `path` into a `PlaceError` (other `OSError`s pass).

    `setting` names the variable or option that moves the folder elsewhere.
    """
    try:
        yield
    except OSError as fault:
        if fault.errno not in _ADVICE:
            raise
        how = f" with {setting}" if setting else ""
        raise PlaceError(f"cannot write {path}: {_ADVICE[fault.errno]}{how}") from fault


def make_folder(path: Path, setting: str = "") -> Path:
    """Create `path` with its parents and return it; raises `PlaceError`."""
    with place_errors(path, setting):
        path.mkdir(parents=True, exist_ok=True)
    return path


def require_space(folder: Path, needed: int, setting: str = "") -> None:
    """Raise `PlaceError` unless the file system of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        how = f" with {setting}" if setting else ""
        raise PlaceError(
            f"not enough disk space in {folder}: {size(needed)} needed, {size(free)} free; free some, or choose another folder{how}"
        )


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path`: the old file or the whole new one is there, even after a crash; raises `PlaceError`."""
    with place_errors(path), replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; on leaving, that file takes the place of `path` in one rename."""
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield beside
        _flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def folder_appearing(path: Path) -> Iterator[Path]:
    """Give a hidden folder beside `path` to fill; on leaving, it becomes `path` in one rename. On an error it is removed."""
    make_folder(path.parent)
    with place_errors(path):
        hidden = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        hidden.chmod(0o755)
        try:
            yield hidden
            publish_folder(hidden, path)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def publish_folder(hidden: Path, path: Path) -> None:
    """Move a complete folder to the name people see, in one rename, with its bytes on the disk first."""
    for file in hidden.iterdir():
        _flush(file)
    make_folder(path.parent)
    hidden.rename(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size(count: float) -> str:
    """A number of bytes for people: `4.9 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def remove_folder(path: Path, **options: Any) -> None:
    """Remove a folder and all in it; raises `PlaceError`."""
    with place_errors(path):
        shutil.rmtree(path, **options)
