"""The progress of a study: a live table on a terminal, else one line for each trial."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cfbench.cli import console, progress, verbosity
from cfbench.report.numbers import duration

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from optuna import Study
    from optuna.trial import FrozenTrial
    from rich.live import Live
    from rich.table import Table

    from cfbench.tuning.job import WorkerJob


class StudyProgress:
    """Shows the trials of a study each time it is called, but at most twice a second."""

    PAUSE = 0.5
    """The least number of seconds between two updates."""
    ROWS = 10
    """How many of the last trials the table shows."""

    def __init__(self, job: WorkerJob, study: Study, workers: int) -> None:
        from cfbench.tuning.study import counted_trials

        self._job, self._study, self._workers = job, study, workers
        self._live: Live | None = None
        self._updated = 0.0
        self._last_line_at = time.monotonic()
        self._announced: set[int] = set()
        """The trials of other commands that this one said to wait for."""
        self._printed = {trial.number for trial in counted_trials(study.get_trials(deepcopy=False))}

    def __enter__(self) -> Self:
        if console.err().is_terminal and not verbosity.chosen().quiet:
            from rich.live import Live

            self._live = Live(console=console.err(), transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if error is None:
            self._update()

    def __call__(self) -> None:
        """Show the trials, unless they were shown less than `PAUSE` seconds ago."""
        if time.monotonic() - self._updated >= self.PAUSE:
            self._update()
            self._updated = time.monotonic()

    def _update(self) -> None:
        from cfbench.tuning.study import counted_trials

        trials = self._study.get_trials(deepcopy=False)
        counted = counted_trials(trials)
        self._say_waiting(trials)
        if self._live:
            self._live.update(self._table(trials, counted))
        self._print_lines(counted)
        if not self._live and time.monotonic() - self._last_line_at >= progress.PAUSE:
            self._print_running(trials)

    def _say_waiting(self, trials: list[FrozenTrial]) -> None:
        """Say once which trials of other commands this one waits for."""
        from cfbench.tuning.locks import describe_process

        for trial in self._job.others_to_wait_for(trials):
            if trial.number not in self._announced and "worker" in trial.user_attrs:
                self._announced.add(trial.number)
                console.say(
                    f"waiting for trial {trial.number}, which {describe_process(trial.user_attrs['worker'])} runs; "
                    "if that machine is gone, this takes up to a day, and --study NAME starts another study"
                )

    def _print_lines(self, counted: list[FrozenTrial]) -> None:
        """Print a line for each trial that has ended since the last update."""
        from cfbench.tuning.study import best_trial

        for trial in counted:
            if trial.number in self._printed:
                continue
            self._printed.add(trial.number)
            best = best_trial(counted)
            best_text = f"best {best.value:.4f} in trial {best.number}" if best else "none finished yet"
            number, *cells = _cells(trial)
            details = ", ".join(cell for cell in cells if cell)
            line = f"{self._job.plan.plugin} trial {number}: {details}; {best_text}{self._time_left(counted)}"
            console.say_progress(line, is_due=not self._live)
            self._last_line_at = time.monotonic()

    def _print_running(self, trials: list[FrozenTrial]) -> None:
        """Print how far the running trials are, where none has ended for long."""
        from cfbench.tuning.summary import describe_outcome

        self._last_line_at = time.monotonic()
        for trial in trials:
            if trial.state.name == "RUNNING":
                console.say(f"{self._job.plan.plugin} trial {trial.number}: {describe_outcome(trial)}")

    def _time_left(self, counted: list[FrozenTrial]) -> str:
        """The time left, estimated from the trials so far; empty when it is unknown."""
        from cfbench.tuning.study import total_seconds

        limits = []
        if self._job.trials is not None and counted:
            seconds_per_trial = total_seconds(counted) / len(counted) / self._workers
            limits.append(seconds_per_trial * max(0, self._job.trials - len(counted)))
        if self._job.deadline is not None:
            limits.append(max(0.0, self._job.deadline - time.time()))
        left = min(limits, default=0.0)
        return f", about {duration(left)} left" if left > 0 else ""

    def _table(self, trials: list[FrozenTrial], counted: list[FrozenTrial]) -> Table:
        from rich import box
        from rich.table import Table

        from cfbench.tuning.study import best_trial

        plan, best = self._job.plan, best_trial(counted)
        total = f" of {self._job.trials}" if self._job.trials is not None else ""
        best_text = f", best {best.value:.4f} in trial {best.number}" if best else ""
        progress = f"{len(counted)}{total} trials{best_text}{self._time_left(counted)}"
        title = f"{plan.plugin} on {plan.dataset}: {progress}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE, header_style="bold", pad_edge=False)
        table.add_column("trial", justify="right")
        table.add_column("validation RMSE", overflow="ellipsis", no_wrap=True)
        table.add_column("hyper-parameters", overflow="ellipsis")
        table.add_column("time", overflow="ellipsis", no_wrap=True)
        started = [trial for trial in trials if trial.datetime_start and "surplus" not in trial.user_attrs]
        shown = started[-self.ROWS :]
        if best and best not in shown:
            shown = [best, *shown]
        for trial in shown:
            table.add_row(*_cells(trial), style="bold green" if best and trial.number == best.number else None)
        return table


def _cells(trial: FrozenTrial) -> tuple[str, str, str, str]:
    """The number, the outcome, the sampler's values and the time of a trial."""
    from cfbench.tuning.summary import describe_outcome

    seconds = duration(trial.duration.total_seconds()) if trial.duration else ""
    values = "start config" if "start" in trial.user_attrs else _format_values(trial.params)
    return str(trial.number), describe_outcome(trial), values, seconds


def _format_values(values: dict[str, Any]) -> str:
    """The values of hyper-parameters in one line."""
    texts = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return " ".join(f"{name}={text}" for name, text in texts.items())
