"""Ratings as columns, and the words every room uses: codes, pairs, scale, sparse rows, catalogue.

One rating is one row: a user, an item, a value and, if known, a time. Users and items are codes 0, 1, 2, … by first
appearance in the source. So two sources with the same rows in the same order give the same table and the same
fingerprint, whatever ids they use. A value of 0 is a rating; a missing rating has no row.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from cfbench.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

Codes: TypeAlias = NDArray[np.int32]
"""(n,) codes of users or items, from 0."""
Scores: TypeAlias = NDArray[np.float32]
"""(n,) ratings or predictions, on the scale of the data set."""
Times: TypeAlias = NDArray[np.int64]
"""(n,) seconds since 1970-01-01 UTC."""


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows that cover the rows 0 to n - 1."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def activity(codes: Codes, count: int) -> NDArray[np.int64]:
    """(count,) the number of ratings of each user or item."""
    counts = np.zeros(count, np.int64)
    # bincount copies its input to 8 bytes per code, which is faster in blocks that fit the processor's cache
    for rows in blocks(len(codes), 1_000_000):
        counts += np.bincount(codes[rows], minlength=count)
    return counts


class Scale(BaseModel):
    """The possible ratings: from `low` to `high` in steps of `step`; with `step` 0, any value in between."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float
    step: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Scale:
        if not self.low < self.high or self.step < 0 or self.invalid(np.array([self.high])).any():
            raise ValueError(
                f"expected low < high, step ≥ 0 and a whole number of steps from low to high, "
                f"got {self.low:g}, {self.high:g} and {self.step:g}"
            )
        return self

    def __str__(self) -> str:
        return f"{self.low:g}–{self.high:g}" + (f" by {self.step:g}" if self.step else "")

    def clip(self, scores: NDArray[np.floating]) -> Scores:
        """Clip to `low` and `high`, as float32; values are not rounded to steps, and NaN stays NaN."""
        clipped: Scores = np.clip(scores, self.low, self.high).astype(np.float32)
        return clipped

    def invalid(self, ratings: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(n,) True where a rating is outside the scale or between its steps; NaN is invalid."""
        with np.errstate(invalid="ignore"):  # inf - rint(inf) is NaN
            inside = (ratings >= self.low) & (ratings <= self.high)
            if self.step:
                steps = (ratings - self.low) / self.step
                inside &= np.abs(steps - np.rint(steps)) < 1e-4
        return ~inside


def lost_in_float32(ratings: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) True where float32, in which ratings are stored, is off by more than 1/10,000 of the span of all ratings.

    float32 cannot distinguish such ratings: 1e15 + 1 and 1e15 + 2 are the same number in float32.
    """
    with np.errstate(over="ignore"):
        stored = ratings.astype(np.float32).astype(np.float64)
        error, span = np.abs(ratings - stored), np.ptp(ratings) if len(ratings) else 0.0
    lost: NDArray[np.bool_] = ((span > 0) & (error > 1e-4 * span)) | ~np.isfinite(stored)
    return lost


@dataclass(frozen=True, eq=False)
class Ratings:
    """n ratings, read-only.

    The parts of a data set share its codes: `n_users` and `n_items` count the users and items of the whole data set.
    Shapes: `users`, `items` (n,) int32; `ratings` (n,) float32; `times` (n,) int64 seconds since 1970, or None;
    `held_out` (n,) bool, True for the ratings that the data set's authors hold out for testing, or None.
    Raises `DataError` when columns differ in length or codes are out of range.
    """

    users: Codes
    items: Codes
    ratings: Scores
    n_users: int
    n_items: int
    scale: Scale
    times: Times | None = None
    held_out: NDArray[np.bool_] | None = None
    known_fingerprint: str | None = None
    """The fingerprint, if it was computed earlier; `take` does not pass it on."""

    def __post_init__(self) -> None:
        columns = {"users": np.int32, "items": np.int32, "ratings": np.float32, "times": np.int64, "held_out": np.bool_}
        for name, dtype in columns.items():
            column = getattr(self, name)
            if column is None:
                continue
            column = np.ascontiguousarray(column, dtype=dtype).view()
            if column.shape != (len(self.users),):
                raise DataError(f"column {name!r} has shape {column.shape}, expected ({len(self.users)},)")
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        for name, codes, count in (("user", self.users, self.n_users), ("item", self.items, self.n_items)):
            if len(codes) and (codes.min() < 0 or codes.max() >= count):
                raise DataError(f"{name} codes reach from {codes.min()} to {codes.max()}, expected 0 to {count - 1}")

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Ratings:
        """Return the given rows, in the given order, with the same codes."""
        columns = {name: getattr(self, name) for name in ("users", "items", "ratings", "times", "held_out")}
        selected = {name: column[rows] for name, column in columns.items() if column is not None}
        return replace(self, known_fingerprint=None, **selected)

    @cached_property
    def seen_users(self) -> NDArray[np.bool_]:
        """(n_users,) True for each user with at least one rating here."""
        return activity(self.users, self.n_users) > 0

    @cached_property
    def seen_items(self) -> NDArray[np.bool_]:
        """(n_items,) True for each item with at least one rating here."""
        return activity(self.items, self.n_items) > 0

    def unseen(self, users: Codes, items: Codes) -> NDArray[np.bool_]:
        """(n,) True for each pair whose user or item has no rating here."""
        return ~(self.seen_users[users] & self.seen_items[items])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the sizes and the little-endian columns: equal tables have equal fingerprints on every machine."""
        if self.known_fingerprint is not None:
            return self.known_fingerprint
        digest = hashlib.sha256(f"cfbench ratings 1: {len(self)} {self.n_users} {self.n_items}".encode())
        for column, code in ((self.users, "<i4"), (self.items, "<i4"), (self.ratings, "<f4"), (self.times, "<i8")):
            digest.update(b"-" if column is None else column.astype(code, copy=False).data)
        if self.held_out is not None:
            digest.update(self.held_out.data)
        return digest.hexdigest()

    @property
    def pairs(self) -> Pairs:
        """The users, items and times of the ratings, without the values."""
        return Pairs(self.users, self.items, self.times)

    def without_times(self) -> Ratings:
        """The same ratings for a model that does not use times."""
        return replace(self, times=None)

    def rows(self, by: Literal["user", "item"]) -> SparseRows:
        """The ratings as sparse rows: one row per user with items as columns, or (`by="item"`) the transpose."""
        from scipy.sparse import coo_array

        if by == "user":
            indices, shape = (self.users, self.items), (self.n_users, self.n_items)
        else:
            indices, shape = (self.items, self.users), (self.n_items, self.n_users)
        cells = coo_array((self.ratings, indices), shape)
        cells.has_canonical_format = True  # there are no duplicate pairs to sum
        rows = cells.tocsr()  # a counting sort; sorting 100 million pairs would take half a minute and 3 GB
        rows.sort_indices()
        return SparseRows(rows.indptr.astype(np.int64), rows.indices.astype(np.int32, copy=False), rows.data, shape[1])


@dataclass(frozen=True, eq=False)
class Pairs:
    """n pairs of a user and an item whose ratings a model predicts.

    Shapes: `users`, `items` (n,) int32 codes; `times` (n,) int64 seconds since 1970 at which the user rates the item,
    or None if the data have no times or the model does not use them.
    """

    users: Codes
    items: Codes
    times: Times | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Pairs:
        """Return the given pairs, in the given order."""
        return Pairs(self.users[rows], self.items[rows], None if self.times is None else self.times[rows])


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A sparse matrix by rows (CSR): row r has `columns[starts[r]:starts[r+1]]` and the `values` at the same positions.

    Shapes: `starts` (rows + 1,) int64; `columns` (n,) int32, ascending within a row; `values` (n,) float32.
    """

    starts: NDArray[np.int64]
    columns: Codes
    values: Scores
    n_columns: int

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The source's ids of all codes, and the titles and genres of the items.

    `users` has the column `id`. `items` has `id`, `title` and, if the source has them, `genres` (lists of text), each
    null where unknown. Row k describes code k.
    """

    users: pl.DataFrame
    items: pl.DataFrame

    def user_codes(self, ids: list[str]) -> Codes:
        """(n,) the codes of users, given the source's ids; raises `UnknownNameError`."""
        return _look_up("user", self._code_of_user, ids)

    def item_codes(self, ids: list[str]) -> Codes:
        """(n,) the codes of items, given ids, or titles that only one item has; raises `UnknownNameError`."""
        if all(name in self._code_of_item or name.isdecimal() for name in ids):
            return _look_up("item", self._code_of_item, ids)
        return _look_up("item", self._code_of_title | self._code_of_item, ids)

    def find_users(self, ids: pl.Series) -> Codes:
        """(n,) the code of each user's id, -1 where there is no such user."""
        return _find_codes(self._code_of_user, ids)

    def find_items(self, names: pl.Series) -> Codes:
        """(n,) the code of each item's id, or of a title that only one item has; -1 where there is none."""
        return _find_codes(self._code_of_title | self._code_of_item, names)

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """(n_items,) the title of each item, "" where unknown."""
        return tuple(self.items["title"].fill_null(""))

    @cached_property
    def years(self) -> NDArray[np.int16]:
        """(n_items,) the release year at the end of each title, as in "Heat (1995)"; 0 where unknown."""
        import polars as pl

        year = self.items["title"].str.extract(r"\(([0-9]{4})\)\s*$")
        return year.cast(pl.Int16).fill_null(0).to_numpy()

    @cached_property
    def genres(self) -> tuple[tuple[str, ...], ...]:
        """(n_items,) the genres of each item, none where unknown."""
        if "genres" not in self.items.columns:
            return ((),) * len(self.items)
        return tuple(tuple(genres or ()) for genres in self.items["genres"].to_list())

    @cached_property
    def _code_of_user(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.users["id"])}

    @cached_property
    def _code_of_title(self) -> dict[str, int]:
        """The code of each title that only one item has."""
        count = Counter(self.titles)
        return {title: code for code, title in enumerate(self.titles) if title and count[title] == 1}

    @cached_property
    def _code_of_item(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.items["id"])}


def _find_codes(code_of: dict[str, int], names: pl.Series) -> Codes:
    import polars as pl

    codes: Codes = names.replace_strict(code_of, default=-1, return_dtype=pl.Int32).fill_null(-1).to_numpy()
    return codes


def _look_up(kind: str, code_of: dict[str, int], ids: list[str]) -> Codes:
    for name in ids:
        if name not in code_of:
            raise UnknownNameError(kind, name, code_of)
    return np.array([code_of[name] for name in ids], np.int32)
