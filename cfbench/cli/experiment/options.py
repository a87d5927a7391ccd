"""The options that the commands of `cfbench experiment` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion

if TYPE_CHECKING:
    from cfbench.experiments.definition import Experiment

ALL = "all"
"""The word for every experiment that is made for the data set."""

NamesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME…",
        help="Experiments: names that `cfbench experiment list` shows, your own files that end in .toml, or `all`.",
        autocompletion=completion.experiments,
        show_default=False,
    ),
]


def choose_experiments(names: list[str], dataset: str | None = None) -> list[Experiment]:
    """Return the experiments with these names; `all` means all that are made for the data set.

    Raises `UnknownNameError`, `UsageError`.
    """
    from cfbench.experiments import definition

    chosen: dict[str, Experiment] = {}
    for name in names:
        for experiment in definition.shipped() if name == ALL else [definition.load(name)]:
            if name != ALL or dataset is None or experiment.is_made_for(dataset):
                chosen.setdefault(experiment.name, experiment)
    return list(chosen.values())
