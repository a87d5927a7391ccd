"""READER: an archive → columns. One module a format; `READERS` names them, and a card's table chooses by its `format`.

To add a format: write a module with a function like `delimited.read`, name it in `READERS` and in `card.Table`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cfbench.data.progress import ProgressListener, SilentListener
from cfbench.data.readers import delimited, jester, netflix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.card import TableLayout
    from cfbench.ratings import Scale


class Reader(Protocol):
    """Reads one table of the archive at `path`, in blocks of some million rows, in the source's order."""

    def __call__(
        self, path: Path, table: TableLayout, scale: Scale | None, listener: ProgressListener, /
    ) -> Iterator[pl.DataFrame]:
        """`user`, `item`, `rating` and, where the table has it, `time`; or `item` and `title`."""


READERS: dict[str, Reader] = {
    "delimited": delimited.read,
    "jester": jester.read,
    "netflix": netflix.read,
    "netflix-titles": netflix.read_titles,
}


def read(
    path: Path, table: TableLayout, scale: Scale | None = None, listener: ProgressListener | None = None
) -> Iterator[pl.DataFrame]:
    """The table's blocks: every row of the source in its order, nothing skipped.

    `scale` is what ratings are checked against. Raises `ArchiveError`, and `RowError` naming the first bad lines.
    """
    return READERS[table.format](path, table, scale, listener or SilentListener())
