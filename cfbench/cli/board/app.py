"""The full-screen board. It reads in threads, so that keys and the mouse answer while a leaderboard is computed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, get_args

from textual.app import App
from textual.binding import Binding
from textual.message import Message
from textual.widgets import DataTable, Footer, Static, TabbedContent, TabPane
from textual.worker import get_current_worker

from cfbench.cli.board.dialogs import ChoiceDialog, CommandDialog
from cfbench.cli.board.launcher import Launcher
from cfbench.cli.board.leaderboard_pane import LeaderboardPane
from cfbench.cli.board.page_view import PageView, PlainFilter
from cfbench.cli.board.pages import notes_page, slices_page
from cfbench.cli.board.run_screens import CompareScreen, RunScreen
from cfbench.cli.board.under_way_pane import UnderWayPane, gather_work
from cfbench.cli.board.watching import load_view, look, splits_with_runs
from cfbench.errors import CfbenchError
from cfbench.leaderboard import SLICES, Metric
from cfbench.report.explanations import METRIC_NAMES
from cfbench.runs.remembered import RememberedResults
from cfbench.runs.rerun import portable_command
from cfbench.runs.under_way import interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.filter import LineFilter
    from textual.notifications import SeverityLevel

    from cfbench.cli.board.launcher import StartedCommand
    from cfbench.cli.board.under_way_pane import Work
    from cfbench.cli.board.watching import BoardView, Choice, Look

PAUSE = 1.0
"""Seconds between two looks at the results."""
_TABS = ("board", "work", "slices", "notes")
_METRICS: tuple[Metric, ...] = get_args(Metric)
_STOP, _KILL = "stop it, as Ctrl-C does; it can be resumed", "end it at once; it resumes from its last checkpoint"
_LEAVE, _STOP_ALL = "leave them running, and quit", "stop them, and quit; they can be resumed"


class _Cancelled(Exception):  # noqa: N818 (it is no error)
    """The leaderboard that is being computed is no longer wanted."""


class _Progress:
    """Passes on how far the work is, and ends it when it is not wanted any more."""

    def __init__(self, app: BoardApp) -> None:
        self._app, self._worker = app, get_current_worker()

    def message(self, line: str) -> None:
        """Show a message."""
        self._app.post_message(BoardApp.Told(line))

    def progress(self, name: str, position: int, total: int) -> None:
        """Show the progress; raises `_Cancelled`."""
        if self._worker.is_cancelled:
            raise _Cancelled
        self._app.post_message(BoardApp.Told(f"{name} {position}/{total}"))


class BoardApp(App[None]):
    """The leaderboard, the runs under way, the slices, and notes, each on a tab."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #heading { height: 1; padding: 0 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    LeaderboardPane, UnderWayPane { height: 1fr; }
    #leaderboard { height: 1fr; }
    #details { height: auto; max-height: 40%; padding: 0 1; border-top: solid $primary; }
    #under-way { height: auto; max-height: 40%; }
    PageView { height: 1fr; padding: 0 1; }
    PageView > Static { width: auto; }
    .dialog { width: 100%; max-width: 100; height: auto; max-height: 90%; border: round $primary; padding: 0 1; }
    ChoiceDialog, CommandDialog { align: center middle; }
    PageScreen { background: $background; }
    #fault { text-style: bold; }
    DataTable:nocolor > .datatable--cursor, OptionList:nocolor > .option-list--option-highlighted,
    Tab:nocolor.-active { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_run", "New"),
        Binding("d", "choose_split", "Data"),
        Binding("b", "next_slices", "Slices"),
        Binding("m", "next_metric", "Metric"),
        Binding("a", "all_runs", "All"),
        Binding("question_mark", "show_tab(3)", "Help"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+q,ctrl+c", "quit", show=False),
        *(Binding(str(number + 1), f"show_tab({number})", show=False) for number in range(len(_TABS))),
    ]

    class Looked(Message):
        """A thread has looked at the results."""

        def __init__(self, found: Look) -> None:
            super().__init__()
            self.found = found

    class Loaded(Message):
        """A thread has computed a leaderboard."""

        def __init__(self, choice: Choice, view: BoardView) -> None:
            super().__init__()
            self.choice, self.view = choice, view

    class Told(Message):
        """Something to show in the heading: progress, or why there is no leaderboard."""

        def __init__(self, line: str, *, ends_work: bool = False) -> None:
            super().__init__()
            self.line, self.ends_work = line, ends_work

    def __init__(
        self,
        choice: Choice,
        results: Path,
        *,
        colours: bool = True,
        launcher: Launcher | None = None,
        pause: float = PAUSE,
    ) -> None:
        super().__init__(ansi_color=None if colours else True)
        self._choice, self._results, self._pause = choice, RememberedResults(results), pause
        self._launcher = launcher or Launcher(results)
        self._plain = PlainFilter()
        self._view: BoardView | None = None
        self._found: Look | None = None
        self._loaded_version: object = None
        self._loading = self._looking = self._quits = False
        self._by = 0
        self._told = ""

    def compose(self) -> ComposeResult:
        """Compose the heading, the tabs and the keys."""
        yield Static(id="heading", markup=False)
        with TabbedContent(initial=_TABS[0]):
            with TabPane("1 Leaderboard", id=_TABS[0]):
                yield LeaderboardPane()
            with TabPane("2 Under way", id=_TABS[1]):
                yield UnderWayPane()
            with TabPane("3 Slices", id=_TABS[2]):
                yield PageView(id="slices-page")
            with TabPane("4 Notes", id=_TABS[3]):
                yield PageView(id="notes-page")
        yield Footer(compact=True)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the filters of all text: no control character of a record reaches the terminal."""
        return [*super().get_line_filters(), self._plain]

    @property
    def _is_closed(self) -> bool:
        """Whether the board is closing, so that what a thread has found comes too late."""
        return not self.query(TabbedContent)

    def on_mount(self) -> None:
        """Begin to look at the results."""
        self._look()
        self.set_interval(self._pause, self._look)
        self.query_one("#leaderboard").focus()

    # ---- what threads read

    def _look(self) -> None:
        """Look at the results in a thread, unless the last look has not ended."""
        self._report_ended_commands()
        if not self._looking:
            self._looking = True
            self.run_worker(partial(self._look_in_thread, self._choice), thread=True, group="look")

    def _look_in_thread(self, choice: Choice) -> None:
        try:
            self.post_message(self.Looked(look(choice, self._results)))
        except (CfbenchError, OSError) as fault:
            self.post_message(self.Told(f"error: {fault}"))
        finally:
            self._looking = False

    def on_board_app_looked(self, message: Looked) -> None:
        """Show the runs under way, and load the leaderboard again if it has other runs."""
        if self._is_closed:
            return
        self._found = message.found
        works = gather_work(message.found.unfinished, self._launcher.started)
        self.query_one(UnderWayPane).show(works)
        running = sum(work.status != "interrupted" for work in works)
        self.query_one(TabbedContent).get_tab(_TABS[1]).label = f"2 Under way{f' ({running})' if running else ''}"
        if message.found.version != self._loaded_version and message.found.version[0] == self._choice:
            self._load()

    def _load(self) -> None:
        """Compute the leaderboard in a thread; while one is computed, the next look asks again."""
        if self._loading or self._found is None:
            return
        self._loading, self._loaded_version = True, self._found.version
        self.run_worker(partial(self._load_in_thread, self._choice), thread=True, group="load")

    def _load_in_thread(self, choice: Choice) -> None:
        with suppress(_Cancelled):
            try:
                view = load_view(choice, self._results, _Progress(self))
            except (CfbenchError, OSError) as fault:
                self.post_message(self.Told(f"error: {fault}", ends_work=True))
            else:
                self.post_message(self.Loaded(choice, view))

    def on_board_app_loaded(self, message: Loaded) -> None:
        """Show a leaderboard, unless another one was chosen meanwhile."""
        if self._is_closed or message.choice != self._choice:
            return
        self._loading, self._told, self._view = False, "", message.view
        self._write_heading()
        self.query_one(LeaderboardPane).show(message.view)
        view, results = message.view, self._results
        self._show_slices()
        self.query_one("#notes-page", PageView).show(lambda _: notes_page(view, results))

    def on_board_app_told(self, message: Told) -> None:
        """Show a line in the heading."""
        if self._is_closed:
            return
        self._loading = self._loading and not message.ends_work
        self._told = message.line
        self._write_heading()

    def _write_heading(self) -> None:
        choice, parts = self._choice, []
        if self._view is not None and self._view.ranked_board.board.dataset == choice.dataset:
            rows = len(self._view.ranked_board.rows)
            parts = [self._view.ranked_board.card.title, f"{rows} {'row' if rows == 1 else 'rows'}"]
        parts[1:1] = [f"split {choice.split}", f"by {METRIC_NAMES[choice.metric]}"]
        if self._told:
            parts.append(self._told)
        self.query_one("#heading", Static).update(", ".join(parts or [choice.dataset]))

    def _choose(self, choice: Choice) -> None:
        """Show another leaderboard."""
        self._choice, self._loading, self._told = choice, False, "reading …"
        self.workers.cancel_group(self, "load")
        self._write_heading()
        self._look()

    # ---- tabs

    def action_show_tab(self, number: int) -> None:
        """Show a tab."""
        self.query_one(TabbedContent).active = _TABS[number]

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Give the keys to what the tab shows."""
        for widget in (*event.pane.query(DataTable), *event.pane.query(PageView)):
            widget.focus()
            return

    def action_next_slices(self) -> None:
        """Show the slices, or slice by the next property of the test ratings."""
        if self.query_one(TabbedContent).active == _TABS[2]:
            self._by = (self._by + 1) % len(SLICES)
        self.action_show_tab(2)
        self._show_slices()

    def _show_slices(self) -> None:
        view, by = self._view, SLICES[self._by]
        if view is not None:
            self.query_one("#slices-page", PageView).show(lambda width: slices_page(view.ranked_board.rows, by, width))

    # ---- which leaderboard

    def action_next_metric(self) -> None:
        """Rank by the next metric."""
        metric = _METRICS[(_METRICS.index(self._choice.metric) + 1) % len(_METRICS)]
        self._choose(replace(self._choice, metric=metric))

    def action_all_runs(self) -> None:
        """Show every config, or only the best of each plugin in validation."""
        self._choose(replace(self._choice, all_runs=not self._choice.all_runs))

    def action_choose_split(self) -> None:
        """Ask for another data set and split that has runs."""
        places = list(dict.fromkeys([(self._choice.dataset, self._choice.split), *splits_with_runs(self._results)]))

        def choose(index: int | None) -> None:
            if index is not None:
                dataset, split = places[index]
                self._choose(replace(self._choice, dataset=dataset, split=split))

        lines = [f"{dataset}, split {split}" for dataset, split in places]
        self.push_screen(ChoiceDialog("Which leaderboard?", lines), choose)

    # ---- details

    def on_leaderboard_pane_opened(self, message: LeaderboardPane.Opened) -> None:
        """Show the runs of a row."""
        records = sorted(message.row.row.shown_records, key=lambda record: record.run)
        self.push_screen(RunScreen(records, self._results))

    def on_leaderboard_pane_compared(self, message: LeaderboardPane.Compared) -> None:
        """Show two rows beside each other."""
        if self._view is not None:
            board = self._view.ranked_board
            self.push_screen(CompareScreen(message.first, message.second, board, self._results))

    # ---- processes

    def action_new_run(self) -> None:
        """Ask for the command line of a run, and start it."""
        self.push_screen(CommandDialog(self._example()), self._start)

    def _example(self) -> str:
        """The command line of the row under the cursor, with the first seed that the row lacks."""
        row, choice = self.query_one(LeaderboardPane).chosen, self._choice
        if row is None or row.row.is_imported:
            return f"cfbench run bias --dataset {choice.dataset} --split {choice.split}"
        seeds = {record.request.seed for record in (*row.row.records, *row.row.others)}
        seed = next(number for number in range(len(seeds) + 1) if number not in seeds)
        return portable_command(row.row.newest.request.model_copy(update={"seed": seed}), choice.split)

    def _start(self, line: str | None) -> None:
        if line is None:
            return
        try:
            self._launcher.start(line)
        except CfbenchError as fault:
            self.notify(str(fault), severity="error", markup=False)
        else:
            self.action_show_tab(1)
            self._look()

    def on_under_way_pane_resumed(self, message: UnderWayPane.Resumed) -> None:
        """Resume a run in a process of its own."""
        self._start(f"cfbench run --resume {message.run}")

    def on_under_way_pane_stopped(self, message: UnderWayPane.Stopped) -> None:
        """Ask whether a run is to stop, and how."""
        work = message.work

        def stop(index: int | None) -> None:
            if index is not None and not _stop(work, kill=index == 1):
                self.notify("the process cannot be reached; stop it where it runs", severity="error")

        lines = [_STOP, _KILL] if work.run else [_STOP]
        name = work.run.request.run if work.run else work.command.line if work.command else ""
        self.push_screen(ChoiceDialog(f"Stop {name}?", lines), stop)

    def _report_ended_commands(self) -> None:
        """Say which of the started commands have ended, and why some did not succeed."""
        for command in self._launcher.take_ended():
            message = f"{command.line}: {command.last_line}" if command.status else f"finished: {command.line}"
            severity: SeverityLevel = "information" if command.status in (0, 130) else "error"
            self.notify(message, severity=severity, markup=False)
        if self._quits and not self._launcher.started:
            self.exit()

    async def action_quit(self) -> None:
        """Quit; ask first what becomes of the runs that this board has started."""
        started = self._launcher.started
        if not started:
            self.exit()
            return

        def end(index: int | None) -> None:
            if index == 0:
                self.exit()
            elif index == 1:
                self._quits = True
                for command in started:
                    command.interrupt()

        runs = "A run that you have started goes" if len(started) == 1 else f"{len(started)} runs that you started go"
        self.push_screen(ChoiceDialog(f"{runs} on.", [_LEAVE, _STOP_ALL]), end)


def _stop(work: Work, *, kill: bool) -> bool:
    """Stop the process that works on a run, and return whether it could be reached."""
    command: StartedCommand | None = work.command
    if work.run is not None:
        return interrupt(work.run, kill=kill)
    if command is not None:
        command.interrupt()
    return command is not None
