"""The download of one file over HTTPS, which resumes where it stopped.

The file is written to `NAME.part`. An interrupted download leaves that file, and the next call resumes it if the server
can send the rest; else the download starts again. After an error that may pass there is another try, each after a
longer pause.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from cfbench.errors import ChecksumError, FetchError, SourceTimeoutError
from cfbench.files import DATA_VARIABLE, format_bytes, require_space, write_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from requests import Response

    from cfbench.data.progress import ProgressListener
    from cfbench.data.sources import WebFile


class Timeouts(NamedTuple):
    """Seconds to wait for a connection to each address of a host, and for the next byte."""

    connect: float
    read: float


LONG_TIMEOUTS = Timeouts(10.0, 20.0)
SHORT_TIMEOUTS = Timeouts(3.5, 10.0)
"""For a host that has not answered yet while other sources remain; 3.5 s allow two resends of a lost packet."""
SPARE_BYTES = 20_000_000
"""Bytes that must stay free on the disk."""
FIRST_PAUSE = 0.5
"""Seconds before the second try; each further pause is twice as long."""
CHUNK_BYTES = 1 << 14
"""Bytes that are written at once; a chunk that is interrupted is lost."""
_TRIES = 4
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class _TransientError(Exception):
    """The transfer failed, and another try may succeed. It never leaves this module."""


class _NoAnswerError(_TransientError):
    """The host did not answer, or stopped sending."""


def transfer(source: WebFile, part: Path, listener: ProgressListener, *, short_timeout: bool = False) -> None:
    """Complete the file `part`, in several tries if needed; each try resumes where the last one stopped.

    With `short_timeout`, a host that sends nothing raises `SourceTimeoutError` within 15 s. Once a host has sent
    something, the long timeouts apply. Raises `FetchError` when the server does not deliver, `ChecksumError` when it
    sends too much, `WriteError`.
    """
    timeouts = SHORT_TIMEOUTS if short_timeout else LONG_TIMEOUTS
    if source.bytes is None:
        most = format_bytes(source.ceiling)
        listener.message(f"the card does not give the size of {source.filename}; its download stops at {most}")
    for number in range(1, _TRIES + 1):
        size_before = _size(part)
        try:
            _try_once(source, part, listener, timeouts)
        except _TransientError as error:
            if _size(part) > size_before:
                timeouts = LONG_TIMEOUTS
            elif isinstance(error, _NoAnswerError) and timeouts is SHORT_TIMEOUTS:
                raise SourceTimeoutError(f"{source.host} {error}") from error
            if number == _TRIES:
                raise FetchError(f"{source.host} {error} (tried {_TRIES} times)") from error
            pause = FIRST_PAUSE * 2 ** (number - 1)
            listener.message(f"{source.host} {error}; trying again in {pause:g} s")
            time.sleep(pause)
        else:
            return


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _try_once(source: WebFile, part: Path, listener: ProgressListener, timeouts: Timeouts) -> None:
    """Append what `part` lacks. Raises `_TransientError`, `FetchError`, `ChecksumError`, `WriteError`."""
    import requests

    size = _size(part)
    if size and size == source.bytes:
        return
    require_space(part.parent, max(0, (source.bytes or 0) - size) + SPARE_BYTES, DATA_VARIABLE)
    headers = {"Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    try:
        _require_https(source.url)
        with requests.get(source.url, headers=headers, stream=True, timeout=timeouts) as response:
            for hop in [*response.history, response]:
                _require_https(hop.url)
            start = _start_of_body(response, part, size, source)
            _append_body(response, part, start, source, listener)
    except requests.RequestException as error:
        raise _translate(error, source, timeouts) from error


def _require_https(url: str) -> None:
    address = urlsplit(url)
    if address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise FetchError(f"{url} is not an https address, and cfbench uses no other; correct the card")


def _start_of_body(response: Response, part: Path, size: int, source: WebFile) -> int:
    """The position in the file at which the response body begins: `size` if the server resumes, else 0."""
    status = response.status_code
    if status == 206 and _is_rest_of_file(response.headers.get("Content-Range", ""), size, source.bytes):
        return size
    if status in {206, 416}:
        part.unlink(missing_ok=True)
        raise _TransientError("cannot resume the download, so it starts again from the beginning")
    if status == 429 or status >= 500:
        raise _TransientError(f"answered {status} {response.reason}")
    if status != 200:
        raise FetchError(f"{source.host} answered {status} {response.reason} for {source.url}")
    length = response.headers.get("Content-Length", str(source.bytes))
    if source.bytes is not None and length != str(source.bytes):
        raise FetchError(f"{source.host} sends {length} bytes for {source.filename}, expected {source.bytes}")
    if length.isdecimal() and int(length) > source.ceiling:
        raise _too_large(source)
    return 0


def _is_rest_of_file(content_range: str, start: int, total: int | None) -> bool:
    """Whether a partial response has all bytes from `start` to the end of the file."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    if match is None:
        return False
    first, last, size = map(int, match.groups())
    return first == start and last == size - 1 and total in (None, size)


def _total_bytes(response: Response, start: int, source: WebFile) -> int | None:
    """The size of the complete file, if the card or the server states it."""
    length = response.headers.get("Content-Length", "")
    return source.bytes or (start + int(length) if length.isdecimal() else None)


def _append_body(response: Response, part: Path, start: int, source: WebFile, listener: ProgressListener) -> None:
    """Write the body after the first `start` bytes of `part`, and check its length; see `WebFile.ceiling`."""
    total, size = _total_bytes(response, start, source), start
    most = source.ceiling if total is None else min(total, source.ceiling)
    with write_errors(part, DATA_VARIABLE), part.open("ab" if start else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            size += len(chunk)
            if size > most:
                break
            file.write(chunk)
            listener.progress(source.filename, size, total or size)
    if size > most:
        part.unlink()
        if most == total:
            raise ChecksumError(f"{source.host} sent more than the {total:,} bytes expected of {source.filename}")
        raise _too_large(source)
    if total is not None and size < total:
        raise _TransientError(f"stopped after {format_bytes(size)} of {format_bytes(total)}")


def _too_large(source: WebFile) -> FetchError:
    return FetchError(
        f"{source.host} sends more than {format_bytes(source.ceiling)} for {source.filename}, the most for a file "
        "whose size the card does not give; add `bytes`, its size, to the card"
    )


def _translate(error: Exception, source: WebFile, timeouts: Timeouts) -> Exception:
    """The error of this module for an error of requests: a `_TransientError` is tried again, a `FetchError` is not."""
    import requests

    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return FetchError(f"{source.host} is unknown (no such name, or this machine is offline)")
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError(f"{source.host} offers no secure connection ({causes[-1]})")
    if isinstance(error, requests.Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
        seconds = timeouts.connect if isinstance(error, requests.ConnectTimeout) else timeouts.read
        return _NoAnswerError(f"did not answer within {seconds:g} s")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return _TransientError(f"broke the connection ({getattr(causes[-1], 'strerror', None) or causes[-1]})")
    return FetchError(f"the request to {source.host} failed ({error})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
