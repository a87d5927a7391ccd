"""The Netflix Prize, in each form people have it.

    nf_prize_dataset.tar.gz     download/{movie_titles.txt, probe.txt, training_set.tar, …}, in the inner tar
                                training_set/mv_0000001.txt … mv_0017770.txt
    a folder                    the same unpacked, with training_set.tar or training_set/
    the copy on Kaggle          combined_data_1.txt … _4.txt, in a folder or a zip

All of them hold the same text: `MovieID:`, then one line `CustomerID,Rating,YYYY-MM-DD` for each rating of this movie,
then the next movie. The text is read once from front to back by several threads: one unpacks, one reads the members of
the archive, two parse. Movies come in the order of their numbers, so that every form gives the same table.
"""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data.readers.bad_rows import MAX_LISTED, BadLines
from cfbench.data.readers.netflix_files import (
    CHUNK_BYTES,
    PROBE,
    TITLES,
    Chunk,
    CountEstimate,
    end_lines_with_lf,
    read_chunks,
    read_small_file,
)
from cfbench.data.readers.netflix_lines import PADDING, ChunkStart, LineIndex, TextBatch, parse_pairs, parse_ratings
from cfbench.data.readers.stream import prefetch
from cfbench.errors import ArchiveError, RowError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener
    from cfbench.data.readers.layout import TableLayout
    from cfbench.ratings import Scale

BLOCK_ROWS = 3_000_000
"""The least number of rows in a block, except the last one."""
BATCH_BYTES = 8_000_000
"""How much text is parsed at once: little enough for the processor's cache."""
_WORKERS = min(2, os.cpu_count() or 1)
_NAME = "netflix"


def read(
    path: Path,
    table: TableLayout,
    scale: Scale | None,
    listener: ProgressListener,
    *,
    block_rows: int = BLOCK_ROWS,
    batch_bytes: int = BATCH_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[pl.DataFrame]:
    """Blocks of about three million rows: `user`, `item` int32, `rating` float32, `time` int64, midnight UTC.

    With a probe.txt there is a column `held_out`, True for the pairs in it. Files whose checksums are in
    `table.members` are verified, the last one only at the very end. Raises `ArchiveError`, `ChecksumError`, and
    `RowError` with the first ten bad lines and the number of all.
    """
    probe, estimate = _Probe.read(path, table), CountEstimate()
    bad, n_rows, n_held_out = BadLines(), 0, 0
    frames: list[pl.DataFrame] = []
    batches = _join_chunks(read_chunks(path, table, estimate, chunk_bytes), batch_bytes)
    with closing(_parse_batches(batches, scale, probe)) as parsed:
        for frame, bad_lines in parsed:
            bad.add(bad_lines)
            n_rows += len(frame)
            n_held_out += int(frame["held_out"].sum()) if probe else 0
            listener.progress(f"reading {_NAME}", min(n_rows, estimate.ratings - 1), estimate.ratings)
            frames.append(frame)
            if bad.count:
                frames.clear()
            elif sum(map(len, frames)) >= block_rows:
                yield _take_all(frames)
    bad.raise_if_any()
    if probe:
        probe.require_all_rated(n_held_out)
    if frames:
        yield _take_all(frames)
    listener.progress(f"reading {_NAME}", n_rows, n_rows)


def read_titles(
    path: Path,
    table: TableLayout,
    scale: Scale | None,  # noqa: ARG001 (titles have none)
    listener: ProgressListener,  # noqa: ARG001 (a small file)
) -> Iterator[pl.DataFrame]:
    """One block: `item` int32 and `title`, followed by the year where it is known: `Dinosaur Planet (2003)`.

    Raises `ArchiveError`, `ChecksumError`, and `RowError` with the first ten bad lines and the number of all.
    """
    import polars as pl

    where, content = read_small_file(path, table, TITLES)
    if content is None:
        raise ArchiveError(f"{path} has no {TITLES[0]}; get the original archive, or copy its {TITLES[0]} there")
    lines = pl.Series("line", [content.decode("latin-1")]).str.split("\n").explode().str.strip_suffix("\r")
    lines = lines.head(len(lines) - 1) if lines[-1] == "" else lines
    if not len(lines):
        raise RowError(f"{where} holds no titles; get the original file")
    fields = lines.str.extract_groups(r"^([1-9][0-9]{0,6}),(NULL|[0-9]{4}),(.+)$").struct.unnest()
    fields.columns = ["item", "year", "title"]
    is_bad = fields["item"].is_null() | ~fields["item"].is_first_distinct()
    messages = [
        f"{where}, line {row + 1}: expected MovieID,Year,Title with a new MovieID; the line is {lines[row]!r}"
        for row in is_bad.arg_true().head(MAX_LISTED)
    ]
    BadLines(int(is_bad.sum()), messages).raise_if_any()
    has_year = pl.col("year") != "NULL"
    title = pl.when(has_year).then(pl.format("{} ({})", "title", "year")).otherwise("title")
    yield fields.select(pl.col("item").cast(pl.Int32), title.alias("title"))


@dataclass(frozen=True)
class _Probe:
    """The pairs that the Prize's authors held out: movie → its customers."""

    where: str
    users: dict[int, NDArray[np.int32]]
    count: int

    @staticmethod
    def read(path: Path, table: TableLayout) -> _Probe | None:
        """The pairs of probe.txt; None when there is no such file. Raises the errors of `netflix.read`."""
        where, content = read_small_file(path, table, (PROBE,))
        if content is None:
            return None
        batch = TextBatch(PADDING + end_lines_with_lf(content), [ChunkStart(0, where, 1, 0)], 0)
        users, bad = parse_pairs(batch)
        bad.raise_if_any()
        return _Probe(where, users, sum(map(len, users.values())))

    def mark(self, lines: LineIndex, users: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(rows,) True for the pairs of the probe."""
        held_out = np.zeros(len(users), np.bool_)
        in_probe = np.zeros(10_000_000, np.bool_)  # indexed by CustomerID
        for movie, (first, end) in zip(lines.movies.tolist(), pairwise(lines.movie_rows.tolist()), strict=True):
            probe_users = self.users.get(movie)
            if probe_users is not None:
                in_probe[probe_users] = True
                held_out[first:end] = in_probe[users[first:end]]
                in_probe[probe_users] = False
        return held_out

    def require_all_rated(self, n_held_out: int) -> None:
        """Raise `RowError` unless each pair has one rating: `n_held_out` ratings are of pairs in the probe."""
        if n_held_out != self.count:
            raise RowError(
                f"{self.where} names {self.count:,} pairs, expected different pairs with one rating each, but "
                f"{n_held_out:,} ratings belong to them; get the original file"
            )


def _join_chunks(chunks: Generator[Chunk], batch_bytes: int) -> Generator[TextBatch]:
    """Join chunks to batches of at least `batch_bytes`, each of which is parsed at once."""
    waiting: list[Chunk] = []
    size, movie = 0, 0
    with closing(chunks):
        for chunk in chunks:
            waiting.append(chunk)
            size += len(chunk.content)
            if size >= batch_bytes:
                batch = _join(waiting, movie)
                yield batch
                size, movie = 0, _last_movie(batch)
                waiting.clear()
    if waiting:
        yield _join(waiting, movie)


def _join(chunks: list[Chunk], movie: int) -> TextBatch:
    offsets = np.cumsum([0, *(len(chunk.content) for chunk in chunks)])[:-1].tolist()
    starts = [
        ChunkStart(offset, chunk.where, chunk.line, chunk.movie) for offset, chunk in zip(offsets, chunks, strict=True)
    ]
    return TextBatch(b"".join([PADDING, *(chunk.content for chunk in chunks)]), starts, movie)


def _last_movie(batch: TextBatch) -> int:
    """The movie of the batch's last ratings; 0 when it is unknown."""
    end = batch.content.rfind(b":\n")
    if end < 0:
        return batch.movie
    digits = batch.content[max(batch.content.rfind(b"\n", 0, end) + 1, len(PADDING)) : end]
    return int(digits) if re.fullmatch(rb"[1-9][0-9]{0,6}", digits) else 0


def _parse_batches(
    batches: Generator[TextBatch], scale: Scale | None, probe: _Probe | None
) -> Generator[tuple[pl.DataFrame, BadLines]]:
    """The ratings and the bad lines of each batch, in order; several threads parse."""
    mark = probe.mark if probe else None
    waiting: deque[Future[tuple[pl.DataFrame, BadLines]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool, closing(prefetch(batches, 2)) as prefetched:
        for batch in prefetched:
            waiting.append(pool.submit(parse_ratings, batch, scale, mark))
            if len(waiting) > 2 * _WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _take_all(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Join the frames to one block and empty the list, so that their memory is free."""
    import polars as pl

    block = pl.concat(frames, rechunk=True)
    frames.clear()
    return block
