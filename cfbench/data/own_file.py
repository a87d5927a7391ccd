"""A file or folder that a person gives with --from-file: which source of the card is it?"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING
from zipfile import ZipFile, is_zipfile

from cfbench.data.checksums import checksum
from cfbench.data.sources import HttpsSource, LocalSource, MultiFileSource, PackageSource
from cfbench.errors import ChecksumError, FetchError

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.card import Card
    from cfbench.data.sources import Source


def identify_source(card: Card, path: Path) -> Source:
    """Return the source of which a person's own file or folder is a copy.

    Raises `FetchError` when it cannot be read, `ChecksumError` when it is none of the card's sources.
    """
    files = [source for source in card.sources if isinstance(source, HttpsSource | PackageSource)]
    has_other_kinds = len(files) < len(card.sources)
    try:
        if has_other_kinds and path.is_dir():
            return _identify_by_content(card, path, "")
        checksums = {checksum(path, algorithm) for algorithm in _algorithms(files)}
    except OSError as error:
        raise FetchError(f"cannot read {path}: {error.strerror}; give the path of the downloaded file") from error
    for source in files:
        if source.checksum in checksums or (not source.checksum and path.name == source.filename):
            return source
    if has_other_kinds:
        return _identify_by_content(card, path, max(checksums))
    expected = " or ".join(f"{source.checksum or 'any file'} ({source.filename})" for source in files)
    raise ChecksumError(
        f"{path} has {max(checksums)}, expected {expected}; "
        f"download it again from {card.homepage}, and do not unpack it"
    )


def _algorithms(files: list[HttpsSource | PackageSource]) -> set[str]:
    """The algorithms of the card's checksums; others would only cost time on a file of gigabytes."""
    return {source.checksum.partition(":")[0] for source in files if source.checksum} or {"sha256"}


def _identify_by_content(card: Card, path: Path, actual: str) -> Source:
    """The source whose file names the folder or archive has; `actual` is its checksum, "" for a folder."""
    names = _file_names(path)
    for source in card.sources:
        if isinstance(source, LocalSource) and _any_matches(names, source.holds):
            return source
        if isinstance(source, MultiFileSource) and {part.filename for part in source.parts} <= set(names):
            return source
    expected = "; ".join(_describe(source) for source in card.sources)
    checksum_text = f", its checksum is {actual}" if actual else ""
    raise ChecksumError(f"{path} is no source of {card.name}{checksum_text}; expected: {expected}; see {card.homepage}")


def _file_names(path: Path) -> list[str]:
    """The name of the file or folder, and the names of all files in a folder or zip file, without their folders."""
    names = [path.name]
    if path.is_dir():
        names += [file.name for file in path.rglob("*") if file.is_file()]
    elif is_zipfile(path):
        with ZipFile(path) as archive:
            names += [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    return names


def _any_matches(names: list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _describe(source: Source) -> str:
    if isinstance(source, HttpsSource | PackageSource) and source.checksum:
        return f"{source.filename} ({source.checksum})"
    return source.description
