"""Names for the shell's completion. (Those of data sets are beside their option.)"""

from __future__ import annotations

from pathlib import Path

import typer


def plugins() -> list[str]:
    """All plugins."""
    from cfbench.runs import registry

    return registry.names()


def presets(ctx: typer.Context) -> list[str]:
    """The presets of the plugin named on the line."""
    from cfbench.runs import registry

    words = [*ctx.args, ctx.info_name]  # an option without its value leaves an argument among the unread ones
    return next(([*registry.presets(word)] for word in words if word in registry.names()), [])


def splits(ctx: typer.Context) -> list[str]:
    """The splits of the data set the command works on."""
    from cfbench.cli.options import dataset_name
    from cfbench.data import card

    name = dataset_name(ctx.params.get("dataset"))
    return card.load(name).split_names if name in card.names() else []


def devices() -> list[str]:
    """Kinds of devices; whether they are here is asked when they are used."""
    return ["auto", "cpu", "cuda", "cuda:0", "mps"]


def runs(ctx: typer.Context) -> list[str]:
    """`last`, and all runs by id, newest first."""
    ids = (path.parent.name for path in _results(ctx).glob("*/*/*/*/record.json"))
    return ["last", *sorted(ids, reverse=True)]


def unfinished(ctx: typer.Context) -> list[str]:
    """Interrupted runs by id."""
    from cfbench.runs.record import Results

    return Results(_results(ctx)).unfinished()


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params["results"])
