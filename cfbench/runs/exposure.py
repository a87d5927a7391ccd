"""Which test ratings of a split the choice of a preset has seen.

A preset with the name of a data set was chosen on the default split of the data set; `cfbench tune --save-preset` calls
the preset of another split DATASET-SPLIT. Its trials learned from the training ratings of that split, and the
validation ratings ranked them. On another split some of these ratings are test ratings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.data.parts import TEST, TRAIN, VALID
from cfbench.errors import DataError, UnknownNameError
from cfbench.runs.record import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cfbench.data.card import Card
    from cfbench.data.split import Split
    from cfbench.data.store import Dataset


def find_exposure(preset: str | None, dataset: Dataset, split: Split) -> Exposure | None:
    """Return which test ratings of a split the choice of a preset has seen; None if it has seen none."""
    chosen_on = _split_of_preset(preset, dataset.card)
    if preset is None or chosen_on is None or chosen_on == split.name:
        return None
    try:
        other = dataset.split(chosen_on)
    except DataError:  # these ratings have no such split, so that nothing was chosen on it
        return None
    parts = other.parts[split.parts == TEST]  # of the test ratings
    counts = {part: int(np.count_nonzero(parts == part)) for part in (TRAIN, VALID)}
    if not any(counts.values()):
        return None
    return Exposure(
        preset=preset, split=chosen_on, test=len(parts), validated=counts[VALID], trained=counts[TRAIN]
    )  # fmt: skip


def _split_of_preset(preset: str | None, card: Card) -> str | None:
    """Return the split on which a preset was chosen, by its name; None if the name does not say."""
    if preset == card.name:
        return card.default_split
    name = (preset or "").removeprefix(f"{card.name}-")
    if name == preset:
        return None
    try:
        return card.canonical_name(name)
    except UnknownNameError:
        return None


def describe_exposures(exposures: Iterable[tuple[str, Exposure | None]]) -> list[str]:
    """Return one line for each preset whose choice has seen test ratings of the splits, which come with their names."""
    by_preset: dict[tuple[str, str], dict[str, Exposure]] = {}
    for split, exposure in exposures:
        if exposure is not None:
            by_preset.setdefault((exposure.preset, exposure.split), {})[split] = exposure
    return [_describe(*names, splits) for names, splits in by_preset.items()]


def _describe(preset: str, chosen_on: str, exposures: dict[str, Exposure]) -> str:
    test, validated, trained = (
        sum(getattr(exposure, name) for exposure in exposures.values()) for name in ("test", "validated", "trained")
    )
    return (
        f"preset {preset} was chosen on {chosen_on}, where {validated + trained:,} of the {test:,} test ratings of "
        f"{', '.join(exposures)} were validation ({validated:,}) or training ratings ({trained:,}); "
        "--no-preset, or preset = false in a sweep, leaves the preset out"
    )
