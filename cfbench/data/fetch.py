"""The file of a data set, from a person, from an earlier download, or from the first source that delivers it.

A card lists its sources in order of preference. A file gets its final name only when it is complete and its checksum is
correct, so every file in the download folder that has its final name can be used.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections import deque
from contextlib import contextmanager
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, TypeAlias

from cfbench import advice
from cfbench.data.checksums import is_verified, record_path, verify_and_rename
from cfbench.data.own_file import identify_source
from cfbench.data.sources import HttpsSource, LocalSource, MultiFileSource, PackageSource
from cfbench.data.transfer import SPARE_BYTES, transfer
from cfbench.errors import ChecksumError, FetchError, SourceTimeoutError
from cfbench.files import DATA_VARIABLE, make_folder, remove_leftovers, require_space, scratch_folder, write_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cfbench.data.card import Card
    from cfbench.data.progress import ProgressListener
    from cfbench.data.sources import Source, WebFile

RemoteSource: TypeAlias = HttpsSource | MultiFileSource | PackageSource

_PIP_TIMEOUT = 900.0  # seconds
_PIP_WITH_CEILING = (
    "import resource, runpy, sys\n"
    "most, hard = int(sys.argv.pop(1)), resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
    "if hard == resource.RLIM_INFINITY or most < hard: resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))\n"
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
"""Python code that runs pip where no file can have more bytes than its first argument says."""
_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
"""The errors of a file system that has no locks."""


def fetch(
    card: Card, folder: Path, *, listener: ProgressListener, from_file: Path | None = None
) -> tuple[Path, Source]:
    """Return a verified file, and the source whose table layouts describe it.

    A verified file in `folder` is used without the network; else the sources are tried in the card's order. `from_file`
    is read where it is, and may be the file of any source. Raises `FetchError` when no source delivers the file,
    `ChecksumError` when a source delivers a wrong file or `from_file` is wrong, `WriteError` when `folder` cannot be
    written.
    """
    if card.origin:
        raise FetchError(
            f"{card.name} is your own data set and cannot be downloaded; {download_command(card)} imports it again"
        )
    if from_file is not None:
        return from_file, identify_source(card, from_file)
    if cached := find_cached_file(card, folder):
        return cached
    remove_leftovers(make_folder(folder, DATA_VARIABLE))
    with exclusive_lock(folder / f"{card.name}.lock", f"downloading {card.name}", listener):
        return find_cached_file(card, folder) or download_first_available(card, folder, listener)


def download_command(card: Card, *options: str | Path) -> str:
    """The command that gets a data set, for messages; a person's own data set is imported again."""
    if card.origin:
        return f"`{advice.command('import', 'FILE', '--name', card.name, '--force')}` (it was {card.origin})"
    return f"`{advice.command('download', card.name, *options)}`"


@contextmanager
def exclusive_lock(path: Path, work: str, listener: ProgressListener) -> Iterator[None]:
    """Hold a lock during the block; wait while another process has it, with a message. Raises `WriteError`.

    Where the file system has no locks, a message says so, and the block runs.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with write_errors(path, DATA_VARIABLE):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listener.message(f"another cfbench is {work}; waiting for it")
            lock.acquire()
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _WITHOUT_LOCKS:
                raise
            listener.message(f"{path.parent} has no file locks; use one cfbench at a time there")
    try:
        yield
    finally:
        lock.release()


def download_paths(card: Card, folder: Path) -> list[Path]:
    """Where downloads of the card's sources are in `folder`, with unfinished ones and recorded checksums."""
    targets = [_target(source, folder) for source in card.sources if not isinstance(source, LocalSource)]
    return [path for target in targets for path in (target, _part_path(target), record_path(target))]


def find_cached_file(card: Card, folder: Path) -> tuple[Path, Source] | None:
    """The verified file of an earlier download, and its source."""
    for source in card.sources:
        if isinstance(source, LocalSource):
            continue
        target = _target(source, folder)
        if isinstance(source, MultiFileSource):
            verified = all(is_verified(part, target / part.filename) for part in source.parts)
        else:
            verified = is_verified(source, target)
        if verified:
            return target, source
    return None


def download_first_available(card: Card, folder: Path, listener: ProgressListener) -> tuple[Path, Source]:
    """Download from the first source that delivers the file.

    While other sources remain, a source that does not answer soon goes to the end of the queue.
    """
    sources = [source for source in card.sources if not isinstance(source, LocalSource)]
    if not sources:
        descriptions = " or ".join(source.description for source in card.sources) or "nothing"
        raise FetchError(
            f"{card.name} cannot be downloaded, it is read from {descriptions}; "
            f"give its path: {download_command(card, '--from-file', 'PATH')}"
        )
    errors: list[FetchError | ChecksumError] = []
    queue = deque((source, True) for source in sources)
    while queue:
        source, is_first_try = queue.popleft()
        try:
            return download_source(source, folder, listener, short_timeout=is_first_try and bool(queue)), source
        except SourceTimeoutError as error:
            queue.append((source, False))
            listener.message(f"{error}; trying {queue[0][0].location}")
        except (FetchError, ChecksumError) as error:
            errors.append(error)
            if queue:
                listener.message(f"{error}; trying {queue[0][0].location}")
    error_class = ChecksumError if any(isinstance(error, ChecksumError) for error in errors) else FetchError
    raise error_class(
        f"{card.name} could not be downloaded: {'; '.join(map(str, errors))}; "
        f"try again later, or get the file from {card.homepage} and run "
        f"{download_command(card, '--from-file', 'PATH')}"
    ) from errors[-1]


def download_source(source: RemoteSource, folder: Path, listener: ProgressListener, *, short_timeout: bool) -> Path:
    """Download the file or files of a source into `folder`.

    With `short_timeout`, a source that does not answer raises `SourceTimeoutError` within 15 s.
    """
    target = _target(source, folder)
    if isinstance(source, MultiFileSource):
        make_folder(target, DATA_VARIABLE)
        for part in source.parts:
            if not is_verified(part, target / part.filename):
                _download_file(part, target / part.filename, listener, short_timeout=short_timeout)
    elif isinstance(source, HttpsSource):
        _download_file(source, target, listener, short_timeout=short_timeout)
    else:
        _download_with_pip(source, target, listener, short_timeout=short_timeout)
    return target


def _part_path(target: Path) -> Path:
    """Where the unfinished download of a file is."""
    return target.with_name(f"{target.name}.part")


def _target(source: RemoteSource, folder: Path) -> Path:
    """The final path of a source's file or folder."""
    return folder / (source.folder if isinstance(source, MultiFileSource) else source.filename)


def _download_file(source: WebFile, target: Path, listener: ProgressListener, *, short_timeout: bool) -> None:
    """Download a file from the web; if it resumed an earlier download and is wrong, download all of it again."""
    part = _part_path(target)
    resumed = part.exists()
    try:
        transfer(source, part, listener, short_timeout=short_timeout)
        verify_and_rename(part, target, source, listener)
    except ChecksumError:
        if not resumed:
            raise
        listener.message(f"{part.name} from an earlier download is wrong; starting again from the beginning")
        transfer(source, part, listener, short_timeout=short_timeout)
        verify_and_rename(part, target, source, listener)


def _download_with_pip(source: PackageSource, target: Path, listener: ProgressListener, *, short_timeout: bool) -> None:
    """Download a wheel with pip, from the package index that this machine is configured for."""
    if not has_pip():
        raise FetchError(f"{source.location} needs pip; run `{sys.executable} -m ensurepip` to add it to this Python")
    require_space(target.parent, 2 * source.bytes + SPARE_BYTES, DATA_VARIABLE)
    listener.progress(source.filename, 0, source.bytes)
    with write_errors(target, DATA_VARIABLE), scratch_folder(target) as folder:
        _run_pip(source, folder, short_timeout=short_timeout)
        wheel = folder / source.filename
        if not wheel.is_file():
            raise FetchError(f"{source.location} delivered no {source.filename}")
        verify_and_rename(wheel, target, source, listener)
    listener.progress(source.filename, source.bytes, source.bytes)


def _run_pip(source: PackageSource, folder: Path, *, short_timeout: bool) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    if short_timeout:
        options += ["--retries", "0", "--timeout", "12"]
    most = str(source.bytes + SPARE_BYTES)  # pip's own cache adds a little to the wheel
    pip = [sys.executable, "-c", _PIP_WITH_CEILING, most] if os.name == "posix" else [sys.executable, "-m", "pip"]
    command = [*pip, "download", *options, "--dest", str(folder), source.package]
    try:
        process = subprocess.run(command, capture_output=True, check=False, timeout=_PIP_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{source.location} did not deliver within {_PIP_TIMEOUT:g} s") from error
    if process.returncode:
        lines = process.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        error_class = SourceTimeoutError if short_timeout else FetchError
        raise error_class(f"{source.location} did not deliver (pip: {lines[-1].removeprefix('ERROR:').strip()})")


def has_pip() -> bool:
    """Whether `python -m pip` works.

    This does not use importlib.util: setuptools would then take this process for pip, replace its distutils by that of
    the standard library, and torch.compile would fail in it.
    """
    return PathFinder.find_spec("pip") is not None
