"""The statistics of a leaderboard: confidence intervals of scores, and tests of whether two models differ.

The errors of one user resemble each other. The bootstrap therefore draws users, not ratings, and needs only sums by
user from each run (Ren et al., Nonparametric bootstrapping for hierarchical data, J. Applied Statistics 2010; Field &
Welsh, Bootstrapping clustered data, JRSS B 2007). The results hold for other users like these and for the models as
they were fitted. How much another seed would change a model is a separate question, which the standard deviation over
seeds answers.
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
MAX_CLUSTERS = 4_000
"""With more users than this, the bootstrap puts users into this many random groups and draws groups: the interval is
as wide, and computed sooner (Wolter, Introduction to Variance Estimation, 2007, chapter 2)."""
_ROUNDING = 1e-12  # a smaller difference of two scores is rounding, on any scale of ratings
_DRAWS_PER_BLOCK = 50  # one block of draws fits the processor's cache


@dataclass(frozen=True, eq=False)
class UserSums:
    """A score as sums by user: the mean over its parts of √(Σ sums / Σ counts), or of the plain ratio.

    Shapes: `sums` and `counts` (users, parts), float64. For RMSE these are the squared errors and their number. A part
    is a test part that one fitted model predicts: there is one for each fold and seed. Row u is the same user in all
    scores that are compared. `root` says whether the score takes the square root.
    """

    sums: Floats
    counts: Floats
    root: bool

    @cached_property
    def part_scores(self) -> Floats:
        """(parts,) the score of each part."""
        return self.score_totals(self.sums.sum(axis=0), self.counts.sum(axis=0))

    @property
    def score(self) -> float:
        """The mean over parts."""
        return float(self.part_scores.mean())

    def score_totals(self, sums: Floats, counts: Floats) -> Floats:
        """The scores of totals over users; both arrays may have any shape."""
        ratio = sums / counts
        return np.sqrt(ratio) if self.root else ratio

    @cached_property
    def leave_one_out(self) -> Floats:
        """(users,) the score without each user, for the jackknife; NaN where no other user has test ratings."""
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = self.score_totals(self.sums.sum(axis=0) - self.sums, self.counts.sum(axis=0) - self.counts)
        mean: Floats = np.nanmean(scores, axis=1)  # a part that only this user has is NaN without them
        return mean

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(users,) True for a user with a test rating in any part."""
        present: NDArray[np.bool_] = self.counts.sum(axis=1) > 0
        return present

    @cached_property
    def jackknife_deviations(self) -> Floats:
        """(present users,) the score without each user, minus the mean of these scores."""
        if self.present.sum() < 2:
            return np.zeros(self.present.sum())
        scores = self.leave_one_out[self.present]
        deviations: Floats = scores - scores.mean()
        return deviations


class Interval(NamedTuple):
    """A confidence interval; both ends are NaN where fewer than two users have test ratings."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How much larger one score is than another, with the interval and the two-sided p-value of no difference."""

    difference: float
    low: float
    high: float
    p: float


def intervals(
    scores: Sequence[UserSums],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    max_clusters: int = MAX_CLUSTERS,
) -> list[Interval]:
    """Compute bootstrap intervals over users, by the bias-corrected and accelerated method (BCa).

    Efron, Better bootstrap confidence intervals, JASA 1987; the acceleration comes from the jackknife over users. All
    scores use the same draws of users, which makes their intervals comparable and a leaderboard of them quick.
    """
    if not scores:
        return []
    present = scores[0].present
    if present.sum() < 2:
        return [Interval(np.nan, np.nan) for _ in scores]
    bootstrap = _bootstrap_scores(scores, present, draws, np.random.default_rng(seed), max_clusters)
    return [_bca_interval(score, column, level) for score, column in zip(scores, bootstrap.T, strict=True)]


def _bootstrap_scores(
    scores: Sequence[UserSums], present: NDArray[np.bool_], draws: int, rng: np.random.Generator, max_clusters: int
) -> Floats:
    """(draws, scores) the scores of samples of users, each as large as all users and drawn with replacement."""
    user_table = np.concatenate([s.sums[present] for s in scores] + [s.counts[present] for s in scores], axis=1)
    table = _cluster_users(user_table, max_clusters)
    clusters, totals = len(table), []
    for _ in blocks(draws, _DRAWS_PER_BLOCK):
        picks = rng.integers(0, clusters, (_DRAWS_PER_BLOCK, clusters))
        weights = np.stack([np.bincount(row, minlength=clusters) for row in picks]).astype(np.float64)
        totals.append(weights @ table)
    sums, counts = np.split(np.concatenate(totals)[:draws], 2, axis=1)  # (draws, parts of all scores)
    ends = [0, *np.cumsum([score.sums.shape[1] for score in scores])]
    with np.errstate(invalid="ignore"):  # a draw may contain none of the few users of a part
        parts = [s.score_totals(sums[:, a:b], counts[:, a:b]) for s, a, b in zip(scores, ends, ends[1:], strict=False)]
    return np.stack([np.nanmean(of_score, axis=1) for of_score in parts], axis=1)


def _cluster_users(table: Floats, max_clusters: int) -> Floats:
    """(clusters, columns) the rows of users or, when there are too many, the sums of random groups of users."""
    if len(table) <= max_clusters:
        return table
    group = np.random.default_rng(len(table)).permutation(len(table)) % max_clusters
    return np.stack([np.bincount(group, column, max_clusters) for column in table.T], axis=1)


def _bca_interval(score: UserSums, bootstrap: Floats, level: float) -> Interval:
    """The BCa interval of a score from its (draws,) bootstrap scores."""
    from scipy.special import ndtr, ndtri

    share_below = (np.mean(bootstrap < score.score) + np.mean(bootstrap <= score.score)) / 2
    if not 0 < share_below < 1:  # every draw has the same score, so no correction can be computed
        return Interval(float(bootstrap.min()), float(bootstrap.max()))
    bias, deviations = ndtri(share_below), score.jackknife_deviations
    spread = np.sum(deviations**2) ** 1.5
    acceleration = -np.sum(deviations**3) / (6 * spread) if spread else 0.0
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(bootstrap, ndtr(bias + ends / (1 - acceleration * ends)))
    return Interval(float(low), float(high))


def compare(first: UserSums, second: UserSums, *, level: float = 0.95) -> Comparison:
    """A paired t-test of the difference `first` - `second`, with users as clusters.

    The variance is the jackknife's, which leaves out one user at a time. Among cluster-robust variances it is the one
    that holds its level when some users have many more ratings than others (Efron & Stein, The jackknife estimate of
    variance, Annals of Statistics 1981; MacKinnon, Nielsen & Webb, Fast and reliable jackknife and bootstrap methods
    for cluster-robust inference, J. Applied Econometrics 2023). t has users - 1 degrees of freedom. The interval and
    the p-value are NaN for fewer than two users.
    """
    from scipy.special import stdtrit

    users, difference = len(first.jackknife_deviations), first.score - second.score
    if users < 2:
        return Comparison(difference, np.nan, np.nan, np.nan)
    deviations = first.jackknife_deviations - second.jackknife_deviations
    error, p = _jackknife_t_test(np.array([difference]), deviations[None])
    half_width = float(stdtrit(users - 1, (1 + level) / 2) * error[0])
    return Comparison(difference, difference - half_width, difference + half_width, float(p[0]))


def _jackknife_t_test(differences: Floats, deviations: Floats) -> tuple[Floats, Floats]:
    """(k,) standard errors and p-values of k differences of scores.

    Shapes: `differences` (k,); `deviations` (k, users), the differences of the scores' `jackknife_deviations`.
    """
    from scipy.special import stdtr

    users = deviations.shape[1]
    errors = np.sqrt((users - 1) / users * np.sum(deviations**2, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        p: Floats = 2 * stdtr(users - 1, -np.abs(differences) / errors)
    p[np.abs(differences) <= _ROUNDING] = 1.0
    return errors, p


def holm(p_values: Sequence[float] | Floats) -> list[float]:
    """Adjust p-values so that the probability of any false rejection among them is at most the level.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 1979.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted_p = np.empty_like(p)
    adjusted_p[order] = np.minimum(steps, 1)
    return [float(value) for value in adjusted_p]


def compare_with_best(scores: Sequence[UserSums]) -> list[tuple[Comparison, float]]:
    """Compare each score with the smallest; each comparison has its p-value adjusted by Holm's method.

    Holm's family contains all pairs of scores. The same test ratings decide which score is the best, so a comparison
    with it looks for the widest of all gaps. If the family contained only the comparisons with the best, 13 % of
    leaderboards of ten equal models would show a difference, where the level promises 5 %
    (tests/leaderboard/test_intervals.py).
    """
    if not scores:
        return []
    best = min(range(len(scores)), key=lambda index: scores[index].score)
    adjusted_p = _adjusted_pairs(scores)
    return [
        (compare(score, scores[best]), float(adjusted_p[min(index, best), max(index, best)]))
        for index, score in enumerate(scores)
    ]


def _adjusted_pairs(scores: Sequence[UserSums]) -> Floats:
    """(scores, scores) the adjusted p-value of each pair, above the diagonal; ones elsewhere."""
    values = np.array([score.score for score in scores])
    deviations = np.stack([score.jackknife_deviations for score in scores])
    p_values = []
    for index in range(len(scores)):
        _, p = _jackknife_t_test(values[index + 1 :] - values[index], deviations[index + 1 :] - deviations[index])
        p_values.append(p)
    adjusted_p = np.ones((len(scores), len(scores)))
    adjusted_p[np.triu_indices(len(scores), 1)] = holm(np.concatenate(p_values))
    return adjusted_p
