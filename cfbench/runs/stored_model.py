"""The model of a stored run, to predict, recommend, embed or export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.errors import RecordError
from cfbench.ratings import Pairs
from cfbench.runs.arrays import STATE
from cfbench.runs.costs import members_of
from cfbench.runs.fitting import predict
from cfbench.runs.job import reopen
from cfbench.runs.recommend import NewUser, read_ratings
from cfbench.runs.rerun import command_of
from cfbench.runs.results import Results

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.contract import Predictor
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings, Scores
    from cfbench.runs.record import Record


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A fitted model with its data set and the name of the split that it was trained on."""

    run: str
    """The full id of the run."""
    plugin: str
    model: Predictor
    """The model of the run, or a `NewUser` that asks this model about a user whose ratings a file holds."""
    dataset: Dataset
    split: str
    refit: bool
    """Whether the model has learned the validation ratings of the split too."""

    @property
    def train(self) -> Ratings:
        """The ratings that the model has learned."""
        split, ratings = self.dataset.split(self.split), self.dataset.ratings
        return split.train_and_valid(ratings) if self.refit else split.train(ratings)

    def predict(self, users: list[str], items: list[str]) -> Scores:
        """(n,) predictions of n pairs, clipped to the scale, given ids of the source; an item may be a title.

        Raises `UnknownNameError` for an id that the data set does not have, and what the plugin raises.
        """
        catalogue = self.dataset.catalogue
        item_codes = catalogue.item_codes(items)
        pairs = Pairs(catalogue.user_codes(users), item_codes)
        return self.dataset.ratings.scale.clip(predict(self.plugin, self.model, pairs))


def load_model(run: str, results: Path, device: str, ratings: Path | None) -> StoredModel:
    """Load the model of a run. With a file of `ratings`, it predicts for the new user who gave them.

    Raises `UnknownNameError`, `RecordError`, `PluginError`, `DeviceError`, and `RowError` for a bad line in `ratings`.
    """
    stored_runs = Results(results)
    record, folder = stored_runs.find(run)
    _require_models(record, folder, stored_runs)
    plugin, split, refit = record.request.plugin.name, record.request.split.name, record.request.refit
    model, dataset = reopen(record, folder, stored_runs, device)
    if ratings is None:
        return StoredModel(record.run, plugin, model, dataset, split, refit)
    items, values = read_ratings(ratings, dataset)
    return StoredModel(record.run, plugin, NewUser(plugin, model, items, values), dataset, split, refit)


def _require_models(record: Record, folder: Path, results: Results) -> None:
    """Raise `RecordError` if a run, or one that it blends, has no model: published results leave the models out."""
    run, status = record.run, record.outcome.status
    if status == "stopped":
        resume = advice.command("run", "--resume", run, results=results.root)
        raise RecordError(f"run {run} is stopped and has no model yet; resume it with: {resume}")
    if record.request.imported is None and STATE not in record.files:
        raise RecordError(f"run {run} has no model, because it {status}; choose a run with a score")
    for member in members_of(record.request):
        _require_file(*results.find(member), results, f", which run {run} blends,")
    _require_file(record, folder, results)


def _require_file(record: Record, folder: Path, results: Results, role: str = "") -> None:
    if record.request.imported is not None or (folder / STATE).exists():
        return
    then = "blend the new run in its place" if role else "use `last`"
    raise RecordError(
        f"the model of run {record.run}{role} is not stored here: {folder} has its record and its predictions only; "
        f"make the model again, and then {then}: {command_of(record.request, results.root)}"
    )
