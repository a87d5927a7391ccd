"""The plan of a study: what it searches, on which data, and from which config."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cfbench.errors import SplitError
from cfbench.runs import registry
from cfbench.tuning.space import Dimension, build_space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.runs.setup import Setup


class StudyPlan(BaseModel):
    """What a study searches. An existing study resumes only under an equal plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plugin: str
    package: str
    """The distribution and version that the plugin comes from."""
    dataset: str
    split: str
    fingerprint: str
    """The fingerprint of the split."""
    seed: int
    start: dict[str, Any]
    """The config of the first trial."""
    fixed: tuple[str, ...]
    """The hyper-parameters that a flag sets; they are not searched."""
    space: dict[str, Dimension]
    """The range of each hyper-parameter that is searched."""

    def facts(self) -> dict[str, str]:
        """The plan as text, which the study's database keeps to compare plans."""
        facts = {
            "plugin": self.plugin, "package": self.package, "data set": self.dataset, "split": self.split,
            "split fingerprint": self.fingerprint[:12], "seed": str(self.seed),
        }  # fmt: skip
        facts |= {f"range of {name}": str(dimension) for name, dimension in self.space.items()}
        facts |= {f"starting {name}": str(value) for name, value in self.start.items()}
        return facts | {"fixed": ", ".join(self.fixed) or "none"}


def plan_study(setup: Setup, dataset: Dataset, split: Split, seed: int, ranges: Iterable[str]) -> StudyPlan:
    """Plan a study of a configured plugin: flags stay fixed, the search starts from the setup's config.

    Raises `SplitError` when the split has no validation part; `ConfigError` and `UnknownNameError` for wrong `ranges`.
    """
    if not split.report["valid"]:
        raise SplitError(
            f"split {split.name!r} of {dataset.card.name} has no validation part to tune on; "
            "choose another with --split"
        )
    fixed = [name for name, origin in setup.origins.items() if origin == "flag"]
    return StudyPlan(
        plugin=setup.name, package=registry.locate(setup.name).package, dataset=dataset.card.name, split=split.name,
        fingerprint=split.fingerprint, seed=seed, start=setup.config.model_dump(mode="json"),
        fixed=tuple(sorted(fixed)), space=build_space(setup.plugin, setup.config, fixed, ranges),
    )  # fmt: skip


def with_start_config(setup: Setup, start: dict[str, Any] | None) -> Setup:
    """The setup with the config that an existing study started from; flags still win.

    The presets may have changed since then: `--save-preset` itself turns the best config of a study into a preset. The
    setup stays as it is when `start` is None, or when the plugin no longer accepts it; the study then refuses the plan.
    """
    config = setup.config.model_dump()
    if start is None or start.keys() != config.keys():
        return setup
    flags = {name: value for name, value in config.items() if setup.origins[name] == "flag"}
    with suppress(ValidationError):
        return replace(setup, config=setup.plugin.config.model_validate(start | flags))
    return setup
