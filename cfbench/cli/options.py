"""The options that several commands share, and the data set that a command uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from cfbench import advice
from cfbench.cli import completion, verbosity
from cfbench.errors import DeviceError
from cfbench.leaderboard import Clusters, Metric

DEFAULT_RESULTS = advice.DEFAULT_RESULTS
STORAGE_VARIABLE = "CFBENCH_STORAGE"

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")


def check_device(context: typer.Context, device: str) -> str:
    """Return the text of `--device`; raises `DeviceError` at once if no machine has such a device."""
    if not (context.resilient_parsing or DEVICE.fullmatch(device)):
        raise DeviceError(f"unknown device {device!r}; expected auto, cpu, cuda, cuda:N or mps")
    return device


def parse_time(text: str) -> float:
    """Return `30m`, `2h`, `1h30m` or `90s` in seconds."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(number or 0) for number in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise typer.BadParameter(f"expected a time such as 30m, 2h or 90s, got {text!r}")
    return float(total)


DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="The data set. Default: the current one, which the last download or import chose.",
        autocompletion=completion.datasets,
        show_default=False,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="How the ratings are split. random90@7 draws random90 with seed 7. 5fold means all five folds. "
        "Default: your own split if you imported one, else random90.",
        autocompletion=completion.splits,
        show_default=False,
    ),
]
PluginsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="NAME",
        help="Show only this plugin; may be repeated.",
        autocompletion=completion.plugins,
        show_default=False,
    ),
]
MetricOption = Annotated[Metric, typer.Option("--metric", help="The score that ranks, as in `compare`.")]
ClustersOption = Annotated[
    Clusters, typer.Option("--clusters", help="Of what the test ratings are a sample, as in `compare`.")
]
AllRunsOption = Annotated[
    bool, typer.Option("--all-runs", help="Show every config, not only each plugin's best in validation.")
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run's id, a part of its id, or `last`.", autocompletion=completion.runs),
]
RatingsOption = Annotated[
    Path | None,
    typer.Option(
        "--ratings",
        metavar="PATH",
        help="Predict for a new user, whose ratings this file holds as ITEM,RATING lines. Some models cannot do this.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="The device that computes: auto, cpu, cuda, cuda:N or mps.",
        callback=check_device,
        autocompletion=completion.devices,
    ),
]
ResultsOption = Annotated[
    Path,
    typer.Option("--results", envvar=advice.RESULTS_VARIABLE, metavar="FOLDER", help="The folder that holds the runs."),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar=STORAGE_VARIABLE,
        metavar="URL",
        help="A database that several machines share, such as postgresql://me@host/db. "
        "Default: a file in the results folder.",
        show_default=False,
    ),
]
RefitOption = Annotated[
    bool,
    typer.Option(
        "--refit",
        help="Once validation has chosen the epoch, fit the model again to training and validation ratings, for that "
        "many epochs. The leaderboard marks such a run.",
    ),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        min=0.001,
        metavar="SECONDS",
        help="Stop the model if it has not fitted and predicted after so many seconds. The run can be resumed.",
        show_default=False,
    ),
]
LogToOption = Annotated[
    str | None,
    typer.Option(
        "--log-to",
        metavar="TRACKER",
        help="Copy the run to `tensorboard` or `mlflow` while it learns; `tensorboard:FOLDER` and `mlflow:FILE` name "
        "another place than the folder tensorboard and the file mlflow.db.",
        show_default=False,
        autocompletion=completion.trackers,
    ),
]
SeparatorOption = Annotated[
    str, typer.Option(metavar="TEXT", help="The text between two fields, or `tab`, or `whitespace`.")
]
HeaderOption = Annotated[
    bool | None, typer.Option("--header/--no-header", help="Whether the first line names the columns.")
]
COLUMNS_HELP = (
    "Show these columns of the table, in this order and whatever the width. A name is a heading in lower case with "
    "hyphens, such as to-best."
)
ColumnsOption = Annotated[
    str | None, typer.Option("--columns", metavar="NAME,NAME,…", help=COLUMNS_HELP, show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def refuse_options_before_command(context: typer.Context) -> None:
    """Raise an error about options before the command of a group: it has its own, and would ignore these."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            command = f"{context.info_name} {context.invoked_subcommand}"
            raise typer.BadParameter(f"write the options after the command: {command} --{name} …")


def message_options() -> list[Any]:
    """Return the options of commands that may work for long: --quiet, --verbose and --log."""
    app = typer.Typer(add_completion=False)
    app.command()(_choose_messages)
    return list(typer.main.get_command(app).params)


def _choose_quiet(is_given: bool) -> None:
    verbosity.chosen().quiet |= is_given


def _choose_verbose(is_given: bool) -> None:
    verbosity.chosen().verbose |= is_given


def _choose_log(path: Path | None) -> None:
    if path is not None:
        verbosity.open_log(path)


def _choose_messages(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", callback=_choose_quiet, expose_value=False, rich_help_panel="Messages",
            help="Print only results, warnings and errors: no other messages, and no progress.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", callback=_choose_verbose, expose_value=False, rich_help_panel="Messages",
            help="Print a line for each epoch and each trial, also where a bar shows the progress.",
        ),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="FILE", callback=_choose_log, expose_value=False, rich_help_panel="Messages",
            show_default=False,
            help="Append all messages and a line for each epoch to this file, with the time, also under --quiet.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Declare the options; their callbacks have set `verbosity.chosen`."""
