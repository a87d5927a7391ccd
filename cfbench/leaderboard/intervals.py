"""Confidence intervals of scores, and the test of whether two of them differ.

The variance of a score is the sum of two: the jackknife's over clusters, and that between seeds. Both are estimated,
each with its own degrees of freedom, and t has those of Satterthwaite's formula for their sum (An approximate
distribution of estimates of variance components, Biometrics Bulletin 1946; Welch's test is the best-known case). The
variance between seeds also holds the way in which seeds and users interact, which the jackknife has counted: the sum
errs on the safe side.

With one seed the variance between seeds is unknown and is left out: the interval then holds for that seed's model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard.estimates import Estimate, Floats

_ROUNDING = 1e-12  # a smaller difference of two scores is rounding, on any scale of ratings
_LEVEL = 0.95


class Interval(NamedTuple):
    """A confidence interval; both ends are NaN where fewer than two users (or items) have test ratings."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How much larger one score is than another, with the interval and the two-sided p-value of no difference."""

    difference: float
    low: float
    high: float
    p: float


class Variances(NamedTuple):
    """Estimated variances, (k,) or numbers, and the degrees of freedom of each."""

    values: Floats
    freedoms: Floats


def interval(estimate: Estimate, *, level: float = _LEVEL) -> Interval:
    """The jackknife-t interval of a score, symmetric on the logarithmic scale.

    Squared errors are skewed, and their mean varies the more the larger it is. The logarithm evens that out: the
    interval covers the truth about as often as its level says even when some users have a hundred times the ratings of
    others (tests/leaderboard/test_coverage.py), and it never reaches 0.
    """
    from scipy.special import stdtrit

    score = estimate.score
    if not estimate.defined:
        return Interval(np.nan, np.nan)
    if any(np.max(effects) >= score for effects in estimate.effects):  # all errors are those of one user
        return _plain_interval(estimate, level)
    log_effects = [-np.log1p(-effects / score) for effects in estimate.effects]  # log(score) - log(score without)
    seeds = between_seeds([estimate])
    value, freedom = add(jackknife(log_effects), Variances(seeds.values / score**2, seeds.freedoms))
    factor = np.exp(stdtrit(freedom, (1 + level) / 2) * np.sqrt(value)).item()
    return Interval(score / factor, score * factor)


def _plain_interval(estimate: Estimate, level: float) -> Interval:
    half = half_width(*add(jackknife(estimate.effects), between_seeds([estimate])), level=level)
    return Interval(max(estimate.score - half, 0.0), estimate.score + half)


def compare(first: Estimate, second: Estimate, *, level: float = _LEVEL) -> Comparison:
    """A paired t-test of the difference `first` - `second`; NaN where fewer than two users have test ratings."""
    difference = first.score - second.score
    if not first.defined:
        return Comparison(difference, np.nan, np.nan, np.nan)
    effects = [a - b for a, b in zip(first.effects, second.effects, strict=True)]
    variance = add(jackknife(effects), between_seeds([first]), between_seeds([second]))
    half = half_width(*variance, level=level)
    p = p_values(np.array([difference]), variance).item()
    return Comparison(difference, difference - half, difference + half, p)


def half_width(variance: Floats, freedom: Floats, *, level: float = _LEVEL) -> float:
    """Half the width of a t interval, from one variance and its degrees of freedom."""
    from scipy.special import stdtrit

    return float((stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance)).item())


def p_values(differences: Floats, variances: Variances) -> Floats:
    """(k,) the two-sided p-values of k differences; 1 where a difference is rounding."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(variances.freedoms, -np.abs(differences) / np.sqrt(variances.values))
    equal: Floats = np.where(np.abs(differences) <= _ROUNDING, 1.0, p)
    return equal


def between_seeds(estimates: Sequence[Estimate]) -> Variances:
    """(k,) the variances of k scores over their seeds."""
    values = np.array([estimate.seed_variance for estimate in estimates])
    return Variances(values, np.array([estimate.seed_freedom for estimate in estimates], np.float64))


def jackknife(effects: Sequence[Floats]) -> Variances:
    """The jackknife's variances of k scores, or differences of scores, from their effects.

    Each array is (clusters,) or (k, clusters). One array is a one-way clustering. Three are those of users, items and
    ratings: their two-way variance is V_users + V_items - V_ratings (Cameron, Gelbach & Miller, Robust inference with
    multiway clustering, J. Business & Economic Statistics 2011). As an estimate this sum can be too small and even
    negative; it is never taken to be smaller than either one-way variance (MacKinnon, Nielsen & Webb, Wild bootstrap
    and asymptotic inference with multiway clustering, same journal 2021).
    """
    if len(effects) == 1:
        return one_way(effects[0])
    users, items, ratings = map(one_way, effects)
    larger = np.maximum(users.values, items.values)
    values = np.maximum(users.values + items.values - ratings.values, larger)
    return Variances(values, _satterthwaite(values, users, items))


def one_way(effects: Floats) -> Variances:
    """The delete-one jackknife's variance, and how many degrees of freedom it has.

    (n - 1) / n · Σ d², where d is an effect minus the mean effect. Were all d normal with one variance, the sum would
    have n - 1 degrees of freedom. It has fewer when a few clusters with many ratings dominate it. For normal d of
    variances v, Satterthwaite's formula gives (Σ v)² / Σ v², and E d⁴ = 3 v²; so 3 (Σ d²)² / Σ d⁴ - 1 estimates it
    (the reasoning is that of Bell & McCaffrey, Bias reduction in standard errors, Survey Methodology 2002, and Imbens &
    Kolesár, Robust standard errors in small samples, Review of Economics and Statistics 2016).
    """
    clusters = effects.shape[-1]
    squares = (effects - effects.mean(axis=-1, keepdims=True)) ** 2
    second, fourth = squares.sum(axis=-1), (squares**2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedoms = np.where(fourth > 0, 3 * second**2 / fourth - 1, clusters - 1)
    return Variances((clusters - 1) / clusters * second, np.clip(freedoms, 1, clusters - 1))


def add(*variances: Variances) -> Variances:
    """The sums of independent variances."""
    total = np.asarray(sum(variance.values for variance in variances))  # they may have other shapes
    return Variances(total, _satterthwaite(total, *variances))


def _satterthwaite(totals: Floats, *variances: Variances) -> Floats:
    """The degrees of freedom of sums of variances; as many as the first one has where all are 0."""
    spread = sum(values**2 / freedoms for values, freedoms in variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedoms: Floats = np.where(spread > 0, totals**2 / spread, variances[0].freedoms)
    return freedoms
