"""What is decided before a run starts: plugin, config, device, data set and split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cfbench.contract import FittedOnValid
from cfbench.errors import UsageError
from cfbench.runs import registry
from cfbench.runs.device import choose_device
from cfbench.runs.exposure import find_exposure
from cfbench.runs.record import DatasetFacts, PluginFacts, Request, SplitFacts, new_run_id

if TYPE_CHECKING:
    from cfbench.contract import Config, Plugin
    from cfbench.data.split import Split
    from cfbench.data.store import Dataset


@dataclass(frozen=True)
class Setup:
    """A plugin with its config and device, before any data are loaded."""

    name: str
    plugin: Plugin[Any]
    config: Config
    preset: str | None
    origins: dict[str, str]
    """Where each value of the config came from: default, preset, flag or tuning."""
    device: str
    refit: bool = False
    """Whether the model is fitted again, to training and validation ratings, once validation has chosen the epoch."""
    measure_energy: bool = False
    """Whether the electricity of fitting is estimated."""
    device_note: str = ""
    """Why `device` is not the best one of the machine; empty if it is."""


def configure(
    name: str,
    *,
    dataset: str,
    split: str = "",
    flags: dict[str, str | bool],
    preset: str | None,
    use_preset: bool = True,
    device: str = "auto",
    refit: bool = False,
) -> Setup:
    """Resolve what a command line says about the model; raises `UsageError`s and `DeviceError`."""
    plugin = registry.load(name)
    if preset is not None and not use_preset:
        raise UsageError(f"--preset {preset} and --no-preset contradict each other; leave out one of them")
    preset_name, values = registry.preset(name, preset, dataset, split) if use_preset else (None, {})
    config, origins = registry.make_config(plugin, values, flags)
    chosen = choose_device(name, plugin, config, device)
    config = config.for_device(chosen.name)
    return Setup(name, plugin, config, preset_name, origins, chosen.name, refit, device_note=chosen.note)


def new_request(setup: Setup, dataset: Dataset, split: Split, seed: int) -> Request:
    """Return a new run's request: everything that is decided before the run starts; raises `UsageError` for `refit`."""
    if setup.refit:
        _check_refit(setup, split)
    plugin, ratings, location = setup.plugin, dataset.ratings, registry.locate(setup.name)
    return Request(
        run=new_run_id(setup.name),
        started=datetime.now(UTC),
        plugin=PluginFacts(
            name=setup.name, title=plugin.title, package=location.package, source=location.source,
            random=plugin.random, uses_times=plugin.uses_times and ratings.times is not None,
        ),
        dataset=dataset_facts(dataset), split=split_facts(split),
        preset=setup.preset, config=setup.config.model_dump(mode="json"), origins=setup.origins, seed=seed,
        device=setup.device, refit=setup.refit, measure_energy=setup.measure_energy,
        exposure=find_exposure(setup.preset, dataset, split),
    )  # fmt: skip


def _check_refit(setup: Setup, split: Split) -> None:
    if not split.report["valid"]:
        raise UsageError(
            f"split {split.name} has no validation part, so that a model is fitted to all training ratings there "
            "anyway; leave out --refit"
        )
    if isinstance(setup.plugin.build(setup.config), FittedOnValid):
        raise UsageError(
            f"{setup.name} is fitted to the validation ratings themselves, and would have none in a second fit; leave "
            "out --refit"
        )


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """Return which ratings a run uses."""
    ratings = dataset.ratings
    return DatasetFacts(
        name=dataset.card.name, card_version=dataset.card.version, fingerprint=ratings.fingerprint,
        users=ratings.n_users, items=ratings.n_items, ratings=len(ratings),
    )  # fmt: skip


def split_facts(split: Split) -> SplitFacts:
    """Return which split a run uses."""
    return SplitFacts(
        name=split.name, protocol=split.definition.protocol, report=split.report, fingerprint=split.fingerprint,
        definition=split.definition.model_dump(mode="json", exclude={"protocol", "expected"}),
    )  # fmt: skip
