"""An experiment as a TOML file declares it: claims, arms, and a grid of runs for each data set.

name = "dropout"
place = 4                               # in the list of experiments
title = "Dropout on the code"
claims = [...]                          # see `cfbench.experiments.claims`
panels = [{ curve = "valid" }]          # of the figure; default: the test RMSE of each arm

[common.deepae]                         # hyper-parameters of all arms with this plugin
hidden = [512, 512, 1024]

[[arms]]
label = "dropout .8"
overrides = { dropout = 0.8 }           # default: none
plugin = "deepae"                       # default: deepae
preset = "paper-3m"                     # default: false, no preset
multiply = { epochs = 2 }               # default: none; factors of hyper-parameters, applied last
splits = { netflix = ["3m"] }           # default: every split of the scale
published = [{ measure = "test", value = 0.9183, source = "figure 4", approximate = true }]

[scales.ml-1m]                          # the data sets with a grid of their own; "*" stands for every other one
splits = ["time90"]                     # default: the default split of the data set
seeds = 3
overrides.deepae = { epochs = 40 }      # comes after `common` and before the overrides of the arms
why = "..."                             # why this recipe is not the paper's; empty if it is
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from cfbench.errors import UnknownNameError, UsageError
from cfbench.experiments.claims import Claim, Measure  # noqa: TC001 (pydantic reads the annotations at run time)
from cfbench.toml_file import read_toml

SHIPPED_FOLDER = Path(__file__).parent
"""The folder of the experiments that cfbench ships."""
ANY = "*"
"""The scale of every data set that has none of its own."""

Overrides = dict[str, Any]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedValue(_Closed):
    """What the paper reports of an arm. It is shown beside the measured value, and decides nothing."""

    measure: Measure
    value: float
    source: str = Field(min_length=1)
    """Where it is read from: a table or a figure."""
    approximate: bool = False
    """Whether it was read off a figure."""
    split: str | None = None
    """The split that it belongs to; None for an arm with one split."""


class Arm(_Closed):
    """One of the models that an experiment compares."""

    label: str = Field(min_length=1)
    plugin: str = "deepae"
    preset: str | Literal[False] = False
    overrides: Overrides = {}
    multiply: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Whole factors of hyper-parameters, or of each element of a list: twice the epochs, whatever the data set."""
    splits: dict[str, Names] = {}
    """For a data set, the splits on which the arm is run, if it is not run on all of them."""
    published: tuple[PublishedValue, ...] = ()


class ExperimentScale(_Closed):
    """How an experiment is carried out on one data set."""

    splits: Names | None = None
    """None means the default split of the data set."""
    seeds: int = Field(3, ge=1)
    """The number of seeds, from 0."""
    overrides: dict[str, Overrides] = {}
    """For each plugin, hyper-parameters of all its arms on this data set."""
    why: str = ""
    """Why these are not the paper's."""


class Panel(_Closed):
    """A panel of an experiment's figure: learning curves, or a measure of each arm."""

    curve: Literal["train", "valid"] | None = None
    """The RMSE of training or validation ratings, over the epochs."""
    measure: Measure | None = None
    joined: bool = False
    """Whether a line joins the arms, because they have an order."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.curve is None) == (self.measure is None) or (self.joined and self.measure is None):
            raise ValueError("expected curve, or measure with or without joined")
        return self


class Experiment(_Closed):
    """An experiment: what is claimed, what is compared, and how much of it is run on which data set."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    place: int = 0
    """Its place in the list of experiments."""
    title: str = Field(min_length=1)
    setup: str = Field(min_length=1)
    """What all arms have in common, and how they differ, in one or two sentences."""
    claims: tuple[Claim, ...]
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)] = (Panel(measure="test"),)
    """What the figure shows."""
    common: dict[str, Overrides] = {}
    """For each plugin, hyper-parameters of all its arms."""
    arms: tuple[Arm, ...]
    scales: dict[str, ExperimentScale] = Field(min_length=1)
    _file: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if not self.claims or not self.arms:
            raise ValueError("expected at least one claim and one arm")
        labels = [arm.label for arm in self.arms]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"two arms have the label {twice[0]!r}; labels must differ")
        plugins = {arm.plugin for arm in self.arms}
        for claim in self.claims:
            for label in claim.labels:
                if label not in labels:
                    raise ValueError(f"a claim names the arm {label!r}; there are: {', '.join(labels)}")
        for where in (self.common, *(scale.overrides for scale in self.scales.values())):
            for plugin in where.keys() - plugins:
                raise ValueError(f"overrides of the plugin {plugin!r}, which no arm has; arms have: {sorted(plugins)}")
        return self

    @property
    def word(self) -> str | Path:
        """What names it on the command line: its name, or the path of a user's own file."""
        return self.name if self._file is None or self._file.parent == SHIPPED_FOLDER else self._file

    def is_made_for(self, dataset: str) -> bool:
        """Whether it has a grid for a data set."""
        return dataset in self.scales or ANY in self.scales

    def scale(self, dataset: str) -> ExperimentScale:
        """How the experiment is carried out on a data set; raises `UsageError`."""
        scale = self.scales.get(dataset) or self.scales.get(ANY)
        if scale is None:
            raise UsageError(
                f"experiment {self.name} is not made for data set {dataset}; it has grids for: {', '.join(self.scales)}"
            )
        return scale


def names() -> list[str]:
    """Return the names of the experiments that cfbench ships, in the order of the paper."""
    return [experiment.name for experiment in shipped()]


def shipped() -> list[Experiment]:
    """Return the experiments that cfbench ships, in the order of the paper."""
    experiments = [read_experiment(path) for path in SHIPPED_FOLDER.glob("*.toml")]
    return sorted(experiments, key=lambda experiment: (experiment.place, experiment.name))


def load(name: str) -> Experiment:
    """Return the experiment of this name or in this file; raises `UnknownNameError`, `UsageError`.

    A name that ends with .toml is the path of a file.
    """
    if name.endswith(".toml"):
        return read_experiment(Path(name))
    path = SHIPPED_FOLDER / f"{name}.toml"
    known = [other.stem for other in SHIPPED_FOLDER.glob("*.toml")]
    if name not in known:
        raise UnknownNameError("experiment", name, known, advice="an experiment of your own is a path ending in .toml")
    return read_experiment(path)


def read_experiment(path: Path) -> Experiment:
    """Read an experiment's file; raises `UsageError` naming the file and every wrong field."""
    try:
        experiment = Experiment.model_validate(read_toml(path, UsageError))
    except ValidationError as fault:
        lines = (f"{'.'.join(map(str, e['loc'])) or 'experiment'}: {_explain(e)}" for e in fault.errors())
        raise UsageError("\n".join(f"{path}: {line}" for line in lines)) from fault
    experiment._file = path  # noqa: SLF001 (its own class)
    return experiment


def _explain(error: Any) -> str:
    """The message of a fault, and the wrong value unless that is a whole table."""
    message: str = error["msg"].removeprefix("Value error, ")
    return message if isinstance(error["input"], dict) else f"{message}, got {error['input']!r}"
