"""The words that the shell offers when a person presses Tab."""

from __future__ import annotations

from pathlib import Path

import typer


def datasets() -> list[str]:
    """Return the names of all data sets."""
    from cfbench.data import card

    return card.names()


def plugins() -> list[str]:
    """Return the names of all plugins."""
    from cfbench.runs import registry

    return registry.names()


def presets(ctx: typer.Context) -> list[str]:
    """Return the presets of the plugin that the command line names."""
    from cfbench.runs import registry

    words = [*ctx.args, ctx.info_name]  # Click leaves the plugin in `args` while the last option lacks its value
    known = registry.names()
    plugin = next((word for word in words if word in known), None)
    return [] if plugin is None else list(registry.presets(plugin))


def splits(ctx: typer.Context) -> list[str]:
    """Return the splits of the data set that the command uses."""
    from cfbench.cli.dataset_choice import dataset_name
    from cfbench.data import card

    name = dataset_name(ctx.params.get("dataset"))
    return card.load(name).split_names if name in card.names() else []


def devices() -> list[str]:
    """Return the kinds of devices, without a check whether this machine has them."""
    return ["auto", "cpu", "cuda", "cuda:0", "mps"]


def runs(ctx: typer.Context) -> list[str]:
    """Return `last` and the ids of all runs, newest first."""
    records = Path(ctx.params["results"]).glob("*/*/*/*/record.json")
    return ["last", *sorted((path.parent.name for path in records), reverse=True)]


def unfinished(ctx: typer.Context) -> list[str]:
    """Return the ids of the interrupted runs."""
    from cfbench.runs.results import Results

    return Results(Path(ctx.params["results"])).unfinished()


def studies(ctx: typer.Context) -> list[str]:
    """Return the names of the studies in the results folder."""
    return sorted(file.stem for file in Path(ctx.params["results"]).glob(".studies/*.db"))


def board_columns(incomplete: str) -> list[str]:
    """Return the columns of a leaderboard after those on the command line, which end with a comma."""
    from cfbench.cli.view.tables import column_name
    from cfbench.leaderboard.columns import COLUMNS

    given = incomplete.rpartition(",")[0]
    names = [column_name(column.heading) or "place" for column in COLUMNS if column.heading is not None]
    return [f"{given},{name}" if given else name for name in names]


def slices() -> list[str]:
    """Return what divides the test ratings into slices."""
    from typing import get_args

    from cfbench.leaderboard import SliceBy

    return list(get_args(SliceBy))
