"""`cfbench run`: a group with one command for each plugin, which has a flag for each hyper-parameter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.dataset_choice import dataset_card, open_or_download
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    DatasetOption,
    DeviceOption,
    JsonOption,
    LogToOption,
    RefitOption,
    ResultsOption,
    SplitOption,
    TimeLimitOption,
    message_options,
)
from cfbench.cli.plain import plain_help
from cfbench.cli.progress import after_epoch, run_progress
from cfbench.cli.run.flags import flag_parameters, option_parameters, set_signature
from cfbench.cli.run.log_to import choose_tracker, make_run
from cfbench.errors import PluginError
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.runs.interruption import InterruptedRunError
    from cfbench.runs.record import Record, Refit, Request
    from cfbench.runs.run import RunListener
    from cfbench.tracking.tracker import Tracker


class RunGroup(typer.core.TyperGroup):
    """The group `cfbench run`. It imports only the plugin that the command line names."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (Click passes the context)
        """Return the names of all plugins."""
        from cfbench.runs import registry

        return registry.names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 (Click passes the context)
        """Return a command for the list in the help: it has the plugin's first line, read without an import."""
        from cfbench.runs import registry

        app = typer.Typer(add_completion=False)
        app.command(cmd_name, help=plain_help(registry.locate(cmd_name).summary))(lambda: None)
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the plugin with all its flags. Raises `UnknownNameError`, `PluginError`."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, build_command(str(name)), rest


def run(
    context: typer.Context,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Resume an interrupted or failed run: its id or a part of its id.",
            show_default=False,
            autocompletion=completion.unfinished,
        ),
    ] = None,
    time_limit: TimeLimitOption = None,
    log_to: LogToOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Train a plugin on a split, score it on the test part, and save the record.

    `cfbench run PLUGIN --help` lists the options of a plugin.

    Examples: cfbench run bias; cfbench run deepae --refeed 1 --device cuda; cfbench run --resume 3f2a
    """
    if context.invoked_subcommand is not None:
        if resume is not None:
            raise typer.BadParameter("--resume takes no plugin, because the run already has one; leave out the plugin")
        return
    if resume is None:
        typer.echo(context.get_help())
        return
    from cfbench.runs import run as harness
    from cfbench.runs.results import Results

    _watch(
        lambda progress: harness.resume(resume, Results(results), progress, seconds=time_limit),
        f"resuming {resume}",
        results,
        choose_tracker(log_to),
        json=json,
    )


def build_command(name: str) -> Any:
    """Return the command of a plugin: the options of `run_plugin`, and a flag for each hyper-parameter.

    Raises `UnknownNameError`, `PluginError`.
    """
    from cfbench.runs import registry

    plugin = registry.load(name)
    options = option_parameters(run_plugin)
    flags = flag_parameters(plugin.config, f"Hyper-parameters of {name}")
    messages = message_options()
    conflicts = {option.name for option in (*options, *messages)} & {flag.name for flag in flags}
    if conflicts:
        names = ", ".join(sorted(conflicts))
        raise PluginError(
            f"plugin {name!r} has hyper-parameters named like options of `cfbench run`: {names}; rename them"
        )

    def run_with_flags(**values: Any) -> None:
        flag_values = {flag.name: values.pop(flag.name) for flag in flags}
        run_plugin(name, {key: value for key, value in flag_values.items() if value is not None}, **values)

    set_signature(run_with_flags, [*options, *flags])
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    presets = ", ".join(registry.presets(name)) or "none"
    app.command(name, help=plain_help(
        f"{plugin.title}.\n\n{plugin.paper}\n\nPresets of {name}: {presets}.\n\n"
        "A value on the command line replaces the value of the preset, which replaces the default."
        f"\n\nExample: cfbench run {name} --dataset ml-100k --seed 1"
    ))(run_with_flags)  # fmt: skip
    command = typer.main.get_command(app)
    command.params += messages
    return command


def run_plugin(  # noqa: PLR0913 (every option is a parameter)
    name: str,
    flags: dict[str, str | bool],
    *,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of all randomness in the model.")] = 0,
    device: DeviceOption = "auto",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="A set of tuned hyper-parameters. Default: the preset that is named like the data set, if any, "
            "else the one that the plugin declares for other data sets, if any.",
            show_default=False,
            autocompletion=completion.presets,
        ),
    ] = None,
    no_preset: Annotated[bool, typer.Option("--no-preset", help="Start from the defaults of the plugin.")] = False,
    skip_finished: Annotated[
        bool, typer.Option("--skip-finished", help="Do nothing if the results already hold the same run.")
    ] = False,
    refit: RefitOption = False,
    energy: Annotated[
        bool,
        typer.Option("--energy", help="Estimate the electricity of fitting, and the carbon dioxide of making it. The "
                     "record says what was measured and what was guessed. It needs the extra `energy`."),
    ] = False,
    time_limit: TimeLimitOption = None,
    log_to: LogToOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Run a plugin. The whole command line is checked before a data set is downloaded."""
    from cfbench.cli.run.folds import run_folds
    from cfbench.runs import run as harness
    from cfbench.runs.energy import require_codecarbon
    from cfbench.runs.exposure import describe_exposures
    from cfbench.runs.results import Results
    from cfbench.runs.setup import configure, new_request

    if energy:
        require_codecarbon()
    tracker = choose_tracker(log_to)
    card = dataset_card(dataset)
    split = split or card.default_split
    setup = configure(
        name, dataset=card.name, split=split, flags=flags, preset=preset, use_preset=not no_preset, device=device,
        refit=refit,
    )  # fmt: skip
    setup = replace(setup, measure_energy=energy)
    console.say_notes([setup.device_note])
    splits = card.expand_split(split)
    data = open_or_download(card)
    requests = [new_request(setup, data, data.split(fold), seed) for fold in splits]
    console.say_notes(describe_exposures((request.split.name, request.exposure) for request in requests))
    if len(splits) > 1:
        console.say(f"{name} on {card.name}, split {split}, {_conditions(setup.preset, seed, setup.device)}")
        run_folds(split, requests, data, Results(results), tracker, seconds=time_limit, json=json)
        return
    cut, (request,) = data.split(split), requests
    console.say(_announcement(request))
    if cut.mismatches:
        console.say(f"these ratings differ from those published under this name: {'; '.join(cut.mismatches)}")
    stored_runs = Results(results)
    finished = harness.finished_run(request, data, stored_runs) if skip_finished else None
    if finished is not None:
        console.say(f"already finished: run {finished.run}, test RMSE {finished.outcome.rmse:.4f}")
        if json:
            console.print_json(finished.model_dump(mode="json"))
        return
    interrupted = harness.interrupted_run(request, data, stored_runs)
    if interrupted is not None:
        console.say(f"the same run was interrupted before: resuming {interrupted}")

    def start(progress: RunListener) -> tuple[Record, Path]:
        if not skip_finished:
            return harness.start_or_resume(request, data, stored_runs, progress, seconds=time_limit)
        record, _ = harness.ensure(request, data, stored_runs, progress, seconds=time_limit)
        return record, stored_runs.place(record.request)

    _watch(start, name, results, tracker, json=json)


def _announcement(request: Request) -> str:
    """Return the line that begins a run: plugin, data set, split, the size of its parts, preset, seed and device."""
    report = request.split.report
    cold = f", {report['cold_ratings']:,} of them cold" if report["cold_ratings"] else ""
    parts = f"{report['train']:,} train, {report['valid']:,} validation, {report['test']:,} test ratings{cold}"
    subject = f"{request.plugin.name} on {request.dataset.name}, split {request.split.name} ({parts})"
    return f"{subject}, {_conditions(request.preset, request.seed, request.device)}"


def _conditions(preset: str | None, seed: int, device: str) -> str:
    return f"{f'preset {preset}' if preset else 'no preset'}, seed {seed}, {device}"


def _watch(
    work: Callable[[RunListener], tuple[Record, Path]],
    label: str,
    results: Path,
    tracker: Tracker | None,
    *,
    json: bool,
) -> None:
    """Do the work of one run, show its progress, then print its scores."""
    from cfbench.runs.results import Results

    def describe_stop(stop: InterruptedRunError) -> str:
        command = advice.command("run", "--resume", stop.run, results=results)
        return f"stopped{after_epoch(stop)}; resume it with: {command}"

    with run_progress(label, describe_stop) as progress:
        record, folder = make_run(work, progress, tracker, Results(results))
    console.say_doubts(record)
    if json:
        console.print_json(record.model_dump(mode="json"))
    else:
        console.result(summary_line(record))
        if record.request.measure_energy:
            console.say(f"energy: {_describe_energy(record)}")
        request = record.request
        compare = advice.command("compare", dataset=request.dataset.name, split=request.split.name, results=results)
        console.say(f"saved in {folder}; rank it with: {compare}")
    if not record.scored:
        raise typer.Exit(1)


def _describe_energy(record: Record) -> str:
    from cfbench.report.record_facts import describe_energy

    if record.outcome.energy is not None:
        return describe_energy(record.outcome.energy)
    if record.outcome.resumed:
        return "not known, because earlier processes of this run were not measured"
    return "not known, because codecarbon measures nothing in so short a fit"


def summary_line(record: Record) -> str:
    """Return the outcome of a run in one line."""
    outcome = record.outcome
    status = "" if outcome.status == "finished" else f"{outcome.status}: {outcome.message}; "
    if not record.scored:
        return f"{record.run}: {status}no epoch to score; try a lower learning rate"
    line = f"{record.run}: {status}test RMSE {outcome.rmse:.4f}, MAE {outcome.mae:.4f}"
    line += f", fitted in {numbers.duration(outcome.fit_seconds)}"
    if outcome.refit:
        line += f" with {_describe_refit(outcome.refit)}"
    if outcome.best_epoch and outcome.valid_rmse is not None:  # without a validation part, no epoch is chosen
        line += f", epoch {outcome.best_epoch} chosen by validation RMSE {outcome.valid_rmse:.4f}"
    return line


def _describe_refit(refit: Refit) -> str:
    epochs = f" of {refit.epochs} epochs" if refit.epochs else ""
    return f"a second fit{epochs} that learned the validation ratings too"
