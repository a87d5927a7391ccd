"""A split: its definition carried out on the ratings of a data set.

A part is one number per rating:

    0 train    1 validation    2 test    3 left out (outside the time windows, or cold and dropped)

The fingerprint of a split is a hash of the ratings and of the part of each rating. Two scores can be compared only if
their splits have the same fingerprint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data.parts import LEFT_OUT, TEST, TRAIN, VALID, PartCodes, row_blocks, seen_in_part
from cfbench.data.split_definitions import SplitDefinition, TimeWindow
from cfbench.errors import SplitError

if TYPE_CHECKING:
    from cfbench.ratings import Ratings


@dataclass(frozen=True, eq=False)
class Split:
    """The part of every rating of a data set, read-only."""

    name: str
    definition: SplitDefinition
    parts: PartCodes
    fingerprint: str
    report: dict[str, int]
    """Counts. `train`, `valid`, `test` and `left_out` are ratings; `dropped` are the ratings of left_out that were
    dropped because they are cold. `cold_ratings`, `cold_users` and `cold_items` count what is cold in the test part.
    `train_users` and `train_items` count the training part; `held_out`, `held_out_users` and `held_out_items` count
    the ratings, users and items of validation and test together."""

    @property
    def mismatches(self) -> list[str]:
        """The published counts that differ from the report: the ratings are not those of the paper."""
        return self.definition.mismatches(self.report)

    def train(self, ratings: Ratings) -> Ratings:
        """The ratings a model learns from."""
        return ratings.take(self.parts == TRAIN)

    def train_and_valid(self, ratings: Ratings) -> Ratings:
        """The ratings of both, in the order of the data set, from which a model learns once validation has chosen."""
        return ratings.take((self.parts == TRAIN) | (self.parts == VALID))

    def valid(self, ratings: Ratings) -> Ratings:
        """The ratings that select the epoch and the hyper-parameters."""
        return ratings.take(self.parts == VALID)

    def test(self, ratings: Ratings) -> Ratings:
        """The ratings that score a model, once, at the end."""
        return ratings.take(self.parts == TEST)


def make_split(name: str, definition: SplitDefinition, ratings: Ratings) -> Split:
    """Carry out a definition.

    Raises `SplitError` when it does not fit the ratings, or when the training or test part would be empty.
    """
    parts = definition.cut(ratings)
    dropped = _drop_cold(parts, ratings) if definition.cold == "drop" else 0
    if isinstance(definition, TimeWindow):
        definition.draw_validation(parts)
    return restore_split(name, definition, ratings, parts, dropped=dropped)


def restore_split(
    name: str,
    definition: SplitDefinition,
    ratings: Ratings,
    parts: PartCodes,
    *,
    dropped: int = 0,
    report: dict[str, int] | None = None,
) -> Split:
    """Make a split from known parts; `dropped` is the number of cold ratings that were left out.

    A `report` of the same parts saves the counting, and `dropped` is ignored then. Raises `SplitError` when the
    training or test part is empty.
    """
    parts = parts.view()
    parts.flags.writeable = False
    if report is None:
        report = _count(name, ratings, parts, dropped)
    digest = hashlib.sha256(f"cfbench split 1: {ratings.fingerprint}".encode())
    digest.update(parts.data)
    return Split(name, definition, parts, digest.hexdigest(), report)


def _drop_cold(parts: PartCodes, ratings: Ratings) -> int:
    """Leave out the cold held-out ratings, in place; return their number."""
    train_users = seen_in_part(ratings.users, ratings.n_users, parts, TRAIN)
    train_items = seen_in_part(ratings.items, ratings.n_items, parts, TRAIN)
    dropped = 0
    for rows in row_blocks(len(parts)):
        held_out = (parts[rows] == VALID) | (parts[rows] == TEST)
        cold = held_out & ~(train_users[ratings.users[rows]] & train_items[ratings.items[rows]])
        parts[rows][cold] = LEFT_OUT
        dropped += int(cold.sum())
    return dropped


def _count(name: str, ratings: Ratings, parts: PartCodes, dropped: int) -> dict[str, int]:
    """The report; raises `SplitError` when the training or test part is empty."""
    counts = [int(np.count_nonzero(parts == part)) for part in range(4)]
    for label, part in (("training", TRAIN), ("test", TEST)):
        if not counts[part]:
            raise SplitError(
                f"split {name!r} leaves no {label} ratings out of {len(ratings)}; choose another with --split"
            )
    return {
        "train": counts[TRAIN], "valid": counts[VALID], "test": counts[TEST], "left_out": counts[LEFT_OUT],
        "dropped": dropped,
        **_count_users_and_items(ratings, parts),
        "held_out": counts[VALID] + counts[TEST],
    }  # fmt: skip


def _count_users_and_items(ratings: Ratings, parts: PartCodes) -> dict[str, int]:
    """The report's counts of users and items, and of cold ratings."""
    users, items = (
        {part: seen_in_part(codes, count, parts, part) for part in (TRAIN, VALID, TEST)}
        for codes, count in ((ratings.users, ratings.n_users), (ratings.items, ratings.n_items))
    )
    cold = 0
    for rows in row_blocks(len(parts)):
        known = users[TRAIN][ratings.users[rows]] & items[TRAIN][ratings.items[rows]]
        cold += int(((parts[rows] == TEST) & ~known).sum())
    return {
        "cold_users": int((users[TEST] & ~users[TRAIN]).sum()),
        "cold_items": int((items[TEST] & ~items[TRAIN]).sum()),
        "cold_ratings": cold,
        "train_users": int(users[TRAIN].sum()),
        "train_items": int(items[TRAIN].sum()),
        "held_out_users": int((users[VALID] | users[TEST]).sum()),
        "held_out_items": int((items[VALID] | items[TEST]).sum()),
    }
