"""The application: all commands, and what `cfbench` does with their errors.

Heavy imports are inside the commands: `cfbench --help` loads neither torch nor polars nor pydantic.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from cfbench import advice
from cfbench.cli import console, streams, verbosity
from cfbench.errors import CfbenchError, UsageError
from cfbench.version import __version__

ClickError: Any = typer.BadParameter.__mro__[2]
"""ClickException, the root of all errors of Click. Typer may carry its own copy of Click, so it is found this way."""

COMMANDS = {
    "download": "Download, check and prepare a data set, and make it the current one.",
    "datasets": "List the data sets with their size on this disk, or show one; `datasets rm` removes one.",
    "import": "Make a data set from your own ratings, and make it the current one.",
    "synth": "Make up ratings in the format and the shape of a real data set, for a trial before you have the data.",
    "plugins": "List the plugins, or show one: its hyper-parameters, their ranges, its presets.",
    "run": "Train a plugin on a split, score it on the test part, and save the record.",
    "sweep": "Run plugins with overrides, on data sets, splits and seeds, as a file declares them.",
    "tune": "Search the hyper-parameters with the smallest validation RMSE; the test part is not used.",
    "studies": "List the studies of `cfbench tune`, their best validation RMSE and their size; `rm` removes one.",
    "experiment": "Test the claims of the paper on data of your choice: each gets a verdict, with an interval.",
    "compare": "Rank the models of a data set and split, best first, beside published scores of the same protocol.",
    "report": "Write the leaderboard of a data set and split as one HTML file that needs no network.",
    "serve": "Show the leaderboard of a data set and split in a browser on this machine, always with the newest runs.",
    "plot": "Draw a figure for a paper: learning curves, the leaderboard, its costs, its errors by slice, or a study.",
    "board": "Watch the leaderboard and the runs under way on the whole terminal; start, stop and compare runs there.",
    "show": "Show the whole record of a run, its learning curve, and its errors by rating and by user activity.",
    "diff": "Show where two runs differ: data, config, machine, versions and scores, with a paired test over users.",
    "runs": "List all runs, also the unfinished ones, with their size; `rm` and `discard` remove some.",
    "predict": "Predict ratings with the model of a stored run.",
    "recommend": "List the items with the highest predictions for a user, without those rated in training.",
    "similar": "List the items or users that are most similar to one, by the cosine of their codes.",
    "embed": "Write, draw or judge the codes of users or items, as the model of a stored run computes them.",
    "export": "Write ratings, a split, or a run's predictions or model to a file, or runs to TensorBoard or MLflow.",
    "import-predictions": "Score predictions that were made elsewhere; they join the leaderboard, marked as imported.",
    "schema": "Print the JSON Schema of the record of a run, for programs that read records.",
    "new-plugin": "Write a small package with a model that works, presets and tests. Then change the model into yours.",
    "check-plugin": "Check that a plugin follows every rule for plugins. The exit status is 1 when a check fails.",
    "bench": "Time training and evaluation on random ratings of the Netflix Prize's shape.",
    "doctor": "Show the versions, devices and folders that cfbench uses. Please add the output to a bug report.",
}
"""Every command with the first line of its help, in the order in which a newcomer needs them."""


LONG_COMMANDS = {
    "download", "import", "run", "sweep", "tune", "compare", "report", "experiment run", "plot board", "plot curves",
    "plot pareto", "plot slices",
}  # fmt: skip
"""The commands that may work for minutes or hours, and have --quiet, --verbose and --log."""


class RootGroup(typer.core.TyperGroup):
    """The group `cfbench`. It imports only the command that the command line names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: typer.core.TyperCommand(name, help=line) for name, line in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that `args` begin with, with its parameters, and the rest of `args`."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == "datasets" and rest[:1] == ["rm"]:  # any other word after `datasets` is the name of a data set
            return "datasets rm", load_command("datasets rm"), rest[1:]
        return name, command and load_command(str(name)), rest


def load_command(name: str) -> Any:
    """Import the module of a command and return the command with its parameters."""
    word = "import_" if name == "import" else re.sub("[- ]", "_", name)  # `import` cannot name a module
    module = import_module(
        f"cfbench.cli.{word}.command"
        if name in ("run", "tune", "experiment", "plot", "board")
        else f"cfbench.cli.{word}"
    )
    if name == "run":  # a group, with a command for each plugin
        holder = typer.Typer(cls=module.RunGroup, add_completion=False, rich_markup_mode="rich")
        holder.callback(invoke_without_command=True)(module.run)
    elif hasattr(module, "group"):  # a command with commands of its own
        holder = module.group
    else:
        holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
        holder.command()(getattr(module, word))
    command = typer.main.get_command(holder)
    command.name = name
    _complete(name, command)
    for word, each in (getattr(command, "commands", None) or {}).items():
        _complete(f"{name} {word}", each)
    return command


def _complete(name: str, command: Any) -> None:
    """Lay out the help of a command, and add the options of long work."""
    command.help = reflow(command.help or "")
    if name in LONG_COMMANDS:
        from cfbench.cli.options import message_options

        command.params += message_options()


def reflow(text: str) -> str:
    """Return a help text with each paragraph on one line, which the terminal wraps, and each example on its own."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n\n".join(_list_examples(line) if line.startswith("Example") else line for line in paragraphs)


def _list_examples(paragraph: str) -> str:
    heading, _, examples = paragraph.partition(": ")
    return "\n".join([f"{heading}:", *(f"  {example}" for example in examples.split("; "))])


app = typer.Typer(
    cls=RootGroup,
    help="Which model predicts these ratings best, and at what cost?",
    epilog="Start with: "
    + ", then ".join(advice.command(*words.split()) for words in ("run bias", "run deepae", "compare")),
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"cfbench {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (the callback uses it)
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which model predicts these ratings best, and at what cost?"""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit. `arguments` are those of the process by default.

    The exit status is 0 for success, 1 for an error, 2 for a wrong command line, and 130 after Ctrl-C. An error that a
    person can cause is one line on standard error; a traceback means a bug.
    """
    sys.exit(_exit_status(arguments))


def _exit_status(arguments: list[str] | None) -> int:
    streams.prepare()
    verbosity.reset()
    try:
        with console.warnings_as_messages():
            status = _run_command(arguments)
            sys.stdout.flush()
    except streams.OutputError as fault:
        streams.drop_output()
        if not fault.is_closed_pipe:
            console.error(f"cannot write to standard output: {fault.strerror}; results are missing from it")
        return 1
    except OSError as fault:
        console.error(f"the system reports an error that cfbench does not expect: {fault}")
        return 1
    finally:
        verbosity.reset()
    return status


def _run_command(arguments: list[str] | None) -> int:
    try:
        _check_encoding(sys.argv[1:] if arguments is None else arguments)
        result = typer.main.get_command(app).main(args=arguments, prog_name="cfbench", standalone_mode=False)
    except CfbenchError as error:
        console.error(str(error))
        return error.exit_code
    except ClickError as error:
        console.error(_one_line(error))
        return 2
    except MemoryError:
        console.error("out of memory: close other programs, or choose a smaller model or data set")
        return 1
    except KeyboardInterrupt:  # a command that can be resumed catches Ctrl-C itself and prints how
        return 130
    return result if isinstance(result, int) else 0


def _check_encoding(arguments: list[str]) -> None:
    """Raise `UsageError` if an argument, or a folder that the environment names, is not text: not all libraries use it.

    Python has a surrogate for each byte that is no UTF-8.
    """
    settings = {name: value for name, value in os.environ.items() if name.startswith("CFBENCH_")}
    for name, text in [*(("an argument", argument) for argument in arguments), *settings.items()]:
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"{name} is not UTF-8: {text!r}; rename that file or folder, for example with `mv`")


def _one_line(error: Any) -> str:
    """Return the message of an error of Click, and the help that explains the command."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    if context.parent is None and hasattr(error, "option_name"):  # as in `cfbench --json compare`
        message = f"{error.option_name} is no option of cfbench itself: options follow the name of their command"
    return f"{message}; see `{advice.command(*context.command_path.split()[1:], '--help')}`"
