"""SYNTH: a twin of the Netflix Prize's archive, in the very format of the original.

    download/movie_titles.txt     MovieID,Year,Title in latin-1; titles with commas; a year may be NULL
    download/probe.txt            MovieID: and below it the CustomerIDs whose ratings are to be predicted
    download/qualifying.txt       likewise CustomerID,Date, of ratings withheld
    download/rmse.pl              what the Prize's error was
    download/training_set.tar     training_set/mv_0000001.txt …: MovieID: and below it CustomerID,Rating,Date
    download/MD5SUMS              the checksums of these (the original's are on its card)

The same seed and scale give the same bytes, with the same versions of NumPy and zlib.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np

from cfbench.data.synth.generator import DAYS, FIRST_DAY, RATINGS, SyntheticNetflix, draw, require_scale
from cfbench.files import atomic_file, atomic_folder, make_folder, require_space, write_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener

Layout = Literal["archive", "folder", "kaggle"]
_BLOCK, _RECORD = 512, 10_240  # bytes; a tar's unit, and what its length is a multiple of
_PIECE = 1 << 20
_BYTES = {"archive": 9.5, "folder": 22.0, "kaggle": 21.0}  # of the disk that a rating takes
_TIME = 1_136_073_600  # 2006-01-01, of every member: the same bytes always, and a date that a zip can hold
_RMSE = b"""#!/usr/bin/perl
# Reads lines "Rating,Prediction" and prints the root of their mean squared difference.
my ($n, $sum) = (0, 0);
while (<>) { next if /:/; my ($rating, $guess) = split /,/; $sum += ($rating - $guess) ** 2; $n++ }
printf "RMSE: %.4f\\n", sqrt($sum / $n) if $n;
"""
_FIRST = [
    "Café", "Last Train", "The Señor's Return", "Crème de la Crème", "Blue", "Garden", "Night", "Über-Heroes",
    "A Fistful", "Brothers", "Winter", "Lost and PluginLocation", "Françoise", "Old Friends", "Planet", "Secret",
]  # fmt: skip
_SECOND = ["of Æther", "in Paris", "vs. the World", "at Sea", "of the Year", "without End", "and Sons", "à la Mode"]
_THIRD = ["", "", "", ": Season {}", ", Part {}", ", The: Disc {}", " ({})", ': "Take {}"']


def write_netflix(
    path: Path, *, scale: float, seed: int, listener: ProgressListener, layout: Layout = "archive"
) -> SyntheticNetflix:
    """Draw a twin and write it: a tar.gz; or a folder as the tar.gz unpacks to, or as Kaggle has it.

    At scale 1 it takes about a gigabyte of memory. Raises `UsageError` for a scale that cannot be, and `WriteError`.
    """
    require_scale(scale)
    require_space(make_folder(path.absolute().parent), round(_BYTES[layout] * RATINGS * scale))
    twin = draw(scale, seed, listener)
    small = {"movie_titles.txt": titles(twin), "probe.txt": probe(twin), "qualifying.txt": qualifying(twin)}
    movies = _watched(_movies(twin), twin, f"writing {path.name}", listener)
    if layout == "archive":
        with write_errors(path), atomic_file(path) as beside:
            _write_archive(beside, small | {"rmse.pl": _RMSE}, _sizes(twin), movies)
    else:
        with atomic_folder(path) as folder:
            write = _write_folder if layout == "folder" else _write_kaggle
            write(folder, small, movies)
    return twin


def titles(twin: SyntheticNetflix) -> bytes:
    """movie_titles.txt."""
    lines = []
    for movie, year in enumerate(twin.years.tolist(), start=1):
        first, second = _FIRST[movie % len(_FIRST)], _SECOND[movie // 16 % len(_SECOND)]
        title = f"{first} {second}{_THIRD[movie // 3 % len(_THIRD)].format(movie)}"
        lines.append(f"{movie},{year or 'NULL'},{title}\n")
    return "".join(lines).encode("latin-1")


def probe(twin: SyntheticNetflix) -> bytes:
    """probe.txt."""
    starts = np.searchsorted(twin.probe, twin.starts)
    return _listed(starts, _lines(twin, twin.users[twin.probe], b"\n"))


def qualifying(twin: SyntheticNetflix) -> bytes:
    """qualifying.txt."""
    dates = _DATES[twin.withheld_days]
    return _listed(twin.withheld_starts, _lines(twin, twin.withheld_users, b",", dates))


def _dates() -> NDArray[np.void]:
    """By the day since the first: `YYYY-MM-DD` and a line end."""
    days = np.datetime_as_string(FIRST_DAY + np.arange(DAYS))
    return np.array([f"{day}\n".encode() for day in days], "S11").view("V11")


_DATES = _dates()
_STARS = np.array([b",%d," % star for star in range(6)], "S3").view("V3")


def _movies(twin: SyntheticNetflix) -> Iterator[bytes]:
    """The content of mv_0000001.txt and so on."""
    ids = _names(twin.ids)
    for movie, (first, end) in enumerate(zip(twin.starts.tolist(), twin.starts[1:].tolist(), strict=False), start=1):
        rows = np.empty(end - first, [("user", "V8"), ("star", "V3"), ("date", "V11")])
        rows["user"] = ids[twin.users[first:end]]
        rows["star"] = _STARS[twin.stars[first:end]]
        rows["date"] = _DATES[twin.days[first:end]]
        yield b"%d:\n" % movie + _shown(rows)


def _names(ids: NDArray[np.int32]) -> NDArray[np.void]:
    """(n,) the numbers as text of 8 bytes, filled up with NUL."""
    return ids.astype("S8").view("V8")


def _shown(rows: NDArray[np.void]) -> bytes:
    """The text of fixed-width rows, without what they were filled up with."""
    text: NDArray[np.uint8] = rows.view(np.uint8)
    return bytes(text[text != 0])


def _lines(
    twin: SyntheticNetflix, users: NDArray[np.int32], end: bytes, dates: NDArray[np.void] | None = None
) -> list[bytes]:
    """(n,) a line a user, each with its end."""
    rows = np.empty(len(users), [("user", "V8"), ("end", "V1"), ("date", f"V{0 if dates is None else 11}")])
    rows["user"], rows["end"] = _names(twin.ids)[users], np.void(end)
    if dates is not None:
        rows["date"] = dates
    return _shown(rows).splitlines(keepends=True)


def _listed(starts: NDArray[np.int64], lines: list[bytes]) -> bytes:
    """The lines of each movie below its header; movies without any are left out."""
    runs = zip(starts.tolist(), starts[1:].tolist(), strict=False)
    blocks = ((movie, lines[first:end]) for movie, (first, end) in enumerate(runs, start=1) if end > first)
    return b"".join(part for movie, block in blocks for part in (b"%d:\n" % movie, *block))


def _sizes(twin: SyntheticNetflix) -> list[int]:
    """The size in bytes of each movie's content, before it is made: a tar wants to know."""
    digits = np.char.str_len(twin.ids.astype("S8")).astype(np.int64)
    runs = zip(twin.starts.tolist(), twin.starts[1:].tolist(), strict=False)
    return [
        len(f"{movie}:\n") + 14 * (end - first) + int(digits[twin.users[first:end]].sum())
        for movie, (first, end) in enumerate(runs, start=1)
    ]


def _watched(movies: Iterable[bytes], twin: SyntheticNetflix, what: str, listener: ProgressListener) -> Iterator[bytes]:
    for end, movie in zip(twin.starts[1:].tolist(), movies, strict=True):
        yield movie
        listener.progress(what, end, int(twin.starts[-1]))


def _write_archive(path: Path, small: dict[str, bytes], sizes: list[int], movies: Iterable[bytes]) -> None:
    inner = _padded(sum(_BLOCK + size + -size % _BLOCK for size in sizes) + _BLOCK + 2 * _BLOCK)
    sums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in small.items()}
    with _Gzip(path) as out:
        out.write(_header("download", 0, folder=True))
        for name, content in small.items():
            out.write(_member(f"download/{name}", content))
        out.write(_header("download/training_set.tar", inner))
        digest = hashlib.md5(usedforsecurity=False)
        for piece in _training_set(movies, inner):
            out.write(piece)
            digest.update(piece)
        sums["training_set.tar"] = digest.hexdigest()
        listed = "".join(f"{md5}  {name}\n" for name, md5 in sums.items())
        out.write(_member("download/MD5SUMS", listed.encode()))
        out.write(bytes(_padded(out.written + 2 * _BLOCK) - out.written))


def _training_set(movies: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The inner tar, `size` bytes."""
    written = _BLOCK
    yield _header("training_set", 0, folder=True)
    for number, movie in enumerate(movies, start=1):
        member = _member(f"training_set/mv_{number:07d}.txt", movie)
        yield member
        written += len(member)
    yield bytes(size - written)


def _padded(size: int) -> int:
    return size + -size % _RECORD


def _member(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + bytes(-len(content) % _BLOCK)


def _header(name: str, size: int, *, folder: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.mtime = _TIME
    info.size, info.mode, info.type = size, 0o755 if folder else 0o644, tarfile.DIRTYPE if folder else tarfile.REGTYPE
    return info.tobuf(tarfile.USTAR_FORMAT)


class _Gzip:
    """A gzip file, packed by a thread of its own as it is written."""

    def __init__(self, path: Path) -> None:
        self.written = 0
        """Bytes, before packing."""
        self._path = path
        self._pack = zlib.compressobj(1, wbits=31)  # its header has no time
        self._waiting: deque[Future[int]] = deque()
        self._held = bytearray()

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._thread = ThreadPoolExecutor(1)
        return self

    def write(self, content: bytes) -> None:
        """Take the next bytes."""
        self._held += content
        self.written += len(content)
        if len(self._held) >= _PIECE:
            self._hand_over()

    def _hand_over(self) -> None:
        held = bytes(self._held)
        self._held.clear()
        self._waiting.append(self._thread.submit(lambda: self._file.write(self._pack.compress(held))))
        if len(self._waiting) > 8:
            self._waiting.popleft().result()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._hand_over()
            self._thread.shutdown(cancel_futures=kind is not None)
            if kind is None:
                for waiting in self._waiting:
                    waiting.result()
                self._file.write(self._pack.flush())


def _write_folder(folder: Path, small: dict[str, bytes], movies: Iterable[bytes]) -> None:
    """As the original unpacks to."""
    (folder / "training_set").mkdir()
    for name, content in small.items():
        (folder / name).write_bytes(content)
    for number, movie in enumerate(movies, start=1):
        (folder / "training_set" / f"mv_{number:07d}.txt").write_bytes(movie)


def _write_kaggle(folder: Path, small: dict[str, bytes], movies: Iterable[bytes]) -> None:
    """In four files of a quarter of the movies each."""
    for name, content in small.items():
        (folder / name.replace("titles.txt", "titles.csv")).write_bytes(content)
    count = small["movie_titles.txt"].count(b"\n")
    ends: Callable[[int], int] = lambda part: part * count // 4  # noqa: E731
    movies = iter(movies)
    for part in range(1, 5):
        with (folder / f"combined_data_{part}.txt").open("wb") as file:
            for _ in range(ends(part - 1), ends(part)):
                file.write(next(movies))
