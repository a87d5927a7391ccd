"""A leaderboard on the terminal: its title, its rows, what the marks mean, and the published scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.view import board_columns, slices, tables
from cfbench.leaderboard.row import MET_TEST
from cfbench.report import numbers
from cfbench.report.explanations import explain_intervals, explain_marks

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from cfbench.data.card import Published
    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.item_ranking import ItemRankings
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow


def print_board(
    ranked_board: RankedBoard,
    results: Path,
    *,
    by: SliceBy | None = None,
    pareto: bool = False,
    names: str | None = None,
) -> None:
    """Print a leaderboard in the width of the terminal; `by` prints the slices of its rows instead.

    Its runs are in `results`. `names` chooses columns, whose names commas separate. Raises `UnknownNameError`.
    """
    from rich.text import Text

    board, rows, out = ranked_board.board, ranked_board.rows, console.out()
    columns = board_columns.format_columns(board_columns.columns_of(ranked_board, pareto=pareto), rows)
    if names:  # a wrong name is an error before anything is printed
        tables.choose(slices.slice_columns(rows, 0, by) if by else columns, names)
    protocol = f" ({board.protocol})" if board.protocol else ""
    out.print(Text.assemble((ranked_board.card.title, "bold"), f", split {board.split}{protocol}"))
    if by and board.ranked:
        slices.print_board_slices(rows, by, names)
    elif rows:
        best = next((index for index, row in enumerate(rows) if row.place == 1), None)
        shown = tables.print_table(columns, names, bold=best, below=("note",))
        if not any(column.heading == "note" for column in shown):
            _print_notes(rows)
        for line in mark_lines(ranked_board, results, pareto=pareto):
            console.result(line)
        if ranked_board.items and ranked_board.items.users:
            _explain_item_rankings(ranked_board.items, rows)
    if board.published and not by:
        out.print()
        out.print(published_table(board.published))


def _print_notes(rows: list[RankedRow]) -> None:
    """Print the notes of the rows below a table that is too narrow for them."""
    for row in rows:
        if row.row.note:
            console.result(f"{row.row.plugin}: {row.row.note}")


def mark_lines(ranked_board: RankedBoard, results: Path, *, pareto: bool = False) -> list[str]:
    """What the marks and notes mean, one line each, when the rows have any."""
    lines = [mark.line for mark in explain_intervals(ranked_board)]
    for mark in explain_marks(ranked_board.rows, pareto=pareto):
        if mark.name == MET_TEST:
            example = next(row.row.newest.run for row in ranked_board.rows if row.row.met_test)
            lines.append(f"{mark.line}: {advice.command('show', example, results=results)}")
        else:
            lines.append(mark.line)
    return lines


def _explain_item_rankings(items: ItemRankings, rows: list[RankedRow]) -> None:
    """Print what was ranked, for whom, and what was left out."""
    users, left_out = numbers.count(items.users), numbers.count(items.left_out)
    dates = "; models that use dates get none" if any(row.row.uses_times and row.items for row in rows) else ""
    console.result(
        "nDCG, recall, MRR: all items of the data set in the order of each user's predictions, except those that the "
        f"user rated in the training or validation part; means over {users} users with a test rating of at least "
        f"{items.task.liked:g}, without {left_out} users whose test ratings are all lower; equal predictions count as "
        f"the mean over their orders{dates}"
    )


def published_table(published: list[Published]) -> Table:
    """The scores that were published for the same protocol."""
    from rich import box
    from rich.table import Table

    table = Table(title="Published, measured elsewhere", title_justify="left", box=box.SIMPLE, header_style="bold",
                  title_style="dim", style="dim", pad_edge=False, padding=(0, 1))  # fmt: skip
    table.add_column("method", overflow="fold")
    table.add_column("RMSE", justify="right")
    table.add_column("protocol and source", overflow="fold")
    for score in published:
        note = f"; {score.note}" if score.note else ""
        table.add_row(score.method, f"{score.rmse:.4g}", f"{score.protocol}; {score.source}{note}", style="dim")
    return table
