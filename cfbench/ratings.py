"""TABLE: ratings with coded users and items.

A rating is a row: who (`users`), what (`items`), how much (`ratings`), when (`times`, if known). Users and items are
codes 0, 1, 2, … by first appearance in the source, so that two sources with the same rows in the same order give the
same table and the same fingerprint, whatever they call their users. A rating of 0 is a rating: absence is the absence
of a row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
    """The rows from 0 to n, `size` at a time."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def activity(codes: Codes, count: int) -> NDArray[np.int64]:
    """(count,) how many ratings each user or item has.

    A block at a time: NumPy counts in a copy of 8 bytes a code, and what fits the processor's cache goes twice as fast.
    """
    counts = np.zeros(count, np.int64)
    for rows in blocks(len(codes), 1_000_000):
        counts += np.bincount(codes[rows], minlength=count)
    return counts


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

    Shapes: `users`, `items` (n,) int32; `ratings` (n,) float32; `times` (n,) int64 seconds since 1970, or None;
    `held_out` (n,) bool, True for what the data set's authors set aside for testing, or None.
    Raises `DataError` when the columns do not fit together.
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
    """Of a table whose fingerprint was computed before; its parts compute their own."""

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
        """The given rows, in order, under the same codes."""
        columns = {name: getattr(self, name) for name in ("users", "items", "ratings", "times", "held_out")}
        taken = {name: column[rows] for name, column in columns.items() if column is not None}
        return replace(self, known_fingerprint=None, **taken)

    @cached_property
    def seen_users(self) -> NDArray[np.bool_]:
        """(n_users,) True for a user with at least one rating here."""
        return activity(self.users, self.n_users) > 0

    @cached_property
    def seen_items(self) -> NDArray[np.bool_]:
        """(n_items,) True for an item with at least one rating here."""
        return activity(self.items, self.n_items) > 0

    def unseen(self, users: Codes, items: Codes) -> NDArray[np.bool_]:
        """(n,) True for a pair whose user or item has no rating here."""
        return ~(self.seen_users[users] & self.seen_items[items])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over sizes and columns, little-endian: equal tables, equal fingerprints, on any machine."""
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
        """What was rated and, where the table has times, when: the ratings without their values."""
        return Pairs(self.users, self.items, self.times)

    def without_times(self) -> Ratings:
        """The same ratings for a model that does not use times."""
        return replace(self, times=None)

    def rows(self, by: Literal["user", "item"]) -> SparseRows:
        """The ratings as sparse rows: one row a user over items (`by="user"`), or one row an item over users."""
        turned = by == "item"
        keys, columns = (self.items, self.users) if turned else (self.users, self.items)
        n_rows, n_columns = (self.n_items, self.n_users) if turned else (self.n_users, self.n_items)
        from scipy.sparse import coo_array

        cells = coo_array((self.ratings, (keys, columns)), (n_rows, n_columns))
        cells.has_canonical_format = True  # no pair is there twice: nothing to add up
        rows = cells.tocsr()  # a counting sort, in one pass: sorting 100 million pairs takes half a minute and 3 GB
        rows.sort_indices()
        return SparseRows(rows.indptr.astype(np.int64), rows.indices.astype(np.int32, copy=False), rows.data, n_columns)


@dataclass(frozen=True, eq=False)
class Pairs:
    """n questions to a model: how does this user rate this item, and when?

    Shapes: `users`, `items` (n,) int32 codes; `times` (n,) int64 seconds since 1970 of the ratings asked about, or None
    where the data have none or the model does not use them.
    """

    users: Codes
    items: Codes
    times: Times | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Pairs:
        """The given pairs, in order."""
        return Pairs(self.users[rows], self.items[rows], None if self.times is None else self.times[rows])


@dataclass(frozen=True, eq=False)
class SparseRows:
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

    @property
    def titles(self) -> tuple[str, ...]:
        """(n_items,) the title of each item, empty where it is unknown."""
        return tuple(self.items["title"].fill_null(""))

    @property
    def years(self) -> NDArray[np.int16]:
        """(n_items,) the release year at the end of each title, as in `Heat (1995)`; 0 where there is none."""
        years = self.items["title"].str.extract(r"\((\d{4})\)\s*$").cast(int, strict=False).fill_null(0)
        return years.to_numpy().astype(np.int16)

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


class IdEncoder:
    """Numbers users and items by first appearance, block by block."""

    def __init__(self) -> None:
        self._users, self._items = _Numbers(), _Numbers()

    def add(self, block: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """The block's columns by their names in `Ratings`, with codes for ids.

        `block`: `user` and `item` (text or whole numbers), `rating`, and optionally `time` and `held_out`; no nulls.
        """
        import polars as pl

        columns: dict[str, NDArray[Any]] = {
            "users": self._users.codes(block["user"]), "items": self._items.codes(block["item"]),
            "ratings": block["rating"].cast(pl.Float32).to_numpy(),
        }  # fmt: skip
        if "time" in block.columns:
            columns["times"] = block["time"].cast(pl.Int64).to_numpy()
        if "held_out" in block.columns:
            columns["held_out"] = block["held_out"].to_numpy()
        return columns

    @property
    def n_users(self) -> int:
        """How many users have appeared."""
        return len(self._users.known)

    @property
    def n_items(self) -> int:
        """How many items have appeared."""
        return len(self._items.known)

    def catalogue(self, titles: pl.DataFrame | None) -> Catalogue:
        """What the codes stand for. `titles`: `item` and `title`, or None; of several of an item the first counts."""
        import polars as pl

        as_text = pl.col("id").cast(pl.String)
        users, items = (numbers.known.select(as_text) for numbers in (self._users, self._items))
        if titles is None:
            return Catalogue(users, items.with_columns(title=pl.lit(None, pl.String)))
        first = titles.select(pl.col("item").cast(pl.String).alias("id"), "title").unique("id", keep="first")
        return Catalogue(users, items.join(first, on="id", how="left", maintain_order="left"))


class _Numbers:
    """Distinct values in the order they appear: `known` has the columns `id` and `code`."""

    def __init__(self) -> None:
        import polars as pl

        self.known = pl.DataFrame(schema={"id": pl.String, "code": pl.Int32})

    def codes(self, column: pl.Series) -> Codes:
        """(n,) the code of each value; new values get the next ones."""
        import polars as pl

        values = pl.DataFrame({"id": column})
        if not len(self.known):
            self.known = self.known.with_columns(pl.col("id").cast(column.dtype))
        new = values.unique(maintain_order=True).join(self.known, on="id", how="anti", maintain_order="left")
        if len(new):
            numbered = new.with_columns(code=pl.int_range(len(self.known), len(self.known) + len(new), dtype=pl.Int32))
            self.known = pl.concat([self.known, numbered])
        return values.join(self.known, on="id", how="left", maintain_order="left")["code"].to_numpy()


def code(columns: pl.DataFrame, titles: pl.DataFrame | None, scale: Scale) -> tuple[Ratings, Catalogue]:
    """A whole table at once; the columns are those of `IdEncoder.add`, titles those of `IdEncoder.catalogue`."""
    coder = IdEncoder()
    coded: dict[str, Any] = dict(coder.add(columns))
    return Ratings(**coded, n_users=coder.n_users, n_items=coder.n_items, scale=scale), coder.catalogue(titles)


def from_frame(frame: Any, *, scale: Scale | None = None) -> tuple[Ratings, Catalogue]:
    """Ratings from a polars or pandas frame, or anything else that speaks Arrow.

    Its columns: `user`, `item`, `rating` and, if known, `time`: a date, a date and time, or seconds since 1970.

    Without a `scale` it reaches from the lowest to the highest rating there is. Raises `DataError` when a column is
    missing, has gaps, or a rating is off the scale.
    """
    import polars as pl

    table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    missing = [name for name in ("user", "item", "rating") if name not in table.columns]
    if missing:
        raise DataError(f"the frame has no column {missing[0]!r}; it needs user, item, rating and may have time")
    table = table.select([name for name in ("user", "item", "rating", "time") if name in table.columns])
    for name in table.columns:
        if table[name].null_count():
            raise DataError(
                f"column {name!r} of the frame has {table[name].null_count():,} gaps; drop or fill them first"
            )
    ratings = table["rating"].cast(pl.Float64).to_numpy()
    chosen = scale or Scale(low=float(ratings.min()), high=float(ratings.max()))
    off = chosen.off(ratings)
    if off.any():
        first = int(off.argmax())
        raise DataError(
            f"rating {ratings[first]:g} in row {first} of the frame is off the scale {chosen}; give its scale"
        )
    if "time" in table.columns and table["time"].dtype.is_temporal():
        table = table.with_columns(pl.col("time").dt.epoch("s"))
    return code(table, None, chosen)
