"""SOURCE: where the bytes of a data set come from.

A card lists its sources in order of preference. The first that delivers the right file, by its SHA-256, is used; the
others are not asked. A file takes its name only when it is whole and verified, so what stands in the folder is right.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING
from zipfile import ZipFile, is_zipfile

from cfbench.data.card import HttpsSource, LocalSource, MultiFileSource, PackageSource
from cfbench.data.transfer import SPARE, ProgressListener, SilentListener, transfer
from cfbench.errors import ChecksumError, FetchError, SourceTimeoutError
from cfbench.files import (
    DATA_VARIABLE,
    make_folder,
    remove_leftovers,
    require_space,
    scratch_folder,
    write_atomically,
    write_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cfbench.data.card import Card, Source, WebFile

__all__ = ["ProgressListener", "SilentListener", "checksum", "fetch", "locked", "remedy"]

_PIP_TIMEOUT = 900.0  # seconds


def fetch(
    card: Card, folder: Path, *, listener: ProgressListener, from_file: Path | None = None
) -> tuple[Path, Source]:
    """A verified file and the source whose reading instructions fit it.

    A right file in `folder` is used without the network; else the sources are asked in the card's order. `from_file` is
    read where it is, and may be the file of any source. Raises `FetchError` when no source delivered, `ChecksumError`
    when what they delivered, or `from_file`, is not the right file, `WriteError` when `folder` cannot be written.
    """
    if card.origin:
        raise FetchError(f"{card.name} is not downloaded, it is your own; {remedy(card)} makes it anew")
    if from_file is not None:
        return from_file, _recognised(card, from_file)
    if kept := _kept(card, folder):
        return kept
    remove_leftovers(make_folder(folder, DATA_VARIABLE))
    with locked(folder / f"{card.name}.lock", f"downloading {card.name}", listener):
        return _kept(card, folder) or _brought(card, folder, listener)


def remedy(card: Card, option: str = "") -> str:
    """The command that brings a data set, for advice: what was imported cannot be downloaded."""
    if card.origin:
        return f"`cfbench import FILE --name {card.name} --force` (it was {card.origin})"
    return f"`cfbench download {card.name}{option}`"


@contextmanager
def locked(path: Path, what: str, listener: ProgressListener) -> Iterator[None]:
    """Keep other processes from doing the same at once; wait for one that is, and say so. Raises `WriteError`."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with write_errors(path, DATA_VARIABLE):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listener.message(f"another cfbench is {what}; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file as cards write it, `sha256:…`; raises `OSError`."""
    import pooch  # type: ignore[import-untyped]  # it ships no types

    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def _expected(source: WebFile | PackageSource, target: Path) -> str:
    """The checksum a source's file must have: the card's, else that of the first download, else none."""
    return source.checksum or _recorded(target)


def _recorded(target: Path) -> str:
    note = target.with_name(f"{target.name}.checksum")
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


def _found(path: Path, expected: str) -> str:
    """The file's checksum by the algorithm of the expected one."""
    return checksum(path, expected.partition(":")[0] or "sha256")


def _kept(card: Card, folder: Path) -> tuple[Path, Source] | None:
    """The file of an earlier download, if it is right."""
    for source in card.sources:
        if isinstance(source, MultiFileSource):
            if all(_is_right(part, folder / source.folder / part.filename) for part in source.parts):
                return folder / source.folder, source
        elif not isinstance(source, LocalSource) and _is_right(source, folder / source.filename):
            return folder / source.filename, source
    return None


def _is_right(file: WebFile | PackageSource, path: Path) -> bool:
    """Whether the file is at the path, as it should be."""
    if not path.is_file() or file.bytes not in (None, path.stat().st_size):
        return False
    expected = _expected(file, path)
    return bool(expected) and _found(path, expected) == expected


def _recognised(card: Card, file: Path) -> Source:
    """The source that a person's own file is a copy of."""
    holdable = any(isinstance(source, LocalSource | MultiFileSource) for source in card.sources)
    if holdable and file.is_dir():
        return _local(card, file, "")
    try:
        found = {checksum(file, algorithm) for algorithm in _algorithms(card)}
    except OSError as fault:
        raise FetchError(f"cannot read {file}: {fault.strerror}; give the path of the downloaded file") from fault
    for source in card.sources:
        if isinstance(source, HttpsSource | PackageSource) and (
            source.checksum in found or (not source.checksum and file.name == source.filename)
        ):
            return source
    if holdable:
        return _local(card, file, max(found))
    expected = " or ".join(
        f"{source.checksum or 'any file'} ({source.filename})"
        for source in card.sources
        if isinstance(source, HttpsSource | PackageSource)
    )
    raise ChecksumError(
        f"{file} has {max(found)}, expected {expected}; download it again from {card.homepage}, and do not unpack it"
    )


def _algorithms(card: Card) -> set[str]:
    """Those of the card's checksums, for a file of gigabytes is not summed in vain."""
    sums = [
        source.checksum
        for source in card.sources
        if isinstance(source, HttpsSource | PackageSource) and source.checksum
    ]
    return {known.partition(":")[0] for known in sums} or {"sha256"}


def _local(card: Card, path: Path, found: str) -> Source:
    """The source that a folder or an archive without a known checksum is, by what it holds."""
    names = [path.name]
    if path.is_dir():
        names += [file.name for file in path.rglob("*") if file.is_file()]
    elif is_zipfile(path):
        with ZipFile(path) as archive:
            names += [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    for source in card.sources:
        if isinstance(source, LocalSource) and any(
            fnmatch(name, pattern) for name in names for pattern in source.holds
        ):
            return source
        if isinstance(source, MultiFileSource) and {part.filename for part in source.parts} <= set(names):
            return source
    known = "; ".join(
        source.filename
        + (f" ({source.checksum})" if isinstance(source, HttpsSource | PackageSource) and source.checksum else "")
        for source in card.sources
    )
    sums = f", its checksum is {found}" if found else ""
    raise ChecksumError(
        f"{path} is nothing that {card.name} is read from{sums}; expected: {known}; see {card.homepage}"
    )


def _brought(card: Card, folder: Path, listener: ProgressListener) -> tuple[Path, Source]:
    """The file of the first source that delivers."""
    faults: list[FetchError | ChecksumError] = []
    sources = [source for source in card.sources if not isinstance(source, LocalSource)]
    if not sources:
        ways = " or ".join(source.filename for source in card.sources) or "nothing"
        raise FetchError(
            f"{card.name} cannot be downloaded, it is read from {ways}; give it: "
            f"`cfbench download {card.name} --from-file PATH`"
        )
    waiting = deque((source, True) for source in sources)
    while waiting:
        source, is_new = waiting.popleft()
        try:
            return _asked(source, folder, listener, hasty=is_new and bool(waiting)), source
        except SourceTimeoutError as fault:
            waiting.append((source, False))
            listener.message(f"{fault}; trying {waiting[0][0].place}")
        except (FetchError, ChecksumError) as fault:
            faults.append(fault)
            for following, _ in list(waiting)[:1]:
                listener.message(f"{fault}; trying {following.place}")
    kind = ChecksumError if any(isinstance(fault, ChecksumError) for fault in faults) else FetchError
    raise kind(
        f"{card.name} could not be had: {'; '.join(map(str, faults))}; "
        f"try again later, or get the file from {card.homepage} and run `cfbench download {card.name} --from-file PATH`"
    ) from faults[-1]


def _asked(
    source: HttpsSource | MultiFileSource | PackageSource, folder: Path, listener: ProgressListener, *, hasty: bool
) -> Path:
    """The file of a source. With `hasty` a silent one raises `SourceTimeoutError` within 15 s."""
    target = folder / (source.folder if isinstance(source, MultiFileSource) else source.filename)
    if isinstance(source, MultiFileSource):
        make_folder(target, DATA_VARIABLE)
        for part in source.parts:
            if not _is_right(part, target / part.filename):
                _download(part, target / part.filename, listener, hasty=hasty)
    elif isinstance(source, HttpsSource):
        _download(source, target, listener, hasty=hasty)
    else:
        _ask_pip(source, target, listener, hasty=hasty)
    return target


def _download(source: WebFile, target: Path, listener: ProgressListener, *, hasty: bool) -> None:
    """Bring a file from the web."""
    part = target.with_name(f"{target.name}.part")
    doubtful = part.exists()  # left by an earlier run: if the whole is wrong, that may be why
    try:
        transfer(source, part, listener, hasty=hasty)
        _accept(part, target, source, listener)
    except ChecksumError:
        if not doubtful:
            raise
        listener.message(f"{part.name}, left by an earlier download, is not right; starting over")
        transfer(source, part, listener, hasty=hasty)
        _accept(part, target, source, listener)


def _ask_pip(source: PackageSource, target: Path, listener: ProgressListener, *, hasty: bool) -> None:
    """Have pip bring a wheel from the package index, whichever index this machine is set to."""
    if not _has_pip():
        raise FetchError(f"{source.place} needs pip, which this Python lacks (`{sys.executable} -m ensurepip` adds it)")
    require_space(target.parent, 2 * source.bytes + SPARE, DATA_VARIABLE)
    listener.progress(source.filename, 0, source.bytes)
    with write_errors(target, DATA_VARIABLE), scratch_folder(target) as folder:
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
        options += ["--retries", "0", "--timeout", "12"] if hasty else []
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), source.package]
        try:
            ended = subprocess.run(command, capture_output=True, check=False, timeout=_PIP_TIMEOUT)
        except subprocess.TimeoutExpired as fault:
            raise FetchError(f"{source.place} did not deliver within {_PIP_TIMEOUT:g} s") from fault
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip().splitlines() or ["it did not say why"]
            kind = SourceTimeoutError if hasty else FetchError
            raise kind(f"{source.place} did not deliver (pip: {said[-1].removeprefix('ERROR:').strip()})")
        wheel = folder / source.filename
        if not wheel.is_file():
            raise FetchError(f"{source.place} delivered no {source.filename}")
        _accept(wheel, target, source, listener)
    listener.progress(source.filename, source.bytes, source.bytes)


def _has_pip() -> bool:
    """Whether `python -m pip` will do.

    Not asked of importlib.util: setuptools then takes this process for pip's, gives it the standard library's
    distutils, and torch.compile fails in it.
    """
    return PathFinder.find_spec("pip") is not None


def _accept(file: Path, target: Path, source: WebFile | PackageSource, listener: ProgressListener) -> None:
    """Give a file its name if it is the right one; else delete it and raise `ChecksumError`."""
    expected = _expected(source, target)
    found = _found(file, expected)
    if expected and found != expected:
        file.unlink()
        whose = "" if source.checksum else ", that of the first download"
        raise ChecksumError(f"{source.place} sent a {source.filename} with {found}, expected {expected}{whose}")
    if not expected:
        listener.message(
            f"no checksum of {source.filename} is published; later downloads are held to this one's, {found}"
        )
        write_atomically(target.with_name(f"{target.name}.checksum"), f"{found}\n", DATA_VARIABLE)
    with write_errors(target, DATA_VARIABLE):
        file.replace(target)
