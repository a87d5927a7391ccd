"""Rows as people and scripts read them: a table on a terminal, CSV in a pipe, or JSON."""

from __future__ import annotations

from typing import TypeAlias

from cfbench.cli import console

Row: TypeAlias = "dict[str, str | float]"
"""The values of one row by column; all rows have the same columns."""


def print_rows(rows: list[Row], *, json: bool) -> None:
    """Print JSON, or a table on a terminal, or CSV to a pipe."""
    if json:
        console.print_json(rows)
    elif console.out().is_terminal:
        _print_table(rows)
    else:
        console.document(csv(rows))


def csv(rows: list[Row]) -> str:
    """The rows as CSV."""
    import polars as pl

    return pl.DataFrame(rows).write_csv()


def _print_table(rows: list[Row]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading, value in rows[0].items() if rows else ():
        table.add_column(heading, justify="left" if isinstance(value, str) else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.out().print(table)  # a title may look like markup: [REC]
