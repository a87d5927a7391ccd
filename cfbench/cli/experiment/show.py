"""`cfbench experiment show`: what an experiment claims, compares and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import JsonOption
from cfbench.report import numbers

if TYPE_CHECKING:
    from cfbench.experiments.definition import Arm, Experiment


def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="An experiment, or your own file that ends in .toml.", show_default=False,
                       autocompletion=completion.experiments),
    ],
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Show an experiment: its claims, its arms with the paper's values, and its grid for each data set.

    Example: cfbench experiment show depth
    """
    from cfbench.experiments import definition

    experiment = definition.load(name)
    if json:
        console.print_json(experiment.model_dump(mode="json"))
        return
    console.result(f"{experiment.name}: {experiment.title}\n{experiment.setup}\n")
    for claim in experiment.claims:
        source = claim.where or ("a claim of this project" if claim.origin == "ours" else "")
        console.result(f"- {claim.text} ({claim.kind}{'; ' if source else ''}{source})")
    _print_arms(experiment)
    _print_scales(experiment)


def _print_arms(experiment: Experiment) -> None:
    from cfbench.cli.view.tables import Column, print_table

    arms = experiment.arms
    print_table([
        Column("arm", [arm.label for arm in arms]),
        Column("plugin", [arm.plugin for arm in arms], 2),
        Column("hyper-parameters", [_settings(arm) for arm in arms], 1),
        Column("paper", [_published(arm) for arm in arms], 3),
    ])  # fmt: skip


def _settings(arm: Arm) -> str:
    parts = [f"preset {arm.preset}" if arm.preset else "", numbers.settings(arm.overrides)]
    parts += [f"{name}×{factor}" for name, factor in arm.multiply.items()]
    return " ".join(filter(None, parts))


def _published(arm: Arm) -> str:
    values = [(value.measure, "≈" * value.approximate, f"{value.value:.10g}") for value in arm.published]
    return ", ".join(f"{measure} {sign}{value}" for measure, sign, value in values)


def _print_scales(experiment: Experiment) -> None:
    for name, scale in experiment.scales.items():
        splits = ", ".join(scale.splits) if scale.splits else "its default split"
        recipe = " ".join(map(numbers.settings, scale.overrides.values()))
        details = (f": {recipe}" if recipe else "") + (f". {scale.why}" if scale.why else "")
        dataset = "any other data set" if name == "*" else name
        console.result(f"{dataset}, {splits}, {numbers.seeds(scale.seeds)}{details}")
