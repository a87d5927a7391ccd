"""Decides whether a claim holds.

A claim is about one or several effects: differences of pairs of arms, shares of seeds that diverge, numbers of
parameters. It holds if each effect is shown: then a false claim is found true with a probability of 2.5 % at most,
because its false part is (an intersection-union test, Berger 1982). It does not hold if one effect is refuted, after
Holm's correction for the number of effects. Otherwise it is undecided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from cfbench.experiments.claims import DivergenceClaim, EqualClaim, ExactClaim, OrderClaim
from cfbench.experiments.comparing import ALPHA, compare_seeds, share_of_seeds
from cfbench.experiments.reasons import find_reason
from cfbench.leaderboard.intervals import compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cfbench.experiments.claims import Claim, Measure
    from cfbench.experiments.measures import ArmReport
    from cfbench.experiments.reasons import Reason
    from cfbench.leaderboard.intervals import Comparison

Decision: TypeAlias = Literal["holds", "does not hold", "undecided"]
Over: TypeAlias = Literal["users and seeds", "users", "seeds", "ranks of seeds", "exact"]
"""What an interval is over. `ranks of seeds`: some of the compared runs diverged and have no value."""
_HALF = 0.5


@dataclass(frozen=True)
class Effect:
    """One effect that a claim is about, with its 95 % interval; NaN where it is unknown."""

    label: str
    quantity: Literal["difference", "share", "count"]
    size: float
    low: float
    high: float
    shown: bool
    """Whether the interval lies where the claim says."""
    against: float
    """The p-value of the claim where the effect is the other way round, else 1."""
    seeds: int
    """The smaller number of seeds of its arms."""
    over: Over
    reason: Reason | None = None
    """Of a difference that refutes the claim: what the learning curves say about it."""


@dataclass(frozen=True)
class Verdict:
    """A claim on one split, with its decision and the effects behind it."""

    claim: Claim
    split: str
    decision: Decision
    effects: tuple[Effect, ...]
    too_few: str = ""
    """Which runs are missing for a decision; empty if there are enough."""

    @property
    def seeds(self) -> int:
        """The smallest number of seeds of any arm."""
        return min((effect.seeds for effect in self.effects), default=0)

    @property
    def telling(self) -> tuple[Effect, ...]:
        """The effects behind the decision: those that refute the claim, or are not clear, or else the least clear."""
        if self.decision == "does not hold":
            return tuple(effect for effect in self.effects if _refutes(effect, len(self.effects)))
        if self.decision == "undecided":
            return tuple(effect for effect in self.effects if not effect.shown) or self.effects
        return (min(self.effects, key=lambda effect: min(abs(effect.low), abs(effect.high))),)


def decide(effects: Sequence[Effect]) -> Decision:
    """Decide a claim from its effects."""
    if any(_refutes(effect, len(effects)) for effect in effects):
        return "does not hold"
    return "holds" if all(effect.shown for effect in effects) else "undecided"


def _refutes(effect: Effect, effects: int) -> bool:
    """Whether an effect, one of so many, refutes the claim: the first step of Holm's correction."""
    return effect.against * effects < ALPHA


def judge(claim: Claim, split: str, arms: Mapping[str, ArmReport], counts: Mapping[str, int]) -> Verdict:
    """Decide a claim on a split. `counts` has the numbers of parameters that an exact claim is about, by arm."""
    compared = [arms[label] for label in claim.labels]
    if isinstance(claim, ExactClaim):
        effects = tuple(_count_effect(arm, claim, counts[arm.arm.label]) for arm in compared)
        return Verdict(claim, split, decide(effects), effects)
    too_few = _too_few_seeds(compared)
    if not all(arm.runs for arm in compared):
        return Verdict(claim, split, "undecided", (), too_few)
    if isinstance(claim, OrderClaim):
        pairs = [(arms[lower], arms[higher]) for lower, higher in claim.pairs]
        effects = tuple(_order_effect(lower, higher, claim.measure) for lower, higher in pairs)
    elif isinstance(claim, EqualClaim):
        effects = (_equal_effect(compared[0], compared[1], claim),)
    else:
        effects = tuple(_share_effect(arm, claim) for arm in compared)
    return Verdict(claim, split, "undecided" if too_few else decide(effects), effects, too_few)


def _too_few_seeds(arms: Sequence[ArmReport]) -> str:
    """Why there are too few runs to decide; empty if there are enough."""
    without = [arm.arm.label for arm in arms if not arm.runs]
    if without:
        return f"{', '.join(without)}: not run yet"
    single = [arm.arm.label for arm in arms if arm.random and len(arm.runs) == 1]
    return f"one seed of {', '.join(single)}; at least two are needed" if single else ""


def _order_effect(lower: ArmReport, higher: ArmReport, measure: Measure) -> Effect:
    comparison, over = _compare(lower, higher, measure)
    is_reversed = comparison.difference > 0 and not math.isnan(comparison.p)
    return Effect(
        f"{lower.arm.label} − {higher.arm.label}", "difference", comparison.difference, comparison.low, comparison.high,
        shown=comparison.high < 0, against=comparison.p if is_reversed else 1.0,
        seeds=_fewest(lower, higher), over=over,
        reason=find_reason(lower, higher, measure) if is_reversed else None,
    )  # fmt: skip


def _equal_effect(first: ArmReport, second: ArmReport, claim: EqualClaim) -> Effect:
    comparison, over = _compare(first, second, claim.measure)
    low, high, margin = comparison.low, comparison.high, claim.margin
    worse, better = (first, second) if comparison.difference > 0 else (second, first)
    differs = low > margin or high < -margin
    return Effect(
        f"{first.arm.label} − {second.arm.label} within ±{margin:g}", "difference", comparison.difference, low, high,
        shown=-margin < low and high < margin, against=0.0 if differs else 1.0,
        seeds=_fewest(first, second), over=over, reason=find_reason(worse, better, claim.measure) if differs else None,
    )  # fmt: skip


def _share_effect(arm: ArmReport, claim: DivergenceClaim) -> Effect:
    share = share_of_seeds(arm.diverged, len(arm.runs))
    is_most = claim.kind == "diverges"
    shown = share.low > _HALF if is_most else share.high < _HALF
    is_reversed = share.share < _HALF if is_most else share.share > _HALF
    return Effect(
        f"share of seeds of {arm.arm.label} that diverge", "share", share.share, share.low, share.high,
        shown=shown, against=share.p if is_reversed else 1.0, seeds=len(arm.runs), over="seeds",
    )  # fmt: skip


def _count_effect(arm: ArmReport, claim: ExactClaim, count: int) -> Effect:
    published = arm.published("parameters")
    difference = math.nan if published is None else count - published.value
    return Effect(
        f"parameters of {arm.arm.label} for {claim.items:,} items − published", "count",
        difference, difference, difference,
        shown=difference == 0, against=0.0 if abs(difference) > 0 else 1.0, seeds=len(arm.runs), over="exact",
    )  # fmt: skip


def _compare(first: ArmReport, second: ArmReport, measure: Measure) -> tuple[Comparison, Over]:
    """Compare a measure of two arms: over users and seeds for the test RMSE, where every run has a score."""
    if measure == "test" and first.estimate is not None and second.estimate is not None:
        over: Over = "users and seeds" if first.random or second.random else "users"
        return compare(first.estimate, second.estimate), over
    values = first.values(measure), second.values(measure)
    has_diverged = any(math.isinf(value) for each in values for value in each)
    return compare_seeds(*values), "ranks of seeds" if has_diverged else "seeds"


def _fewest(first: ArmReport, second: ArmReport) -> int:
    return min(len(first.runs), len(second.runs))
