"""`cfbench experiment list`: the experiments that cfbench ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.cli.options import JsonOption

if TYPE_CHECKING:
    from cfbench.experiments.definition import Experiment


def list_experiments(json: JsonOption = False) -> None:
    """List the experiments, with the number of their claims and arms, and the data sets they are made for.

    Example: cfbench experiment list
    """
    from cfbench.cli.view.tables import Column, print_table
    from cfbench.experiments import definition

    experiments = definition.shipped()
    if json:
        console.print_json([_row(experiment) for experiment in experiments])
        return
    print_table([
        Column("experiment", [experiment.name for experiment in experiments]),
        Column("title", [experiment.title for experiment in experiments], 1),
        Column("claims", [str(len(experiment.claims)) for experiment in experiments], 2, right=True),
        Column("arms", [str(len(experiment.arms)) for experiment in experiments], 3, right=True),
        Column("data sets", [", ".join(map(_dataset, experiment.scales)) for experiment in experiments], 4),
    ])  # fmt: skip


def _row(experiment: Experiment) -> dict[str, object]:
    return {
        "experiment": experiment.name, "title": experiment.title, "datasets": list(experiment.scales),
        "claims": [claim.text for claim in experiment.claims], "arms": [arm.label for arm in experiment.arms],
    }  # fmt: skip


def _dataset(name: str) -> str:
    from cfbench.experiments.definition import ANY

    return "any" if name == ANY else name
