"""TABLE: ratings with coded users and items, in memory and on disk.

A rating is a row: who (`users`), what (`items`), how much (`ratings`), when (`times`, if known). Users and items are
codes 0, 1, 2, … by first appearance in the source, so that two sources with the same rows in the same order give the
same table and the same fingerprint, whatever they call their users. A rating of 0 is a rating: absence is the absence
of a row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from cfbench.errors import DataError, UnknownNameError
from cfbench.files import place_errors

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

Codes: TypeAlias = NDArray[np.int32]
"""(n,) codes of users or items, from 0."""
Scores: TypeAlias = NDArray[np.float32]
"""(n,) ratings or predictions, on the scale of the data set."""
Times: TypeAlias = NDArray[np.int64]
"""(n,) seconds since 1970-01-01 UTC."""


class Scale(BaseModel):
    """What a rating can be: from `low` to `high`, in steps of `step` (0: any value between)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float
    step: float = 0.0

    @model_validator(mode="after")
    def _in_order(self) -> Scale:
        if not self.low < self.high or self.step < 0 or self.off(np.array([self.high])).any():
            raise ValueError(
                f"expected low < high, step ≥ 0 and a whole number of steps from low to high, "
                f"got {self.low:g}, {self.high:g} and {self.step:g}"
            )
        return self

    def __str__(self) -> str:
        return f"{self.low:g}–{self.high:g}" + (f" by {self.step:g}" if self.step else "")

    def clip(self, scores: NDArray[np.floating]) -> Scores:
        """The nearest values from `low` to `high`, as float32; not rounded to steps. NaN stays NaN."""
        clipped: Scores = np.clip(scores, self.low, self.high).astype(np.float32)
        return clipped

    def off(self, ratings: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(n,) True where a rating is not one the scale allows, NaN included."""
        with np.errstate(invalid="ignore"):  # infinity is no whole number of steps
            inside = (ratings >= self.low) & (ratings <= self.high)
            if self.step:
                steps = (ratings - self.low) / self.step
                inside &= np.abs(steps - np.rint(steps)) < 1e-4
        return ~inside


@dataclass(frozen=True, eq=False)
class Ratings:
    """n ratings, read-only. Parts of a data set share its codes, so `n_users` and `n_items` count the whole set.

    Shapes: `users`, `items` (n,) int32; `ratings` (n,) float32; `times` (n,) int64 seconds since 1970, or None.
    Raises `DataError` when the columns do not fit together.
    """

    users: Codes
    items: Codes
    ratings: Scores
    n_users: int
    n_items: int
    scale: Scale
    times: Times | None = None

    def __post_init__(self) -> None:
        columns = {"users": np.int32, "items": np.int32, "ratings": np.float32, "times": np.int64}
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
        """The given rows, in order, under the same codes."""
        times = None if self.times is None else self.times[rows]
        return replace(self, users=self.users[rows], items=self.items[rows], ratings=self.ratings[rows], times=times)

    @cached_property
    def seen_users(self) -> NDArray[np.bool_]:
        """(n_users,) True for a user with at least one rating here."""
        return np.bincount(self.users, minlength=self.n_users) > 0

    @cached_property
    def seen_items(self) -> NDArray[np.bool_]:
        """(n_items,) True for an item with at least one rating here."""
        return np.bincount(self.items, minlength=self.n_items) > 0

    def unseen(self, users: Codes, items: Codes) -> NDArray[np.bool_]:
        """(n,) True for a pair whose user or item has no rating here."""
        return ~(self.seen_users[users] & self.seen_items[items])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over sizes and columns, little-endian: equal tables, equal fingerprints, on any machine."""
        digest = hashlib.sha256(f"cfbench ratings 1: {len(self)} {self.n_users} {self.n_items}".encode())
        for column, code in ((self.users, "<i4"), (self.items, "<i4"), (self.ratings, "<f4"), (self.times, "<i8")):
            digest.update(b"-" if column is None else column.astype(code, copy=False).data)
        return digest.hexdigest()

    def rows(self, by: Literal["user", "item"]) -> Rows:
        """The ratings as sparse rows: one row a user over items (`by="user"`), or one row an item over users."""
        turned = by == "item"
        keys, columns = (self.items, self.users) if turned else (self.users, self.items)
        n_rows, n_columns = (self.n_items, self.n_users) if turned else (self.n_users, self.n_items)
        order = np.lexsort((columns, keys))
        starts = np.zeros(n_rows + 1, np.int64)
        np.cumsum(np.bincount(keys, minlength=n_rows), out=starts[1:])
        return Rows(starts, columns[order], self.ratings[order], n_columns)

    def write(self, path: Path) -> None:
        """Write the columns as parquet; raises `PlaceError`."""
        import polars as pl

        columns = {"user": self.users, "item": self.items, "rating": self.ratings}
        frame = pl.DataFrame(columns if self.times is None else columns | {"time": self.times})
        write_table(frame, path)

    @staticmethod
    def read(path: Path, *, n_users: int, n_items: int, scale: Scale) -> Ratings:
        """Read what `write` wrote; raises `DataError`.

        Verify the file's checksum first: parquet has none, so damage may come out as other ratings, or end the process.
        """
        import polars as pl

        unreadable = (OSError, KeyError, ValueError, DataError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
        try:
            frame = pl.read_parquet(path, glob=False).rechunk()
            columns = {name: frame[name].to_numpy() for name in frame.columns}
            return Ratings(
                columns["user"], columns["item"], columns["rating"], n_users, n_items, scale, columns.get("time")
            )
        except unreadable as fault:
            raise DataError(
                f"{path} is not a readable ratings table ({type(fault).__name__}); "
                "`cfbench download NAME --again` repairs it"
            ) from fault


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as parquet; raises `PlaceError`."""
    with place_errors(path):
        frame.write_parquet(path, compression="zstd", statistics=False)


@dataclass(frozen=True, eq=False)
class Rows:
    """A sparse matrix by rows (CSR): row r holds `columns[starts[r]:starts[r+1]]` and the `values` beside them.

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
    """What the codes stand for: the source's own ids, and titles where it has them.

    `users` has the column `id`; `items` has `id` and `title` (null where unknown). Row k belongs to code k.
    """

    users: pl.DataFrame
    items: pl.DataFrame

    def user_codes(self, ids: list[str]) -> Codes:
        """(n,) codes of users by the source's ids; raises `UnknownNameError`."""
        return _codes("user", self._users_by_id, ids)

    def item_codes(self, ids: list[str]) -> Codes:
        """(n,) codes of items by the source's ids; raises `UnknownNameError`."""
        return _codes("item", self._items_by_id, ids)

    @cached_property
    def _users_by_id(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.users["id"])}

    @cached_property
    def _items_by_id(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.items["id"])}


def _codes(kind: str, known: dict[str, int], ids: list[str]) -> Codes:
    for name in ids:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    return np.array([known[name] for name in ids], np.int32)


def code(columns: pl.DataFrame, titles: pl.DataFrame | None, scale: Scale) -> tuple[Ratings, Catalogue]:
    """Number users and items by first appearance.

    `columns`: `user`, `item`, `rating`, and optionally `time`, without nulls. `titles`: `item` and `title`, or None; of
    an item with several titles the first counts.
    """
    import polars as pl

    users, known_users = _numbered(columns["user"])
    items, known_items = _numbered(columns["item"])
    ratings = Ratings(
        users, items, columns["rating"].cast(pl.Float32).to_numpy(),
        n_users=len(known_users), n_items=len(known_items), scale=scale,
        times=columns["time"].cast(pl.Int64).to_numpy() if "time" in columns.columns else None,
    )  # fmt: skip
    if titles is None:
        return ratings, Catalogue(known_users, known_items.with_columns(title=pl.lit(None, pl.String)))
    first = titles.select(pl.col("item").cast(pl.String).alias("id"), "title").unique("id", keep="first")
    return ratings, Catalogue(known_users, known_items.join(first, on="id", how="left", maintain_order="left"))


def _numbered(column: pl.Series) -> tuple[Codes, pl.DataFrame]:
    """(n,) the code of each value, and the distinct values in the order of their codes, as text in the column `id`."""
    import polars as pl

    values = pl.DataFrame({"id": column})
    known = values.unique(maintain_order=True).with_row_index("code")
    codes = values.join(known, on="id", how="left", maintain_order="left")["code"]
    return codes.cast(pl.Int32).to_numpy(), known.select(pl.col("id").cast(pl.String))
