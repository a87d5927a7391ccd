"""`cfbench sweep`: many runs in one go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import console
from cfbench.cli.compare import as_json, opened, show_board
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, open_or_download
from cfbench.cli.view import numbers

if TYPE_CHECKING:
    from cfbench.runs.sweep import PlannedRun, SweepResult


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to run, in TOML.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and list its runs.")] = False,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    r"""Make many runs: plugins with overrides, on data sets, splits and seeds, as a file declares them.

    Finished runs are skipped, so that the same command goes on after Ctrl-C; a run that fails is recorded, and the
    others are made. Exit status 1 when any has no score. A file is, for instance: datasets = ["ml-100k"],
    splits = ["random90", "5fold"], seeds = [0, 1, 2] and, for each plugin, [\[plugins]] with name = "deepae",
    preset = "paper-3m" (or false), overrides = [{ refeed = 0 }, { refeed = 1 }].

    Example: cfbench sweep night.toml
    """
    from cfbench.runs import sweep as sweeping

    declared = sweeping.read(file)
    planned = sweeping.plan(declared)
    if dry_run:
        _list(planned, json=json)
        return
    made = _make(planned, results, file)
    boards = [(name, split) for name in declared.datasets for split in declared.splits]
    if json:
        console.print_json({"runs": [_row(one) for one in made], "boards": [_board(*at, results) for at in boards]})
    else:
        for at in boards:
            _show(*at, results)
    failed = [one for one in made if one.failed]
    for one in failed:
        console.say(f"no score: {one.planned}: {one.fault}")
    raise typer.Exit(1 if failed else 0)


def _list(planned: list[PlannedRun], *, json: bool) -> None:
    if json:
        console.print_json([_what(one) for one in planned])
        return
    for one in planned:
        console.result(str(one))


def _make(planned: list[PlannedRun], results: Path, file: Path) -> list[SweepResult]:
    from cfbench.runs import sweep as sweeping
    from cfbench.runs.record import Results

    data = {name: open_or_download(name) for name in dict.fromkeys(one.dataset for one in planned)}
    made = []
    for at, one in enumerate(planned, 1):
        stopped = f"stopped at run {at} of {len(planned)}; go on with: cfbench sweep {file}"
        with console.run_progress(f"{at}/{len(planned)} {one}", lambda _: stopped) as watcher:  # noqa: B023 (called in here)
            done = sweeping.make(one, data[one.dataset], Results(results), watcher)
        console.say(f"{at}/{len(planned)} {one}: {_outcome(done)}")
        made.append(done)
    return made


def _outcome(made: SweepResult) -> str:
    if made.record is None:
        return f"failed: {made.fault}"
    outcome = made.record.outcome
    told = f"test RMSE {numbers.score(outcome.rmse)}, fitted in {numbers.duration(outcome.fit_seconds)}"
    return told + (", already there" if made.there else "") + ("" if outcome.status == "finished" else " (diverged)")


def _what(one: PlannedRun) -> dict[str, Any]:
    setup = one.setup
    return {"dataset": one.dataset, "split": one.split, "plugin": setup.name, "seed": one.seed,
            "preset": setup.preset, "config": setup.config.model_dump(mode="json")}  # fmt: skip


def _row(made: SweepResult) -> dict[str, Any]:
    record = made.record
    status, rmse = ("failed", None) if record is None else (record.outcome.status, record.outcome.rmse)
    run = None if record is None else record.run
    return _what(made.planned) | {
        "run": run, "status": status, "rmse": rmse, "already_there": made.there, "message": made.fault,
    }  # fmt: skip


def _board(dataset: str, split: str, results: Path) -> dict[str, Any]:
    from cfbench.leaderboard.ranking import rank_rows

    board, kept, data, _ = opened(dataset, split, results, plugins=[], all_runs=True)
    return as_json(board, rank_rows(board, kept, data), "rmse")


def _show(dataset: str, split: str, results: Path) -> None:
    from cfbench.leaderboard.ranking import rank_rows

    board, kept, data, card = opened(dataset, split, results, plugins=[], all_runs=True)
    show_board(board, rank_rows(board, kept, data), card, all_runs=True)
