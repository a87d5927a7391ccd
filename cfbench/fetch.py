"""SOURCE: where the bytes of a data set come from.

A card lists its sources in order of preference. The first that delivers the right file, by its SHA-256, is used; the
others are not asked. A file takes its name only when it is whole and verified, so what stands in the folder is right.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cfbench.card import Https, Package
from cfbench.errors import ChecksumError, FetchError
from cfbench.files import make_folder, place_errors, require_space
from cfbench.transfer import SETTING, SPARE, Listener, Quiet, transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cfbench.card import Card, Source

__all__ = ["SETTING", "Listener", "Quiet", "fetch", "locked", "sha256"]

_PIP_TIMEOUT = 900.0  # seconds


def fetch(card: Card, folder: Path, *, listener: Listener, from_file: Path | None = None) -> tuple[Path, Source]:
    """A verified file and the source whose reading instructions fit it.

    A right file in `folder` is used without the network; else the sources are asked in the card's order. `from_file` is
    read where it is, and may be the file of any source. Raises `FetchError` when no source delivered, `ChecksumError`
    when what they delivered, or `from_file`, is not the right file, `PlaceError` when `folder` cannot be written.
    """
    if from_file is not None:
        return from_file, _recognised(card, from_file)
    if kept := _kept(card, folder):
        return kept
    make_folder(folder, SETTING)
    with locked(folder / f"{card.name}.lock", f"downloading {card.name}", listener):
        return _kept(card, folder) or _brought(card, folder, listener)


@contextmanager
def locked(path: Path, what: str, listener: Listener) -> Iterator[None]:
    """Keep other processes from doing the same at once; wait for one that is, and say so. Raises `PlaceError`."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with place_errors(path, SETTING):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listener.say(f"another cfbench is {what}; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; raises `OSError`."""
    import pooch  # type: ignore[import-untyped]  # it ships no types

    return str(pooch.file_hash(str(path), alg="sha256"))


def _kept(card: Card, folder: Path) -> tuple[Path, Source] | None:
    """The file of an earlier download, if it is right."""
    for source in card.sources:
        path = folder / source.filename
        if path.is_file() and path.stat().st_size == source.bytes and sha256(path) == source.sha256:
            return path, source
    return None


def _recognised(card: Card, file: Path) -> Source:
    """The source that a person's own file is a copy of."""
    try:
        found = sha256(file)
    except OSError as fault:
        raise FetchError(f"cannot read {file}: {fault.strerror}; give the path of the downloaded file") from fault
    for source in card.sources:
        if found == source.sha256:
            return source
    expected = " or ".join(f"{source.sha256} ({source.filename})" for source in card.sources)
    raise ChecksumError(
        f"{file} has SHA-256 {found}, expected {expected}; download it again from {card.homepage}, and do not unpack it"
    )


def _brought(card: Card, folder: Path, listener: Listener) -> tuple[Path, Source]:
    """The file of the first source that delivers."""
    faults: list[FetchError | ChecksumError] = []
    for number, source in enumerate(card.sources):
        target = folder / source.filename
        try:
            if isinstance(source, Https):
                _download(source, target, listener)
            else:
                _ask_pip(source, target, listener)
        except (FetchError, ChecksumError) as fault:
            faults.append(fault)
            for following in card.sources[number + 1 : number + 2]:
                listener.say(f"{fault}; trying {following.place}")
        else:
            return target, source
    kind = ChecksumError if any(isinstance(fault, ChecksumError) for fault in faults) else FetchError
    raise kind(
        f"{card.name} could not be had: {'; '.join(map(str, faults))}; "
        f"try again later, or get the file from {card.homepage} and run `cfbench download {card.name} --from-file PATH`"
    ) from faults[-1]


def _download(source: Https, target: Path, listener: Listener) -> None:
    """Bring a file from the web."""
    part = target.with_name(f"{target.name}.part")
    doubtful = part.exists()  # left by an earlier run: if the whole is wrong, that may be why
    try:
        transfer(source, part, listener)
        _accept(part, target, source)
    except ChecksumError:
        if not doubtful:
            raise
        listener.say(f"{part.name}, left by an earlier download, is not right; starting over")
        transfer(source, part, listener)
        _accept(part, target, source)


def _ask_pip(source: Package, target: Path, listener: Listener) -> None:
    """Have pip bring a wheel from the package index, whichever index this machine is set to."""
    if find_spec("pip") is None:
        raise FetchError(f"{source.place} needs pip, which this Python lacks (`{sys.executable} -m ensurepip` adds it)")
    require_space(target.parent, 2 * source.bytes + SPARE, SETTING)
    listener.progress(source.filename, 0, source.bytes)
    with place_errors(target, SETTING), TemporaryDirectory(prefix=".pip-", dir=target.parent) as folder:
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, source.package]
        try:
            ended = subprocess.run(command, capture_output=True, check=False, timeout=_PIP_TIMEOUT)
        except subprocess.TimeoutExpired as fault:
            raise FetchError(f"{source.place} did not deliver within {_PIP_TIMEOUT:g} s") from fault
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip().splitlines() or ["it did not say why"]
            raise FetchError(f"{source.place} did not deliver (pip: {said[-1].removeprefix('ERROR:').strip()})")
        wheel = Path(folder, source.filename)
        if not wheel.is_file():
            raise FetchError(f"{source.place} delivered no {source.filename}")
        _accept(wheel, target, source)
    listener.progress(source.filename, source.bytes, source.bytes)


def _accept(file: Path, target: Path, source: Source) -> None:
    """Give a file its name if it is the right one; else delete it and raise `ChecksumError`."""
    found = sha256(file)
    if found != source.sha256:
        file.unlink()
        raise ChecksumError(f"{source.place} sent a {source.filename} with SHA-256 {found}, expected {source.sha256}")
    with place_errors(target, SETTING):
        file.replace(target)
