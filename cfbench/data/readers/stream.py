"""STREAM: the bytes of a file, unpacked if they are gzip, one after the other; and threads that make things ahead."""

from __future__ import annotations

import zlib
from contextlib import closing
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from cfbench.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

PIECE = 1 << 20
"""Bytes that are read at once."""
AGAIN = "it is truncated or damaged, get the file again"
"""What to do about a file that is."""
T = TypeVar("T")


def pieces(path: Path) -> Generator[bytes]:
    """The bytes of a file, unpacked if it is gzip; raises `ArchiveError`, `OSError` and `zlib.error`."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        read = iter(lambda: file.read(PIECE), b"")
        yield from _inflated(read, path) if packed else read


def _inflated(pieces: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """What gzip packed; a file may be several packed one after the other. No piece is larger than four of its own."""
    inflate = zlib.decompressobj(wbits=31)
    for piece in pieces:
        packed = piece
        while packed:
            if inflate.eof:
                inflate = zlib.decompressobj(wbits=31)
            yield inflate.decompress(packed, 4 * PIECE)
            packed = inflate.unused_data.lstrip(b"\0") if inflate.eof else inflate.unconsumed_tail
    while not inflate.eof and (rest := inflate.decompress(b"", 4 * PIECE)):
        yield rest
    if not inflate.eof:
        raise ArchiveError(f"{path} stops in the middle; {AGAIN}")


class Line:
    """Pieces of any size as one line of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end only."""
        taken: list[memoryview] = []
        while count:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            taken.append(self._rest[:count])
            self._rest = self._rest[count:]
            count -= len(taken[-1])
        return b"".join(taken)


def ahead(items: Generator[T], depth: int) -> Generator[T]:
    """The same items, made up to `depth` in advance by a thread of their own; what it raises is raised here in turn.

    Closing ends the thread.
    """
    line: Queue[tuple[str, Any]] = Queue(depth)
    stop = Event()

    def put(kind: str, what: Any) -> bool:
        while not stop.is_set():
            try:
                line.put((kind, what), timeout=0.1)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            with closing(items):
                if all(put("item", item) for item in items):
                    put("end", None)
        except BaseException as fault:  # noqa: BLE001 (it is raised again, in the thread that can do something)
            put("fault", fault)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while (taken := line.get())[0] == "item":
            yield taken[1]
        if taken[0] == "fault":
            raise taken[1]
    finally:
        stop.set()
        thread.join()
