"""Runs: start one, and open a stored one with its scores, predictions, curve and model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cfbench.api.models import RunModel
from cfbench.api.places import open_results
from cfbench.data.exporting import Export, export_frame
from cfbench.runs.arrays import PREDICTIONS, read_curve
from cfbench.runs.predicted import read_predicted_part
from cfbench.runs.stored_model import load_model

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from cfbench.runs.arrays import Part
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results


@dataclass(frozen=True)
class RunScores:
    """The scores of a run; None where it has none, as after a divergence."""

    rmse: float | None
    """On the test part, of predictions clipped to the scale."""
    mae: float | None
    """On the test part."""
    valid_rmse: float | None
    """On the validation part, which chose the epoch."""


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A stored run; `run` returns one, and `Run.open` opens it again."""

    record: Record
    """The whole record: request, outcome, costs and machine."""
    folder: Path
    """The folder with the record and the files beside it."""
    results: Results
    """The results folder that holds the run."""

    @classmethod
    def open(cls, run: str = "last", *, results: str | Path | None = None) -> Run:
        """Open a run by its id, a part of it, or `last`; raises `UnknownNameError`, `RecordError`.

        >>> cfbench.Run.open("last").scores.rmse
        """
        stored_runs = open_results(results)
        return cls(*stored_runs.find(run), stored_runs)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.run

    @property
    def status(self) -> str:
        """`finished`, `diverged`, `failed`, or `stopped`: such a run can be resumed."""
        return self.record.outcome.status

    @property
    def config(self) -> dict[str, Any]:
        """Every hyper-parameter of the model."""
        return self.record.request.config

    @property
    def scores(self) -> RunScores:
        """The scores."""
        outcome = self.record.outcome
        return RunScores(outcome.rmse, outcome.mae, outcome.valid_rmse)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing the scores."""
        return self.record.notes

    @cached_property
    def predictions(self) -> pl.DataFrame:
        """The predictions of the test part: user, item, rating, prediction and, where known, time and title.

        Raises `RecordError` if the run has none or its data have changed, `DataError` if they are not there.
        """
        return self._predictions("test")

    @cached_property
    def valid_predictions(self) -> pl.DataFrame | None:
        """The same of the validation part; None if the run has none."""
        return self._predictions("valid") if PREDICTIONS["valid"] in self.record.files else None

    def _predictions(self, part: Part) -> pl.DataFrame:
        predicted = read_predicted_part(self.record, self.folder, part, self.results.root)
        catalogue = predicted.dataset.catalogue
        return export_frame(Export(predicted.ratings, catalogue, predictions=predicted.predictions))

    @cached_property
    def curve(self) -> pl.DataFrame:
        """The learning curve: epoch, train_rmse, valid_rmse, seconds; no rows for a model without epochs.

        Raises `RecordError`.
        """
        import polars as pl

        kinds = {"epoch": pl.Int64, "train_rmse": pl.Float64, "valid_rmse": pl.Float64, "seconds": pl.Float64}
        return pl.DataFrame(read_curve(self.folder), schema=kinds)

    @cached_property
    def model(self) -> RunModel:
        """The fitted model, restored from its file to the same bits.

        Raises `RecordError` with the command that makes it again if it is not stored, `PluginError`, `DataError`.
        """
        return RunModel(load_model(self.id, self.results.root, "auto", None))

    def __repr__(self) -> str:
        rmse = self.scores.rmse
        return f"<Run {self.id}: {self.status}{'' if rmse is None else f', test RMSE {rmse:.4f}'}>"
