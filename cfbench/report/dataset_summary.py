"""What people ask about a data set: its ratings, their distribution, and its splits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.data.fetch import download_command
from cfbench.errors import SplitError
from cfbench.ratings import activity, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.data.card import Card
    from cfbench.data.split_definitions import SplitDefinition
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings

QUANTILES = {"least": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "most": 1.0}
BLOCK = 1_000_000
"""Ratings that are counted at a time. A block that fits the processor's cache is counted twice as fast."""
SMALL = 2_000_000
"""Up to this number of ratings every split is cut, to count its parts. Of a larger data set the counts are
those of splits only that a run has cut before."""
_BINS = 10  # of a histogram over a scale without steps


@dataclass(frozen=True)
class SplitSummary:
    """What a page shows about a split."""

    definition: SplitDefinition
    report: dict[str, int] | None
    """The counts of the split; None when they are not known, or when the split is impossible."""
    impossible: str = ""
    """Why these ratings cannot be split this way; empty when they can."""

    @property
    def mismatches(self) -> list[str]:
        """The counts that differ from the published ones."""
        return self.definition.mismatches(self.report) if self.report else []

    def as_json(self) -> dict[str, Any]:
        """Return plain data for scripts."""
        definition = self.definition.model_dump(mode="json", exclude={"protocol", "expected"})
        return {
            "protocol": self.definition.protocol, **definition, "in_words": describe(self.definition),
            "published_counts": self.definition.expected, "counts": self.report, "impossible": self.impossible,
            "mismatches": self.mismatches,
        }  # fmt: skip


@dataclass(frozen=True)
class RatingsSummary:
    """What a page shows about the ratings of a downloaded data set."""

    folder: str
    fingerprint: str
    users: int
    items: int
    ratings: int
    density: float
    """The fraction of all pairs of a user and an item that have a rating."""
    days: list[str] | None
    """The days of the first and the last rating, if the ratings have times."""
    histogram: dict[str, int]
    ratings_a_user: dict[str, int]
    """Quantiles of the number of ratings of a user."""
    ratings_an_item: dict[str, int]


@dataclass(frozen=True)
class DatasetSummary:
    """What a page shows; `ratings` is None when the data set is not downloaded."""

    card: Card
    splits: dict[str, SplitSummary]
    ratings: RatingsSummary | None

    def as_json(self) -> dict[str, Any]:
        """Return plain data for scripts."""
        data = self.card.model_dump(mode="json", include={"name", "title", "homepage", "citation", "licence"})
        data["scale"] = str(self.card.scale)
        data["splits"] = {name: split.as_json() for name, split in self.splits.items()}
        if self.ratings is not None:
            return data | {"downloaded": True} | asdict(self.ratings)
        expected = self.card.expected.model_dump(exclude={"fingerprint"})
        return data | {"downloaded": False, "expected": expected, "remedy": download_command(self.card)}


def summarize_dataset(card: Card, dataset: Dataset | None, *, small: int = SMALL, block: int = BLOCK) -> DatasetSummary:
    """Count what the page shows. `dataset` is None when it is not downloaded; `small` and `block` are row counts."""
    splits = {name: summarize_split(card, dataset, name, small) for name in card.split_names}
    return DatasetSummary(card, splits, None if dataset is None else summarize_ratings(card, dataset, block))


def summarize_split(card: Card, dataset: Dataset | None, name: str, small: int = SMALL) -> SplitSummary:
    """What the page shows about a split; `dataset` is None when it is not downloaded."""
    definition = card.split(name)
    if dataset is None:
        return SplitSummary(definition, report=None)
    try:
        cut_now = len(dataset.ratings) <= small
        return SplitSummary(definition, dataset.split(name).report if cut_now else dataset.report(name))
    except SplitError as error:
        return SplitSummary(definition, report=None, impossible=str(error).partition("; choose another")[0])


def summarize_ratings(card: Card, dataset: Dataset, block: int = BLOCK) -> RatingsSummary:
    """Count the ratings of a downloaded data set."""
    ratings = dataset.ratings
    return RatingsSummary(
        folder=str(dataset.home / "datasets" / card.name),
        fingerprint=ratings.fingerprint,
        users=ratings.n_users,
        items=ratings.n_items,
        ratings=len(ratings),
        density=len(ratings) / (ratings.n_users * ratings.n_items),
        days=_days(ratings),
        histogram=count_values(ratings, block=block),
        ratings_a_user=_quantiles(ratings.users, ratings.n_users),
        ratings_an_item=_quantiles(ratings.items, ratings.n_items),
    )


def _days(ratings: Ratings) -> list[str] | None:
    if ratings.times is None:
        return None
    ends = ratings.times.min(), ratings.times.max()
    return [str(end.astype("datetime64[s]").astype("datetime64[D]")) for end in ends]


def count_values(ratings: Ratings, *, block: int = BLOCK) -> dict[str, int]:
    """Count the ratings of each value, or in ten equal intervals when the scale has no steps or more than twenty."""
    scale = ratings.scale
    steps = round((scale.high - scale.low) / scale.step) if scale.step else 0
    by_value = 0 < steps <= 2 * _BINS
    bins = steps + 1 if by_value else _BINS
    width = scale.step if by_value else (scale.high - scale.low) / bins
    counts = np.zeros(bins, np.int64)
    for rows in blocks(len(ratings), block):
        places = (ratings.ratings[rows] - np.float32(scale.low)) / np.float32(width)
        places = np.rint(places) if by_value else np.minimum(places, bins - 1)
        counts += np.bincount(places.astype(np.int8), minlength=bins)
    lows = [scale.low + k * width for k in range(bins)]
    labels = [f"{low:g}" if by_value else f"{low:g} to {low + width:g}" for low in lows]
    return dict(zip(labels, counts.tolist(), strict=True))


def _quantiles(codes: NDArray[np.int32], count: int) -> dict[str, int]:
    """Return quantiles of the number of ratings of a user or of an item, from the codes (n,) of the ratings."""
    values = np.quantile(activity(codes, count), list(QUANTILES.values()), method="nearest")
    return dict(zip(QUANTILES, values.astype(int).tolist(), strict=True))


def describe(definition: SplitDefinition) -> str:
    """Return what a split does, in words."""
    parts = [_describe_test(definition)]
    validation = _describe_validation(definition)
    if validation:
        parts.append(f"validation: {validation}")
    elif definition.kind == "kfold":
        parts.append("no validation part")
    if definition.cold == "drop":
        parts.append("cold ratings are left out")
    return "; ".join(parts)


def _describe_test(definition: SplitDefinition) -> str:  # noqa: PLR0911 (one kind, one return)
    match definition.kind:
        case "random":
            return f"test: {_percent(definition.test)} of the ratings, at random"
        case "kfold":
            return f"test: fold {definition.fold} of {definition.folds}"
        case "official":
            return f"test: source rows {definition.first:,} to {definition.last - 1:,}"
        case "held-out":
            return "test: the ratings that the authors held out"
        case "own":
            return "test: the ratings that you imported as the test part"
        case "time":
            return (
                f"train: {definition.train_from} to {definition.train_to}; "
                f"test: {definition.test_from} to {definition.test_to}"
            )
        case "last":
            last = "rating" if definition.test == 1 else f"{definition.test} ratings"
            return f"test: the last {last} of each user"
        case "last-fraction":
            return f"test: the last {_percent(definition.test)} of each user's ratings"


def _describe_validation(definition: SplitDefinition) -> str:
    if not definition.valid:
        return ""
    if definition.kind == "own":
        return "those that you imported as the validation part"
    if definition.kind == "last":
        return "the one before" if definition.valid == 1 else f"the {definition.valid} before"
    if definition.kind == "last-fraction":
        return f"the {_percent(definition.valid)} before"
    rest = "the test period" if definition.kind == "time" else "the rest"
    return f"{_percent(definition.valid)} of {rest}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def split_lines(split: SplitSummary) -> list[str]:
    """Return the description of a split, and lines about its counts where they are known."""
    lines = [describe(split.definition)]
    published = split.definition.expected
    if split.report:
        report = split.report
        cold = f" ({report['cold_ratings']:,} cold)" if report["cold_ratings"] else ""
        lines.append(
            f"{report['train']:,} train, {report['valid']:,} validation, {report['test']:,} test ratings{cold}"
        )
    elif split.impossible:
        lines.append(f"impossible for these ratings: {split.impossible}")
    elif "train" in published and "held_out" in published:
        lines.append(f"as published: {published['train']:,} train, {published['held_out']:,} held-out ratings")
    if split.mismatches:
        lines.append(f"not as published: {'; '.join(split.mismatches)}")
    return lines
