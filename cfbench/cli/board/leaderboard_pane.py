"""The leaderboard as a table, and below it what the table has no room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from cfbench.cli.board.row_table import RowTable
from cfbench.cli.board.watching import row_key
from cfbench.cli.view import board_columns, tables
from cfbench.cli.view.tables import Column
from cfbench.report.explanations import explain_source
from cfbench.report.plain_text import plain

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.events import Resize

    from cfbench.cli.board.watching import BoardView
    from cfbench.leaderboard.ranking import RankedRow

_MARK = "▸"
_MARKS = 2
"""So many rows are compared."""


class LeaderboardPane(Vertical):
    """The leaderboard. Two of its rows can be marked, to compare them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark"),
        Binding("c", "compare", "Compare"),
    ]

    class Opened(Message):
        """A person wants the details of a row."""

        def __init__(self, row: RankedRow) -> None:
            super().__init__()
            self.row = row

    class Compared(Message):
        """A person wants to compare two rows, in the order of their places."""

        def __init__(self, first: RankedRow, second: RankedRow) -> None:
            super().__init__()
            self.first, self.second = first, second

    def __init__(self) -> None:
        super().__init__()
        self._view: BoardView | None = None
        self._dropped: list[Column] = []
        self._marked: list[str] = []

    def compose(self) -> ComposeResult:
        """Compose the table and the details."""
        yield RowTable(id="leaderboard")
        yield Static(id="details")

    @property
    def rows(self) -> dict[str, RankedRow]:
        """The rows by their keys, in their order."""
        return {} if self._view is None else {row_key(row): row for row in self._view.ranked_board.rows}

    @property
    def chosen(self) -> RankedRow | None:
        """The row under the cursor."""
        return self.rows.get(self._table.chosen_key or "")

    @property
    def _table(self) -> RowTable:
        return self.query_one(RowTable)

    def show(self, view: BoardView) -> None:
        """Show another leaderboard."""
        self._view = view
        self._marked = [key for key in self._marked if key in self.rows]
        self._draw()

    def on_resize(self, event: Resize) -> None:  # noqa: ARG002 (Textual passes it)
        """Show the columns that fit."""
        self._draw()

    def _draw(self) -> None:
        """Show the columns that fit, and those that do not fit below the table."""
        if self._view is None:
            return
        board, rows = self._view.ranked_board, self._view.ranked_board.rows
        every = tables.drop_empty(board_columns.format_columns(board_columns.columns_of(board), rows))
        marks = Column("", [_MARK if key in self._marked else " " for key in self.rows], keep=True)
        shown = tables.fit_width([marks, *every], self.app.size.width)
        self._dropped = [column for column in every if column not in shown]
        best = next((index for index, row in enumerate(rows) if row.place == 1), None)
        self._table.fill(shown, list(self.rows), bold=best)
        self._describe()

    def _describe(self) -> None:
        """Show what is known of the row under the cursor."""
        keys, row = list(self.rows), self.chosen
        if row is None:
            self.query_one("#details", Static).update("")
            return
        index = keys.index(row_key(row))
        request = row.row.newest.request
        cells = ((column.heading, column.cells[index]) for column in self._dropped)
        lines = [
            f"{request.plugin.name}: {request.plugin.title}; {explain_source(row.row)}",
            "  ".join(f"{heading} {cell}" for heading, cell in cells if cell),
        ]
        self.query_one("#details", Static).update(Text("\n".join(map(plain, lines))))

    def on_data_table_row_highlighted(self) -> None:
        """Describe the row."""
        self._describe()

    def on_data_table_row_selected(self) -> None:
        """Open the row."""
        if self.chosen is not None:
            self.post_message(self.Opened(self.chosen))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away. The oldest mark goes when there are too many."""
        key = self._table.chosen_key
        if key is None:
            return
        others = [each for each in self._marked if each != key]
        self._marked = others if key in self._marked else [*others, key][-_MARKS:]
        self._draw()

    def action_compare(self) -> None:
        """Compare the two marked rows, or the marked one with that under the cursor."""
        wanted = {*self._marked, *([self._table.chosen_key] if len(self._marked) < _MARKS else [])}
        rows = [row for key, row in self.rows.items() if key in wanted]
        if len(rows) == _MARKS:
            self.post_message(self.Compared(*rows))
        else:
            self.app.notify("mark a row with the space bar, then put the cursor on another one")
