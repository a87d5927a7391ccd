"""The values in a person's own table: ids, and times in one of many forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl

_PARTS_PER_SECOND = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (np.inf, 1_000_000_000))
"""The unit of numeric times by their size: below 1e11 seconds, below 1e14 milliseconds, and so on."""
_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f%:z")


def parse_ids(column: pl.Series) -> pl.Series:
    """The ids as whole numbers, or as text without spaces around it; null where there is none."""
    import polars as pl

    if column.dtype.is_integer():
        return column
    if column.dtype.is_float():  # a column of whole numbers with gaps has this type
        whole = column.is_finite() & (column == column.round())
        return column.set(~whole.fill_null(value=False), None).cast(pl.Int64, strict=False)
    text = column.cast(pl.String).str.strip_chars()
    return text.set((text == "").fill_null(value=False), None)


def to_seconds(sample: pl.Series) -> pl.Expr:
    """An expression that turns the column `time` into seconds since 1970, null where that fails.

    The first values of the column, `sample`, decide between date types, numbers and text.
    """
    import polars as pl

    if sample.dtype.is_temporal():
        return pl.col("time").dt.epoch("s")
    values = sample.cast(pl.String).str.strip_chars()
    numbers = values.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    text = pl.col("time").cast(pl.String).str.strip_chars()
    if len(numbers) * 2 >= len(values):
        size = float(numbers.abs().median() or 0)  # type: ignore[arg-type]
        return _numbers_to_seconds(text, next(unit for limit, unit in _PARTS_PER_SECOND if size < limit))
    return _dates_to_seconds(text)


def _numbers_to_seconds(text: pl.Expr, unit: int) -> pl.Expr:
    import polars as pl

    whole, decimal = text.cast(pl.Int64, strict=False), text.cast(pl.Float64, strict=False)
    decimal = pl.when(decimal.is_finite()).then(decimal)
    return pl.coalesce(whole.floordiv(unit), (decimal / unit).floor().cast(pl.Int64, strict=False))


def _dates_to_seconds(text: pl.Expr) -> pl.Expr:
    import polars as pl

    text = text.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    text = text.str.replace(r"([+-]\d\d)(\d\d)$", "$1:$2")
    day = text.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s")
    moments = [text.str.to_datetime(form, strict=False).dt.epoch("s") for form in _TIME_FORMATS]
    return pl.coalesce(day, *moments)
