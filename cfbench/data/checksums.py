"""The checksums of downloaded files: those in the card, or that of the first download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.errors import ChecksumError
from cfbench.files import DATA_VARIABLE, write_atomically, write_errors

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.progress import ProgressListener
    from cfbench.data.sources import PackageSource, WebFile


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file in the form of the cards, `sha256:…`; raises `OSError`."""
    import pooch  # type: ignore[import-untyped]  # it ships no types

    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def is_verified(source: WebFile | PackageSource, path: Path) -> bool:
    """Whether the file of a source is at `path`, with its size and checksum."""
    if not path.is_file() or source.bytes not in (None, path.stat().st_size):
        return False
    expected = _expected_checksum(source, path)
    return bool(expected) and _checksum_like(path, expected) == expected


def verify_and_rename(file: Path, target: Path, source: WebFile | PackageSource, listener: ProgressListener) -> None:
    """Rename a downloaded file to `target` if its checksum is correct; else delete it and raise `ChecksumError`.

    If neither the card nor an earlier download gives a checksum, this one is recorded for later downloads.
    """
    expected = _expected_checksum(source, target)
    actual = _checksum_like(file, expected)
    if expected and actual != expected:
        file.unlink()
        origin = "" if source.checksum else ", the checksum of the first download"
        raise ChecksumError(f"{source.location} sent a {source.filename} with {actual}, expected {expected}{origin}")
    if not expected:
        listener.message(
            f"no checksum of {source.filename} is published; later downloads must match this one, {actual}"
        )
        write_atomically(record_path(target), f"{actual}\n", DATA_VARIABLE)
    with write_errors(target, DATA_VARIABLE):
        file.replace(target)


def _expected_checksum(source: WebFile | PackageSource, target: Path) -> str:
    """The checksum from the card, else that of the first download, else ""."""
    if source.checksum:
        return source.checksum
    record = record_path(target)
    return record.read_text(encoding="utf-8", errors="replace").strip() if record.is_file() else ""


def record_path(target: Path) -> Path:
    """Where the checksum of a file's first download is recorded."""
    return target.with_name(f"{target.name}.checksum")


def _checksum_like(path: Path, expected: str) -> str:
    """The file's checksum by the algorithm of the expected one."""
    return checksum(path, expected.partition(":")[0] or "sha256")
