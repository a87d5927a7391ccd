"""The words that the shell offers when a person presses Tab."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer


def datasets() -> list[str]:
    """Return the names of all data sets."""
    from cfbench.data import card

    return card.names()


def datasets_or_rm() -> list[str]:
    """Return what follows `cfbench datasets`: the names of all data sets, or the command that removes one."""
    return [*datasets(), "rm"]


def plugins() -> list[str]:
    """Return the names of all plugins."""
    from cfbench.runs import registry

    return registry.names()


def experiments() -> list[str]:
    """Return the names of the experiments that cfbench ships."""
    from cfbench.experiments import definition

    return definition.names()


def presets(ctx: typer.Context) -> list[str]:
    """Return the presets of the plugin that the command line names."""
    from cfbench.runs import registry

    words = [*ctx.args, ctx.info_name]  # Click leaves the plugin in `args` while the last option lacks its value
    known = registry.names()
    plugin = next((word for word in words if word in known), None)
    return [] if plugin is None else list(registry.presets(plugin))


def splits(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the splits of the data set that the command uses, 5fold among them; after an @, the first few seeds."""
    from cfbench.cli.dataset_choice import dataset_name
    from cfbench.data import card
    from cfbench.data.split_definitions import OWN_SPLIT

    name = dataset_name(ctx.params.get("dataset"))
    if name not in card.names():
        return []
    names = card.load(name).split_names
    families = [fold.removesuffix("-1") for fold in names if fold.endswith("fold-1")]
    base, at, _ = incomplete.partition("@")
    if not at:
        return [*names, *families]
    return [f"{base}@{seed}" for seed in range(1, 10)] if base in {*names, *families} - {OWN_SPLIT} else []


def devices() -> list[str]:
    """Return the kinds of devices, without a check whether this machine has them."""
    return ["auto", "cpu", "cuda", "cuda:0", "mps"]


def trackers() -> list[str]:
    """Return the names of the trackers."""
    return ["tensorboard", "mlflow"]


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


def widths() -> list[str]:
    """Return the widths of figures that have names."""
    return ["single", "double"]


def users(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the first users of the run's data set whose ids begin like the incomplete one."""
    return _ids(ctx, "users", incomplete)


def items(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the first items of the run's data set whose ids begin like the incomplete one."""
    return _ids(ctx, "items", incomplete)


def pairs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the first users of the run's data set, or after a comma its first items, that fit the incomplete pair."""
    user, comma, item = incomplete.partition(",")
    if not comma:
        return [f"{name}," for name in _ids(ctx, "users", user)]
    return [f"{user},{name}" for name in _ids(ctx, "items", item)]


def _ids(ctx: typer.Context, kind: Literal["users", "items"], start: str) -> list[str]:
    """Return at most 50 ids with this start; none if the data set of the run is not downloaded."""
    from contextlib import suppress
    from itertools import islice

    from cfbench.data import card, store
    from cfbench.errors import CfbenchError
    from cfbench.runs.results import Results

    with suppress(CfbenchError):
        run = ctx.params.get("run") or next(iter(ctx.args), "")  # Click leaves it there while an option lacks its value
        record, _ = Results(Path(ctx.params["results"])).find(run)
        description = card.load(record.request.dataset.name)
        if store.is_ready(description):
            ids = getattr(store.open_dataset(description).catalogue, kind)["id"]
            return list(islice((name for name in map(str, ids) if name.startswith(start)), 50))
    return []
