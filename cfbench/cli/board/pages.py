"""What the pages of the board say, gathered by the functions that the other commands use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.cli.view.board_messages import board_messages
from cfbench.cli.view.board_page import mark_lines, published_table
from cfbench.cli.view.curve_page import curves_page
from cfbench.cli.view.run_pages import differences_table, run_page
from cfbench.cli.view.slices import board_slices
from cfbench.leaderboard import SLICES
from cfbench.leaderboard.scoring import find_errors, score_slices
from cfbench.report import numbers
from cfbench.report.explanations import METRIC_NAMES, SAMPLES
from cfbench.report.run_differences import find_differences
from cfbench.runs.arrays import read_curve
from cfbench.runs.costs import Costs
from cfbench.runs.rerun import portable_command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cfbench.cli.board.page_view import PageBuilder
    from cfbench.cli.board.watching import BoardView
    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results

KEYS = """\
Enter      the details of the row under the cursor: record, learning curve, errors by slice
Space, c   mark a row, and compare it with another one
b          the next way to slice the test ratings
s, r       stop a run under way, resume an interrupted one
n          start a run: the command line of the row under the cursor, with a seed that it lacks
d          choose another data set and split that has runs
m          rank by the next metric: RMSE, MAE, user RMSE
a          every config, or the best of each plugin in validation
1 2 3 4    the leaderboard, the runs under way, the slices, this page
q          quit; the runs that you have started go on, or stop, as you choose
"""


def gather_run(record: Record, results: Results) -> PageBuilder:
    """Gather the page of a run. Raises `RecordError`."""
    folder = results.place(record.request)
    cost, curve, errors = Costs(results).of(record), read_curve(folder), find_errors(record, folder)
    slices = {} if errors is None else {by: score_slices([errors], by) for by in SLICES}
    again = portable_command(record.request, record.request.split.name)

    def build(width: int) -> list[RenderableType]:
        notes = [f"doubt: {note}" for note in record.notes]
        return [*run_page(record, cost, curve, slices, width), *notes, f"this makes the run again: {again}"]

    return build


def gather_pair(first: RankedRow, second: RankedRow, board: RankedBoard, results: Results) -> PageBuilder:
    """Gather the page of two rows; where it shows runs, these are the newest ones. Raises `RecordError`."""
    records = first.row.newest, second.row.newest
    costs = Costs(results)
    differences = find_differences(*((record, costs.of(record)) for record in records))
    curves: list[tuple[Record, list[dict[str, Any]]]] = [
        (record, read_curve(results.place(record.request))) for record in records
    ]

    def build(width: int) -> list[RenderableType]:
        page: list[RenderableType] = [describe_pair(first, second, board), ""]
        page += [differences_table(f"a {records[0].run}", f"b {records[1].run}", differences), ""]
        page += [*curves_page(curves, width), ""]
        for by in SLICES:
            page += slices_page([first, second], by, width)
        return page

    return build


def describe_pair(first: RankedRow, second: RankedRow, board: RankedBoard) -> str:
    """The difference of two rows of a leaderboard with its interval and its p-value, or why there is none."""
    if board.tests is None or first.place is None or second.place is None:
        return "no paired test: a row has no score, or the ratings are not downloaded"
    test = board.tests.compare(first.place - 1, second.place - 1)
    difference, low, high = map(numbers.difference, (test.difference, test.low, test.high))
    return (
        f"{METRIC_NAMES[board.metric]} of a minus b: {difference} (95 %: {low} to {high}, p {numbers.p_value(test.p)}, "
        f"adjusted for all pairs; for {SAMPLES[board.clusters]})"
    )


def slices_page(rows: list[RankedRow], by: SliceBy, width: int) -> list[RenderableType]:
    """The RMSE of the rows over slices."""
    tables = board_slices([row for row in rows if row.slices.get(by)], by, width)
    return list(tables) or ["no slices: they are computed from the predictions and the downloaded ratings"]


def notes_page(view: BoardView, results: Results) -> list[RenderableType]:
    """What the keys do, what the marks mean, what is missing, and the published scores."""
    board = view.ranked_board
    lines = [*mark_lines(board, results.root), *board_messages(board, results), *view.skipped]
    page: list[RenderableType] = [KEYS, *lines]
    return [*page, "", published_table(board.board.published)] if board.board.published else page
