"""What came of a study: the best config beside the one it started from, and of all plugins tuned alike."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from cfbench.cli import console
from cfbench.cli.tune.progress import outcome
from cfbench.cli.view.numbers import NONE, duration, hyper_parameter, score

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from rich.table import Table

    from cfbench.runs.run import Setup
    from cfbench.tuning.search import Job


def facts(job: Job, trials: list[FrozenTrial], importances: dict[str, float]) -> dict[str, Any]:
    """A study as plain data; errors are those of the validation part."""
    from cfbench.tuning import database, study

    best = study.best(trials)
    start = next((trial.value for trial in trials if "start" in trial.user_attrs and trial.values), None)
    counts = {name: sum(t.state.name == state for t in trials) for name, state in STATES.items()}
    return {
        "study": job.name, "storage": database.shown(job.storage), "plugin": job.plan.plugin,
        "dataset": job.plan.dataset, "split": job.plan.split, "seed": job.plan.seed, "trials": counts,
        "seconds": study.seconds(trials), "start": {"valid_rmse": start, "config": job.plan.start},
        "best": best and {"trial": best.number, "valid_rmse": best.value, "config": best.user_attrs["config"]},
        "improvement": start - best.value if start and best and best.value else None,
        "searched": list(job.plan.space), "importances": importances,
        "last": outcome(trials[-1]) if trials else "",
    }  # fmt: skip


STATES = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def conclude(told: dict[str, Any], setup: Setup) -> None:
    """Tell the best config, on standard output."""
    from cfbench.tuning import study

    counts = ", ".join(f"{count} {name}" for name, count in told["trials"].items() if count)
    console.result(
        f"{told['plugin']} on {told['dataset']}, split {told['split']}: {study.counted(sum(told['trials'].values()))} "
        f"({counts}) in {duration(told['seconds'])}, kept in {told['storage']}"
    )
    best = told["best"]
    if not best:
        return
    console.result(f"best: trial {best['trial']}, validation RMSE {best['valid_rmse']:.4f}{_gain(told)}")
    console.out().print(_configs(told), markup=False)
    console.result(f"run it: {shlex.join(['cfbench', 'run', told['plugin'], *_flags(told, setup)])}")


def _flags(told: dict[str, Any], setup: Setup) -> list[str]:
    """What makes `cfbench run` use the best config."""
    plain = setup.plugin.config().for_device(setup.device).model_dump(mode="json")
    words = ["--dataset", told["dataset"], "--split", told["split"], "--no-preset"]
    for name, value in told["best"]["config"].items():
        flag = name.replace("_", "-")
        if value == plain[name]:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag}={hyper_parameter(value)}")
    return words


def _gain(told: dict[str, Any]) -> str:
    gain, start = told["improvement"], told["start"]["valid_rmse"]
    if gain is None:
        return "; the config it started from did not finish"
    return f", {gain:.4f} better than {start:.4f} of the config it started from" if gain else ": where it started from"


def _configs(told: dict[str, Any]) -> Table:
    """What was searched, by importance."""
    shares = told["importances"]
    table = _table("hyper-parameter", "start", "best", "importance")
    start, best = told["start"]["config"], told["best"]["config"]
    for key in dict.fromkeys([*shares, *told["searched"]]):
        table.add_row(key, _short(start[key]), _short(best[key]), f"{shares[key]:.0%}" if key in shares else "")
    return table


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else hyper_parameter(value)


def closing_table(rows: list[dict[str, Any]]) -> None:
    """All plugins tuned, best first; by the test part where they were run."""
    table = _table("plugin", "trials", "time", "start", "best", "better by", "test RMSE")
    for told in sorted(rows, key=lambda told: told["best"]["valid_rmse"] if told["best"] else float("inf")):
        best, gain = told["best"], told["improvement"]
        scores = [run["outcome"]["rmse"] for run in told.get("runs", []) if run["outcome"]["rmse"] is not None]
        table.add_row(
            told["plugin"], str(sum(told["trials"].values())), duration(told["seconds"]),
            score(told["start"]["valid_rmse"]), score(best and best["valid_rmse"]), score(gain),
            f"{sum(scores) / len(scores):.4f} of {len(scores)}" if scores else NONE,
        )  # fmt: skip
    console.out().print(table, markup=False)


def summary(study: Study) -> dict[str, Any]:
    """A line of the list of studies."""
    from cfbench.tuning import study as studies

    trials = studies.ended(study.get_trials(deepcopy=False))
    best = studies.best(trials)
    kept = study.user_attrs[studies.FACTS]
    return {
        "study": study.study_name, "plugin": kept["plugin"], "dataset": kept["data set"], "split": kept["split"],
        "trials": len(trials), "seconds": studies.seconds(trials), "valid_rmse": best.value if best else None,
    }  # fmt: skip


def list_studies(rows: list[dict[str, Any]], where: str) -> None:
    """Studies as a table."""
    if not rows:
        console.say(f"no studies in {where}; `cfbench tune deepae` begins one")
        return
    table = _table("study", "plugin", "data set", "split", "trials", "time", "best")
    for row in rows:
        cells = (row["study"], row["plugin"], row["dataset"], row["split"], str(row["trials"]))
        table.add_row(*cells, duration(row["seconds"]), score(row["valid_rmse"]))
    console.out().print(table, markup=False)


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
