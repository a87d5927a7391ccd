"""The application: all commands, and what `cfbench` does with their errors.

Heavy imports stand inside the commands: `cfbench --help` loads neither torch nor polars nor pydantic.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench import __version__
from cfbench.cli import console
from cfbench.cli.bench import bench
from cfbench.cli.check_plugin import check_plugin
from cfbench.cli.compare import compare
from cfbench.cli.datasets import datasets
from cfbench.cli.diff import diff
from cfbench.cli.doctor import doctor
from cfbench.cli.download import download
from cfbench.cli.import_ import import_
from cfbench.cli.new_plugin import new_plugin
from cfbench.cli.plugins import plugins
from cfbench.cli.predict import predict
from cfbench.cli.recommend import recommend
from cfbench.cli.run.command import RunGroup, run
from cfbench.cli.show import show
from cfbench.cli.studies import studies
from cfbench.cli.sweep import sweep
from cfbench.cli.synth import synth
from cfbench.cli.tune.command import tune
from cfbench.errors import CfbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

ClickError: Any = typer.BadParameter.__mro__[2]
"""ClickException, the root of all errors of Click. Typer may carry its own copy of Click, so it is found this way."""

COMMANDS: dict[str, Callable[..., None]] = {
    "download": download,
    "datasets": datasets,
    "import": import_,
    "synth": synth,
    "plugins": plugins,
    "run": run,
    "sweep": sweep,
    "tune": tune,
    "studies": studies,
    "compare": compare,
    "show": show,
    "diff": diff,
    "predict": predict,
    "recommend": recommend,
    "new-plugin": new_plugin,
    "check-plugin": check_plugin,
    "bench": bench,
    "doctor": doctor,
}
"""Every command, in the order in which a newcomer needs them."""


class RootGroup(typer.core.TyperGroup):
    """The group `cfbench`, whose help lists the commands in the order of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (Click passes the context)
        """Return the names of all commands."""
        return list(COMMANDS)


app = typer.Typer(
    cls=RootGroup,
    help="Which model predicts these ratings best, and at what cost?",
    epilog="Start with: cfbench run bias, then cfbench run deepae, then cfbench compare",
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


def _add_commands() -> None:
    """Add every command. `run` is a group, with a command for each plugin."""
    for name, function in COMMANDS.items():
        if name != "run":
            app.command(name)(function)
    group = typer.Typer(cls=RunGroup, rich_markup_mode="rich")
    group.callback(invoke_without_command=True)(run)
    app.add_typer(group, name="run")


_add_commands()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit. `arguments` are those of the process by default.

    The exit status is 0 for success, 1 for an error, 2 for a wrong command line, and 130 after Ctrl-C. An error that a
    person can cause is one line on standard error; a traceback means a bug.
    """
    sys.exit(_exit_status(arguments))


def _exit_status(arguments: list[str] | None) -> int:
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name="cfbench", standalone_mode=False)
    except CfbenchError as error:
        console.error(str(error))
        return error.exit_code
    except ClickError as error:
        console.error(_one_line(error))
        return 2
    except KeyboardInterrupt:  # a command that can be resumed catches Ctrl-C itself and prints how
        return 130
    return result if isinstance(result, int) else 0


def _one_line(error: Any) -> str:
    """Return the message of an error of Click, and the help that explains the command."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path} --help`" if context else message
