"""The predictions of a stored run beside the ratings that they predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.data import card, store
from cfbench.data.parts import TEST, VALID
from cfbench.errors import RecordError
from cfbench.runs.arrays import PREDICTIONS, read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings, Scores
    from cfbench.runs.arrays import Part
    from cfbench.runs.record import Record

PART_CODES: dict[Part, int] = {"valid": VALID, "test": TEST}


@dataclass(frozen=True, eq=False)
class PredictedPart:
    """The n ratings of a part, and the run's predictions of them."""

    dataset: Dataset
    ratings: Ratings
    predictions: Scores


def read_predicted_part(record: Record, folder: Path, part: Part, results: Path) -> PredictedPart:
    """Read the predictions of a run in `results`, with the ratings of its part of the split.

    Raises `RecordError` when the run has none or the ratings have changed, `DataError` when they are not available.
    """
    request = record.request
    if PREDICTIONS[part] not in record.files:
        show = advice.command("show", record.run, results=results)
        raise RecordError(f"run {record.run} has no predictions of the {part} part; see `{show}`")
    dataset = store.open_dataset(card.load(request.dataset.name))
    split = dataset.split(request.split.name)
    if split.fingerprint != request.split.fingerprint:
        raise RecordError(
            f"run {record.run} used split {request.split.name} with fingerprint {request.split.fingerprint[:12]}, but "
            f"its fingerprint is now {split.fingerprint[:12]}: the data or the split's definition have changed"
        )
    ratings = dataset.ratings.take(split.parts == PART_CODES[part])
    return PredictedPart(dataset, ratings, read_predictions(folder, part))
