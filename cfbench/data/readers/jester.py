"""Jester: workbooks (.xls) of one row a user: how many jokes were rated, then a rating for each joke.

    K. Goldberg, T. Roeder, D. Gupta, C. Perkins, Eigentaste: A Constant Time Collaborative Filtering Algorithm,
    Information Retrieval 4(2), 2001; eigentaste.berkeley.edu/dataset

A cell of 99, or an empty one, is a joke that was not rated. Users have no names, so they are numbered from 1 through
the workbooks in the order of the names of their archives, and jokes from 1 as in the collection of their texts.
"""

from __future__ import annotations

import io
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.data.progress import SilentListener
from cfbench.data.readers.archive import members, unpack
from cfbench.data.readers.lines import NAMED, BadRows
from cfbench.errors import ArchiveError, DataError, RowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.card import TableLayout
    from cfbench.data.progress import ProgressListener
    from cfbench.ratings import Scale

JOKES = 100
"""Columns of ratings in a workbook."""
NOT_RATED = 99.0
"""What stands in place of a rating that was not given."""
_TOLD = 100  # characters of a fault found by xlrd


def read(
    path: Path, table: TableLayout, scale: Scale | None, listener: ProgressListener | None = None
) -> Iterator[pl.DataFrame]:
    """A block a workbook: `user` and `item` as int64, `rating` as float64, a user's jokes in order.

    `path` is a zip file or a folder of them; `table.member` is a pattern for the workbooks in them. Raises
    `ArchiveError`, `RowError` for rows with a cell that is no rating on `scale`, `DataError` without xlrd.
    """
    listener, first = listener or SilentListener(), 1
    found = _workbooks(path, table.member)
    bad = BadRows(str(path), "get the original files")
    for number, (archive, member) in enumerate(found, start=1):
        where = f"{archive}!{member}"
        cells = _cells(unpack(archive, member, table.max_bytes), where)
        bad.where = where
        _refuse(cells, scale, bad)
        yield _ratings(_numbers(cells), first)
        first += len(cells)
        listener.progress("reading workbooks", number, len(found))


def _workbooks(path: Path, pattern: str) -> list[tuple[Path, str]]:
    """Every archive with each of its members that match the pattern; raises `ArchiveError` when there is none."""
    archives = sorted(path.glob("*.zip")) if path.is_dir() else [path]
    found = [(archive, name) for archive in archives for name in sorted(members(archive)) if fnmatchcase(name, pattern)]
    if not found:
        raise ArchiveError(
            f"{path} holds no member like {pattern!r}, in {len(archives)} zip files; get the original archives"
        )
    return found


def _cells(content: bytes, where: str) -> list[list[Any]]:
    """The rows of the first sheet, each of 1 + `JOKES` cells."""
    try:
        import xlrd  # in pure Python: the quicker python-calamine ends the whole process on some damaged workbooks
    except ImportError as fault:
        raise DataError(
            f"reading {where} needs the package xlrd, which is not here; install it with: pip install xlrd"
        ) from fault
    try:
        sheet = xlrd.open_workbook(file_contents=content, logfile=io.StringIO()).sheet_by_index(0)
    except Exception as fault:  # xlrd lets through whatever the damage made its parser stumble over
        told = " ".join(f"{type(fault).__name__}: {fault}".split())[:_TOLD]
        raise ArchiveError(f"{where} cannot be read as a workbook ({told}); get the original archive") from fault
    if sheet.ncols != 1 + JOKES:
        raise RowError(
            f"{where} has {sheet.nrows:,} rows of {sheet.ncols} columns, expected {1 + JOKES} columns: a count and "
            f"{JOKES} ratings; get the original archive"
        )
    return [sheet.row_values(row) for row in range(sheet.nrows)]


def _numbers(cells: list[list[Any]]) -> NDArray[np.float64]:
    """(users, jokes) ratings, NaN where there is none."""
    numbers = np.array([[NOT_RATED if cell == "" else cell for cell in row[1:]] for row in cells], np.float64)
    numbers[numbers == NOT_RATED] = np.nan
    return numbers


def _refuse(cells: list[list[Any]], scale: Scale | None, bad: BadRows) -> None:
    """Raise `RowError` if a cell is neither empty, 99, nor a rating on the scale."""
    faults = [(row, fault) for row, values in enumerate(cells, start=1) if (fault := _fault(values, scale))]
    if faults:
        line, fault = faults[0]
        text = " ".join(map(str, cells[line - 1]))
        bad.add([row for row, _ in faults[:NAMED]], len(faults), fault, text)
    bad.refuse()


def _fault(values: list[Any], scale: Scale | None) -> str:
    """What is wrong with a user's row, if anything."""
    ratings = [value for value in values[1:] if value not in {"", NOT_RATED}]
    for value in ratings:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected a number for the rating, got {value!r}"
    if scale is not None and len(off := np.flatnonzero(scale.invalid(np.array(ratings, np.float64)))):
        return f"rating {ratings[off[0]]:g} is off the scale {scale}"
    return ""


def _ratings(numbers: NDArray[np.float64], first: int) -> pl.DataFrame:
    """The ratings there are, one a row; `first` is the number of the first user."""
    import polars as pl

    users, jokes = np.nonzero(~np.isnan(numbers))
    return pl.DataFrame({"user": users + first, "item": jokes + 1, "rating": numbers[users, jokes]})
