"""A folder takes the place of another one, and no moment of a kill loses both.

Where the system can, one call exchanges the two folders. Elsewhere there are two renames: the old folder moves to
`SCRATCH/replaced/NAME`, and the new one takes its name. A process that stops between the two leaves nothing under that
name, and `restore_replaced` moves the old folder back. SCRATCH is the hidden folder of `cfbench.files` next to NAME.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN_SUFFIX = ".cfbench"
"""The end of the name of a hidden folder with unfinished files."""
_REPLACED = "replaced"
_EXCHANGE = 2  # the flag of both systems' calls
_AT_CURRENT_FOLDER = -100


def put_folder(new: Path, path: Path) -> None:
    """Rename the folder `new`, which is in a scratch folder next to `path`, to `path`, in place of what is there.

    What was there is in the scratch folder afterwards. Raises `OSError`; then `path` is what it was, or
    `restore_replaced` makes it so.
    """
    if _exchange(new, path):
        return
    old = new.parent / _REPLACED / path.name
    old.parent.mkdir(exist_ok=True)
    while True:
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            new.rename(path)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        else:  # after such an error another process has restored the old folder meanwhile, so it moves away again
            return


def restore_replaced(folder: Path) -> None:
    """Move back what processes that stopped inside `put_folder` moved away from `folder`, where nothing replaced it."""
    for old in folder.glob(f".*{HIDDEN_SUFFIX}/{_REPLACED}/*"):
        with suppress(OSError):
            if not (folder / old.name).exists():
                old.rename(folder / old.name)


def remove_scratch(scratch: Path) -> None:
    """Remove a scratch folder. If it holds the only copy of a folder, that one is restored first, or it all stays."""
    restore_replaced(scratch.parent)
    replaced = scratch / _REPLACED
    if all((scratch.parent / old.name).exists() for old in replaced.glob("*")):
        with suppress(OSError):  # so that `restore_replaced` never finds a folder that is half removed
            replaced.rename(scratch / "removed")
        remove_hidden(scratch)


def remove_hidden(folder: Path) -> None:
    """Remove a hidden folder as far as possible. Disks and network file systems may fail once."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step. Return False if the system or the file system cannot, or one is missing."""
    paths = os.fsencode(first), os.fsencode(second)
    library = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            return bool(library.renamex_np(*paths, _EXCHANGE) == 0)
        return bool(library.renameat2(_AT_CURRENT_FOLDER, paths[0], _AT_CURRENT_FOLDER, paths[1], _EXCHANGE) == 0)
    except AttributeError:  # an old system library
        return False
