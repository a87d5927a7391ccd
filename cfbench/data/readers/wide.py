"""A person's own matrix of ratings: each row is a user, each column an item, each cell a rating or empty.

It becomes a table with one rating in each row, as `table` gives it, in the order of the rows and then of the columns.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cfbench.data.readers.table import LayoutOptions, OpenTable, TableBlock, first_fields, open_table
from cfbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from cfbench.data.progress import ProgressListener

_MAX_CELLS = 1_000_000  # in a block


@dataclass(frozen=True)
class MatrixOptions:
    """What the person says about a matrix. A column is given by its name or its number from 0."""

    missing: str = ""
    """The text or number in a cell without a rating; an empty cell never has one."""
    ignored: tuple[str, ...] = ()
    """Columns that are neither an item nor the user."""


@dataclass(frozen=True)
class _Matrix:
    """A matrix whose columns are known."""

    table: OpenTable
    user: int | None
    """The column with the users' ids; None if users are numbered from 1 by their rows."""
    items: dict[int, str]
    """Column → the item's id."""
    missing: str

    def read(self, listener: ProgressListener) -> Iterator[TableBlock]:
        """The ratings, one in each row."""
        first_user, size = 1, max(1, _MAX_CELLS // len(self.items))
        for block in self.table.blocks(listener):
            for start in range(0, len(block.fields), size):
                yield self._to_ratings(block, start, size, first_user + start)
            first_user += len(block.fields)
            if block.fault:
                yield replace(self._to_ratings(block, 0, 0, 1), fault=block.fault)

    def _to_ratings(self, block: TableBlock, start: int, size: int, first_user: int) -> TableBlock:
        """The ratings in `size` rows from row `start` of a block, which are the users from `first_user`.

        Of a row with a wrong number of fields only the first cell stays, so that it is reported once.
        """
        import polars as pl

        rows = block.fields.slice(start, size)
        numbers = pl.int_range(first_user, first_user + len(rows), eager=True, dtype=pl.Int64)
        users = numbers if self.user is None else rows[str(self.user)]
        counts = rows["fields"] if block.expected else pl.repeat(0, len(rows), dtype=pl.UInt32, eager=True)
        cells = rows.select(_to_text(rows[str(column)]) for column in self.items)
        index = {"row": pl.int_range(start, start + len(rows), eager=True, dtype=pl.UInt32), "user": users}
        long = cells.with_columns(**index, fields=counts).unpivot(
            on=cells.columns, index=["row", "user", "fields"], variable_name="column", value_name="rating"
        )
        complete, first = pl.col("fields") == block.expected, pl.col("column") == cells.columns[0]
        has_rating = pl.col("rating").is_not_null() & ~self._is_missing(pl.col("rating"))
        long = long.filter(pl.when(complete).then(has_rating).otherwise(first)).sort("row", maintain_order=True)
        names = {str(column): name for column, name in self.items.items()}
        fields = long.select("user", "rating", "fields", item=pl.col("column").replace_strict(names, default=None))
        numbers_of_rows = long["row"]
        return TableBlock(
            fields, block.lines.gather(numbers_of_rows), lambda row: block.text(int(numbers_of_rows[row])),
            block.expected, fault_line=block.fault_line,
        )  # fmt: skip

    def _is_missing(self, cell: pl.Expr) -> pl.Expr:
        """Whether a cell of text is empty or has the value that means a missing rating."""
        import polars as pl

        text = cell.str.strip_chars()
        is_missing = (text == "") | (text == self.missing)
        with suppress(ValueError):
            is_missing |= (text.cast(pl.Float64, strict=False) == float(self.missing)).fill_null(value=False)
        return is_missing


def open_matrix(path: Path, options: LayoutOptions, matrix: MatrixOptions, listener: ProgressListener) -> OpenTable:
    """Look at the beginning of a matrix. Raises what `open_table` raises.

    `options.columns` may give the column of the users' ids. The first line is a header if one of its cells is neither
    a number, nor empty, nor missing. A header names the items; without one they are numbered from 1.
    """
    if others := [role for role in options.columns if role != "user"]:
        raise UsageError(f"{path}: --wide has no column for the {others[0]}, each column is an item; leave it out")
    first, header = first_fields(path, options, listener), options.header
    if first is None:
        header = True
    elif header is None:
        header = _has_header(first, options, matrix)
    table = open_table(path, replace(options, header=header), None, listener)
    names = [name.strip() for name in table.names]
    user = None if "user" not in options.columns else _find(names, options.columns["user"], path, header=header)
    ignored = {_find(names, column, path, header=header) for column in matrix.ignored}
    columns = [number for number in range(len(names)) if number != user and number not in ignored]
    if not columns:
        raise UsageError(f"{path} has no column left for an item, expected one or more; give fewer with --ignore")
    items = {number: names[number] if header else str(place) for place, number in enumerate(columns, 1)}
    if len(set(items.values())) < len(items) or "" in items.values():
        raise UsageError(f"{path}: two items have the same name in the header, or one has none; correct the header")
    whole = _Matrix(table, user, items, matrix.missing)
    sample = table.sample.head(0)
    roles = {"user": user or 0, "item": columns[0], "rating": columns[0]}
    return OpenTable(table.where, roles, names, _describe(whole, header=header), sample, whole.read)


def _to_text(column: pl.Series) -> pl.Series:
    """The cells as text; NaN, which stands for a missing number in binary tables, becomes null."""
    import polars as pl

    return (column.fill_nan(None) if column.dtype.is_float() else column).cast(pl.String)


def _has_header(first: list[str], options: LayoutOptions, matrix: MatrixOptions) -> bool:
    given = [*options.columns.values(), *matrix.ignored]
    if any(not column.isdecimal() for column in given):
        return True
    skipped = {int(column) for column in given}
    cells = [cell for number, cell in enumerate(first) if number not in skipped]
    return any(cell not in {"", matrix.missing} and not _is_number(cell) for cell in cells)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _find(names: list[str], column: str, path: Path, *, header: bool) -> int:
    """The number of a column that the person named or numbered; raises `UsageError`."""
    if header and column in names:
        return names.index(column)
    if column.isdecimal() and int(column) < len(names):
        return int(column)
    raise UsageError(
        f"{path} has no column {column!r}; expected its name in the header or a number to {len(names) - 1}"
    )


def _describe(matrix: _Matrix, *, header: bool) -> str:
    user = "numbered from 1" if matrix.user is None else f"named in column {matrix.user}"
    item = "named in the header" if header else "numbered from 1"
    first, last = min(matrix.items), max(matrix.items)
    missing = f"a cell that is empty or {matrix.missing}" if matrix.missing else "an empty cell"
    return (
        f"each row is a user ({user}), and {len(matrix.items)} of {len(matrix.table.names)} columns, from column "
        f"{first} to {last}, are items ({item}); {missing} has no rating"
    )
