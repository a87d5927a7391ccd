"""`cfbench studies`: the list of the studies of `cfbench tune`; `cfbench studies rm` removes one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.confirmation import YesOption, confirm_removal
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    ColumnsOption,
    JsonOption,
    ResultsOption,
    StorageOption,
    refuse_options_before_command,
)
from cfbench.files import format_bytes
from cfbench.report.numbers import NONE, duration, score

if TYPE_CHECKING:
    from optuna import Study

    from cfbench.tuning.stored_studies import StoredStudy

group = typer.Typer(add_completion=False, rich_markup_mode="rich")


@dataclass(frozen=True)
class StudyRow:
    """A row of the list of studies; the names of its fields are those of `--json`."""

    study: str
    plugin: str
    dataset: str
    split: str
    trials: int
    seconds: float
    valid_rmse: float | None
    """The error of the best trial."""
    bytes: int | None
    """The size of its files; None in a database that several studies share."""


@group.callback(invoke_without_command=True)
def studies(
    context: typer.Context,
    results: ResultsOption = DEFAULT_RESULTS,
    storage: StorageOption = None,
    columns: ColumnsOption = None,
    json: JsonOption = False,
) -> None:
    """List the studies of `cfbench tune`, their best validation RMSE and their size; `rm` removes one.

    Examples: cfbench studies; cfbench studies rm bias-ml-100k-random90
    """
    from cfbench.tuning.database_url import display_url
    from cfbench.tuning.stored_studies import list_studies

    if context.invoked_subcommand is not None:
        refuse_options_before_command(context)
        return
    stored = list_studies(results, storage)
    rows = [_row(each.study, each.bytes) for each in stored if each.study is not None]
    if json:
        console.print_json([asdict(row) for row in rows])
    elif rows:
        _print_rows(rows, columns)
    elif not stored:
        where = display_url(storage) if storage else results
        console.say(f"no studies in {where}; `{advice.command('tune', 'deepae', results=results)}` starts one")
    for each in stored:
        if each.fault:
            remove = advice.command("studies", "rm", each.name, results=results)
            console.say(f"not listed ({_size(each.bytes)}): {each.fault}; `{remove}` removes the file")


@group.command("rm")
def remove(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The name of the study.", show_default=False,
                       autocompletion=completion.studies),
    ],
    yes: YesOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    storage: StorageOption = None,
) -> None:  # fmt: skip
    """Remove a study for good, with all its trials. Its presets and its runs stay.

    Examples: cfbench studies rm bias-ml-100k-random90; cfbench studies rm mine --storage postgresql://me@host/db --yes
    """
    from cfbench.tuning.stored_studies import find_study, list_studies, remove_study, require_idle

    stored = find_study(name, list_studies(results, storage))
    require_idle(stored)
    description = _describe(stored)
    confirm_removal(description, yes=yes)
    remove_study(stored)
    console.say(f"removed {description}")


def _describe(stored: StoredStudy) -> str:
    """The name, the number of trials and the size of a study."""
    from cfbench.tuning.study import counted_trials, format_count

    facts = [] if stored.study is None else [format_count(len(counted_trials(stored.study.trials)))]
    facts += [] if stored.bytes is None else [format_bytes(stored.bytes)]
    return f"study {stored.name} ({', '.join(facts)})"


def _row(study: Study, size: int | None) -> StudyRow:
    from cfbench.tuning.study import FACTS, best_trial, counted_trials, total_seconds

    trials = counted_trials(study.get_trials(deepcopy=False))
    best = best_trial(trials)
    facts = study.user_attrs[FACTS]
    return StudyRow(
        study=study.study_name, plugin=facts["plugin"], dataset=facts["data set"], split=facts["split"],
        trials=len(trials), seconds=total_seconds(trials), valid_rmse=best.value if best else None, bytes=size,
    )  # fmt: skip


def _print_rows(rows: list[StudyRow], columns: str | None) -> None:
    from cfbench.cli.view.tables import Column, print_table

    print_table([
        Column("study", [row.study for row in rows]),
        Column("plugin", [row.plugin for row in rows], 4),
        Column("data set", [row.dataset for row in rows], 5),
        Column("split", [row.split for row in rows], 6),
        Column("trials", [str(row.trials) for row in rows], 1, right=True),
        Column("time", [duration(row.seconds) for row in rows], 2, right=True),
        Column("best", [score(row.valid_rmse) for row in rows], 1, right=True),
        Column("size", [_size(row.bytes) for row in rows], 3, right=True),
    ], columns)  # fmt: skip


def _size(count: int | None) -> str:
    return NONE if count is None else format_bytes(count)
