"""The command line. Typer only here, Rich only here; one module a group of commands.

Heavy imports live inside the commands: `cfbench --help` loads neither torch nor polars nor pydantic.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

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

Complaint: Any = typer.BadParameter.__mro__[2]  # Click's ClickException, which Typer may carry as its own copy

ORDER = ["download", "datasets", "import", "synth", "plugins", "run", "sweep", "tune", "studies", "compare", "show",
         "diff", "predict", "recommend", "new-plugin", "check-plugin", "bench", "doctor"]  # fmt: skip


class Root(typer.core.TyperGroup):
    """Lists the commands in the order a newcomer needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """First things first."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    cls=Root,
    help="Which model predicts these ratings best, and at what cost?",
    epilog="Begin with: cfbench run bias, then cfbench run deepae, then cfbench compare",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"cfbench {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (the callback does it)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Which model predicts these ratings best, and at what cost?"""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(download)
app.command()(datasets)
app.command()(synth)
app.command("import")(import_)
app.command()(plugins)
run_plugins = typer.Typer(cls=RunGroup, rich_markup_mode="rich")
run_plugins.callback(invoke_without_command=True)(run)
app.add_typer(run_plugins, name="run")
app.command()(sweep)
app.command()(tune)
app.command()(studies)
app.command()(compare)
app.command()(show)
app.command()(diff)
app.command()(predict)
app.command()(recommend)
app.command()(new_plugin)
app.command()(check_plugin)
app.command()(bench)
app.command()(doctor)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something went wrong, 2 the command line is wrong, 130 Ctrl-C.

    A fault that a person can cause is one line on standard error; a traceback means a bug.
    """
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name="cfbench", standalone_mode=False)
    except CfbenchError as fault:
        console.error(str(fault))
        return fault.exit_code
    except Complaint as fault:
        context = getattr(fault, "ctx", None)
        where = f"; see `{context.command_path} --help`" if context else ""
        console.error(f"{' '.join(fault.format_message().split()).rstrip('.')}{where}")
        return 2
    except KeyboardInterrupt:  # before or after the command itself, which tells of it in its own way
        return 130
    return result if isinstance(result, int) else 0
