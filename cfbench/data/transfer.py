"""TRANSFER: one file over HTTPS, going on where it stopped.

The file is written to `NAME.part`, which an interruption leaves behind and the next call continues, if the server can
send from the middle; else it starts over. A fault that may pass is met with another try, each after a longer pause.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from cfbench.errors import ChecksumError, FetchError, SourceTimeoutError
from cfbench.files import DATA_VARIABLE, format_bytes, require_space, write_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from requests import Response

    from cfbench.data.card import WebFile

SPARE = 20_000_000
"""Bytes that must stay free on the disk."""
_TRIES = 4
_PAUSE = 0.5  # seconds before the second try; twice as long before each further one
_PIECE = 1 << 14  # bytes; the piece in which a transfer breaks is lost
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Patience(NamedTuple):
    """How long a host is waited for, in seconds: for a connection to each of its addresses, and for the next byte."""

    connect: float
    silence: float


PATIENT = Patience(10.0, 20.0)
HASTY = Patience(3.5, 10.0)
"""For the first sign of life of a host that is not the last to turn to; 3.5 s see a lost packet sent twice more."""


class ProgressListener(Protocol):
    """Who is told how far things are."""

    def message(self, line: str) -> None:
        """A line for people: what happened and what is done about it."""

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of `total` bytes of `what` are here; called often, and `done == total` is the end."""


class SilentListener:
    """A listener that does nothing."""

    def message(self, line: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""


class _PassingError(Exception):
    """The transfer broke, and another try may help. It never leaves this module."""


class _SilentError(_PassingError):
    """The host did not answer, or stopped sending."""


def transfer(source: WebFile, part: Path, listener: ProgressListener, *, hasty: bool = False) -> None:
    """Complete `part`, in several tries if need be, each going on where the last one stopped.

    With `hasty` a host that stays silent raises `SourceTimeoutError` within 15 s; one that has sent something is waited
    for as patiently as ever. Raises `FetchError` when the server does not deliver, `ChecksumError` when it sends too
    much, `WriteError`.
    """
    patience = HASTY if hasty else PATIENT
    for number in range(1, _TRIES + 1):
        had = _length(part)
        try:
            _once(source, part, listener, patience)
        except _PassingError as fault:
            if _length(part) > had:
                patience = PATIENT
            elif isinstance(fault, _SilentError) and patience is HASTY:
                raise SourceTimeoutError(f"{source.host} {fault}") from fault
            if number == _TRIES:
                raise FetchError(f"{source.host} {fault} (tried {_TRIES} times)") from fault
            pause = _PAUSE * 2 ** (number - 1)
            listener.message(f"{source.host} {fault}; trying again in {pause:g} s")
            time.sleep(pause)
        else:
            return


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _once(source: WebFile, part: Path, listener: ProgressListener, patience: Patience) -> None:
    """One try: append what `part` lacks. Raises `_PassingError`, `FetchError`, `ChecksumError`, `WriteError`."""
    import requests

    have = _length(part)
    if have and have == source.bytes:
        return
    require_space(part.parent, max(0, (source.bytes or 0) - have) + SPARE, DATA_VARIABLE)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        _require_https(source.url)
        waits = patience.connect, patience.silence
        with requests.get(source.url, headers=headers, stream=True, timeout=waits) as response:
            for hop in [*response.history, response]:
                _require_https(hop.url)
            start = _offset(response, part, have, source)
            _save(response, part, start, _total(response, start, source), source, listener)
    except requests.RequestException as fault:
        raise _explained(fault, source, patience) from fault


def _require_https(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise FetchError(f"{url} is not an https address, and cfbench asks no other; correct the card")


def _offset(response: Response, part: Path, have: int, source: WebFile) -> int:
    """Where in the file the body of this response begins."""
    status = response.status_code
    if status == 206 and _goes_on(response.headers.get("Content-Range", ""), have, source.bytes):
        return have
    if status in {206, 416}:
        part.unlink(missing_ok=True)
        raise _PassingError("would not go on where the download stopped, so it starts over")
    if status == 429 or status >= 500:
        raise _PassingError(f"answered {status} {response.reason}")
    if status != 200:
        raise FetchError(f"{source.host} answered {status} {response.reason} for {source.url}")
    length = response.headers.get("Content-Length", str(source.bytes))
    if source.bytes is not None and length != str(source.bytes):
        raise FetchError(f"{source.host} sends {length} bytes for {source.filename}, expected {source.bytes}")
    return 0


def _goes_on(content_range: str, have: int, total: int | None) -> bool:
    """Whether a partial answer is the whole rest of the file."""
    told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    if told is None:
        return False
    first, last, size_told = map(int, told.groups())
    return first == have and last == size_told - 1 and total in (None, size_told)


def _total(response: Response, start: int, source: WebFile) -> int | None:
    """How long the whole file is, as far as the card or the server tells."""
    length = response.headers.get("Content-Length", "")
    return source.bytes or (start + int(length) if length.isdecimal() else None)


def _save(
    response: Response, part: Path, start: int, total: int | None, source: WebFile, listener: ProgressListener
) -> None:
    """Append the body to the first `start` bytes of `part`."""
    done = start
    with write_errors(part, DATA_VARIABLE), part.open("ab" if start else "wb") as file:
        for piece in response.iter_content(_PIECE):
            file.write(piece)
            done += len(piece)
            if total is not None and done > total:
                break
            listener.progress(source.filename, done, total or done)
    if total is None:
        return
    if done < total:
        raise _PassingError(f"stopped after {format_bytes(done)} of {format_bytes(total)}")
    if done > total:
        part.unlink()
        raise ChecksumError(f"{source.host} sent more than the {total:,} bytes expected of {source.filename}")


def _explained(fault: Exception, source: WebFile, patience: Patience) -> Exception:
    """What a fault of the network means: another try, or the next source."""
    import requests

    causes = list(_causes(fault))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return FetchError(f"{source.host} is not known here (no such name, or this machine is offline)")
    if isinstance(fault, requests.exceptions.SSLError):
        return FetchError(f"{source.host} offers no secure connection ({causes[-1]})")
    if isinstance(fault, requests.Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
        waited = patience.connect if isinstance(fault, requests.ConnectTimeout) else patience.silence
        return _SilentError(f"did not answer within {waited:g} s")
    if isinstance(fault, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return _PassingError(f"broke the connection ({getattr(causes[-1], 'strerror', None) or causes[-1]})")
    return FetchError(f"{source.host} cannot be asked ({fault})")


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__
