"""A run, and two runs, as the terminal shows them: facts, learning curve, slices, differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.cli.view import curve_page, slices
from cfbench.report.record_facts import record_facts
from cfbench.report.run_differences import difference_cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.scoring import Slice
    from cfbench.runs.costs import Cost
    from cfbench.runs.record import Record


def run_page(
    record: Record,
    cost: Cost,
    curve: Sequence[dict[str, Any]],
    slices_by: Mapping[SliceBy, Sequence[Slice]],
    width: int,
) -> list[RenderableType]:
    """The whole record of a run, its learning curve, and its errors by slice, in `width` characters."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record_facts(record, cost).items():
        table.add_row(name, value)
    page: list[RenderableType] = [table]
    if curve:
        page += ["", *curve_page.run_curve(record, curve, width)]
    return [*page, *(slices.run_slices(parts, by, width) for by, parts in slices_by.items())]


def differences_table(first: str, second: str, differences: Mapping[str, tuple[Any, Any]]) -> Table:
    """The facts in which the runs `first` and `second` differ."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for run in (first, second):
        table.add_column(run, overflow="fold")
    for name, values in differences.items():
        table.add_row(name, *difference_cells(name, values))
    return table
