"""STATISTICS: how sure a score is, and whether two models can be told apart.

The errors of one user resemble each other, so users are drawn, not ratings: all that is needed of a run are sums by
user (Ren et al., Nonparametric bootstrapping for hierarchical data, J. Applied Statistics 2010; Field & Welsh,
Bootstrapping clustered data, JRSS B 2007). What is said holds for other users like these and the models as they were
fitted; how much another seed would change them is the standard deviation over seeds, and another matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats: TypeAlias = NDArray[np.float64]
GROUPS = 4_000
"""More users than that are put into so many groups at random, and groups are drawn: as wide an interval, sooner
(Wolter, Introduction to Variance Estimation, 2007, chapter 2)."""
_ROUNDING = 1e-12  # less is no difference of scores on a scale of ratings
_AT_ONCE = 50  # draws: what fits the processor's cache


@dataclass(frozen=True, eq=False)
class UserSums:
    """A score as sums by user: the mean over its parts of √(Σ sums / Σ counts), or of the plain ratio.

    Shapes: `sums` and `counts` (users, parts), float64: of RMSE the squared errors and how many there are. A part is a
    test part met by a fitted model: one a fold and seed. Row u is the same user in all scores that are compared.
    """

    sums: Floats
    counts: Floats
    root: bool

    @cached_property
    def parts(self) -> Floats:
        """(parts,) the score of each part."""
        return self.of(self.sums.sum(axis=0), self.counts.sum(axis=0))

    @property
    def score(self) -> float:
        """The mean over parts."""
        return float(self.parts.mean())

    def of(self, sums: Floats, counts: Floats) -> Floats:
        """The score of totals of any shape."""
        ratio = sums / counts
        return np.sqrt(ratio) if self.root else ratio

    @cached_property
    def without(self) -> Floats:
        """(users,) the score without each user: what the jackknife needs, NaN where nobody would be left."""
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = self.of(self.sums.sum(axis=0) - self.sums, self.counts.sum(axis=0) - self.counts)
        mean: Floats = np.nanmean(scores, axis=1)  # a part of this user alone has no score without them
        return mean

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(users,) True for those with a test rating in any part."""
        there: NDArray[np.bool_] = self.counts.sum(axis=1) > 0
        return there

    @cached_property
    def moved(self) -> Floats:
        """(present users,) by how much leaving each out moves the score, more than leaving out one does on average."""
        if self.present.sum() < 2:
            return np.zeros(self.present.sum())
        moves = self.without[self.present]
        centred: Floats = moves - moves.mean()
        return centred


class Interval(NamedTuple):
    """From `low` to `high`; both NaN where fewer than two users were tested."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How much larger one score is than another, with its 95 % interval and the two-sided p-value of no difference."""

    difference: float
    low: float
    high: float
    p: float


def intervals(scores: Sequence[UserSums], *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> list[Interval]:
    """Bootstrap intervals over users, by the bias-corrected and accelerated method (BCa).

    Efron, Better bootstrap confidence intervals, JASA 1987; acceleration by the jackknife over users. All scores meet
    the same drawn users, which makes their intervals comparable and a board of them quick.
    """
    if not scores:
        return []
    present = scores[0].present
    if present.sum() < 2:
        return [Interval(np.nan, np.nan) for _ in scores]
    drawn = _drawn(scores, present, draws, np.random.default_rng(seed))
    return [_bca(score, column, level) for score, column in zip(scores, drawn.T, strict=True)]


def _drawn(scores: Sequence[UserSums], present: NDArray[np.bool_], draws: int, rng: np.random.Generator) -> Floats:
    """(draws, scores) the scores of as many users as there are, drawn with replacement."""
    table = _grouped(np.concatenate([s.sums[present] for s in scores] + [s.counts[present] for s in scores], axis=1))
    clusters, found = len(table), []
    for _ in blocks(draws, _AT_ONCE):
        picks = rng.integers(0, clusters, (_AT_ONCE, clusters))
        times = np.stack([np.bincount(row, minlength=clusters) for row in picks]).astype(np.float64)
        found.append(times @ table)
    sums, counts = np.split(np.concatenate(found)[:draws], 2, axis=1)  # (draws, parts of all scores)
    ends = [0, *np.cumsum([score.sums.shape[1] for score in scores])]
    with np.errstate(invalid="ignore"):  # a part none of whose few users was drawn
        of = [s.of(sums[:, a:b], counts[:, a:b]) for s, a, b in zip(scores, ends, ends[1:], strict=False)]
    return np.stack([np.nanmean(parts, axis=1) for parts in of], axis=1)


def _grouped(table: Floats) -> Floats:
    """(clusters, columns) the rows of users, or the sums of random groups of them when there are many."""
    if len(table) <= GROUPS:
        return table
    group = np.random.default_rng(len(table)).permutation(len(table)) % GROUPS
    return np.stack([np.bincount(group, column, GROUPS) for column in table.T], axis=1)


def _bca(score: UserSums, drawn: Floats, level: float) -> Interval:
    from scipy.special import ndtr, ndtri

    below = (np.mean(drawn < score.score) + np.mean(drawn <= score.score)) / 2
    if not 0 < below < 1:  # all draws on one side: the same score, whoever is drawn
        return Interval(float(drawn.min()), float(drawn.max()))
    bias, fall = ndtri(below), score.moved
    spread = np.sum(fall**2) ** 1.5
    acceleration = -np.sum(fall**3) / (6 * spread) if spread else 0.0
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(drawn, ndtr(bias + ends / (1 - acceleration * ends)))
    return Interval(float(low), float(high))


def compare(one: UserSums, other: UserSums, *, level: float = 0.95) -> Comparison:
    """A paired t-test of the difference `one` - `other`, with users as clusters.

    The variance is the jackknife's, leaving out a user at a time; of the cluster-robust ones it is the one that holds
    its level when some users have many more ratings than others (Efron & Stein, The jackknife estimate of variance,
    Annals of Statistics 1981; MacKinnon, Nielsen & Webb, Fast and reliable jackknife and bootstrap methods for
    cluster-robust inference, J. Applied Econometrics 2023). t has users - 1 degrees of freedom. NaN for fewer than two.
    """
    from scipy.special import stdtrit

    users, difference = len(one.moved), one.score - other.score
    if users < 2:
        return Comparison(difference, np.nan, np.nan, np.nan)
    error, p = _tested(np.array([difference]), (one.moved - other.moved)[None])
    reach = float(stdtrit(users - 1, (1 + level) / 2) * error[0])
    return Comparison(difference, difference - reach, difference + reach, float(p[0]))


def _tested(differences: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """(k,) standard errors and p-values of k differences of scores, from (k, users) differences of `moved`."""
    from scipy.special import stdtr

    users = moved.shape[1]
    errors = np.sqrt((users - 1) / users * np.sum(moved**2, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        p: Floats = 2 * stdtr(users - 1, -np.abs(differences) / errors)
    p[np.abs(differences) <= _ROUNDING] = 1.0
    return errors, p


def holm(p_values: Sequence[float] | Floats) -> list[float]:
    """p-values adjusted so that any false rejection among them all has at most the level's probability.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 1979.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return [float(value) for value in adjusted]


def against_best(scores: Sequence[UserSums]) -> list[tuple[Comparison, float]]:
    """Each score compared with the smallest, and the p-value adjusted by Holm's method.

    The family is all pairs of scores. Which one is the best was read off the same test ratings: comparing with it means
    to look for the widest of all gaps, and adjusting for its own comparisons alone finds one in 13 % of boards of ten
    equal models, where 5 % are promised (tests/leaderboard/test_intervals.py).
    """
    if not scores:
        return []
    best = min(range(len(scores)), key=lambda at: scores[at].score)
    values, moved = np.array([score.score for score in scores]), np.stack([score.moved for score in scores])
    family = np.ones((len(scores), len(scores)))
    upper = [_tested(values[at + 1 :] - values[at], moved[at + 1 :] - moved[at])[1] for at in range(len(scores))]
    family[np.triu_indices(len(scores), 1)] = holm(np.concatenate(upper))
    return [
        (compare(score, scores[best]), float(family[min(at, best), max(at, best)])) for at, score in enumerate(scores)
    ]
