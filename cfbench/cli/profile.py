"""`cfbench datasets NAME`: a data set's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.cli import console

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.card import Card
    from cfbench.ratings import Ratings
    from cfbench.store import Dataset

_BARS = 10
_WIDTH = 40
_QUANTILES = {"least": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "most": 1.0}
_BLOCK = 8_000_000  # rows


def facts(card: Card, dataset: Dataset | None) -> dict[str, Any]:
    """All that the page shows, as plain data; counts of the ratings only when they are here."""
    told: dict[str, Any] = card.model_dump(mode="json", include={"name", "title", "homepage", "citation", "licence"})
    told |= {"scale": str(card.scale), "splits": {name: _split(card, name) for name in card.split_names}}
    if dataset is None:
        return told | {"downloaded": False, "expected": card.expected.model_dump(exclude={"fingerprint"})}
    ratings = dataset.ratings
    return told | {
        "downloaded": True, "folder": str(dataset.home / "datasets" / card.name), "fingerprint": ratings.fingerprint,
        "users": ratings.n_users, "items": ratings.n_items, "ratings": len(ratings),
        "density": len(ratings) / (ratings.n_users * ratings.n_items), "days": _days(ratings),
        "histogram": _histogram(ratings),
        "ratings_a_user": _activity(ratings.users, ratings.n_users),
        "ratings_an_item": _activity(ratings.items, ratings.n_items),
    }  # fmt: skip


def _split(card: Card, name: str) -> dict[str, Any]:
    definition = card.split(name)
    told = definition.model_dump(mode="json", exclude={"protocol", "expected"})
    return {"protocol": definition.protocol, **told, "published_counts": definition.expected}


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
    for start in range(0, len(ratings), _BLOCK):
        places = (ratings.ratings[start : start + _BLOCK] - np.float32(scale.low)) / np.float32(width)
        places = np.rint(places) if by_value else np.minimum(places, bins - 1)
        counts += np.bincount(places.astype(np.int8), minlength=bins)
    lows = [scale.low + k * width for k in range(bins)]
    labels = [f"{low:g}" if by_value else f"{low:g} to {low + width:g}" for low in lows]
    return dict(zip(labels, counts.tolist(), strict=True))


def _activity(codes: NDArray[np.int32], count: int) -> dict[str, int]:
    """Quantiles of the number of ratings a user or an item has."""
    activity = np.zeros(count, np.int64)
    for start in range(0, len(codes), _BLOCK):
        activity += np.bincount(codes[start : start + _BLOCK], minlength=count)
    values = np.quantile(activity, list(_QUANTILES.values()), method="nearest")
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
        console.result(f"{known or 'size not known'} ({told['scale']}); not here: `cfbench download {told['name']}`")
    console.result("")
    for name, split in told["splits"].items():
        settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in split.items() if key in _SETTINGS)
        console.result(f"  {name:10} {split['protocol'] or split['kind']}: {settings}")
    console.result(f"\nlicence: {told['licence']}\nplease cite: {told['citation']}")
    if told["downloaded"]:
        console.result(f"in {told['folder']} (ratings.parquet is for other tools)")


_SETTINGS = (
    "test",
    "valid",
    "folds",
    "fold",
    "first",
    "last",
    "train_from",
    "train_to",
    "test_from",
    "test_to",
    "cold",
)


def _bars(heading: str, counts: dict[str, int]) -> None:
    most, total = max(counts.values()), sum(counts.values())
    width = max(map(len, [heading, *counts]))
    console.result("")
    for label, count in counts.items():
        bar = "█" * round(_WIDTH * count / most)
        console.result(f"  {label:>{width}} {bar:{_WIDTH}} {count:>13,} {100 * count / total:5.1f} %")
    console.result("")
