"""COLUMNS: a table of ratings as files: raw columns to be memory-mapped, and a parquet copy for other tools.

    users.bin, items.bin    int32      ratings.bin    float32      times.bin    int64      held_out.bin    bool
    ratings.parquet         the same as user, item, rating, time, held_out

Little-endian, one value after the other. Mapped columns open at once whatever their size, and processes share them.
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

TYPES = {"users": "<i4", "items": "<i4", "ratings": "<f4", "times": "<i8", "held_out": "|b1"}
PARQUET = {"users": "user", "items": "item", "ratings": "rating", "times": "time", "held_out": "held_out"}
_BLOCK = 4_000_000  # rows


def write(blocks: Iterable[pl.DataFrame], folder: Path, scale: Scale) -> tuple[Ratings, IdEncoder]:
    """Code the blocks of a reader and append them to the columns' files; returns the mapped table and the coder.

    Memory is bounded by a block and the ids. Raises what the reader raises, `WriteError`, and `DataError` when there
    are no ratings or the blocks do not fit together.
    """
    coder, names = IdEncoder(), None
    with ExitStack() as stack, write_errors(folder):
        files: dict[str, Any] = {}
        for block in blocks:
            coded = coder.encode(block)
            names = names or set(coded)
            if set(coded) != names:
                raise DataError(f"a block has the columns {sorted(coded)}, the first had {sorted(names)}")
            for name, column in coded.items():
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.bin").open("wb"))
                files[name].write(column.astype(TYPES[name], copy=False).data)
    if not coder.n_users:
        raise DataError("the source holds no ratings; get the original file")
    return read(folder, n_users=coder.n_users, n_items=coder.n_items, scale=scale), coder


def read(folder: Path, *, n_users: int, n_items: int, scale: Scale, fingerprint: str | None = None) -> Ratings:
    """Map the columns of a folder; raises `DataError`. `fingerprint`, when known, is not computed again."""
    try:
        columns = {
            name: np.memmap(folder / f"{name}.bin", kind, mode="r")
            for name, kind in TYPES.items()
            if (folder / f"{name}.bin").exists()
        }
        return Ratings(**columns, n_users=n_users, n_items=n_items, scale=scale, known_fingerprint=fingerprint)
    except (OSError, TypeError, ValueError, DataError) as fault:
        raise DataError(f"{folder} holds no readable table of ratings ({fault})") from fault


def pairs(users: Codes, items: Codes, n_items: int) -> NDArray[np.int64]:
    """(n,) one number a pair of user and item: user·n_items + item."""
    keys = users.astype(np.int64)
    keys *= n_items
    keys += items
    return keys


def without_earlier(ratings: Ratings, folder: Path) -> Ratings:
    """Of pairs rated more than once keep the last rating, in memory and in the folder's columns."""
    keys = pairs(ratings.users, ratings.items, ratings.n_items)
    _, from_end = np.unique(keys[::-1], return_index=True)
    kept = ratings.take(np.sort(len(ratings) - 1 - from_end))
    for name, kind in TYPES.items():
        column = getattr(kept, name)
        if column is not None:
            with write_errors(folder), atomic_file(folder / f"{name}.bin") as beside:  # the old one is still mapped
                beside.write_bytes(column.astype(kind, copy=False).data)
    return read(folder, n_users=kept.n_users, n_items=kept.n_items, scale=kept.scale)


def write_parquet(ratings: Ratings, path: Path) -> None:
    """Write the table as parquet, a block of rows at a time; raises `WriteError`."""
    import polars as pl
    from polars.io.plugins import register_io_source

    columns = {PARQUET[name]: getattr(ratings, name) for name in TYPES if getattr(ratings, name) is not None}
    first = pl.DataFrame({name: column[:0] for name, column in columns.items()})

    def rows(*_: Any) -> Iterator[pl.DataFrame]:
        for part in blocks(len(ratings), _BLOCK):
            yield pl.DataFrame({name: column[part] for name, column in columns.items()})

    with write_errors(path):
        source = register_io_source(rows, schema=first.schema)
        source.sink_parquet(path, compression="zstd", compression_level=1, statistics=False)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a small table as parquet; raises `WriteError`."""
    with write_errors(path):
        frame.write_parquet(path, compression="zstd", statistics=False)
