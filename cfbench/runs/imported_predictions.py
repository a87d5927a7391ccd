"""Predictions that were made elsewhere become a run: scored on the same ratings, stored and ranked like the others."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfbench import advice
from cfbench.data.prediction_file import PredictedRatings, read_predictions
from cfbench.data.readers.table import FRAME, LayoutOptions
from cfbench.errors import SplitError, UsageError
from cfbench.metrics import mae, rmse
from cfbench.runs import machine, registry
from cfbench.runs.arrays import RunArrays, file_sha256
from cfbench.runs.doubts import PartErrors, doubt_score
from cfbench.runs.record import ImportedFacts, ImportedFile, Outcome, PluginFacts, Record, Request, new_run_id
from cfbench.runs.setup import dataset_facts, split_facts

if TYPE_CHECKING:
    import polars as pl

    from cfbench.data.progress import ProgressListener
    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings, Scores
    from cfbench.runs.arrays import Part
    from cfbench.runs.results import Results


@dataclass(frozen=True)
class PredictionFiles:
    """The files or frames of predictions, and what the leaderboard calls the model that made them."""

    name: str
    test: Path | pl.DataFrame
    valid: Path | pl.DataFrame | None = None
    seed: int = 0
    """The seed of the model; runs with other seeds and the same name are one row."""
    layout: LayoutOptions = field(default_factory=LayoutOptions)


def import_predictions(
    files: PredictionFiles, dataset: Dataset, split: Split, results: Results, listener: ProgressListener
) -> tuple[Record, Path]:
    """Read, check and score predictions, and store them as a finished run; returns its record and its folder.

    Raises what `read_predictions` raises, `UsageError` for a name that a plugin has, `SplitError` for predictions of a
    validation part that the split does not have, `WriteError`.
    """
    _check_name(files.name)
    if files.valid is not None and not split.report["valid"]:
        raise SplitError(f"split {split.name} of {dataset.card.name} has no validation part; leave out --valid")
    test = split.test(dataset.ratings)
    scores = _read(files.test, files, dataset, _wanted("test", split, test, dataset), listener)
    valid_scores = valid_errors = None
    if files.valid is not None:
        valid = split.valid(dataset.ratings)
        valid_scores = _read(files.valid, files, dataset, _wanted("valid", split, valid, dataset), listener)
        valid_errors = PartErrors.of(valid_scores, valid)
    outcome = Outcome(
        status="finished", rmse=rmse(scores, test.ratings), mae=mae(scores, test.ratings),
        valid_rmse=valid_errors and valid_errors.rmse,
        doubts=tuple(doubt_score(PartErrors.of(scores, test), valid_errors, dataset.ratings.scale)),
    )  # fmt: skip
    request = _make_request(files, dataset, split)
    record = Record(request=request, outcome=outcome, machine=machine.describe_machine())
    return results.add(record, RunArrays(valid=valid_scores, test=scores))


def _check_name(name: str) -> None:
    """Raise `UsageError` for a name that is no part of a path, or that a plugin has."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise UsageError(
            f"--plugin-name {name!r} is not valid; expected lower-case letters, digits, '.', '_' or '-', and a letter "
            "or digit first, as in their-svd"
        )
    if name in registry.names():
        raise UsageError(f"there is a plugin {name!r}, whose runs it could be taken for; choose another --plugin-name")


def _wanted(part: Part, split: Split, ratings: Ratings, dataset: Dataset) -> PredictedRatings:
    """What a file of predictions of this part has to hold."""
    words = ("export", "split", "--part", part, "--out", f"{part}.csv")
    export = advice.command(*words, dataset=dataset.card.name, split=split.name)
    title = f"{'test' if part == 'test' else 'validation'} part of {split.name}"
    return PredictedRatings(title, ratings, dataset.catalogue, export)


def _read(
    path: Path | pl.DataFrame,
    files: PredictionFiles,
    dataset: Dataset,
    wanted: PredictedRatings,
    listener: ProgressListener,
) -> Scores:
    """(n,) the predictions of a part, clipped to the scale as those of plugins are."""
    predictions = read_predictions(path, files.layout, wanted, listener)
    scale = dataset.ratings.scale
    outside = int(np.count_nonzero((predictions < scale.low) | (predictions > scale.high)))
    if outside:
        before = rmse(predictions.astype(np.float32), wanted.ratings.ratings)
        listener.message(
            f"{_name(path)}: {outside:,} predictions are outside the scale {scale} and are clipped to it; without that "
            f"the RMSE is {before:.4f}"
        )
    return scale.clip(predictions)


def _make_request(files: PredictionFiles, dataset: Dataset, split: Split) -> Request:
    valid = None if files.valid is None else _file_facts(files.valid)
    return Request(
        run=new_run_id(files.name), started=datetime.now(UTC),
        plugin=PluginFacts(name=files.name, title="predictions made elsewhere", package=""),
        dataset=dataset_facts(dataset), split=split_facts(split), preset=None, config={}, origins={}, seed=files.seed,
        device="", imported=ImportedFacts(test=_file_facts(files.test), valid=valid),
    )  # fmt: skip


def _file_facts(path: Path | pl.DataFrame) -> ImportedFile:
    if isinstance(path, Path):
        return ImportedFile(name=path.name, sha256=file_sha256(path))
    return ImportedFile(name=FRAME, sha256=hashlib.sha256(path.write_csv().encode()).hexdigest())


def _name(path: Path | pl.DataFrame) -> str:
    return str(path) if isinstance(path, Path) else "the frame"
