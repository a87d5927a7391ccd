"""`cfbench runs`: the list of all runs; `cfbench runs rm` and `cfbench runs discard` remove some."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.confirmation import YesOption, confirm_removal
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    ColumnsOption,
    JsonOption,
    ResultsOption,
    refuse_options_before_command,
)
from cfbench.files import format_bytes
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cfbench.cli.view.tables import Column
    from cfbench.runs.inventory import StoredRun
    from cfbench.runs.results import Results

RunState: TypeAlias = Literal["finished", "diverged", "failed", "interrupted", "running", "unreadable"]

group = typer.Typer(add_completion=False, rich_markup_mode="rich")


@dataclass(frozen=True)
class RunFilter:
    """Which runs to list; None means all."""

    dataset: str | None
    split: str | None
    plugin: str | None
    status: RunState | None

    def selects(self, run: StoredRun) -> bool:
        """Return whether a run is listed. The split 5fold selects the runs of all five folds."""
        from cfbench.data.split_definitions import folds_name

        pairs = ((self.dataset, run.dataset), (self.plugin, run.plugin), (self.status, run.status))
        is_split = self.split in (None, run.split, folds_name(run.split or ""))
        return is_split and all(wanted is None or wanted == value for wanted, value in pairs)


@group.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="List the runs of this data set.", show_default=False,
                     autocompletion=completion.datasets),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="List the runs of this split. 5fold means all five folds.",
                     autocompletion=completion.splits, show_default=False),
    ] = None,
    plugin: Annotated[
        str | None,
        typer.Option("--plugin", metavar="NAME", help="List the runs of this plugin.", show_default=False,
                     autocompletion=completion.plugins),
    ] = None,
    status: Annotated[
        RunState | None, typer.Option("--status", help="List the runs of this status.", show_default=False)
    ] = None,
    columns: ColumnsOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """List all runs, also the unfinished ones, with their size; `rm` and `discard` remove some.

    The list has the runs of all data sets and splits, oldest first. A run is unfinished while a process works on it
    (running), or after Ctrl-C or a crash (interrupted): `cfbench run --resume RUN` resumes it.

    Examples: cfbench runs; cfbench runs --dataset ml-1m --plugin deepae; cfbench runs --status interrupted --json;
    cfbench runs rm 3f2a; cfbench runs discard --all
    """
    from cfbench.runs.inventory import list_runs
    from cfbench.runs.results import Results

    if context.invoked_subcommand is not None:
        refuse_options_before_command(context)
        return
    every = list_runs(Results(results))
    chosen = RunFilter(dataset, split, plugin, status)
    listed = [run for run in every if chosen.selects(run)]
    if json:
        console.print_json([_as_json(run) for run in listed])
    elif listed:
        _print_list(listed, columns, results)
    elif every:
        command = advice.command("runs", results=results)
        console.say(f"no run of {len(every)} in {results} matches; `{command}` lists them all")
    else:
        console.say(f"no runs in {results}; `{advice.command('run', 'bias', results=results)}` makes one")


@group.command("rm")
def remove(
    ids: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="The id of each run, a part of it, or `last`.", show_default=False,
                       autocompletion=completion.runs),
    ],
    yes: YesOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:  # fmt: skip
    """Remove published runs for good, whatever their status.

    Examples: cfbench runs rm 3f2a; cfbench runs rm last --yes
    """
    from cfbench.runs.inventory import blends_of, find_finished, list_runs
    from cfbench.runs.results import Results

    stored_runs = Results(results)
    every = list_runs(stored_runs)
    chosen = find_finished(ids, every, stored_runs)
    for run in blends_of(chosen, every):
        console.say(f"run {run.run} blends one of them: its cost becomes unknown, and it can no longer predict")
    _remove(chosen, stored_runs, yes=yes)


@group.command("discard")
def discard(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]", help="The id of each unfinished run, or a part of it.", show_default=False,
                       autocompletion=completion.unfinished),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Discard every unfinished run that no process is working on.")
    ] = False,
    yes: YesOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:  # fmt: skip
    """Discard unfinished runs for good, with their checkpoints. They cannot be resumed afterwards.

    Examples: cfbench runs discard 3f2a; cfbench runs discard --all --yes
    """
    from cfbench.runs.inventory import find_unfinished, list_runs
    from cfbench.runs.results import Results

    if bool(ids) == every:
        command = advice.command("runs", results=results)
        raise typer.BadParameter(f"give the ids of unfinished runs, or --all; `{command}` lists them")
    stored_runs = Results(results)
    all_runs = list_runs(stored_runs)
    if ids:
        chosen = find_unfinished(ids, all_runs, stored_runs)
    else:
        chosen = [run for run in all_runs if run.status == "interrupted"]
        console.say_notes(f"{run.run} stays: a process is working on it" for run in all_runs if run.status == "running")
    if chosen:
        _remove(chosen, stored_runs, yes=yes)
    else:
        console.say(f"no interrupted runs in {results}")


def _remove(chosen: Sequence[StoredRun], results: Results, *, yes: bool) -> None:
    """Remove the chosen runs after a question; none of them if a process is working on any."""
    from cfbench.runs.inventory import remove_run, require_idle

    for run in chosen:
        require_idle(run, results)
    ids = ", ".join(run.run for run in chosen)
    size = format_bytes(sum(run.bytes for run in chosen))
    confirm_removal(f"{ids} ({size})", yes=yes)
    for run in chosen:
        remove_run(run, results)
        console.say(f"removed {run.run} ({format_bytes(run.bytes)})")


def _as_json(run: StoredRun) -> dict[str, Any]:
    return asdict(run) | {"started": run.started.isoformat() if run.started else None}


def _print_list(listed: Sequence[StoredRun], columns: str | None, results: Path) -> None:
    """Print the runs of `results` as a table, and their total size."""
    from cfbench.cli.view import tables

    tables.print_table(_columns(listed), columns)
    count = "1 run" if len(listed) == 1 else f"{numbers.count(len(listed))} runs"
    console.result(f"{count}, {format_bytes(sum(run.bytes for run in listed))}")
    if example := next((run.run for run in listed if run.status == "interrupted"), None):
        resume = advice.command("run", "--resume", example, results=results)
        discard_one = advice.command("runs", "discard", example, results=results)
        console.say(f"interrupted: `{resume}` resumes such a run, `{discard_one}` discards it")


def _columns(listed: Sequence[StoredRun]) -> list[Column]:
    from cfbench.cli.view.tables import Column

    return [
        Column("run", [run.run for run in listed]),
        Column("data set", [run.dataset or numbers.NONE for run in listed], 1),
        Column("split", [run.split or numbers.NONE for run in listed], 2),
        Column("plugin", [run.plugin or numbers.NONE for run in listed], 4),
        Column("status", [run.status for run in listed], 1),
        Column("RMSE", [numbers.score(run.rmse) for run in listed], 3, right=True),
        Column("size", [format_bytes(run.bytes) for run in listed], 2, right=True),
        Column("started", [f"{run.started:%Y-%m-%d %H:%M}" if run.started else numbers.NONE for run in listed], 5),
    ]
