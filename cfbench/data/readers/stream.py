"""The bytes of a file as a stream, unpacked if they are gzip; and a thread that prepares items in advance."""

from __future__ import annotations

import lzma
import struct
import zlib
from contextlib import closing, contextmanager
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar
from zipfile import BadZipFile

from cfbench.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

PIECE_BYTES = 1 << 20
"""How many bytes are read at once."""
DAMAGED = "it is truncated or damaged, get the file again"
"""The end of every message about a truncated or damaged file."""
# Python's archive modules raise these for a damaged archive, in addition to their own errors.
_DAMAGE = (
    BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
T = TypeVar("T")


@contextmanager
def archive_errors(path: Path | str, where: str = "") -> Iterator[None]:
    """Turn the errors of an unreadable or damaged file into `ArchiveError`; `where` names the member, if any."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror or error}; check the file and its path") from error
    except _DAMAGE as error:
        raise ArchiveError(f"cannot unpack {where or path}: {error}; {DAMAGED}") from error


def read_pieces(path: Path) -> Generator[bytes]:
    """The bytes of a file, unpacked if it is gzip. Raises `ArchiveError`, `OSError` and `zlib.error`."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        pieces = iter(lambda: file.read(PIECE_BYTES), b"")
        yield from _gunzip(pieces, path) if is_gzip else pieces


def _gunzip(pieces: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Unpack a gzip file, which may be several gzip files in a row, in pieces of at most four megabytes."""
    inflate = zlib.decompressobj(wbits=31)
    for piece in pieces:
        packed = piece
        while packed:
            if inflate.eof:
                inflate = zlib.decompressobj(wbits=31)
            yield inflate.decompress(packed, 4 * PIECE_BYTES)
            packed = inflate.unused_data.lstrip(b"\0") if inflate.eof else inflate.unconsumed_tail
    while not inflate.eof and (rest := inflate.decompress(b"", 4 * PIECE_BYTES)):
        yield rest
    if not inflate.eof:
        raise ArchiveError(f"{path} stops in the middle; {DAMAGED}")


class ByteStream:
    """Pieces of any size, read as one stream of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end."""
        parts: list[memoryview] = []
        while count:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            parts.append(self._rest[:count])
            self._rest = self._rest[count:]
            count -= len(parts[-1])
        return b"".join(parts)


def prefetch(items: Generator[T], depth: int) -> Generator[T]:
    """The same items, prepared by another thread up to `depth` in advance.

    An exception of that thread is raised here, after the items before it. Closing this generator ends the thread.
    """
    queue: Queue[tuple[str, Any]] = Queue(depth)
    stop = Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                queue.put((kind, value), timeout=0.1)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            with closing(items):
                if all(put("item", item) for item in items):
                    put("end", None)
        except BaseException as error:  # noqa: BLE001 (the consumer's thread raises it again)
            put("error", error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        kind, value = queue.get()
        while kind == "item":
            yield value
            kind, value = queue.get()
        if kind == "error":
            raise value
    finally:
        stop.set()
        thread.join()
