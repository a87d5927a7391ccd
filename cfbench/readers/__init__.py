"""READER: an archive → columns. One module a format; `READERS` names them, and a card's table chooses by its `format`.

To add a format: write a module with a function like `delimited.read`, name it in `READERS` and in `cfbench.card.Table`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cfbench.readers import delimited

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from cfbench.card import Table
    from cfbench.ratings import Scale


class Reader(Protocol):
    """Reads one table of the archive at `path` into columns named by role."""

    def __call__(self, path: Path, table: Table, scale: Scale | None) -> pl.DataFrame:
        """`user`, `item` (text), `rating` (float) and, where the table has it, `time` (int); or `item` and `title`."""


READERS: dict[str, Reader] = {"delimited": delimited.read}


def read(path: Path, table: Table, scale: Scale | None = None) -> pl.DataFrame:
    """The table's columns, every row of the source in its order, or none: nothing is skipped.

    `scale` is what ratings are checked against. Raises `ArchiveError`, and `RowError` naming the first bad line.
    """
    return READERS[table.format](path, table, scale)
