"""The range of values that a drawing shows."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def robust_range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest value, and the highest that is at most 1.5 interquartile ranges above the third quartile."""
    low, high = min(values), max(values)
    if len(values) > 3:  # no more than three values are all in this range
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        high = max(value for value in values if value <= third + 1.5 * (third - first))
    return low, high
