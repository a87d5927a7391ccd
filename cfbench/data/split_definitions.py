"""The kinds of splits: which ratings are for training, validation and testing.

A definition is a small set of numbers in a card. Its `cut` is a pure function of the definition and the ratings: the
same on every machine and with every version of NumPy.

A held-out rating (validation or test) is cold if its user or item has no training rating. `cold = "keep"` leaves such
ratings in, and a model predicts them with what it knows. `cold = "drop"` leaves them out of the held-out parts, as
Kuchaiev & Ginsburg do; `make_split` does that after `cut`.
"""

from __future__ import annotations

from datetime import date  # noqa: TC003 (pydantic reads the annotation at run time)
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cfbench.data.parts import LEFT_OUT, TEST, TRAIN, VALID, PartCodes, move_random, random_keys, row_blocks
from cfbench.errors import SplitError
from cfbench.ratings import activity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Ratings, Times

Fraction = Annotated[float, Field(ge=0, lt=1)]
ReportCount: TypeAlias = Literal[
    "train", "valid", "test", "left_out", "dropped", "cold_ratings", "cold_users", "cold_items",
    "train_users", "train_items", "held_out", "held_out_users", "held_out_items",
]  # fmt: skip
"""The names of the counts in a split's report."""


class _Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    # The default is 1 because seed 0 is unusually easy: on its 90/10 split of ml-100k the bias model has an RMSE of
    # .924, against .940 on average over twelve seeds, and every model would look better than published means. Seed 1
    # is typical (.941).
    seed: int = Field(1, ge=0, description="each seed gives another split of this kind")
    cold: Literal["keep", "drop"] = "keep"
    protocol: str = Field("", description="its name in papers; published scores are matched by this")
    expected: dict[ReportCount, int] = Field({}, description="published counts, by their names in the report")

    def mismatches(self, report: dict[str, int]) -> list[str]:
        """Describe the published counts that differ from the report: the ratings are not those of the paper."""
        return [
            f"{name.replace('_', ' ')}: expected {count:,}, got {report[name]:,}"
            for name, count in self.expected.items()
            if report[name] != count
        ]


class RandomHoldout(_Definition):
    """A random fraction `test` of all ratings is the test part, a fraction `valid` of the rest the validation part."""

    kind: Literal["random"] = "random"
    test: Fraction = 0.1
    valid: Fraction = 0.05

    def cut(self, ratings: Ratings) -> PartCodes:
        """Assign exactly round(test·n) test ratings and round(valid·rest) validation ratings."""
        parts = np.zeros(len(ratings), np.uint8)
        move_random(parts, TRAIN, TEST, self.test, seed=self.seed, purpose="test")
        return _with_validation(parts, self.valid, self.seed)


class KFold(_Definition):
    """Fold `fold` of `folds`, from 1, is the test part, a fraction `valid` of the rest the validation part.

    The sizes of the folds differ by one at most. As in published cross-validation there is no validation part by
    default: all other folds are for training.
    """

    kind: Literal["kfold"] = "kfold"
    folds: int = Field(5, ge=2)
    fold: int = Field(1, ge=1)
    valid: Fraction = 0.0

    @model_validator(mode="after")
    def _check(self) -> KFold:
        if self.fold > self.folds:
            raise ValueError(f"expected a fold from 1 to {self.folds}, got {self.fold}")
        return self

    def cut(self, ratings: Ratings) -> PartCodes:
        """Sort the ratings by random keys and take one of `folds` equal ranges as the test part.

        Each rating is in the test part of exactly one fold of a seed.
        """
        n = len(ratings)
        first, end = (self.fold - 1) * n // self.folds, self.fold * n // self.folds
        parts = np.zeros(n, np.uint8)
        if first < end:
            keys = random_keys(self.seed, "folds").random_raw(n)
            keys.partition([max(first - 1, 0), end - 1])
            largest, largest_before = keys[end - 1], keys[first - 1] if first else None
            del keys
            stream = random_keys(self.seed, "folds")  # the same keys again, block by block
            for rows in row_blocks(n):
                block_keys = stream.random_raw(rows.stop - rows.start)
                in_fold = block_keys <= largest
                if largest_before is not None:
                    in_fold &= block_keys > largest_before
                parts[rows][in_fold] = TEST
        return _with_validation(parts, self.valid, self.seed)


class Official(_Definition):
    """The rows `first` to `last` of the source file are the test part, as its authors define it.

    Rows count from 0, and row `last` is not included. A fraction `valid` of the rest is the validation part.
    """

    kind: Literal["official"] = "official"
    first: int = Field(ge=0)
    last: int = Field(gt=0)
    valid: Fraction = 0.05

    @model_validator(mode="after")
    def _check(self) -> Official:
        if self.first >= self.last:
            raise ValueError(f"expected first < last, got {self.first} and {self.last}")
        return self

    def cut(self, ratings: Ratings) -> PartCodes:
        """Assign the rows to the test part; raises `SplitError` when the data set has fewer rows."""
        if self.last > len(ratings):
            raise SplitError(
                f"the split needs the test rows {self.first} to {self.last}, but the data set has {len(ratings)} "
                "ratings; choose another with --split"
            )
        parts = np.zeros(len(ratings), np.uint8)
        parts[self.first : self.last] = TEST
        return _with_validation(parts, self.valid, self.seed)


class HeldOut(_Definition):
    """The ratings that the data set's authors hold out are the test part; a fraction `valid` of the rest validates."""

    kind: Literal["held-out"] = "held-out"
    valid: Fraction = 0.05

    def cut(self, ratings: Ratings) -> PartCodes:
        """Assign the held-out ratings to the test part; raises `SplitError` when there are none."""
        if ratings.held_out is None:
            raise SplitError("the source has no held-out ratings for testing; choose another with --split")
        parts = ratings.held_out.view(np.uint8) * np.uint8(TEST)  # False is TRAIN
        return _with_validation(parts, self.valid, self.seed)


class OwnParts(_Definition):
    """The parts of a person's own files: the first `train` rows of the data set, the next `valid` rows, then `test`."""

    kind: Literal["own"] = "own"
    train: int = Field(ge=1)
    valid: int = Field(ge=0)
    test: int = Field(ge=1)

    def cut(self, ratings: Ratings) -> PartCodes:
        """Assign the rows in their order; raises `SplitError` when the data set has another number of ratings."""
        counts = [self.train, self.valid, self.test]
        if sum(counts) != len(ratings):
            raise SplitError(
                f"the split has {sum(counts):,} ratings, but the data set has {len(ratings):,}; import the files again"
            )
        return np.repeat(np.array([TRAIN, VALID, TEST], np.uint8), counts)


class TimeWindow(_Definition):
    """Train on one span of days and test on a later one; a fraction `valid` of the later one is the validation part.

    Both dates of a span are included, and days begin at midnight UTC.
    """

    kind: Literal["time"] = "time"
    train_from: date
    train_to: date
    test_from: date
    test_to: date
    valid: Fraction = 0.5
    cold: Literal["keep", "drop"] = "drop"

    @model_validator(mode="after")
    def _check(self) -> TimeWindow:
        if not self.train_from <= self.train_to < self.test_from <= self.test_to:
            spans = f"{self.train_from} to {self.train_to} and {self.test_from} to {self.test_to}"
            raise ValueError(f"expected a span of training days and then one of test days, got {spans}")
        return self

    def cut(self, ratings: Ratings) -> PartCodes:
        """Assign the whole later span to the test part; raises `SplitError` when there are no times.

        `draw_validation` comes after the cold ratings are dropped, as in the converter of Kuchaiev & Ginsburg.
        """
        times = _require_times(ratings, "a time split")
        parts = np.full(len(ratings), LEFT_OUT, np.uint8)
        for rows in row_blocks(len(ratings)):
            parts[rows][_is_between(times[rows], self.train_from, self.train_to)] = TRAIN
            parts[rows][_is_between(times[rows], self.test_from, self.test_to)] = TEST
        return parts

    def draw_validation(self, parts: PartCodes) -> None:
        """Move a fraction `valid` of the test ratings to the validation part."""
        move_random(parts, TEST, VALID, self.valid, seed=self.seed, purpose="halves")


class LeaveLastOut(_Definition):
    """The last `test` ratings of each user are the test part, the `valid` ratings before them the validation part.

    Ratings of the same time keep the order of the source. Users who would have no training rating left are not cut.
    """

    kind: Literal["last"] = "last"
    test: int = Field(1, ge=1)
    valid: int = Field(1, ge=0)

    def cut(self, ratings: Ratings) -> PartCodes:
        """Move each user's last training rating away, once per held-out rating.

        Raises `SplitError` when there are no times.
        """
        times = _require_times(ratings, "leave-last-out")
        parts = np.zeros(len(ratings), np.uint8)
        has_enough = activity(ratings.users, ratings.n_users) > self.test + self.valid
        if has_enough.any():
            for step in range(self.test + self.valid):
                last_rows = _last_train_rows(ratings, times, parts)
                parts[last_rows[has_enough]] = TEST if step < self.test else VALID
        return parts


class LastFraction(_Definition):
    """The last fraction `test` of each user's ratings is the test part, the fraction `valid` before it validates.

    Both are fractions of all ratings of the user; of n ratings, round(test·n) and round(valid·n) are held out, and a
    half is rounded to the even number: with the defaults a user with at most 5 ratings has no test rating. Ratings of
    the same time keep the order of the source. Users who would have no training rating left are not cut.
    """

    kind: Literal["last-fraction"] = "last-fraction"
    test: Fraction = 0.1
    valid: Fraction = 0.05
    cold: Literal["keep", "drop"] = "drop"

    def cut(self, ratings: Ratings) -> PartCodes:
        """Sort each user's rows by time and assign the last ones; raises `SplitError` when there are no times."""
        times = _require_times(ratings, "a split by each user's time")
        parts = np.zeros(len(ratings), np.uint8)
        for history in _rows_of_users(ratings):
            n_test, n_valid = (round(fraction * len(history)) for fraction in (self.test, self.valid))
            n_train = len(history) - n_test - n_valid
            if n_train > 0:
                ordered = history[np.argsort(times[history], kind="stable")]
                parts[ordered[n_train:]] = VALID
                parts[ordered[n_train + n_valid :]] = TEST
        return parts


SplitDefinition: TypeAlias = Annotated[
    RandomHoldout | KFold | Official | HeldOut | OwnParts | TimeWindow | LeaveLastOut | LastFraction,
    Field(discriminator="kind"),
]

STANDARD_SPLITS: dict[str, SplitDefinition] = {
    "random90": RandomHoldout(protocol="random 90/10"),
    "random80": RandomHoldout(test=0.2, protocol="random 80/20"),
    **{f"5fold-{k}": KFold(fold=k, protocol="5-fold cross-validation") for k in range(1, 6)},
    "last1": LeaveLastOut(protocol="leave last one out"),
    "time90": LastFraction(protocol="last 10 % of each user by time"),
}
"""The splits of every data set; a card adds others."""
DEFAULT_SPLIT = "random90"
OWN_SPLIT = "own"
"""The split of a person's own files, if they said which ratings are for training and which for testing."""


def folds_name(split: str) -> str:
    """Return the name of all folds to which a split belongs: 5fold@7 for 5fold-2@7; empty if it is no fold."""
    fold, at, seed = split.partition("@")
    folds = fold.rpartition("-")[0]
    return f"{folds}{at}{seed}" if folds else ""


def _with_validation(parts: PartCodes, fraction: float, seed: int) -> PartCodes:
    """Move a fraction of the training ratings to the validation part."""
    move_random(parts, TRAIN, VALID, fraction, seed=seed, purpose="valid")
    return parts


def _require_times(ratings: Ratings, kind: str) -> Times:
    if ratings.times is None:
        raise SplitError(f"{kind} needs timestamps, and this data set has none; choose another with --split")
    return ratings.times


def _is_between(times: Times, first: date, last: date) -> NDArray[np.bool_]:
    """(n,) True from the first second of the day `first` to the last second of the day `last`."""
    seconds = times.view("datetime64[s]")
    inside: NDArray[np.bool_] = (seconds >= np.datetime64(first)) & (seconds < np.datetime64(last) + 1)
    return inside


def _rows_of_users(ratings: Ratings) -> list[NDArray[np.integer]]:
    """The rows of each user's ratings, in their order."""
    from scipy.sparse import coo_array

    n = len(ratings)
    cells = coo_array((np.ones(n, np.bool_), (ratings.users, np.arange(n))), (ratings.n_users, n))
    cells.has_canonical_format = True  # there are no duplicates to sum
    by_user = cells.tocsr()  # a counting sort, faster than sorting
    return np.split(by_user.indices, by_user.indptr[1:-1])


def _last_train_rows(ratings: Ratings, times: Times, parts: PartCodes) -> NDArray[np.int64]:
    """(n_users,) the row of each user's last rating in TRAIN; of equal times the later row; 0 without a rating."""
    latest = np.full(ratings.n_users, np.iinfo(np.int64).min)
    last_rows = np.zeros(ratings.n_users, np.int64)
    for rows in row_blocks(len(parts)):
        train_rows = np.flatnonzero(parts[rows] == TRAIN)
        users, block_times = ratings.users[rows][train_rows], times[rows][train_rows]
        np.maximum.at(latest, users, block_times)
        is_latest = block_times == latest[users]
        last_rows[users[is_latest]] = rows.start + train_rows[is_latest]  # NumPy assigns the last row of equal users
    return last_rows
