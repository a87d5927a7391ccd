"""Ratings, splits and predictions as files for other tools, with the ids of the source.

The columns are user, item, rating and, where they apply, prediction, part, time, title, in this order. The ending of
the file chooses between CSV and Parquet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.data.parts import PART_NAMES, PartCodes
from cfbench.errors import UsageError
from cfbench.files import atomic_file, write_errors
from cfbench.ratings import Catalogue, Ratings, Scores, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

FORMATS = {".csv": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}
"""The ending of a file → its format."""
_BLOCK_ROWS = 1_000_000


@dataclass(frozen=True, eq=False)
class Export:
    """n ratings to write, with what belongs to each of them."""

    ratings: Ratings
    catalogue: Catalogue
    parts: PartCodes | None = None
    """(n,) the part of each rating; a rating that is in no part is left out."""
    only: int | None = None
    """With `parts`: the one part to write, without a column `part`."""
    predictions: Scores | None = None
    """(n,) the prediction of each rating."""
    titles: bool = True
    """Whether to write the titles of items, if any are known."""
    iso_times: bool = False
    """Times as 2005-04-03T00:00:07Z in CSV and as datetimes in Parquet, in place of seconds since 1970."""

    @property
    def rows(self) -> int:
        """How many ratings are written."""
        if self.parts is None:
            return len(self.ratings)
        return int(np.count_nonzero(self.parts < len(PART_NAMES) if self.only is None else self.parts == self.only))

    @property
    def left_out(self) -> int:
        """How many ratings are not written because they are in no part."""
        return 0 if self.parts is None else int(np.count_nonzero(self.parts >= len(PART_NAMES)))


def check_format(path: Path) -> str:
    """Return the format of a file by its ending; raises `UsageError`."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} must end in .csv or .parquet, which chooses the format; such as --out ratings.csv")
    return FORMATS[path.suffix.lower()]


def export_frame(export: Export) -> pl.DataFrame:
    """The ratings as one frame, with the columns and types of a Parquet file."""
    return _block(export, slice(None), as_text=False)


def write_export(export: Export, path: Path) -> list[str]:
    """Write a file, which appears only when it is complete, and return its columns.

    Raises `UsageError` for another ending than .csv or .parquet, `WriteError`.
    """
    from polars.io.plugins import register_io_source

    as_text = check_format(path) == "CSV"
    empty = _block(export, slice(0, 0), as_text=as_text)

    def read_blocks(*_: Any) -> Iterator[pl.DataFrame]:
        for rows in blocks(len(export.ratings), _BLOCK_ROWS):
            yield _block(export, rows, as_text=as_text)

    table = register_io_source(read_blocks, schema=empty.schema)
    with write_errors(path), atomic_file(path) as unfinished:
        if as_text:
            table.sink_csv(unfinished)
        else:
            table.sink_parquet(unfinished, compression="zstd")
    return empty.columns


def _block(export: Export, rows: slice, *, as_text: bool) -> pl.DataFrame:
    """Some of the ratings as a table."""
    import polars as pl

    ratings, catalogue = export.ratings, export.catalogue
    items = ratings.items[rows]
    columns: dict[str, Any] = {
        "user": catalogue.users["id"].gather(ratings.users[rows]),
        "item": catalogue.items["id"].gather(items),
        "rating": ratings.ratings[rows],
    }
    if export.predictions is not None:
        columns["prediction"] = export.predictions[rows]
    frame = pl.DataFrame(columns)
    if export.parts is not None:
        frame = frame.with_columns(part=_part_names(export.parts[rows]))
    if ratings.times is not None:
        frame = frame.with_columns(time=_times(ratings.times[rows], export, as_text=as_text))
    if export.titles and catalogue.items["title"].count():
        frame = frame.with_columns(title=catalogue.items["title"].gather(items))
    if export.parts is None:
        return frame
    if export.only is None:
        return frame.filter(pl.col("part").is_not_null())
    return frame.filter(pl.col("part") == PART_NAMES[export.only]).drop("part")


def _part_names(parts: PartCodes) -> pl.Series:
    """(n,) the name of each part; null for a rating that is in none."""
    import polars as pl

    return pl.Series(parts).replace_strict(dict(enumerate(PART_NAMES)), default=None, return_dtype=pl.String)


def _times(times: Any, export: Export, *, as_text: bool) -> pl.Series:
    import polars as pl

    seconds = pl.Series(times, dtype=pl.Int64)
    if not export.iso_times:
        return seconds
    moments = pl.from_epoch(seconds, "s").dt.replace_time_zone("UTC")
    return moments.dt.strftime("%Y-%m-%dT%H:%M:%SZ") if as_text else moments
