"""`cfbench sweep`: many runs that one file declares."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.dataset_choice import dataset_card, open_or_download
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption
from cfbench.cli.progress import run_progress
from cfbench.report import numbers

if TYPE_CHECKING:
    from cfbench.runs.results import Results
    from cfbench.runs.sweep import PlannedRun, SweepResult


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file that declares the runs.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and list its runs.")] = False,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    r"""Run plugins with overrides, on data sets, splits and seeds, as a file declares them.

    Finished runs are skipped, so the same command continues after Ctrl-C, and several processes with the same command
    share the runs. A run that fails is recorded, and the others continue. The exit status is 1 when any run has no
    score. An example of a file: datasets = ["ml-100k"], splits = ["random90", "5fold"], seeds = [0, 1, 2] and, for each
    plugin, [\[plugins]] with name = "deepae", preset = "paper-3m" (or false), overrides = [{ refeed = 0 },
    { refeed = 1 }].

    Example: cfbench sweep night.toml
    """
    from cfbench.leaderboard.ranking import load_ranked_board
    from cfbench.runs import sweep as sweeping
    from cfbench.runs.results import Results

    declaration = sweeping.read_sweep(file)
    planned_runs = sweeping.plan_runs(declaration)
    if dry_run:
        _print_plan(planned_runs, json=json)
        return
    stored_runs = Results(results)
    sweep_results = _run_all(planned_runs, stored_runs, file)
    boards = [load_ranked_board(name, split, stored_runs, all_runs=True) for name, split in declaration.boards]
    if json:
        from cfbench.leaderboard.columns import board_data

        rows = [_result_data(result) for result in sweep_results]
        console.print_json({"runs": rows, "boards": [board_data(board) for board in boards]})
    else:
        from cfbench.cli.view.board_page import print_board

        for board in boards:
            print_board(board, results)
    failures = [result for result in sweep_results if result.failed]
    for result in failures:
        console.say(f"no score: {result.planned}: {result.fault}")
    raise typer.Exit(1 if failures else 0)


def _print_plan(planned_runs: list[PlannedRun], *, json: bool) -> None:
    if json:
        console.print_json([_plan_data(run) for run in planned_runs])
        return
    for run in planned_runs:
        console.result(str(run))


def _run_all(planned_runs: list[PlannedRun], results: Results, file: Path) -> list[SweepResult]:
    """Carry out the runs one after the other; Ctrl-C exits with a message that says how to resume."""
    from cfbench.runs import sweep as sweeping
    from cfbench.runs.exposure import describe_exposures

    console.say_notes(run.setup.device_note for run in planned_runs)
    datasets = {
        name: open_or_download(dataset_card(name)) for name in dict.fromkeys(run.dataset for run in planned_runs)
    }
    console.say_notes(describe_exposures(sweeping.find_exposures(planned_runs, datasets)))
    command = advice.command("sweep", file, results=results.root)

    def make(place: int, run: PlannedRun, wait: bool) -> SweepResult | None:
        position = f"{place}/{len(planned_runs)} {run}"
        stopped = f"stopped at run {place} of {len(planned_runs)}; resume it with: {command}"
        with run_progress(position, lambda _: stopped) as listener:
            make_it = sweeping.make_run if wait else sweeping.make_free_run
            result = make_it(run, datasets[run.dataset], results, listener)
        if result is None:
            console.say(f"{position}: another process makes this run")
            return None
        console.say(f"{position}: {_describe_result(result)}")
        if result.record is not None:
            console.say_doubts(result.record)
        return result

    return [result for _, result in sorted(sweeping.make_all(planned_runs, make), key=itemgetter(0))]


def _describe_result(result: SweepResult) -> str:
    if result.record is None:
        return f"failed: {result.fault}"
    outcome = result.record.outcome
    text = f"test RMSE {numbers.score(outcome.rmse)}, fitted in {numbers.duration(outcome.fit_seconds)}"
    if result.existed:
        text += ", already there"
    if outcome.status != "finished":
        text += " (diverged)"
    return text


def _plan_data(run: PlannedRun) -> dict[str, Any]:
    """A planned run as plain data for scripts."""
    setup = run.setup
    return {"dataset": run.dataset, "split": run.split, "plugin": setup.name, "seed": run.seed,
            "preset": setup.preset, "refit": setup.refit, "config": setup.config.model_dump(mode="json")}  # fmt: skip


def _result_data(result: SweepResult) -> dict[str, Any]:
    """A run of the sweep as plain data for scripts."""
    record = result.record
    return _plan_data(result.planned) | {
        "run": None if record is None else record.run,
        "status": "failed" if record is None else record.outcome.status,
        "rmse": None if record is None else record.outcome.rmse,
        "already_there": result.existed,
        "message": result.fault,
    }
