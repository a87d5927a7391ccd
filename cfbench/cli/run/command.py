"""`cfbench run`: one command a plugin, with a flag for each of its hyper-parameters, made from its Config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    DEFAULT_SPLIT,
    DatasetOption,
    DeviceOption,
    JsonOption,
    ResultsOption,
    SplitOption,
    dataset_name,
    open_or_download,
)
from cfbench.cli.run.flags import give_signature, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.runs.record import Record
    from cfbench.runs.run import RunListener


class RunGroup(typer.core.TyperGroup):
    """Finds the plugin's command when it is named, and imports no other plugin."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the names are the same everywhere)
        """All plugins."""
        from cfbench.runs import registry

        return registry.names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """What help lists: the plugin's first line, read without importing it."""
        from cfbench.runs import registry

        stand_in = typer.Typer(add_completion=False)
        stand_in.command(cmd_name, help=registry.find(cmd_name).summary)(lambda: None)
        return typer.main.get_command(stand_in)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The plugin's whole command; raises `UnknownNameError`."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, command(str(name)), rest


def run(
    context: typer.Context,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with an interrupted run: its id or a part of it.",
            show_default=False,
            autocompletion=completion.unfinished,
        ),
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Train a plugin on a split, score it on the test part, and keep the record.

    `cfbench run PLUGIN --help` lists the plugin's own options.

    Examples: cfbench run bias; cfbench run deepae --refeed 1 --device cuda; cfbench run --resume 3f2a
    """
    if context.invoked_subcommand is not None:
        if resume is not None:
            raise typer.BadParameter("--resume takes no plugin: the run knows its own")
        return
    if resume is None:
        typer.echo(context.get_help())
        return
    from cfbench.runs import run as harness
    from cfbench.runs.record import Results

    _carry_out(lambda watcher: harness.resume(resume, Results(results), watcher), f"resuming {resume}", json=json)


def command(name: str) -> Any:
    """The Typer command of a plugin: the harness's options and one for each hyper-parameter."""
    from cfbench.runs import registry

    plugin = registry.load(name)
    fields = plugin.config.model_fields

    def run_plugin(**given: Any) -> None:
        own = {key: given.pop(key) for key in common}
        flags = {key: value for key, value in given.items() if value is not None}
        _run(name, flags, **own)

    common = {
        "dataset": (DatasetOption, None), "split": (SplitOption, DEFAULT_SPLIT),
        "seed": (Annotated[int, typer.Option("--seed", min=0, help="All randomness of the model comes from it.")], 0),
        "device": (DeviceOption, "auto"),
        "preset": (Annotated[str | None, typer.Option(
            "--preset", metavar="NAME", show_default=False, autocompletion=completion.presets,
            help="Tuned hyper-parameters; by default those of the data set. "
                 f"{name} has: {', '.join(registry.presets(name)) or 'none'}.")], None),
        "no_preset": (Annotated[bool, typer.Option("--no-preset", help="Use the plugin's plain defaults.")], False),
        "skip_finished": (Annotated[bool, typer.Option(
            "--skip-finished", help="Do nothing when the same run is among the results.")], False),
        "results": (ResultsOption, DEFAULT_RESULTS), "json": (JsonOption, False),
    }  # fmt: skip
    options = common | {key: (option(key, field, f"Hyper-parameters of {name}"), None) for key, field in fields.items()}
    give_signature(run_plugin, options)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    about = (
        f"{plugin.title}.\n\n{plugin.paper}\n\nA value given here wins over the preset's, and that over the default. "
        f"\n\nExample: cfbench run {name} --dataset ml-100k --seed 1"
    )
    alone.command(name, help=about)(run_plugin)
    return typer.main.get_command(alone)


def _run(  # noqa: PLR0913 (the options every plugin has)
    name: str, flags: dict[str, str | bool], *, dataset: str | None, split: str, seed: int, device: str,
    preset: str | None, no_preset: bool, skip_finished: bool, results: Path, json: bool,
) -> None:  # fmt: skip
    """What the command of a plugin does; the command line is checked before any data are fetched."""
    from cfbench.data import card
    from cfbench.runs import run as harness
    from cfbench.runs.record import Results

    setup = harness.configure(
        name, dataset=dataset_name(dataset), flags=flags, preset=preset, use_preset=not no_preset, device=device
    )
    names = card.load(dataset_name(dataset)).family(split)
    data = open_or_download(dataset)
    if setup.preset == data.card.name and names != [DEFAULT_SPLIT]:
        console.say(
            f"preset {setup.preset} was chosen by {DEFAULT_SPLIT}'s validation ratings, and some of them are test ratings of "
            f"{split}; --no-preset leaves it out"
        )
    if len(names) > 1:
        from cfbench.cli.run.folds import run_folds

        console.say(f"{name} on {data.card.name}, split {split}, {_how(setup.preset, seed, setup.device)}")
        asked_of = [harness.new_request(setup, data, data.split(fold), seed) for fold in names]
        run_folds(split, asked_of, data, Results(results), json=json)
        return
    cut = data.split(split)
    asked = harness.new_request(setup, data, cut, seed)
    console.say(_announcement(asked))
    if cut.mismatches:
        console.say(f"not the ratings that were published under this name: {'; '.join(cut.mismatches)}")
    if skip_finished and (twin := harness.finished_twin(asked, Results(results))):
        console.say(f"already there: run {twin.run}, test RMSE {twin.outcome.rmse:.4f}")
        if json:
            console.print_json(twin.model_dump(mode="json"))
        return
    _carry_out(lambda watcher: harness.start(asked, data, Results(results), watcher), name, json=json)


def _announcement(asked: Any) -> str:
    report = asked.split.report
    cold = f", {report['cold_ratings']:,} of them cold" if report["cold_ratings"] else ""
    parts = f"{report['train']:,} train, {report['valid']:,} validation, {report['test']:,} test ratings{cold}"
    where = f"{asked.plugin.name} on {asked.dataset.name}, split {asked.split.name} ({parts})"
    return f"{where}, {_how(asked.preset, asked.seed, asked.device)}"


def _how(preset: str | None, seed: int, device: str) -> str:
    return f"{f'preset {preset}' if preset else 'no preset'}, seed {seed}, {device}"


def _carry_out(work: Callable[[RunListener], tuple[Record, Path]], what: str, *, json: bool) -> None:
    with console.run_progress(
        what, lambda stop: f"stopped after epoch {stop.epoch}; go on with: cfbench run --resume {stop.run}"
    ) as watcher:
        done, place = work(watcher)
    if json:
        console.print_json(done.model_dump(mode="json"))
        return
    console.result(summary_line(done))
    console.say(f"kept in {place}; `cfbench compare` ranks it")


def summary_line(done: Record) -> str:
    """What came of a run, in a line."""
    outcome = done.outcome
    best = ""
    if outcome.best_epoch and outcome.valid_rmse is not None:  # no epoch is chosen without a validation part
        best = f", epoch {outcome.best_epoch} chosen by validation RMSE {outcome.valid_rmse:.4f}"
    ended = "" if outcome.status == "finished" else f"{outcome.status}: {outcome.message}; "
    if not done.scored:
        return f"{done.run}: {ended}no epoch to score; try a lower learning rate"
    scores = f"test RMSE {outcome.rmse:.4f}, MAE {outcome.mae:.4f}"
    return f"{done.run}: {ended}{scores}, fitted in {outcome.fit_seconds:.1f} s{best}"
