"""RECOMMEND: the items a user is predicted to like best, by the model of a stored run.

The user is one of the data set, or a new one whose ratings come in a file and whom the model folds in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import FoldIn
from cfbench.data.parts import TRAIN
from cfbench.errors import PredictionError, RowError, UnknownNameError, UsageError
from cfbench.ratings import Pairs, blocks
from cfbench.runs import registry
from cfbench.runs.run import predict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cfbench.contract import Predictor
    from cfbench.data.store import Dataset
    from cfbench.ratings import Codes, Scores

NOBODY = -1
"""The code of a new user."""
_BLOCK = 100_000  # items asked about at once
_TOLD = 10  # bad lines of a file told at once


@dataclass(frozen=True, eq=False)
class NewUser:
    """Speaks for a model about one user it has not met: who gave `items` (m,) these `ratings` (m,)."""

    plugin: str
    model: Any
    items: Codes
    ratings: Scores

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions of the pairs' items; raises `UsageError` when the model cannot fold in."""
        if not isinstance(self.model, FoldIn):
            raise UsageError(
                f"{self.plugin}, as configured in this run, cannot speak of a user it has not met; {_who_can()}"
            )
        try:
            return self.model.fold_in(self.items, self.ratings, pairs.items)
        except PredictionError as fault:  # as it is configured, it cannot
            raise UsageError(f"{self.plugin}: {fault}; {_who_can()}") from fault


def _who_can() -> str:
    return f"by default these can: {', '.join(registry.folding())}"


def recommend(plugin: str, model: Predictor, user: int, rated: NDArray[np.bool_], n: int) -> tuple[Codes, Scores]:
    """The n items, or as many as there are, with the highest predictions for a user, but those `rated` (n_items,).

    Returns codes and predictions, best first, and among equals the lower code. Raises what `predict` does.
    """
    scores = np.empty(len(rated), np.float32)
    for rows in blocks(len(rated), _BLOCK):
        items = np.arange(rows.start, rows.stop, dtype=np.int32)
        scores[rows] = predict(plugin, model, Pairs(np.full(len(items), user, np.int32), items))
    left = np.flatnonzero(~rated).astype(np.int32)
    best = left[np.argsort(-scores[left], kind="stable")[:n]]
    return best, scores[best]


def rated_in_training(dataset: Dataset, split: str, user: int) -> NDArray[np.bool_]:
    """(n_items,) True for what the user rated in the training part of a split."""
    table = dataset.ratings
    rows = np.flatnonzero(table.users == user)
    rows = rows[dataset.split(split).parts[rows] == TRAIN]
    rated = np.zeros(table.n_items, np.bool_)
    rated[table.items[rows]] = True
    return rated


def read_ratings(file: Path, dataset: Dataset) -> tuple[Codes, Scores]:
    """(m,) items and (m,) ratings of a file of `item,rating` lines, with or without that as a heading.

    Items are the data set's ids; a tab may stand for the comma. Raises `RowError` with a line for each bad one.
    """
    given: dict[int, tuple[int, float]] = {}  # item → line, rating
    faults = []
    for number, line in lines(file, "item,rating"):
        try:
            item, rating = _rating(line, dataset)
        except (RowError, UnknownNameError) as fault:
            faults.append(f"{file}, line {number}: {fault}")
            continue
        if item in given:
            faults.append(f"{file}, line {number}: the item of {line!r} is rated on line {given[item][0]} already")
        given.setdefault(item, (number, rating))
    if len(faults) > _TOLD:
        faults[_TOLD:] = [f"{file}: {len(faults) - _TOLD:,} more bad lines"]
    if faults or not given:
        raise RowError("\n".join(faults) or f"{file} holds no ratings; expected lines such as 242,4 (ITEM,RATING)")
    return np.array(list(given), np.int32), np.array([rating for _, rating in given.values()], np.float32)


def lines(file: Path, *headings: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that say something, numbered from 1, without a heading. Raises `UsageError`.

    `headings` have commas, for which tabs may stand; a byte order mark is passed over.
    """
    try:
        every = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"cannot read {file}: {fault}") from fault
    for number, line in enumerate(every, 1):
        if line.strip() and not (number == 1 and line.strip().replace("\t", ",") in headings):
            yield number, line.strip()


def _rating(line: str, dataset: Dataset) -> tuple[int, float]:
    """The item's code and the rating on a line; raises `RowError`, `UnknownNameError`."""
    item, found, text = line.rpartition("\t" if "\t" in line else ",")
    if not (found and item.strip() and text.strip()):
        raise RowError(f"expected ITEM,RATING, such as 242,4, got {line!r}")
    code = int(dataset.catalogue.item_codes([item.strip()])[0])
    try:
        rating = float(text)
    except ValueError:
        rating = math.nan
    if dataset.ratings.scale.invalid(np.array([rating])).any():
        raise RowError(f"expected a rating on the scale {dataset.ratings.scale}, got {text.strip()!r}")
    return code, rating
