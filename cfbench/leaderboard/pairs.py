"""All pairs of scores, tested together: a step-down max-t test, and the places that it leaves to each score.

The family is all pairs, because the same test ratings decide which score is the best: a comparison with it looks for
the widest of all gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cfbench.leaderboard.intervals import Comparison, Variances, add, between_seeds, half_width, jackknife, p_values
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cfbench.leaderboard.estimates import Estimate, Floats

_DRAWS = (2_000, 20_000)  # the fewest and the most draws of the joint distribution
_DRAWN_NUMBERS = 20_000_000  # draws × pairs, between these bounds: a tenth of a second
_NUMBERS_AT_A_TIME = 2_000_000
_NUMBERS_IN_CACHE = 600_000
_FEWEST_DRAWS_AT_ONCE = 100  # fewer would make short rows, which NumPy handles slowly


class PlaceRange(NamedTuple):
    """The places that a score may have, counted from 1."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class PairTests:
    """The tests of all pairs of scores."""

    scores: Floats
    p: Floats
    """(scores, scores) the adjusted p-value of each pair; 1 on the diagonal."""
    variances: Variances
    """(scores, scores) the variance of the difference of each pair; 0 on the diagonal."""

    def in_order(self, order: Sequence[int]) -> PairTests:
        """The same tests, with the scores in another order."""
        index = np.ix_(order, order)
        variances = Variances(*(values[index] for values in self.variances))
        return PairTests(self.scores[list(order)], self.p[index], variances)

    def compare(self, first: int, second: int) -> Comparison:
        """The difference of two scores with its own interval, and with the p-value that is adjusted for all pairs."""
        value, freedom = (values[first, second] for values in self.variances)
        difference = float(self.scores[first] - self.scores[second])
        half = half_width(value, freedom)
        return Comparison(difference, difference - half, difference + half, float(self.p[first, second]))

    def places(self, alpha: float) -> list[PlaceRange]:
        """The places that each score may have: after all that are significantly better, before all that are worse.

        With probability 1 - `alpha` all ranges hold at once (Mogstad, Romano, Shaikh & Wilhelm, Inference for ranks,
        Review of Economic Studies 2024). They rely on the direction of each significant difference, for which no
        counterexample is known among statistics that are about normal (Westfall, Bretz & Tobias, Directional error
        rates of closed testing procedures, Statistics in Biopharmaceutical Research 2013).
        """
        differ = self.p < alpha
        better = (differ & (self.scores[None, :] < self.scores[:, None])).sum(axis=1)
        worse = (differ & (self.scores[None, :] > self.scores[:, None])).sum(axis=1)
        return [PlaceRange(int(b) + 1, len(self.scores) - int(w)) for b, w in zip(better, worse, strict=True)]


def compare_all(estimates: Sequence[Estimate]) -> PairTests:
    """Test all pairs; each p-value is adjusted so that any false rejection has at most the probability of the level."""
    scores = np.array([estimate.score for estimate in estimates])
    first, second = np.triu_indices(len(estimates), 1)
    shape = (len(estimates), len(estimates))
    p, variances = np.ones(shape), Variances(np.zeros(shape), np.ones(shape))
    if len(first):
        of_pairs = _pair_variances(estimates)
        raw_p = p_values(scores[second] - scores[first], of_pairs)
        p[first, second] = p[second, first] = step_down(raw_p, _covariance(estimates))
        for matrix, values in zip(variances, of_pairs, strict=True):
            matrix[first, second] = matrix[second, first] = values
    return PairTests(scores, p, variances)


def _pair_variances(estimates: Sequence[Estimate]) -> Variances:
    """(pairs,) the variance of the difference of each pair, in the order of `np.triu_indices`."""
    effects = [np.stack(arrays) for arrays in zip(*(e.effects for e in estimates), strict=True)]
    seeds = between_seeds(estimates)
    rows = max(1, _NUMBERS_AT_A_TIME // max(array.shape[1] for array in effects))
    parts = []
    for index in range(len(estimates) - 1):
        for block in blocks(len(estimates) - index - 1, rows):
            others = slice(index + 1 + block.start, index + 1 + block.stop)
            over_clusters = jackknife([array[others] - array[index] for array in effects])
            parts.append(add(over_clusters, _take(seeds, others), _take(seeds, slice(index, index + 1))))
    return Variances(*map(np.concatenate, zip(*parts, strict=True)))


def _take(variances: Variances, rows: slice) -> Variances:
    return Variances(variances.values[rows], variances.freedoms[rows])


def _covariance(estimates: Sequence[Estimate]) -> Floats:
    """(scores, scores) the covariance of the scores: that of the jackknife, and the variance between seeds."""
    total: Floats = np.diag(between_seeds(estimates).values)
    for arrays, sign in zip(zip(*(e.effects for e in estimates), strict=True), (1, 1, -1), strict=False):
        effects = np.stack(arrays)
        effects -= effects.mean(axis=1, keepdims=True)
        total = total + sign * (1 - 1 / effects.shape[1]) * (effects @ effects.T)
    return total


def step_down(p: Floats, covariance: Floats) -> Floats:
    """(pairs,) the p-values of all pairs, adjusted by a step-down max-t test.

    The pairs share scores, so their tests are correlated, and the largest of them exceeds a bound less often than that
    of independent tests: the joint distribution of normal scores with this `covariance` (scores, scores) says how
    often. The smallest p-value is compared with the largest of all pairs, the next with the largest of those that are
    left, and so on (Westfall & Young, Resampling-Based Multiple Testing, 1993, algorithm 2.8; Romano & Wolf, Exact and
    approximate stepdown methods for multiple hypothesis testing, JASA 2005). The p-values enter as the normal quantiles
    with these tail probabilities, whatever their degrees of freedom. Each step is also bounded by Bonferroni's
    inequality, whose steps alone are Holm's method (A simple sequentially rejective multiple test procedure, Scand. J.
    Statistics 1979): the result is never larger than Holm's.
    """
    from scipy.special import ndtri

    order = np.argsort(p, kind="stable")
    sizes = -ndtri(p[order] / 2)  # descending
    left = np.arange(len(p), 0, -1)
    steps = np.minimum(_exceedance(sizes, order, covariance), left * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _exceedance(sizes: Floats, order: NDArray[np.int64], covariance: Floats) -> Floats:
    """(pairs,) how likely the largest of a pair and all pairs after it in `order` reaches its size, by simulation."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))  # (scores, scores); root @ root.T is the covariance
    first, second = (index[order] for index in np.triu_indices(len(covariance), 1))
    rows = max(1, _NUMBERS_AT_A_TIME // len(root))
    scales = np.concatenate(
        [np.linalg.norm(root[first[pairs]] - root[second[pairs]], axis=1) for pairs in blocks(len(order), rows)]
    )
    with np.errstate(divide="ignore"):
        inverse = np.where(scales > 0, 1 / scales, 0).astype(np.float32)[:, None]
    draws = int(np.clip(_DRAWN_NUMBERS // len(order), *_DRAWS))
    normal = np.random.default_rng(0).standard_normal((len(root), draws))
    drawn, bounds = (root @ normal).astype(np.float32), sizes.astype(np.float32)[:, None]
    count = np.zeros(len(order))
    draws_at_once = max(_FEWEST_DRAWS_AT_ONCE, _NUMBERS_IN_CACHE // len(order))
    pairs_at_once = min(len(order), max(1, _NUMBERS_IN_CACHE // draws_at_once))
    for block in blocks(draws, draws_at_once):
        scores = np.ascontiguousarray(drawn[:, block])
        largest_after = np.zeros(scores.shape[1], np.float32)
        memory = np.empty((2, pairs_at_once, scores.shape[1]), np.float32)  # once, since the system is slow to give it
        for pairs in reversed(list(blocks(len(order), pairs_at_once))):
            largest, subtracted = memory[:, : pairs.stop - pairs.start]  # (pairs, draws)
            scores.take(first[pairs], axis=0, out=largest, mode="clip")
            scores.take(second[pairs], axis=0, out=subtracted, mode="clip")
            np.subtract(largest, subtracted, out=largest)
            np.abs(largest, out=largest)
            largest *= inverse[pairs]
            np.maximum(largest[-1], largest_after, out=largest[-1])
            np.maximum.accumulate(largest[::-1], axis=0, out=largest[::-1])
            largest_after = largest[0].copy()
            count[pairs] += np.count_nonzero(largest >= bounds[pairs], axis=1)
    return (count + 1) / (draws + 1)
