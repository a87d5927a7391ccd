"""The synthetic Netflix Prize as an archive, in the exact format of the original.

    download/movie_titles.txt     MovieID,Year,Title in latin-1; titles may have commas; a year may be NULL
    download/probe.txt            MovieID: and below it the CustomerIDs whose ratings are to be predicted
    download/qualifying.txt       MovieID: and below it CustomerID,Date of the withheld ratings
    download/rmse.pl              the Prize's measure of the error
    download/training_set.tar     training_set/mv_0000001.txt …: MovieID: and below it CustomerID,Rating,Date
    download/MD5SUMS              the checksums of these files (the original's are on its card)

The same seed and scale give the same bytes, with the same versions of NumPy and zlib.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from cfbench.data.synth.generator import DAYS, FIRST_DAY, RATINGS, SyntheticNetflix, draw_netflix, require_scale
from cfbench.files import atomic_file, atomic_folder, make_folder, require_space, write_errors
from cfbench.memory import require_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener

Layout = Literal["archive", "folder", "kaggle"]
_TAR_BLOCK, _TAR_RECORD = 512, 10_240  # bytes; a tar consists of blocks, and its length is a multiple of a record
_PIECE_BYTES = 1 << 20
_MEMORY = 1.4e9
"""Bytes of memory at scale 1; measured: 1.39e9 per unit of scale, between 0.02 and 0.06."""
_BYTES_PER_RATING = {"archive": 9.5, "folder": 22.0, "kaggle": 21.0}  # on the disk
_TIME = 1_136_073_600  # 2006-01-01, the date of every member: always the same, and late enough for a zip
_RMSE = b"""#!/usr/bin/perl
# Reads lines "Rating,Prediction" and prints the root of their mean squared difference.
my ($n, $sum) = (0, 0);
while (<>) { next if /:/; my ($rating, $guess) = split /,/; $sum += ($rating - $guess) ** 2; $n++ }
printf "RMSE: %.4f\\n", sqrt($sum / $n) if $n;
"""
_FIRST_WORDS = [
    "Café", "Last Train", "The Señor's Return", "Crème de la Crème", "Blue", "Garden", "Night", "Über-Heroes",
    "A Fistful", "Brothers", "Winter", "Lost and Found", "Françoise", "Old Friends", "Planet", "Secret",
]  # fmt: skip
_MIDDLE_WORDS = [
    "of Æther", "in Paris", "vs. the World", "at Sea", "of the Year", "without End", "and Sons", "à la Mode",
]  # fmt: skip
_LAST_WORDS = ["", "", "", ": Season {}", ", Part {}", ", The: Disc {}", " ({})", ': "Take {}"']


def write_netflix(
    path: Path, *, scale: float, seed: int, listener: ProgressListener, layout: Layout = "archive"
) -> SyntheticNetflix:
    """Draw ratings and write them: as a tar.gz, as the folder it unpacks to, or as Kaggle's folder.

    Raises `UsageError` for an impossible scale, `ConfigError` for one that needs too much memory, and `WriteError`.
    """
    require_scale(scale)
    require_memory(round(_MEMORY * scale), f"a synthetic Netflix Prize of scale {scale:g}", "use a smaller --scale")
    require_space(make_folder(path.absolute().parent), round(_BYTES_PER_RATING[layout] * RATINGS * scale))
    data = draw_netflix(scale, seed, listener)
    small = {
        "movie_titles.txt": format_titles(data), "probe.txt": _format_probe(data),
        "qualifying.txt": _format_qualifying(data),
    }  # fmt: skip
    movies = _watch(_format_movies(data), data, f"writing {path.name}", listener)
    if layout == "archive":
        with write_errors(path), atomic_file(path) as hidden_file:
            _write_archive(hidden_file, small | {"rmse.pl": _RMSE}, _movie_sizes(data), movies)
    else:
        write = _write_folder if layout == "folder" else _write_kaggle_folder
        with atomic_folder(path) as hidden_folder:
            write(hidden_folder, small, movies)
    return data


def format_titles(data: SyntheticNetflix) -> bytes:
    """The content of movie_titles.txt."""
    lines = []
    for movie, year in enumerate(data.years.tolist(), start=1):
        first = _FIRST_WORDS[movie % len(_FIRST_WORDS)]
        middle = _MIDDLE_WORDS[movie // 16 % len(_MIDDLE_WORDS)]
        last = _LAST_WORDS[movie // 3 % len(_LAST_WORDS)].format(movie)
        lines.append(f"{movie},{year or 'NULL'},{first} {middle}{last}\n")
    return "".join(lines).encode("latin-1")


def _format_probe(data: SyntheticNetflix) -> bytes:
    """The content of probe.txt."""
    starts = np.searchsorted(data.probe, data.starts)
    return _join_movies(starts, _format_users(data, data.users[data.probe], b"\n"))


def _format_qualifying(data: SyntheticNetflix) -> bytes:
    """The content of qualifying.txt."""
    lines = _format_users(data, data.withheld_users, b",", _DATES[data.withheld_days])
    return _join_movies(data.withheld_starts, lines)


def _format_dates() -> NDArray[np.void]:
    """(DAYS,) `YYYY-MM-DD` and a line end for every day."""
    days = np.datetime_as_string(FIRST_DAY + np.arange(DAYS))
    return np.array([f"{day}\n".encode() for day in days], "S11").view("V11")


_DATES = _format_dates()
_STARS = np.array([b",%d," % star for star in range(6)], "S3").view("V3")


def _format_movies(data: SyntheticNetflix) -> Iterator[bytes]:
    """The content of mv_0000001.txt and of the files after it."""
    ids = _format_ids(data.ids)
    for movie, (first, end) in enumerate(pairwise(data.starts.tolist()), start=1):
        rows = np.empty(end - first, [("user", "V8"), ("star", "V3"), ("date", "V11")])
        rows["user"] = ids[data.users[first:end]]
        rows["star"] = _STARS[data.stars[first:end]]
        rows["date"] = _DATES[data.days[first:end]]
        yield b"%d:\n" % movie + _to_text(rows)


def _format_ids(ids: NDArray[np.int32]) -> NDArray[np.void]:
    """(n,) the numbers as text of 8 bytes, padded with NUL."""
    return ids.astype("S8").view("V8")


def _to_text(rows: NDArray[np.void]) -> bytes:
    """The text of fixed-width rows, without the padding."""
    text: NDArray[np.uint8] = rows.view(np.uint8)
    return bytes(text[text != 0])


def _format_users(
    data: SyntheticNetflix, users: NDArray[np.int32], end: bytes, dates: NDArray[np.void] | None = None
) -> list[bytes]:
    """(n,) one line for each user: the id, `end` and, if given, the date."""
    rows = np.empty(len(users), [("user", "V8"), ("end", "V1"), ("date", f"V{0 if dates is None else 11}")])
    rows["user"], rows["end"] = _format_ids(data.ids)[users], np.void(end)
    if dates is not None:
        rows["date"] = dates
    return _to_text(rows).splitlines(keepends=True)


def _join_movies(starts: NDArray[np.int64], lines: list[bytes]) -> bytes:
    """The lines of each movie below its header, without the movies that have no lines."""
    parts = []
    for movie, (first, end) in enumerate(pairwise(starts.tolist()), start=1):
        if end > first:
            parts += [b"%d:\n" % movie, *lines[first:end]]
    return b"".join(parts)


def _movie_sizes(data: SyntheticNetflix) -> list[int]:
    """The size in bytes of each movie's content, which a tar needs before the content."""
    digits = np.char.str_len(data.ids.astype("S8")).astype(np.int64)
    return [
        len(f"{movie}:\n") + 14 * (end - first) + int(digits[data.users[first:end]].sum())
        for movie, (first, end) in enumerate(pairwise(data.starts.tolist()), start=1)
    ]


def _watch(movies: Iterable[bytes], data: SyntheticNetflix, what: str, listener: ProgressListener) -> Iterator[bytes]:
    """The same movies; the listener receives the number of ratings so far."""
    for end, movie in zip(data.starts[1:].tolist(), movies, strict=True):
        yield movie
        listener.progress(what, end, int(data.starts[-1]))


def _write_archive(path: Path, small: dict[str, bytes], sizes: list[int], movies: Iterable[bytes]) -> None:
    inner_size = _pad(sum(_TAR_BLOCK + size + -size % _TAR_BLOCK for size in sizes) + _TAR_BLOCK + 2 * _TAR_BLOCK)
    sums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in small.items()}
    with _GzipWriter(path) as out:
        out.write(_tar_header("download", 0, folder=True))
        for name, content in small.items():
            out.write(_tar_member(f"download/{name}", content))
        out.write(_tar_header("download/training_set.tar", inner_size))
        digest = hashlib.md5(usedforsecurity=False)
        for piece in _training_set(movies, inner_size):
            out.write(piece)
            digest.update(piece)
        sums["training_set.tar"] = digest.hexdigest()
        sums_text = "".join(f"{md5}  {name}\n" for name, md5 in sums.items())
        out.write(_tar_member("download/MD5SUMS", sums_text.encode()))
        out.write(bytes(_pad(out.size + 2 * _TAR_BLOCK) - out.size))


def _training_set(movies: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The inner tar, padded to `size` bytes."""
    written = _TAR_BLOCK
    yield _tar_header("training_set", 0, folder=True)
    for number, movie in enumerate(movies, start=1):
        member = _tar_member(f"training_set/mv_{number:07d}.txt", movie)
        yield member
        written += len(member)
    yield bytes(size - written)


def _pad(size: int) -> int:
    """The next multiple of a tar's record."""
    return size + -size % _TAR_RECORD


def _tar_member(name: str, content: bytes) -> bytes:
    return _tar_header(name, len(content)) + content + bytes(-len(content) % _TAR_BLOCK)


def _tar_header(name: str, size: int, *, folder: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.mtime = _TIME
    info.size, info.mode, info.type = size, 0o755 if folder else 0o644, tarfile.DIRTYPE if folder else tarfile.REGTYPE
    return info.tobuf(tarfile.USTAR_FORMAT)


class _GzipWriter:
    """Writes a gzip file; another thread compresses."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        """The number of bytes so far, before compression."""
        self._path = path
        self._compressor = zlib.compressobj(1, wbits=31)  # writes no time into the header
        self._waiting: deque[Future[int]] = deque()
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._thread = ThreadPoolExecutor(1)
        return self

    def write(self, content: bytes) -> None:
        """Write the next bytes."""
        self._buffer += content
        self.size += len(content)
        if len(self._buffer) >= _PIECE_BYTES:
            self._submit()

    def _submit(self) -> None:
        """Give the buffer to the other thread, and wait for it if it is far behind."""
        piece = bytes(self._buffer)
        self._buffer.clear()
        self._waiting.append(self._thread.submit(lambda: self._file.write(self._compressor.compress(piece))))
        if len(self._waiting) > 8:
            self._waiting.popleft().result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._submit()
            self._thread.shutdown(cancel_futures=kind is not None)
            if kind is None:
                for waiting in self._waiting:
                    waiting.result()
                self._file.write(self._compressor.flush())


def _write_folder(folder: Path, small: dict[str, bytes], movies: Iterable[bytes]) -> None:
    """Write the files that the original archive unpacks to."""
    (folder / "training_set").mkdir()
    for name, content in small.items():
        (folder / name).write_bytes(content)
    for number, movie in enumerate(movies, start=1):
        (folder / "training_set" / f"mv_{number:07d}.txt").write_bytes(movie)


def _write_kaggle_folder(folder: Path, small: dict[str, bytes], movies: Iterable[bytes]) -> None:
    """Write four files, each with a quarter of the movies."""
    for name, content in small.items():
        (folder / name.replace("titles.txt", "titles.csv")).write_bytes(content)
    n_movies = small["movie_titles.txt"].count(b"\n")
    ends = [quarter * n_movies // 4 for quarter in range(5)]
    remaining = iter(movies)
    for number, (first, end) in enumerate(pairwise(ends), start=1):
        with (folder / f"combined_data_{number}.txt").open("wb") as file:
            file.writelines(islice(remaining, end - first))
