"""Names for the shell's completion: plugins and runs. (Data sets' are beside their option.)"""

from __future__ import annotations

from pathlib import Path

import typer


def plugins() -> list[str]:
    """All plugins."""
    from cfbench import registry

    return registry.names()


def runs(ctx: typer.Context) -> list[str]:
    """`last`, and all runs by id, newest first."""
    ids = (path.parent.name for path in _results(ctx).glob("*/*/*/*/record.json"))
    return ["last", *sorted(ids, reverse=True)]


def unfinished(ctx: typer.Context) -> list[str]:
    """Interrupted runs by id."""
    from cfbench.record import Results

    return Results(_results(ctx)).unfinished()


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params["results"])
