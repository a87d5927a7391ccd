"""What a data set keeps in the data folder: its bytes, and its removal.

The item rankings of runs belong to no data set; their folder is safe to delete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.data import card as cards
from cfbench.data import store
from cfbench.data.fetch import download_paths
from cfbench.data.manifest import dataset_folder
from cfbench.errors import CardError, UnknownNameError
from cfbench.files import DATA_VARIABLE, data_home, folder_bytes, remove_folder

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.progress import ProgressListener


@dataclass(frozen=True)
class StoredPart:
    """Files that a data set keeps for one purpose."""

    name: str
    """What they are, for messages: ratings, splits, downloads or card."""
    paths: tuple[Path, ...]
    """Files and folders that exist."""
    bytes: int


def known_names() -> list[str]:
    """The names of all data sets that have a card or a folder."""
    folders = (path for kind in ("datasets", "splits") for path in (data_home() / kind).glob("[!.]*"))
    return sorted({*cards.names(), *(path.name for path in folders if path.is_dir())})


def stored_parts(name: str) -> list[StoredPart]:
    """The parts that exist of a data set. Raises `UnknownNameError`."""
    if name not in known_names():
        raise UnknownNameError("data set", name, known_names(), advice=f"see `{advice.command('datasets')}`")
    home = data_home()
    paths = {
        "ratings": [dataset_folder(home, name), home / "terms" / name],
        "splits": [home / "splits" / name],
        "downloads": _downloads(name),
        "card": [] if name in cards.shipped_names() else [cards.imported_folder() / f"{name}.toml"],
    }
    existing = {
        part: tuple(path for path in each if path.exists() or path.is_symlink()) for part, each in paths.items()
    }
    return [StoredPart(part, found, sum(map(_bytes, found))) for part, found in existing.items() if found]


def stored_bytes(name: str) -> int:
    """The bytes of everything that a data set keeps."""
    return sum(part.bytes for part in stored_parts(name))


def remove_parts(name: str, listener: ProgressListener) -> None:
    """Remove everything that a data set keeps; wait while another process prepares it.

    The card of an imported data set goes last, so that a killed removal can be repeated. Raises `WriteError`.
    """
    with store.exclusive(name, listener):
        parts = {part.name: part for part in stored_parts(name)}
        card = parts.pop("card", None)
        for part in [*parts.values(), *([card] if card else [])]:
            for path in part.paths:
                remove_folder(path, path.parent, DATA_VARIABLE)
        if store.current() == name:
            store.forget_current()


def _downloads(name: str) -> list[Path]:
    """The files of a data set's sources that may be in the download folder, unfinished ones too."""
    try:
        card = cards.load(name)
    except (CardError, UnknownNameError):
        return []
    return download_paths(card, data_home() / "downloads")


def _bytes(path: Path) -> int:
    return folder_bytes(path) if path.is_dir() else path.lstat().st_size
