"""A study as it goes: a live table on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cfbench.cli import console
from cfbench.cli.view.numbers import duration

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from optuna import Study
    from optuna.trial import FrozenTrial
    from rich.live import Live
    from rich.table import Table

    from cfbench.tuning.search import Job


class Trials:
    """Watches a study; to be called now and then."""

    PAUSE = 0.5
    """Seconds between looks."""
    LAST = 10
    """Trials shown."""

    def __init__(self, job: Job, joined: Study, workers: int) -> None:
        self._job, self._study, self._workers = job, joined, workers
        self._live: Live | None = None
        self._looked = 0.0
        self._told = {trial.number for trial in self._ended()}

    def __enter__(self) -> Self:
        if console.err().is_terminal:
            from rich.live import Live

            self._live = Live(console=console.err(), transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if fault is None:
            self._look()

    def __call__(self) -> None:
        """Look at the study, unless that was just done."""
        if time.monotonic() - self._looked >= self.PAUSE:
            self._look()
            self._looked = time.monotonic()

    def _ended(self) -> list[FrozenTrial]:
        from cfbench.tuning import study

        return study.ended(self._study.get_trials(deepcopy=False))

    def _look(self) -> None:
        from cfbench.tuning import study

        trials = self._study.get_trials(deepcopy=False)
        done = study.ended(trials)
        if self._live:
            self._live.update(self._table(trials, done))
            return
        for trial in done:
            if trial.number not in self._told:
                self._told.add(trial.number)
                number, *cells = _cells(trial)
                best = study.best(done)
                so_far = f"best {best.value:.4f} in trial {best.number}" if best else "none finished yet"
                told = ", ".join(cell for cell in cells if cell)
                console.say(f"{self._job.plan.plugin} trial {number}: {told}; {so_far}{self._left(done)}")

    def _left(self, done: list[FrozenTrial]) -> str:
        """The time left, by the trials so far."""
        from cfbench.tuning import study

        bounds = []
        if self._job.trials is not None and done:
            each = study.seconds(done) / len(done) / self._workers
            bounds.append(each * max(0, self._job.trials - len(done)))
        if self._job.deadline is not None:
            bounds.append(max(0.0, self._job.deadline - time.time()))
        return f", about {duration(min(bounds))} left" if bounds and min(bounds) > 0 else ""

    def _table(self, trials: list[FrozenTrial], done: list[FrozenTrial]) -> Table:
        from rich import box
        from rich.table import Table

        from cfbench.tuning import study

        best = study.best(done)
        of = f" of {self._job.trials}" if self._job.trials is not None else ""
        so_far = f", best {best.value:.4f} in trial {best.number}" if best else ""
        title = f"{self._job.plan.plugin} on {self._job.plan.dataset}: {len(done)}{of} trials{so_far}{self._left(done)}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE, header_style="bold", pad_edge=False)
        table.add_column("trial", justify="right")
        for heading in ("validation RMSE", "hyper-parameters", "time"):
            table.add_column(heading, overflow="ellipsis", no_wrap=heading != "hyper-parameters")
        begun = [trial for trial in trials if trial.datetime_start and "surplus" not in trial.user_attrs]
        last = begun[-self.LAST :]
        for trial in [best, *last] if best and best not in last else last:
            table.add_row(*_cells(trial), style="bold green" if best and trial.number == best.number else None)
        return table


def _cells(trial: FrozenTrial) -> tuple[str, str, str, str]:
    """Number, what came of it, the sampler's values, time."""
    took = trial.duration.total_seconds() if trial.duration else None
    values = "as it started from" if "start" in trial.user_attrs else parameters(trial.params)
    return str(trial.number), outcome(trial), values, duration(took) if took is not None else ""


def outcome(trial: FrozenTrial) -> str:
    """The validation RMSE, or how the trial ended."""
    state, reason = trial.state.name, trial.user_attrs.get("reason", "")
    if state == "COMPLETE":
        return f"{trial.value:.4f}"
    if state == "RUNNING":
        with suppress(ValueError):
            step = max(trial.intermediate_values)
            return f"{trial.intermediate_values[step]:.4f} by epoch {step}"
        return "under way"
    return f"{'pruned' if state == 'PRUNED' else 'failed'}: {reason or 'its process was killed or interrupted'}"


def parameters(values: dict[str, Any]) -> str:
    """Hyper-parameters in a line."""
    return " ".join(f"{name}={f'{v:.3g}' if isinstance(v, float) else v}" for name, v in values.items())
