"""The questions of the board: a choice from a list, and a command line to start."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, OptionList
from textual.widgets.option_list import Option

from cfbench.cli.board.launcher import read_run_command
from cfbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


class ChoiceDialog(ModalScreen[int | None]):
    """Asks to choose one of several lines; gives the index of the line, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Back")]

    def __init__(self, question: str, lines: Sequence[str], first: int = 0) -> None:
        super().__init__()
        self._question, self._lines, self._first = question, lines, first

    def compose(self) -> ComposeResult:
        """Compose the question and the list."""
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            yield OptionList(*map(Option, self._lines), markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Put the cursor on the first choice."""
        options = self.query_one(OptionList)
        options.highlighted = self._first if self._lines else None
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Give the chosen line."""
        self.dismiss(event.option_index)

    def action_cancel(self) -> None:
        """Choose nothing."""
        self.dismiss(None)


class CommandDialog(ModalScreen[str | None]):
    """Asks for the command line of a run; gives it, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back"),
        Binding("enter", "start", "Start"),  # the input line catches the key
    ]

    def __init__(self, line: str) -> None:
        super().__init__()
        self._line = line

    def compose(self) -> ComposeResult:
        """Compose the line and what is wrong with it."""
        with Vertical(classes="dialog"):
            yield Label("Start a run; it goes on when the board ends:", markup=False)
            yield Input(self._line, select_on_focus=False)
            yield Label("", id="fault", markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Put the cursor at the end of the line."""
        line = self.query_one(Input)
        line.focus()
        line.action_end()

    def on_input_submitted(self) -> None:
        """Give the line if it is a run of cfbench; else say what is wrong."""
        self.action_start()

    def action_start(self) -> None:
        """Give the line if it is a run of cfbench; else say what is wrong."""
        line = self.query_one(Input).value.strip()
        try:
            read_run_command(line)
        except UsageError as fault:
            self.query_one("#fault", Label).update(str(fault))
        else:
            self.dismiss(line)

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)
