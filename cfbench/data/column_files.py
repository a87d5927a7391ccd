"""Ratings as files: raw columns to be memory-mapped, and a parquet copy for other tools.

    users.bin, items.bin    int32      ratings.bin    float32      times.bin    int64      held_out.bin    bool
    ratings.parquet         the same ratings with the columns user, item, rating, time, held_out

The columns are little-endian, one value after the other. A mapped column opens at once, whatever its size, and
processes share its memory.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.data.id_codes import IdEncoder
from cfbench.errors import DataError
from cfbench.files import atomic_file, write_errors
from cfbench.ratings import Ratings, Scale, blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.ratings import Codes

COLUMN_TYPES = {"users": "<i4", "items": "<i4", "ratings": "<f4", "times": "<i8", "held_out": "|b1"}
PARQUET_NAMES = {"users": "user", "items": "item", "ratings": "rating", "times": "time", "held_out": "held_out"}
_BLOCK_ROWS = 4_000_000


def write(blocks: Iterable[pl.DataFrame], folder: Path, scale: Scale) -> tuple[Ratings, IdEncoder]:
    """Encode the blocks of a reader and append them to the column files; return the mapped ratings and the encoder.

    The memory needed is one block and the ids. Raises the errors of the reader, `WriteError`, and `DataError` when
    there are no ratings or the blocks have different columns.
    """
    encoder, names = IdEncoder(), None
    with ExitStack() as stack, write_errors(folder):
        files: dict[str, Any] = {}
        for block in blocks:
            columns = encoder.encode(block)
            names = names or set(columns)
            if set(columns) != names:
                raise DataError(f"a block has the columns {sorted(columns)}, the first block has {sorted(names)}")
            for name, column in columns.items():
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.bin").open("wb"))
                files[name].write(column.astype(COLUMN_TYPES[name], copy=False).data)
    if not encoder.n_users:
        raise DataError("the source has no ratings; get the original file")
    return read(folder, n_users=encoder.n_users, n_items=encoder.n_items, scale=scale), encoder


def read(folder: Path, *, n_users: int, n_items: int, scale: Scale, fingerprint: str | None = None) -> Ratings:
    """Map the columns of a folder; a given `fingerprint` is not computed again. Raises `DataError`."""
    try:
        columns = {
            name: np.memmap(folder / f"{name}.bin", kind, mode="r")
            for name, kind in COLUMN_TYPES.items()
            if (folder / f"{name}.bin").exists()
        }
        return Ratings(**columns, n_users=n_users, n_items=n_items, scale=scale, known_fingerprint=fingerprint)
    except (OSError, TypeError, ValueError, DataError) as error:
        raise DataError(f"{folder} has no readable table of ratings ({error})") from error


def pair_keys(users: Codes, items: Codes, n_items: int) -> NDArray[np.int64]:
    """(n,) a number that identifies each pair of user and item: user·n_items + item."""
    keys = users.astype(np.int64)
    keys *= n_items
    keys += items
    return keys


def keep_last_of_duplicates(ratings: Ratings, folder: Path) -> Ratings:
    """Keep the last rating of each pair, in memory and in the folder's columns; the order of the rows stays."""
    keys = pair_keys(ratings.users, ratings.items, ratings.n_items)
    _, reverse_rows = np.unique(keys[::-1], return_index=True)
    unique = ratings.take(np.sort(len(ratings) - 1 - reverse_rows))
    for name, kind in COLUMN_TYPES.items():
        column = getattr(unique, name)
        if column is not None:
            with write_errors(folder), atomic_file(folder / f"{name}.bin") as new_file:  # the old file is still mapped
                new_file.write_bytes(column.astype(kind, copy=False).data)
    return read(folder, n_users=unique.n_users, n_items=unique.n_items, scale=unique.scale)


def write_parquet(ratings: Ratings, path: Path, *, block_rows: int = _BLOCK_ROWS) -> None:
    """Write the ratings as parquet, `block_rows` rows at a time; raises `WriteError`."""
    import polars as pl
    from polars.io.plugins import register_io_source

    arrays = {name: getattr(ratings, field) for field, name in PARQUET_NAMES.items()}
    columns = {name: array for name, array in arrays.items() if array is not None}
    empty = pl.DataFrame({name: column[:0] for name, column in columns.items()})

    def read_blocks(*_: Any) -> Iterator[pl.DataFrame]:
        for rows in blocks(len(ratings), block_rows):
            yield pl.DataFrame({name: column[rows] for name, column in columns.items()})

    with write_errors(path):
        source = register_io_source(read_blocks, schema=empty.schema)
        source.sink_parquet(path, compression="zstd", compression_level=1, statistics=False)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a small table as parquet; raises `WriteError`."""
    with write_errors(path):
        frame.write_parquet(path, compression="zstd", statistics=False)
