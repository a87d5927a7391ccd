"""A table whose rows are chosen by keys or by the mouse, and stay chosen when new rows come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable

from cfbench.report.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.cli.view.tables import Column


class RowTable(DataTable[Text]):
    """A table of text cells with a cursor that covers a row."""

    BINDINGS = [Binding("enter", "select_cursor", "Open")]  # noqa: RUF012 (Textual reads it)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, cursor_type="row")

    @property
    def chosen_key(self) -> str | None:
        """The key of the row under the cursor; None in an empty table."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def fill(self, columns: Sequence[Column], keys: Sequence[str], *, bold: int | None = None) -> None:
        """Show other rows. The cursor stays on the row of the same key or, if that is gone, in its place.

        `bold` is the index of a row.
        """
        chosen, place, (x, y) = self.chosen_key, self.cursor_row, self.scroll_offset
        self.clear(columns=True)
        for column in columns:
            self.add_column(_cell(column.heading, "bold", right=column.right), width=column.width)
        for index, key in enumerate(keys):
            style = "bold" if index == bold else ""
            cells = (_cell(column.cells[index], style, right=column.right) for column in columns)
            self.add_row(*cells, key=key)
        if keys:
            row = keys.index(chosen) if chosen in keys else min(place, len(keys) - 1)
            self.move_cursor(row=row, scroll=False)
        self.scroll_to(x, y, animate=False)


def _cell(text: str, style: str, *, right: bool) -> Text:
    return Text(plain(text), style, justify="right" if right else "left", no_wrap=True)
