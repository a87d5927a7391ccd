"""The unfinished runs of all data sets, and the learning curve of one of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message

from cfbench.cli.board.page_view import PageView
from cfbench.cli.board.row_table import RowTable
from cfbench.cli.view import curves, tables
from cfbench.cli.view.curve_page import WIDTH, as_texts
from cfbench.cli.view.tables import Column
from cfbench.report import numbers
from cfbench.runs.doubts import best_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cfbench.cli.board.launcher import StartedCommand
    from cfbench.contract import Epoch
    from cfbench.runs.under_way import UnfinishedRun

_BELOW_PICTURE = 6  # lines: the axis, what explains the picture, the last message and the facts
_LEAST_HEIGHT = 4  # rows of the picture


@dataclass(frozen=True)
class Work:
    """An unfinished run, or a command that has not begun its run yet."""

    run: UnfinishedRun | None
    command: StartedCommand | None

    @property
    def key(self) -> str:
        """What identifies it as long as it is unfinished."""
        return self.run.request.run if self.run else f"process {self.command.process.pid}" if self.command else ""

    @property
    def status(self) -> str:
        """What it is doing."""
        if self.run is None:
            return "starting"
        return "running" if self.run.running else "interrupted"

    @property
    def best(self) -> Epoch | None:
        """The best epoch so far."""
        return best_epoch(self.run.epochs) if self.run else None

    @property
    def last(self) -> Epoch | None:
        """The last epoch."""
        return self.run.epochs[-1] if self.run and self.run.epochs else None

    def left(self, now: float) -> str:
        """How long it still takes at most."""
        seconds = self.run.most_seconds_left(now) if self.run else None
        return "" if seconds is None else f"≤ {numbers.duration(seconds)}"


def gather_work(runs: Sequence[UnfinishedRun], commands: Sequence[StartedCommand]) -> list[Work]:
    """Join the unfinished runs and the commands that this board has started, newest first."""
    by_process = {command.process.pid: command for command in commands}
    works = [
        Work(run, by_process.pop(run.process.number, None) if run.running and run.process else None)
        for run in reversed(runs)
    ]
    return [*(Work(None, command) for command in reversed(by_process.values())), *works]


class UnderWayPane(Vertical):
    """The unfinished runs. Those that a process works on can be stopped, and the others resumed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "Stop"),
        Binding("r", "resume", "Resume"),
    ]

    class Stopped(Message):
        """A person wants to stop a run."""

        def __init__(self, work: Work) -> None:
            super().__init__()
            self.work = work

    class Resumed(Message):
        """A person wants to resume a run."""

        def __init__(self, run: str) -> None:
            super().__init__()
            self.run = run

    def __init__(self) -> None:
        super().__init__()
        self._works: dict[str, Work] = {}

    def compose(self) -> ComposeResult:
        """Compose the table and the curve."""
        yield RowTable(id="under-way")
        yield PageView(id="curve")

    @property
    def chosen(self) -> Work | None:
        """The run under the cursor."""
        return self._works.get(self.query_one(RowTable).chosen_key or "")

    def show(self, works: Sequence[Work]) -> None:
        """Show other runs."""
        self._works = {work.key: work for work in works}
        columns = tables.drop_empty(_columns(works, time.time())) if works else []
        self.query_one(RowTable).fill(tables.fit_width(columns, self.app.size.width), list(self._works))
        self._draw()

    def on_data_table_row_highlighted(self) -> None:
        """Draw the curve of the run."""
        self._draw()

    def _draw(self) -> None:
        page, work = self.query_one(PageView), self.chosen
        height = max(_LEAST_HEIGHT, page.size.height - _BELOW_PICTURE)
        page.show(lambda width: _describe(work, width, height))

    def action_stop(self) -> None:
        """Ask to stop the run under the cursor."""
        if self.chosen is None or self.chosen.status == "interrupted":
            self.app.notify("no process works on this run")
        else:
            self.post_message(self.Stopped(self.chosen))

    def action_resume(self) -> None:
        """Ask to resume the run under the cursor."""
        work = self.chosen
        if work is None or work.run is None or work.run.running:
            self.app.notify("only an interrupted run can be resumed")
        else:
            self.post_message(self.Resumed(work.run.request.run))


def _columns(works: Sequence[Work], now: float) -> list[Column]:
    """A table with a row for each run; when it is too wide, the columns with the highest priority are left out."""
    requests = [work.run.request if work.run else None for work in works]
    return [
        Column("plugin", [r.plugin.name if r else "" for r in requests]),
        Column("status", [work.status for work in works]),
        Column("epoch", [_epoch(work.last) for work in works], right=True, keep=True),
        Column("train", [numbers.score(work.last.train_rmse) if work.last else "" for work in works], 3, right=True),
        Column("valid", [numbers.score(work.last.valid_rmse) if work.last else "" for work in works], 2, right=True),
        Column("best", [_best(work.best) for work in works], 1, right=True),
        Column("left", [work.left(now) for work in works], right=True),
        Column("data set", [f"{r.dataset.name} {r.split.name}" if r else "" for r in requests], 4),
        Column("seed", [str(r.seed) if r else "" for r in requests], 6, right=True),
        Column("run", [r.run.rpartition("-")[2] if r else "" for r in requests], 5),
    ]


def _epoch(epoch: Epoch | None) -> str:
    return f"{epoch.epoch}/{epoch.epochs}" if epoch else ""


def _best(epoch: Epoch | None) -> str:
    return f"{numbers.score(epoch.valid_rmse)}@{epoch.epoch}" if epoch and epoch.valid_rmse is not None else ""


def _describe(work: Work | None, width: int, height: int) -> list[RenderableType]:
    """The curve of a run, and the facts for which the table has no room."""
    if work is None:
        return ["no unfinished runs; n starts one"]
    lines = [work.command.last_line if work.command else ""]
    if work.run is not None:
        request, process = work.run.request, work.run.process
        if work.last is not None:
            best = work.best.epoch if work.best and work.best.valid_rmse is not None else None
            picture = curves.draw_run(work.run.curve(), best, width=min(width, WIDTH), height=height)
            lines = [*picture, *lines]
        where = f"; process {process.number} on {process.machine}" if process and work.run.running else ""
        lines.append(f"{request.run} on {request.dataset.name}, {request.split.name}, {request.device}{where}")
    return list(as_texts([line for line in lines if line]))
