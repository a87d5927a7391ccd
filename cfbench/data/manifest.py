"""`dataset.json`: what was prepared, from which source, and how to notice that a file has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from cfbench.data.checksums import checksum
from cfbench.data.fetch import download_command
from cfbench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.card import Card


class Manifest(BaseModel):
    """What was prepared, from which source, and the checksum of every other file."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer cfbench may write more fields

    name: str
    version: int
    fingerprint: str
    users: int
    items: int
    ratings: int
    source: str
    files: dict[str, str]
    stamps: dict[str, tuple[int, int]]
    """Size in bytes and time of last change in ns of each file; a file with an equal stamp needs no checksum."""
    original_ids: bool = False
    """Whether items have their original ids although the source names them otherwise."""

    def is_outdated(self, card: Card) -> bool:
        """Whether the data set was prepared from another version of its card."""
        return self.version != card.version or card.expected.fingerprint not in ("", self.fingerprint)

    def has_old_ids(self, card: Card) -> bool:
        """Whether the data set was prepared before the card gave its source the original ids of the items."""
        numbered = {source.location for source in card.sources if source.item_numbers is not None}
        return self.source in numbered and not self.original_ids


def dataset_folder(home: Path, name: str) -> Path:
    """The folder of a prepared data set."""
    return home / "datasets" / name


def read_manifest(home: Path, name: str) -> Manifest | None:
    """Read `dataset.json`; None if it is missing or damaged, because then no other file can be checked."""
    try:
        return Manifest.model_validate_json((dataset_folder(home, name) / "dataset.json").read_bytes())
    except (OSError, ValidationError):
        return None


def verified_file(home: Path, card: Card, manifest: Manifest | None, file: str) -> Path:
    """The path of a file that has not changed since it was written; raises `DataError`."""
    path = dataset_folder(home, card.name) / file
    try:
        unchanged = manifest is not None and (
            file_stamp(path) == manifest.stamps.get(file) or checksum(path) == manifest.files.get(file)
        )
    except OSError:
        unchanged = False
    if not unchanged:
        raise DataError(f"{path} is damaged or missing; run {download_command(card, '--again')} to repair it")
    return path


def file_stamp(path: Path) -> tuple[int, int]:
    """The size in bytes and the time of the last change in ns; raises `OSError`."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
