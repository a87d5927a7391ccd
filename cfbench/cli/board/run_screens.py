"""Full-screen pages about one run, and about two rows of the leaderboard beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from cfbench.cli.board.page_view import PageView
from cfbench.cli.board.pages import gather_pair, gather_run
from cfbench.errors import CfbenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cfbench.cli.board.page_view import PageBuilder
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results


class PageScreen(ModalScreen[None]):
    """A page that takes time to gather."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back"),
        Binding("q", "app.quit", "Quit"),
    ]

    class Gathered(Message):
        """The page is ready; `number` says of which request."""

        def __init__(self, build: PageBuilder, number: int) -> None:
            super().__init__()
            self.build, self.number = build, number

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    def compose(self) -> ComposeResult:
        """Compose the heading, the page and the keys."""
        yield Static(id="heading", markup=False)
        yield PageView(id="page")
        yield Footer(compact=True)

    def gather(self, heading: str, work: Callable[[], PageBuilder]) -> None:
        """Show a heading, and the page once `work` has gathered it in a thread."""
        self._number += 1
        number = self._number
        self.query_one("#heading", Static).update(heading)
        self.query_one(PageView).show(lambda _: ["reading …"])

        def gather_in_thread() -> None:
            try:
                build = work()
            except (CfbenchError, OSError) as fault:
                message = f"error: {fault}"
                build = lambda _: [message]  # noqa: E731 (a page of one line)
            self.post_message(self.Gathered(build, number))

        self.run_worker(gather_in_thread, thread=True, group="page")
        self.query_one(PageView).focus()

    def on_page_screen_gathered(self, message: Gathered) -> None:
        """Show the page, unless a later request has replaced it."""
        if message.number == self._number:
            self.query_one(PageView).show(message.build)


class RunScreen(PageScreen):
    """The record of a run, its learning curve and its errors by slice; the other runs of its row are one key away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "Earlier run"),
        Binding("right", "turn(1)", "Later run"),
    ]

    def __init__(self, records: Sequence[Record], results: Results) -> None:
        super().__init__()
        self._records, self._results, self._index = records, results, len(records) - 1

    def on_mount(self) -> None:
        """Show the newest run."""
        self._show()

    def action_turn(self, step: int) -> None:
        """Show the run before or after this one."""
        index = min(max(self._index + step, 0), len(self._records) - 1)
        if index != self._index:
            self._index = index
            self._show()

    def _show(self) -> None:
        record = self._records[self._index]
        heading = f"{record.run}, run {self._index + 1} of {len(self._records)} of this row"
        self.gather(heading, lambda: gather_run(record, self._results))


class CompareScreen(PageScreen):
    """Two rows beside each other: the paired test, what differs, the curves and the slices."""

    def __init__(self, first: RankedRow, second: RankedRow, board: RankedBoard, results: Results) -> None:
        super().__init__()
        self._rows, self._board, self._results = (first, second), board, results

    def on_mount(self) -> None:
        """Show the page."""
        first, second = (row.row.newest.run for row in self._rows)
        self.gather(f"a {first}  b {second}", lambda: gather_pair(*self._rows, self._board, self._results))
