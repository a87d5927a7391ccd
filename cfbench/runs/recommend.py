"""Recommendations: the items with the highest predictions for a user, by the model of a stored run.

The user is one of the data set, or a new one whose ratings come from a file and whom the model folds in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import FoldIn
from cfbench.data.parts import TRAIN, VALID
from cfbench.errors import PredictionError, RowError, UnknownNameError, UsageError
from cfbench.ratings import Pairs, blocks
from cfbench.runs import registry
from cfbench.runs.fitting import predict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.contract import Predictor
    from cfbench.data.store import Dataset
    from cfbench.ratings import Codes, Scores

NEW_USER = -1
"""The code of a user who is not in the data set."""
_MAX_REPORTED = 10  # bad lines of a file reported one by one


@dataclass(frozen=True, eq=False)
class NewUser:
    """A model's predictor for one new user, who gave `items` (m,) these `ratings` (m,)."""

    plugin: str
    model: Any
    items: Codes
    ratings: Scores

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions of the pairs' items for this user; raises `UsageError` if the model cannot fold in."""
        if not isinstance(self.model, FoldIn):
            raise UsageError(
                f"{self.plugin}, as this run configured it, cannot predict for a new user; {_fold_in_advice()}"
            )
        try:
            return self.model.fold_in(self.items, self.ratings, pairs.items)
        except PredictionError as fault:  # this configuration of the model cannot fold in
            raise UsageError(f"{self.plugin}: {fault}; {_fold_in_advice()}") from fault


def _fold_in_advice() -> str:
    return f"these plugins can by default: {', '.join(registry.fold_in_plugins())}"


def recommend(
    plugin: str, model: Predictor, user: int, rated: NDArray[np.bool_], n: int, *, block: int = 100_000
) -> tuple[Codes, Scores]:
    """Return the n items with the highest predictions for a user, or all if there are fewer, without those `rated`.

    `rated` (n_items,); `block` items are predicted at once. Returns item codes and predictions, best first; of equal
    predictions the lower code comes first. Raises what `predict` raises.
    """
    scores = np.empty(len(rated), np.float32)
    for rows in blocks(len(rated), block):
        items = np.arange(rows.start, rows.stop, dtype=np.int32)
        scores[rows] = predict(plugin, model, Pairs(np.full(len(items), user, np.int32), items))
    candidates = np.flatnonzero(~rated).astype(np.int32)
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:n]]
    return best, scores[best]


def rated_in_training(dataset: Dataset, split: str, user: int, *, refit: bool = False) -> NDArray[np.bool_]:
    """(n_items,) True for the items that the user rated in training; with `refit`, in the validation part too."""
    ratings = dataset.ratings
    rows = np.flatnonzero(ratings.users == user)
    rows = rows[np.isin(dataset.split(split).parts[rows], (TRAIN, VALID) if refit else TRAIN)]
    rated = np.zeros(ratings.n_items, np.bool_)
    rated[ratings.items[rows]] = True
    return rated


def read_ratings(file: Path, dataset: Dataset) -> tuple[Codes, Scores]:
    """Read (m,) items and (m,) ratings from `item,rating` lines; a heading line is optional.

    Items are ids of the data set; a tab may take the place of the comma. Raises `RowError` with a line for each bad
    line.
    """
    ratings: dict[int, float] = {}
    lines: dict[int, int] = {}
    faults = []
    for number, text in read_lines(file, "item,rating"):
        try:
            item, rating = _parse_rating(text, dataset)
        except (RowError, UnknownNameError) as fault:
            faults.append(f"{file}, line {number}: {fault}")
            continue
        if item in ratings:
            faults.append(f"{file}, line {number}: line {lines[item]} already rates the item of {text!r}")
        else:
            ratings[item], lines[item] = rating, number
    if len(faults) > _MAX_REPORTED:
        faults[_MAX_REPORTED:] = [f"{file}: {len(faults) - _MAX_REPORTED:,} more bad lines"]
    if faults or not ratings:
        raise RowError("\n".join(faults) or f"{file} has no ratings; expected lines such as 242,4 (ITEM,RATING)")
    return np.array(list(ratings), np.int32), np.array(list(ratings.values()), np.float32)


def read_lines(file: Path, *headings: str) -> Iterator[tuple[int, str]]:
    """Yield the number (from 1) and the text of each line that is neither blank nor a heading; raises `UsageError`.

    `headings` are written with commas; the file may have tabs. A byte order mark is skipped.
    """
    try:
        texts = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"cannot read {file}: {fault}") from fault
    for number, text in enumerate(map(str.strip, texts), 1):
        is_heading = number == 1 and text.replace("\t", ",") in headings
        if text and not is_heading:
            yield number, text


def _parse_rating(text: str, dataset: Dataset) -> tuple[int, float]:
    """Return the item's code and the rating of a line; raises `RowError`, `UnknownNameError`."""
    item, separator, value = text.rpartition("\t" if "\t" in text else ",")
    if not (separator and item.strip() and value.strip()):
        raise RowError(f"expected ITEM,RATING, such as 242,4, got {text!r}")
    code = int(dataset.catalogue.item_codes([item.strip()])[0])
    try:
        rating = float(value)
    except ValueError:
        rating = math.nan
    if dataset.ratings.scale.invalid(np.array([rating])).any():
        raise RowError(f"expected a rating on the scale {dataset.ratings.scale}, got {value.strip()!r}")
    return code, rating
