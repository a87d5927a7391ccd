"""Compares the values of two arms over seeds, and a share of seeds with one half."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cfbench.leaderboard.intervals import Comparison, Interval, Variances, add, p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95
ALPHA = 1 - LEVEL


class Share(NamedTuple):
    """A share of seeds, its interval, and the two-sided p-value of one half."""

    share: float
    low: float
    high: float
    p: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The t interval of the mean over seeds; NaN for one seed."""
    from scipy.special import stdtrit

    if len(values) < 2:
        return Interval(math.nan, math.nan)
    half_width = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Interval(float(np.mean(values)) - half_width, float(np.mean(values)) + half_width)


def compare_seeds(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare the values of two arms, one for each seed: `first` - `second`.

    Welch's t-test. A run that diverged has the value infinity; then only the ranks of the values count, and the effect
    is the median of all differences between a value of `first` and one of `second` (Mann & Whitney 1947; Hodges &
    Lehmann 1963). NaN with fewer than two seeds.
    """
    if min(len(first), len(second)) < 2:
        return Comparison(math.nan, math.nan, math.nan, math.nan)
    if not np.isfinite([*first, *second]).all():
        return _compare_ranks(first, second)
    from scipy.special import stdtrit

    difference = float(np.mean(first) - np.mean(second))
    variance = add(_variance_of_mean(first), _variance_of_mean(second))
    half_width = (stdtrit(variance.freedoms, (1 + LEVEL) / 2) * np.sqrt(variance.values)).item()
    p = p_values(np.array([difference]), variance).item()
    return Comparison(difference, difference - half_width, difference + half_width, p)


def _variance_of_mean(values: Sequence[float]) -> Variances:
    return Variances(np.asarray(np.var(values, ddof=1) / len(values)), np.asarray(len(values) - 1.0))


def _compare_ranks(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """The exact test and interval by ranks; two infinite values are equal, and ties count as one half."""
    differences = sorted(0.0 if a == b else a - b for a, b in product(first, second))
    pairs = len(differences)
    shares = np.cumsum(_rank_sum_counts(len(first), len(second))) / math.comb(len(first) + len(second), len(first))
    smaller = sum(0.5 if difference == 0 else difference < 0 for difference in differences)
    p = min(1.0, 2 * float(shares[math.ceil(min(smaller, pairs - smaller))]))
    skipped = int(np.searchsorted(shares, ALPHA / 2, side="right"))  # at both ends
    ends = (differences[skipped - 1], differences[-skipped]) if skipped else (-math.inf, math.inf)
    return Comparison(_median(differences), *ends, p)


def _median(values: Sequence[float]) -> float:
    """The median of sorted values, some of which may be infinite."""
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return low if low == high else 0.0 if low == -high else (low + high) / 2


def _rank_sum_counts(n: int, m: int) -> list[int]:
    """In how many orders of n + m values u of the n·m pairs are in order, for u = 0 … n·m."""

    @cache
    def count(n: int, m: int, u: int) -> int:
        if u < 0:
            return 0
        if not n or not m:
            return int(u == 0)
        return count(n - 1, m, u - m) + count(n, m - 1, u)

    return [count(n, m, u) for u in range(n * m + 1)]


def share_of_seeds(count: int, seeds: int) -> Share:
    """The share of `count` in `seeds` with the interval of Clopper and Pearson (Biometrika 1934)."""
    from scipy.special import bdtr, betaincinv

    low = float(betaincinv(count, seeds - count + 1, ALPHA / 2)) if count else 0.0
    high = float(betaincinv(count + 1, seeds - count, 1 - ALPHA / 2)) if count < seeds else 1.0
    tail = float(bdtr(min(count, seeds - count), seeds, 0.5))
    return Share(count / seeds, low, high, min(1.0, 2 * tail))
