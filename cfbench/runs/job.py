"""A run's request with everything that carrying it out needs: plugin, config, data, and the context of its model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from cfbench import advice
from cfbench.contract import Config, Context, Model, Plugin, Predictor
from cfbench.data import card, store
from cfbench.errors import RecordError
from cfbench.runs import members, registry
from cfbench.runs.arrays import read_state
from cfbench.runs.device import choose_device
from cfbench.runs.plugin_calls import plugin_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings
    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results


@dataclass(frozen=True, eq=False)
class Job:
    """A request with everything it needs, resolved once."""

    request: Request
    """Its config names members of an ensemble by their full ids."""
    plugin: Plugin[Any]
    config: Config
    dataset: Dataset
    results: Results
    second_fit: bool = False
    """Whether validation has chosen: the model is fitted to the training and the validation part together."""
    epochs: int | None = None
    """The number of epochs that validation has chosen, for a second fit of a model with epochs."""

    @cached_property
    def split(self) -> Split:
        """The split of the request's name, read once."""
        return self.dataset.split(self.request.split.name)

    def require_same_split(self) -> None:
        """Raise `RecordError` if the split is no longer the one that was requested."""
        request, fingerprint = self.request, self.split.fingerprint
        if fingerprint != request.split.fingerprint:
            raise RecordError(
                f"run {request.run} used split {request.split.name} with fingerprint {request.split.fingerprint[:12]}, "
                f"but its fingerprint is now {fingerprint[:12]}: the data or the split's definition have changed; run "
                f"the model again: `{_run_command(request, self.results)}`"
            )


def resolve_request(request: Request, dataset: Dataset, results: Results) -> Job:
    """Load the plugin and resolve the runs that the config names; raises `RecordError`, `UsageError`, `PluginError`."""
    plugin = registry.load(request.plugin.name)
    config: Config = plugin.config.model_validate(request.config)
    chosen: list[str] = []

    def choose_members(names: tuple[str, ...]) -> tuple[str, ...]:
        chosen[:] = members.choose(request, results, names)
        return tuple(chosen)

    config = config.with_members(choose_members)
    uses_times = request.plugin.uses_times or members.know_dates(results, chosen)
    resolved = {
        "config": config.model_dump(mode="json"), "members": tuple(chosen),
        "plugin": request.plugin.model_copy(update={"uses_times": uses_times}),
    }  # fmt: skip
    request = request.model_copy(update=resolved)
    return Job(request, plugin, config, dataset, results)


def open_job(request: Request, results: Results) -> Job:
    """Return the job of a stored run, whose config is complete; raises `RecordError`, `PluginError`, `DataError`."""
    if request.imported is not None:
        raise RecordError(
            f"run {request.run} holds predictions that were made elsewhere, and no model; choose a run of a plugin"
        )
    plugin = registry.load(request.plugin.name)
    dataset = store.open_dataset(card.load(request.dataset.name))
    return Job(request, plugin, _stored_config(request, plugin, results), dataset, results)


def _stored_config(request: Request, plugin: Plugin[Any], results: Results) -> Config:
    """Return the config of a stored run; raises `RecordError` if the plugin has changed and no longer takes it."""
    try:
        config: Config = plugin.config.model_validate(request.config)
    except ValidationError as fault:
        name, errors = request.plugin.name, fault.errors()
        reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in errors)
        raise RecordError(
            f"run {request.run} was made by {name} of {request.plugin.package}, and the installed {name} no longer "
            f"takes its config ({reasons}); install that version, or run the model again: "
            f"`{_run_command(request, results)}`"
        ) from fault
    return config


def _run_command(request: Request, results: Results) -> str:
    """The command that runs the plugin of a request again, on the same split."""
    words = ("run", request.plugin.name)
    return advice.command(*words, dataset=request.dataset.name, split=request.split.name, results=results.root)


def training_parts(
    plugin: Plugin[Any], dataset: Dataset, split: Split, *, second_fit: bool = False
) -> tuple[Ratings, Ratings]:
    """Return the training and the validation part as the plugin's model sees them: the test part stays out.

    In a second fit both parts together are for training, and no rating is left for validation.
    """
    ratings = model_view(plugin, dataset)
    if second_fit:
        return split.train_and_valid(ratings), ratings.take(np.arange(0))
    return split.train(ratings), split.valid(ratings)


def model_view(plugin: Plugin[Any], dataset: Dataset) -> Ratings:
    """Return the ratings with the columns a plugin's model may see: times only if the plugin declares `uses_times`."""
    return dataset.ratings if plugin.uses_times else dataset.ratings.without_times()


def make_context(job: Job) -> Context:
    """Return the context of the model; the caller adds where to report."""
    context = Context(job.request.seed, job.request.device, epochs=job.epochs, member=_member_opener(job))
    add_titles(context, job.plugin, job.dataset)
    return context


def add_titles(context: Context, plugin: Plugin[Any], dataset: Dataset) -> None:
    """Put the item titles and years into a context if the plugin declares `uses_titles`."""
    if plugin.uses_titles:
        context.titles, context.years = dataset.catalogue.titles, dataset.catalogue.years


def _member_opener(job: Job) -> Callable[[str], Predictor]:
    parts = members.HeldOutParts(job.split, job.dataset.ratings)

    def reopen_member(record: Record, folder: Path) -> Predictor:
        return reopen(record, folder, job.results, "auto")[0]

    return partial(members.open_member, job.request, job.results, parts, reopen_member)


def reopen(record: Record, folder: Path, results: Results, device: str) -> tuple[Model, Dataset]:
    """Return the fitted model of a finished run, and its data set; raises `RecordError` if the data have changed."""
    job = open_job(record.request, results)
    chosen_device = choose_device(record.request.plugin.name, job.plugin, job.config, device).name
    job.require_same_split()
    with plugin_call(job.request.plugin.name, "build"):
        model: Model = job.plugin.build(job.config)
    context = make_context(job)
    context.device = chosen_device
    train, _ = training_parts(job.plugin, job.dataset, job.split, second_fit=record.request.refit)
    state = read_state(folder)
    with plugin_call(job.request.plugin.name, "restore"):
        model.restore(state, train, context)
    return model, job.dataset
