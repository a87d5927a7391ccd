"""Data sets and their splits as frames."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cfbench.api.frames import to_polars
from cfbench.data import card as cards
from cfbench.data import store
from cfbench.data.exporting import Export, export_frame
from cfbench.data.importing import ImportOptions, import_ratings
from cfbench.data.parts import TEST, TRAIN, VALID
from cfbench.data.readers.table import LayoutOptions
from cfbench.data.scales import parse_scale
from cfbench.errors import UsageError
from cfbench.ratings import Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from cfbench.data.card import Card
    from cfbench.data.duplicates import DuplicatePolicy
    from cfbench.data.split import Split
    from cfbench.data.store import Dataset

LOGGER = logging.getLogger("cfbench")
"""Receives what the command line would print as messages."""


class LoggedProgress:
    """Logs messages, and passes progress on to a function."""

    def __init__(self, progress: Callable[[str, int, int], None] | None = None) -> None:
        self._progress = progress

    def message(self, line: str) -> None:
        """Log the line."""
        LOGGER.info("%s", line)

    def progress(self, name: str, position: int, total: int) -> None:
        """Call the function."""
        if self._progress is not None:
            self._progress(name, position, total)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set that is ready for use; `load` and `from_frame` return one."""

    dataset: Dataset
    """The data set as the rest of cfbench sees it: its card, and its ratings in codes."""

    @property
    def name(self) -> str:
        """The name, as on the command line."""
        return self.card.name

    @property
    def card(self) -> Card:
        """The card: title, terms, licence, citation, splits and published scores."""
        return self.dataset.card

    @property
    def scale(self) -> Scale:
        """The rating scale."""
        return self.dataset.ratings.scale

    @cached_property
    def ratings(self) -> pl.DataFrame:
        """All ratings, with the ids of the source: user, item, rating and, where known, time and title."""
        return export_frame(Export(self.dataset.ratings, self.dataset.catalogue))

    def split(self, name: str | None = None) -> DataSplit:
        """Return a split: `random90`, or `random90@7` with another seed; by default that of the command line.

        Raises `UnknownNameError`, `SplitError`, and `UsageError` for a name of several folds.

        >>> data.split("random90").train
        """
        return DataSplit(self.dataset, self.dataset.split(self.one_split(name)))

    def folds(self, name: str = "5fold") -> list[str]:
        """Return the names of the splits that make up a cross-validation; raises `UnknownNameError`.

        >>> runs = [cfbench.run("bias", data, split=fold) for fold in data.folds("5fold")]
        """
        return self.card.expand_split(name)

    def one_split(self, split: str | DataSplit | None) -> str:
        """Return the name of one split, by default that of the command line.

        Raises `UnknownNameError`, and `UsageError` for a name of several folds.
        """
        name = split_name(split, self.card)
        names = self.card.expand_split(name)
        if len(names) > 1:
            raise UsageError(f"{name} means {len(names)} splits; use one after the other: data.folds({name!r})")
        return names[0]

    def __repr__(self) -> str:
        ratings = self.dataset.ratings
        counts = f"{ratings.n_users:,} users, {ratings.n_items:,} items, {len(ratings):,} ratings"
        return f"<Data {self.name}: {counts}, {self.scale}>"


@dataclass(frozen=True, eq=False)
class DataSplit:
    """A split of a data set, whose parts are frames with the columns of `Data.ratings`."""

    dataset: Dataset
    cut: Split
    """The split as the rest of cfbench sees it: the part of each rating."""

    @property
    def name(self) -> str:
        """The name."""
        return self.cut.name

    @property
    def fingerprint(self) -> str:
        """The hash of the ratings and of the part of each: only scores of equal fingerprints can be compared."""
        return self.cut.fingerprint

    @property
    def report(self) -> dict[str, int]:
        """How many ratings, users and items the parts have, and how many of them are cold."""
        return self.cut.report

    @cached_property
    def train(self) -> pl.DataFrame:
        """The ratings that a model learns from."""
        return self._part(TRAIN)

    @cached_property
    def valid(self) -> pl.DataFrame:
        """The ratings that choose the epoch and the hyper-parameters; no rows if the split has none."""
        return self._part(VALID)

    @cached_property
    def test(self) -> pl.DataFrame:
        """The ratings that score a model, once, at the end."""
        return self._part(TEST)

    def _part(self, part: int) -> pl.DataFrame:
        return export_frame(Export(self.dataset.ratings.take(self.cut.parts == part), self.dataset.catalogue))

    def __repr__(self) -> str:
        report = self.report
        parts = f"{report['train']:,} train, {report['valid']:,} validation, {report['test']:,} test ratings"
        return f"<DataSplit {self.name} of {self.dataset.card.name}: {parts}>"


def split_name(split: str | DataSplit | None, card: Card) -> str:
    """Return the name of a split, by default that of the command line."""
    return split.name if isinstance(split, DataSplit) else split or card.default_split


def load(name: str, *, download: bool = False, progress: Callable[[str, int, int], None] | None = None) -> Data:
    """Open a data set; with `download`, get and prepare it first unless it is there.

    `progress` is called with the name of a file or of a step, and with how much of it, of how much, is done. Data sets
    have terms of use: `Data.card.terms`. Raises `UnknownNameError`, and `DataError` with the command that gets a data
    set that is not there; with `download` also `FetchError`, `ChecksumError`, `CountError` and `WriteError`.

    >>> data = cfbench.load("ml-100k", download=True)
    """
    card = cards.load(name)
    if download:
        return Data(store.prepare(card, listener=LoggedProgress(progress)))
    return Data(store.open_dataset(card))


def from_frame(  # noqa: PLR0913 (each has a name)
    frame: Any,
    *,
    name: str,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    part: str | None = None,
    scale: Sequence[float] | Scale | None = None,
    duplicates: DuplicatePolicy = "error",
    skip_bad: bool = False,
    titles: Any = None,
    force: bool = False,
) -> Data:
    """Make a data set of your own ratings, as `cfbench import` does, and store it under a name.

    `frame` is a frame of polars or pandas, or any that offers the Arrow C stream interface, with one rating in each
    row. `user`, `item`, `rating` and `time` name its columns; otherwise usual names are found. `part` names a column of
    `train`, `valid` and `test`, which becomes the split `own`. `scale` is (low, high) or (low, high, step), by default
    that of the ratings. `duplicates` says what becomes of a pair with several ratings: `error`, `last` or `mean`.
    `titles` is a frame with the columns item and title.

    The same ratings under the same name are opened again. Others under that name are refused, or replace the earlier
    ones with `force`. Raises `UsageError`, `RowError`, `CountError` for duplicates, `SplitError`, `WriteError`.

    >>> data = cfbench.from_frame(pl.read_csv("ratings.csv"), name="mine", user="customer", scale=(1, 5))
    """
    roles = {"user": user, "item": item, "rating": rating, "time": time, "part": part}
    layout = LayoutOptions(columns={role: column for role, column in roles.items() if column is not None})
    options = ImportOptions(
        path=to_polars(frame), name=name, layout=layout,
        scale=_read_scale(scale), duplicates=duplicates, skip_bad=skip_bad,
        titles=None if titles is None else to_polars(titles), force=force,
    )  # fmt: skip
    return Data(import_ratings(options, LoggedProgress(), reuse=True))


def _read_scale(scale: Sequence[float] | Scale | None) -> Scale | None:
    if scale is None or isinstance(scale, Scale):
        return scale
    return parse_scale(":".join(f"{number}" for number in scale))


def as_data(data: Data | str) -> Data:
    """Return the data set, loaded if it is a name; raises what `load` raises."""
    return load(data) if isinstance(data, str) else data
