"""`cfbench datasets NAME`: a data set's page."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.cli import console
from cfbench.data.fetch import download_command
from cfbench.errors import SplitError
from cfbench.ratings import activity, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cfbench.data.card import Card
    from cfbench.data.split_definitions import SplitDefinition
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings

_BARS = 10
_WIDTH = 40
_QUANTILES = {"least": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "most": 1.0}
_BLOCK = 1_000_000  # rows: what fits the processor's cache is counted twice as fast
_SMALL = 2_000_000
"""Up to so many ratings every split is cut to be counted; of larger sets only those that were cut before are told."""


def facts(card: Card, dataset: Dataset | None) -> dict[str, Any]:
    """All that the page shows, as plain data; counts of the ratings only when they are here."""
    told: dict[str, Any] = card.model_dump(mode="json", include={"name", "title", "homepage", "citation", "licence"})
    told |= {"scale": str(card.scale), "splits": {name: _split(card, dataset, name) for name in card.split_names}}
    if dataset is None:
        expected = card.expected.model_dump(exclude={"fingerprint"})
        return told | {"downloaded": False, "expected": expected, "remedy": download_command(card)}
    ratings = dataset.ratings
    return told | {
        "downloaded": True, "folder": str(dataset.home / "datasets" / card.name), "fingerprint": ratings.fingerprint,
        "users": ratings.n_users, "items": ratings.n_items, "ratings": len(ratings),
        "density": len(ratings) / (ratings.n_users * ratings.n_items), "days": _days(ratings),
        "histogram": _histogram(ratings),
        "ratings_a_user": _activity(ratings.users, ratings.n_users),
        "ratings_an_item": _activity(ratings.items, ratings.n_items),
    }  # fmt: skip


def _split(card: Card, dataset: Dataset | None, name: str) -> dict[str, Any]:
    """A split as the page shows it; `counts` is its report, or None when it is not known or the split is impossible."""
    definition = card.split(name)
    told = definition.model_dump(mode="json", exclude={"protocol", "expected"})
    report, fault = (None, "") if dataset is None else _report(dataset, name)
    return {
        "protocol": definition.protocol, **told, "in_words": in_words(definition),
        "published_counts": definition.expected, "counts": report, "impossible": fault,
        "mismatches": definition.mismatches(report) if report else [],
    }  # fmt: skip


def _report(dataset: Dataset, name: str) -> tuple[dict[str, int] | None, str]:
    """The split's report if known, and why there can be none."""
    try:
        return (dataset.split(name).report if len(dataset.ratings) <= _SMALL else dataset.report(name)), ""
    except SplitError as fault:
        return None, str(fault).partition("; choose another")[0]


def in_words(definition: SplitDefinition) -> str:
    """What a split does, for people."""
    match definition.kind:
        case "random":
            what = f"{_share(definition.test)} at random test"
        case "kfold":
            what = f"fold {definition.fold} of {definition.folds} tests"
        case "official":
            what = f"rows {definition.first:,} to {definition.last - 1:,} of the source test"
        case "held-out":
            what = "what its authors set aside tests"
        case "time":
            what = f"train {definition.train_from} to {definition.train_to}, "
            what += f"test {definition.test_from} to {definition.test_to}"
        case "last":
            last, before = definition.test, definition.valid
            what = f"the last {last} ratings of each user test" if last > 1 else "the last rating of each user tests"
            if before:
                what += f", the {before} before validate" if before > 1 else ", the one before validates"
    if definition.kind != "last" and definition.valid:
        of = "the test span" if definition.kind == "time" else "the rest"
        what += f", {_share(definition.valid)} of {of} validate"
    elif definition.kind == "kfold":
        what += ", nothing validates"
    return what + (", cold ones are left out" if definition.cold == "drop" else "")


def _share(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _days(ratings: Ratings) -> list[str] | None:
    if ratings.times is None:
        return None
    ends = ratings.times.min(), ratings.times.max()
    return [str(end.astype("datetime64[s]").astype("datetime64[D]")) for end in ends]


def _histogram(ratings: Ratings) -> dict[str, int]:
    """How many ratings there are of each value, or in each of ten spans when the scale has no steps or many."""
    scale = ratings.scale
    steps = round((scale.high - scale.low) / scale.step) if scale.step else 0
    by_value = 0 < steps <= 2 * _BARS
    bins = steps + 1 if by_value else _BARS
    width = scale.step if by_value else (scale.high - scale.low) / bins
    counts = np.zeros(bins, np.int64)
    for rows in blocks(len(ratings), _BLOCK):
        places = (ratings.ratings[rows] - np.float32(scale.low)) / np.float32(width)
        places = np.rint(places) if by_value else np.minimum(places, bins - 1)
        counts += np.bincount(places.astype(np.int8), minlength=bins)
    lows = [scale.low + k * width for k in range(bins)]
    labels = [f"{low:g}" if by_value else f"{low:g} to {low + width:g}" for low in lows]
    return dict(zip(labels, counts.tolist(), strict=True))


def _activity(codes: NDArray[np.int32], count: int) -> dict[str, int]:
    """Quantiles of the number of ratings a user or an item has."""
    values = np.quantile(activity(codes, count), list(_QUANTILES.values()), method="nearest")
    return dict(zip(_QUANTILES, values.astype(int).tolist(), strict=True))


def show(told: dict[str, Any]) -> None:
    """Print the page."""
    console.result(f"{told['title']} ({told['name']}), {told['homepage']}")
    if told["downloaded"]:
        console.result(
            f"{told['users']:,} users, {told['items']:,} items, {told['ratings']:,} ratings ({told['scale']}), "
            f"{100 * told['density']:.3g} % of all pairs" + (f", {' to '.join(told['days'])}" if told["days"] else "")
        )
        _bars("rating", told["histogram"])
        for name in ("user", "item"):
            quantiles = told[f"ratings_a{'n' if name == 'item' else ''}_{name}"]
            shown = ", ".join(f"{at} {value:,}" for at, value in quantiles.items())
            console.result(f"ratings {'an' if name == 'item' else 'a'} {name}: {shown}")
    else:
        known = ", ".join(f"{count:,} {name}" for name, count in told["expected"].items() if count is not None)
        console.result(f"{known or 'size not known'} ({told['scale']}); not here: {told['remedy']}")
    console.result("")
    width = max(map(len, told["splits"]))
    for name, split in told["splits"].items():
        first, *more = (part for line in _described(split) for part in wrap(line, 76 - width))
        console.result(f"  {name:{width}}  {first}")
        for line in more:
            console.result(f"  {'':{width}}  {line}")
    console.result(f"\nlicence: {told['licence']}\nplease cite: {told['citation']}")
    if told["downloaded"]:
        console.result(f"in {told['folder']} (ratings.parquet is for other tools)")


def _described(split: dict[str, Any]) -> Iterator[str]:
    """A split in words, and a line of its counts where they are known."""
    yield split["in_words"]
    counts, published = split["counts"], split["published_counts"]
    if counts:
        cold = f" ({counts['cold_ratings']:,} cold)" if counts["cold_ratings"] else ""
        yield f"{counts['train']:,} train, {counts['valid']:,} validate, {counts['test']:,} test{cold}"
    elif split["impossible"]:
        yield f"impossible here: {split['impossible']}"
    elif "train" in published and "held_out" in published:
        yield f"as published: {published['train']:,} train, {published['held_out']:,} are held out"
    if split["mismatches"]:
        yield f"not as published: {'; '.join(split['mismatches'])}"


def _bars(heading: str, counts: dict[str, int]) -> None:
    most, total = max(counts.values()), sum(counts.values())
    width = max(map(len, [heading, *counts]))
    console.result("")
    for label, count in counts.items():
        bar = "█" * round(_WIDTH * count / most)
        console.result(f"  {label:>{width}} {bar:{_WIDTH}} {count:>13,} {100 * count / total:5.1f} %")
    console.result("")
