"""Jester: workbooks (.xls) with one row for each user, which has the number of rated jokes and a rating for each joke.

    K. Goldberg, T. Roeder, D. Gupta, C. Perkins, Eigentaste: A Constant Time Collaborative Filtering Algorithm,
    Information Retrieval 4(2), 2001; eigentaste.berkeley.edu/dataset

A cell of 99, or an empty one, is a joke without a rating. Users have no ids, so they are numbered from 1 through all
workbooks, in the order of the archives' names. Jokes are numbered from 1 as in the collection of their texts.
"""

from __future__ import annotations

import io
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench import advice
from cfbench.data.progress import SilentListener
from cfbench.data.readers.bad_rows import MAX_LISTED, BadRows
from cfbench.data.readers.zip_archive import list_members, read_member
from cfbench.errors import ArchiveError, DataError, RowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener
    from cfbench.data.readers.layout import TableLayout
    from cfbench.ratings import Scale

JOKES = 100
"""The number of columns of ratings in a workbook."""
NOT_RATED = 99.0
"""The value of a cell without a rating."""
_MAX_SHOWN = 100  # characters of an error of xlrd


def read(
    path: Path, table: TableLayout, scale: Scale | None, listener: ProgressListener | None = None
) -> Iterator[pl.DataFrame]:
    """A block for each workbook: `user` and `item` as int64, `rating` as float64, the jokes of a user in order.

    `path` is a zip file or a folder of zip files; `table.member` is a pattern for the names of the workbooks in them.
    Raises `ArchiveError`, `RowError` for a row with a cell that is not a rating on `scale`, `DataError` without xlrd.
    """
    listener, first_user = listener or SilentListener(), 1
    workbooks = _find_workbooks(path, table.member)
    for number, (archive, member) in enumerate(workbooks, start=1):
        where = f"{archive}!{member}"
        cells = _read_cells(read_member(archive, member, table.max_bytes), where)
        _refuse_bad_rows(cells, scale, where)
        yield _to_frame(_to_ratings(cells), first_user)
        first_user += len(cells)
        listener.progress("reading workbooks", number, len(workbooks))


def _find_workbooks(path: Path, pattern: str) -> list[tuple[Path, str]]:
    """Each archive with each of its members whose name matches. Raises `ArchiveError` when there is none."""
    archives = sorted(path.glob("*.zip")) if path.is_dir() else [path]
    workbooks = [
        (archive, name) for archive in archives for name in sorted(list_members(archive)) if fnmatchcase(name, pattern)
    ]
    if not workbooks:
        raise ArchiveError(
            f"{path} holds no member like {pattern!r} (zip files searched: {len(archives)}); get the original archives"
        )
    return workbooks


def _read_cells(content: bytes, where: str) -> list[list[Any]]:
    """The rows of the first sheet, each of 1 + `JOKES` cells."""
    try:
        import xlrd  # in pure Python: the faster python-calamine crashes the whole process on some damaged workbooks
    except ImportError as error:
        raise DataError(
            f"reading {where} needs the package xlrd, which is not installed; install it with: "
            f"{advice.pip_install('xlrd')}"
        ) from error
    try:
        sheet = xlrd.open_workbook(file_contents=content, logfile=io.StringIO()).sheet_by_index(0)
    except Exception as error:  # xlrd raises errors of any type for a damaged workbook
        message = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_SHOWN]
        raise ArchiveError(f"{where} cannot be read as a workbook ({message}); get the original archive") from error
    if sheet.ncols != 1 + JOKES:
        raise RowError(
            f"{where} has {sheet.nrows:,} rows of {sheet.ncols} columns, expected {1 + JOKES} columns: a count and "
            f"{JOKES} ratings; get the original archive"
        )
    return [sheet.row_values(row) for row in range(sheet.nrows)]


def _refuse_bad_rows(cells: list[list[Any]], scale: Scale | None, where: str) -> None:
    """Raise `RowError` if a cell is neither empty, 99, nor a rating on the scale."""
    faults = {}
    for line, row in enumerate(cells, start=1):
        if fault := _find_fault(row, scale):
            faults[line] = fault
    if faults:
        bad, lines = BadRows(where, "get the original files"), list(faults)
        text = " ".join(map(str, cells[lines[0] - 1]))
        bad.add(lines[:MAX_LISTED], len(lines), faults[lines[0]], text)
        bad.raise_if_any()


def _find_fault(row: list[Any], scale: Scale | None) -> str:
    """What is wrong with a user's row; empty if nothing is."""
    ratings = [cell for cell in row[1:] if cell not in {"", NOT_RATED}]
    for rating in ratings:
        if isinstance(rating, bool) or not isinstance(rating, int | float):
            return f"expected a number for the rating, got {rating!r}"
    if scale is not None:
        off_scale = np.flatnonzero(scale.invalid(np.array(ratings, np.float64)))
        if len(off_scale):
            return f"rating {ratings[off_scale[0]]:g} is off the scale {scale}"
    return ""


def _to_ratings(cells: list[list[Any]]) -> NDArray[np.float64]:
    """(users, jokes) ratings, NaN where there is none."""
    ratings = np.array([[NOT_RATED if cell == "" else cell for cell in row[1:]] for row in cells], np.float64)
    ratings[ratings == NOT_RATED] = np.nan
    return ratings


def _to_frame(ratings: NDArray[np.float64], first_user: int) -> pl.DataFrame:
    """The ratings, one in each row; `first_user` is the number of the first user."""
    import polars as pl

    users, jokes = np.nonzero(~np.isnan(ratings))
    return pl.DataFrame({"user": users + first_user, "item": jokes + 1, "rating": ratings[users, jokes]})
