"""`cfbench compare` and `cfbench show`: what came of the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.data import DatasetOption, obtain
from cfbench.cli.runs import HERE, SPLIT, JsonOption, ResultsOption, RunArgument, SplitOption

if TYPE_CHECKING:
    from rich.table import Table

    from cfbench.leaderboard import Leaderboard
    from cfbench.record import Record


def compare(
    dataset: DatasetOption = None, split: SplitOption = SPLIT, results: ResultsOption = HERE, json: JsonOption = False
) -> None:
    """Rank all runs of a data set and split, best first; published scores of the same protocol stand apart.

    Example: cfbench compare --dataset ml-100k --split random90
    """
    from cfbench import leaderboard
    from cfbench.record import Results

    data = obtain(dataset)
    kept = Results(results)
    cut = data.split(split)
    board = leaderboard.build(data.card, cut.name, cut.fingerprint, kept)
    if json:
        console.as_json(board.as_json())
        return
    out = console.out()
    out.print(f"[bold]{data.card.title}[/], split {cut.name}" + (f" ({board.protocol})" if board.protocol else ""))
    if board.rows:
        out.print(_ranked(board))
    else:
        console.say(f"no runs of {board.dataset}, split {cut.name}, in {results}; `cfbench run deepae` makes one")
    if board.published:
        out.print(_published(board))
    if board.others:
        console.say(f"{board.others} runs left out: made on other ratings or another cut under the same name")
    for run in kept.unfinished():
        console.say(f"interrupted: {run}; go on with: cfbench run --resume {run}")


def _ranked(board: Leaderboard) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1))
    troubled = any(record.outcome.status != "finished" for record in board.rows)
    for heading in ("", "plugin"):
        table.add_column(heading)
    for heading in ("RMSE", "MAE", "fit", "parameters"):
        table.add_column(heading, justify="right")
    for heading in ("device", "seed", "run", *(["status"] if troubled else [])):
        table.add_column(heading, no_wrap=True)
    for place, record in enumerate(board.rows, 1):
        asked, o = record.request, record.outcome
        cells = (
            str(place) if record.scored else "", asked.plugin.name, _number(o.rmse), _number(o.mae),
            duration(o.fit_seconds), _count(o.parameters), asked.device, str(asked.seed), record.run.rpartition("-")[2],
        )  # fmt: skip
        table.add_row(*cells, *([o.status] if troubled else []), style="bold" if place == 1 and record.scored else None)
    return table


def _published(board: Leaderboard) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title="Published, measured elsewhere", title_justify="left", box=box.SIMPLE, header_style="bold",
                  title_style="dim", style="dim", pad_edge=False, padding=(0, 1))  # fmt: skip
    table.add_column("method")
    table.add_column("RMSE", justify="right")
    table.add_column("protocol and source")
    for score in board.published:
        note = f"; {score.note}" if score.note else ""
        table.add_row(score.method, f"{score.rmse:.4g}", f"{score.protocol}; {score.source}{note}", style="dim")
    return table


def _number(score: float | None) -> str:
    return "–" if score is None else f"{score:.4f}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def duration(seconds: float | None) -> str:
    """Seconds for people: `24.1 s`, `3 m 05 s`, `2 h 10 m`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def show(
    run: RunArgument,
    results: ResultsOption = HERE,
    json: JsonOption = False,
) -> None:
    """Show everything that is known of a run.

    Example: cfbench show last
    """
    from cfbench.record import Results, read_curve

    record, folder = Results(results).find(run)
    if json:
        console.as_json(record.model_dump(mode="json") | {"curve": read_curve(folder)})
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(record).items():
        table.add_row(name, value)
    console.out().print(table)
    console.result(str(folder))


def _facts(record: Record) -> dict[str, str]:
    asked, o, machine = record.request, record.outcome, record.machine
    facts = {
        "run": record.run,
        "status": o.status + (f": {o.message}" if o.message else ""),
        "plugin": f"{asked.plugin.name} ({asked.plugin.title}; {asked.plugin.package})",
        "data set": f"{asked.dataset.name}, version {asked.dataset.card_version}, {asked.dataset.fingerprint[:12]}",
        "split": f"{asked.split.name}, {asked.split.fingerprint[:12]}",
        "parts": ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in asked.split.report.items()),
        "test RMSE": _number(o.rmse),
        "test MAE": _number(o.mae),
        "validation RMSE": _number(o.valid_rmse) + (f" in epoch {o.best_epoch} of {o.epochs}" if o.epochs else ""),
        "parameters": _count(o.parameters),
        "fit": f"{duration(o.fit_seconds)} ({duration(o.fit_cpu_seconds)} of processor time)",
        "predict": duration(o.predict_seconds),
        "peak memory": "–" if o.peak_memory is None else f"{o.peak_memory / 1e6:,.0f} MB",
        "seed": str(asked.seed),
        "device": asked.device + (f" ({machine.accelerator})" if machine.accelerator else ""),
        "preset": asked.preset or "none",
    }
    origins = asked.origins
    config = {f"  {name}": f"{_plain(value)} ({origins[name]})" for name, value in asked.config.items()}
    threads = f", {machine.threads} threads" if machine.threads else ""
    return facts | {"config": ""} | config | {
        "begun": f"{asked.started:%Y-%m-%d %H:%M:%S} UTC",
        "machine": f"{machine.processor}, {machine.cores} cores{threads}, {machine.system}",
        "versions": ", ".join(f"{name} {v}" for name, v in {"python": machine.python, **machine.libraries}.items()),
    }  # fmt: skip


def _plain(value: object) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
