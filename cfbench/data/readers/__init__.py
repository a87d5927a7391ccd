"""A reader turns the file of a data set into columns of users, items and ratings; each format has one module here.

To add a format:

1. Write a module in this folder with a function like `delimited.read`. It has the signature of `Reader`.
2. Add one line to `layout.FORMATS`. From then on, a card can name the new format as `format` of its table.
3. Test it in `tests/data/`: a file in the format is read back equal, and a bad row is refused with its line.

These modules help a reader: `zip_archive` and `members` read archives, `lines` splits text into fields, and `bad_rows`
finds bad rows and reports them in one error message. `table` and `wide` are not formats of cards: they read a person's
own file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from cfbench.data.progress import ProgressListener, SilentListener
from cfbench.data.readers.layout import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.readers.layout import TableLayout
    from cfbench.ratings import Scale


class Reader(Protocol):
    """Reads one table of the archive at `path`."""

    def __call__(
        self, path: Path, table: TableLayout, scale: Scale | None, listener: ProgressListener, /
    ) -> Iterator[pl.DataFrame]:
        """Blocks of some million rows, in the source's order.

        The columns are `user`, `item`, `rating` and, where the table has it, `time` (seconds since 1970, UTC); or
        `item`, `title` and, where the table has them, `genres`. Every row is read or refused: a reader skips nothing.
        `table` is what the card says about the table, and ratings are checked against `scale`. Raises `ArchiveError`,
        and `RowError` with the numbers of the first bad lines.
        """


def find_reader(name: str) -> Reader:
    """The function that reads the format of that name, which is a key of `layout.FORMATS`."""
    module, _, function = FORMATS[name].rpartition(".")
    return cast("Reader", getattr(import_module(f"{__name__}.{module}"), function))


def read(
    path: Path, table: TableLayout, scale: Scale | None = None, listener: ProgressListener | None = None
) -> Iterator[pl.DataFrame]:
    """The blocks of a table in the format that its card names; see `Reader`."""
    return find_reader(table.format)(path, table, scale, listener or SilentListener())
