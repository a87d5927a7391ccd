"""Frames of other libraries, as polars frames."""

from __future__ import annotations

from typing import Any

import polars as pl

from cfbench.data.readers.values import parse_ids
from cfbench.errors import UsageError


def to_polars(frame: Any) -> pl.DataFrame:
    """Return a frame of polars or pandas, or any that offers the Arrow C stream interface, as a polars frame.

    Raises `UsageError` for anything else.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "iloc") and hasattr(frame, "columns"):
        return pl.DataFrame([_pandas_column(frame.iloc[:, k], str(name)) for k, name in enumerate(frame.columns)])
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    kind = f"{type(frame).__module__}.{type(frame).__qualname__}"
    raise UsageError(f"expected a frame of polars, pandas or Arrow (with __arrow_c_stream__), got {kind}")


def _pandas_column(column: Any, name: str) -> pl.Series:
    """Return a column of pandas, which needs pyarrow for Arrow's own interface, as polars has it."""
    if getattr(column.dtype, "kind", "O") in "biuf" and not hasattr(column.dtype, "na_value"):
        return pl.Series(name, column.to_numpy())
    values = [None if gone else value for value, gone in zip(column.tolist(), column.isna().tolist(), strict=True)]
    return pl.Series(name, values, strict=False)


def ids_of(table: pl.DataFrame, column: str, role: str) -> list[str]:
    """Return the ids in a column as text; raises `UsageError` if it is not there, or has a gap."""
    if column not in table.columns:
        raise UsageError(
            f"the frame has no column {column!r}; there are: {', '.join(table.columns)}; name it with {role}="
        )
    ids = parse_ids(table[column]).cast(pl.String)
    gaps = ids.is_null().arg_true()
    if len(gaps):
        raise UsageError(f"row {gaps[0]} of the frame has no {role} in column {column!r}; drop or fill such rows")
    return ids.to_list()
