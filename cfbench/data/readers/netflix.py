"""The Netflix Prize, in each form people have it.

    nf_prize_dataset.tar.gz     download/{movie_titles.txt, probe.txt, training_set.tar, …}, in the inner tar
                                training_set/mv_0000001.txt … mv_0017770.txt
    a folder                    the same unpacked, with training_set.tar or training_set/
    the copy on Kaggle          combined_data_1.txt … _4.txt, in a folder or a zip

All are one text: `MovieID:`, then `CustomerID,Rating,YYYY-MM-DD` of each of its ratings, the next movie, and so on.
It is read once from front to back, by several threads: one unpacks, one walks the archive, two parse. Movies come by
their number whatever the archive's order, so that every form gives the same table.
"""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data.readers.netflix_files import PROBE, TEXT, TITLES, Part, State, parts, small, whole_lines
from cfbench.data.readers.netflix_lines import PAD, Faults, Lines, Start, Text, pairs, ratings
from cfbench.data.readers.stream import ahead
from cfbench.errors import ArchiveError, RowError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.card import TableLayout
    from cfbench.data.progress import ProgressListener
    from cfbench.ratings import Scale

_BLOCK = 3_000_000  # rows
_WORKERS = min(2, os.cpu_count() or 1)
_NAME = "netflix"


def read(path: Path, table: TableLayout, scale: Scale | None, listener: ProgressListener) -> Iterator[pl.DataFrame]:
    """Blocks of about three million rows: `user`, `item` int32, `rating` float32, `time` int64, midnight UTC.

    With a probe.txt there is `held_out` too, True for the pairs it names. Files that `table.members` has checksums of
    are held to them; the last of them only at the very end. Raises `ArchiveError`, `ChecksumError`, and `RowError`
    telling of the first ten bad lines and how many there are.
    """
    probe = _Probe.read(path, table)
    state = State()
    faults, done, marked = Faults(), 0, 0
    batch: list[pl.DataFrame] = []
    with closing(_parsed(_texts(parts(path, table, state)), scale, probe)) as parsed:
        for frame, bad in parsed:
            faults.add(bad)
            done += len(frame)
            marked += int(frame["held_out"].sum()) if probe else 0
            listener.progress(f"reading {_NAME}", min(done, state.expected - 1), state.expected)
            batch.append(frame)
            if not faults.count and sum(map(len, batch)) >= _BLOCK:
                yield _joined(batch)
            if faults.count:
                batch.clear()
    _refuse(faults)
    if probe and marked != probe.count:
        raise RowError(
            f"{probe.where} names {probe.count:,} pairs, expected each once and with a rating, but {marked:,} ratings "
            "have theirs there; get the original file"
        )
    if batch:
        yield _joined(batch)
    listener.progress(f"reading {_NAME}", done, done)


def read_titles(
    path: Path,
    table: TableLayout,
    scale: Scale | None,  # noqa: ARG001 (titles have none)
    listener: ProgressListener,  # noqa: ARG001 (a small file)
) -> Iterator[pl.DataFrame]:
    """One block: `item` int32 and `title`, with the year behind it where it is known: `Dinosaur Planet (2003)`.

    Raises `ArchiveError`, `ChecksumError`, and `RowError` telling of the first ten bad lines and how many there are.
    """
    import polars as pl

    where, content = small(path, table, TITLES)
    if content is None:
        raise ArchiveError(f"{path} has no {TITLES[0]}; get the original archive, or put its {TITLES[0]} there")
    lines = pl.Series("line", [content.decode("latin-1")]).str.split("\n").explode().str.strip_suffix("\r")
    lines = lines.head(len(lines) - 1) if lines[-1] == "" else lines
    if not len(lines):
        raise RowError(f"{where} holds no titles; get the original file")
    fields = lines.str.extract_groups(r"^([1-9][0-9]{0,6}),(NULL|[0-9]{4}),(.+)$").struct.unnest()
    fields.columns = ["item", "year", "title"]
    bad = fields["item"].is_null() | ~fields["item"].is_first_distinct()
    told = [
        f"{where}, line {row + 1}: expected MovieID,Year,Title of a movie not named before; the line is {lines[row]!r}"
        for row in bad.arg_true().head(10)
    ]
    _refuse(Faults(int(bad.sum()), told))
    known = pl.col("year") != "NULL"
    title = pl.when(known).then(pl.format("{} ({})", "title", "year")).otherwise("title")
    yield fields.select(pl.col("item").cast(pl.Int32), title.alias("title"))


@dataclass(frozen=True)
class _Probe:
    """The pairs that the Prize's authors held out: movie → customers."""

    where: str
    users: dict[int, NDArray[np.int32]]
    count: int

    @staticmethod
    def read(path: Path, table: TableLayout) -> _Probe | None:
        """None when there is no probe.txt. Raises what reading ratings raises."""
        where, content = small(path, table, (PROBE,))
        if content is None:
            return None
        users, faults = pairs(Text(PAD + whole_lines(content), [Start(0, where, 1, 0)], 0))
        _refuse(faults)
        return _Probe(where, users, sum(map(len, users.values())))

    def mark(self, lines: Lines, users: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(rows,) True for the pairs of the probe."""
        held_out, asked = np.zeros(len(users), np.bool_), np.zeros(10_000_000, np.bool_)
        runs = lines.runs.tolist()
        for movie, first, end in zip(lines.movies.tolist(), runs, runs[1:], strict=False):
            if (mine := self.users.get(movie)) is not None:
                asked[mine] = True
                held_out[first:end] = asked[users[first:end]]
                asked[mine] = False
        return held_out


def _texts(parts: Generator[Part]) -> Generator[Text]:
    """Parts put together to what is parsed at once."""
    batch: list[Part] = []
    size, movie = 0, 0
    with closing(parts):
        for part in parts:
            batch.append(part)
            size += len(part.content)
            if size >= TEXT:
                yield (text := _text(batch, movie))
                size, movie = 0, _last_movie(text)
                batch.clear()
    if batch:
        yield _text(batch, movie)


def _text(batch: list[Part], movie: int) -> Text:
    at = np.cumsum([0, *(len(part.content) for part in batch)]).tolist()
    starts = [Start(first, part.where, part.line, part.movie) for first, part in zip(at, batch, strict=False)]
    return Text(b"".join([PAD, *(part.content for part in batch)]), starts, movie)


def _last_movie(text: Text) -> int:
    """Whose ratings a text ends with; 0 when that is not to be told."""
    end = text.content.rfind(b":\n")
    if end < 0:
        return text.movie
    digits = text.content[max(text.content.rfind(b"\n", 0, end) + 1, len(PAD)) : end]
    return int(digits) if re.fullmatch(rb"[1-9][0-9]{0,6}", digits) else 0


def _parsed(
    texts: Generator[Text], scale: Scale | None, probe: _Probe | None
) -> Generator[tuple[pl.DataFrame, Faults]]:
    """The texts' ratings in order, parsed side by side."""
    mark = probe.mark if probe else None
    waiting: deque[Future[tuple[pl.DataFrame, Faults]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool, closing(ahead(texts, 2)) as made:
        for text in made:
            waiting.append(pool.submit(ratings, text, scale, mark))
            if len(waiting) > 2 * _WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _joined(batch: list[pl.DataFrame]) -> pl.DataFrame:
    """One block of the frames, which are taken out."""
    import polars as pl

    block = pl.concat(batch, rechunk=True)
    batch.clear()
    return block


def _refuse(faults: Faults) -> None:
    """Raise `RowError` if there are bad lines."""
    if faults.count == 1:
        raise RowError(f"{faults.told[0]}; no other bad line; get the original file")
    if faults.count:
        also = "; ".join(told.rsplit("; the line is", 1)[0] for told in faults.told[1:])
        raise RowError(f"{faults.told[0]}; {faults.count:,} bad lines in all: also {also}; get the original file")
