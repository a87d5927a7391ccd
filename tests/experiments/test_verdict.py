"""Verdicts have the right error rates in made-up worlds whose truth is known, and find what is clearly so."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from cfbench.experiments.claims import DivergenceClaim, EqualClaim, ExactClaim, OrderClaim
from cfbench.experiments.definition import Arm, PublishedValue
from cfbench.experiments.measures import ArmReport
from cfbench.experiments.verdict import judge
from cfbench.leaderboard.estimates import PartSums, estimate

ALLOWED = 0.06
"""The largest share of false verdicts."""


@dataclass(frozen=True)
class Seed:
    """A run whose measures all have one value; infinity if it diverged."""

    number: float
    last_epoch = best_epoch = None  # it has no learning curve

    @property
    def diverged(self):
        return math.isinf(self.number)

    def value(self, _measure):
        return self.number


def over_seeds(label, values, *, random=True):
    """An arm with one value for each seed."""
    return ArmReport(Arm(label=label), "random90", random, tuple(map(Seed, values)), None)


def over_users(label, squares, ratings, seed_effects):
    """An arm with the sums of squared errors of each user (users,), which each seed scales."""
    sums = [squares * (1 + effect) for effect in seed_effects]
    parts = [[{"user": PartSums(s, ratings, ratings, s.sum(), ratings.sum(), root=True)}] for s in sums]
    seeds = tuple(Seed(fold["user"].score) for [fold] in parts)
    return ArmReport(Arm(label=label), "random90", True, seeds, estimate(parts))


def order(*groups, measure="final"):
    return OrderClaim(text="claim", kind="order", measure=measure, order=groups)


def decide(claim, *arms):
    return judge(claim, "random90", {arm.arm.label: arm for arm in arms}, {}).decision


def rates(make_world, claim, worlds):
    """The shares of worlds where the claim holds and where it does not hold."""
    decisions = [decide(claim, *make_world(np.random.default_rng([7, world]))) for world in range(worlds)]
    return decisions.count("holds") / worlds, decisions.count("does not hold") / worlds


def seed_world(means, *, seeds=3, spread=0.01, diverging=0.0):
    """A world of arms a, b, c … whose values over seeds have these means, and which diverge with a probability."""

    def make(rng):
        for label, mean in zip("abcdefgh", means, strict=False):
            values = rng.normal(mean, spread, seeds)
            yield over_seeds(label, np.where(rng.random(seeds) < diverging, math.inf, values))

    return make


def user_world(rng, ratio=1.0):
    """Two arms over the same users: their errors have the same expectation, times `ratio` for b."""
    ratings = rng.poisson(8, 60) + 1.0
    shared = rng.gamma(4, 0.25, 60)
    for label, factor in (("a", 1.0), ("b", ratio)):
        noise = rng.gamma(ratings * 2, 1 / (ratings * 2))
        yield over_users(label, factor * ratings * shared * noise, ratings, rng.normal(0, 0.01, 3))


WORLDS = {
    "equal arms": (seed_world([0.9, 0.9]), order(["a"], ["b"])),
    "equal arms, five seeds": (seed_world([0.9, 0.9], seeds=5), order(["a"], ["b"])),
    "one of three steps is none": (seed_world([0.6, 0.7, 0.7, 0.9]), order(["a"], ["b"], ["c"], ["d"])),
    "one of six pairs is none": (seed_world([0.5, 0.6, 0.7, 0.7, 0.9]), order(["a", "b", "c"], ["d", "e"])),
    "all arms are equal": (seed_world([0.9] * 5), order(["a", "b"], ["c", "d", "e"])),
    "equal arms that diverge alike": (seed_world([0.9, 0.9], seeds=6, diverging=0.3), order(["a"], ["b"])),
    "equal errors of users": (user_world, order(["a"], ["b"], measure="test")),
    "a difference as large as the margin": (
        seed_world([0.9, 0.92], spread=0.005),
        EqualClaim(text="c", kind="equal", measure="final", arms=("a", "b"), margin=0.02, because="b"),
    ),
    "every other seed diverges": (
        seed_world([0.9], seeds=9, diverging=0.5),
        DivergenceClaim(text="c", kind="diverges", arms=("a",)),
    ),
    "every other seed is stable": (
        seed_world([0.9], seeds=9, diverging=0.5),
        DivergenceClaim(text="c", kind="stable", arms=("a",)),
    ),
}
"""Worlds at the edge of their claim, where a verdict is false whichever it is."""


@pytest.mark.parametrize("name", WORLDS)
def test_false_verdicts_are_rare(name):
    assert max(rates(*WORLDS[name], worlds=300)) <= ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_false_verdicts_are_rare_in_many_worlds(name):
    assert max(rates(*WORLDS[name], worlds=5000)) <= ALLOWED - 0.01


CLEAR = {
    "an order": (seed_world([0.8, 0.9, 1.0]), order(["a"], ["b"], ["c"]), "holds"),
    "an order the other way round": (seed_world([0.8, 1.0, 0.9]), order(["a"], ["b"], ["c"]), "does not hold"),
    "better for all users": (lambda rng: user_world(rng, 1.5), order(["a"], ["b"], measure="test"), "holds"),
    "worse for all users": (lambda rng: user_world(rng, 0.7), order(["a"], ["b"], measure="test"), "does not hold"),
    "nearly equal": (
        seed_world([0.9, 0.9], spread=0.001),
        EqualClaim(text="c", kind="equal", measure="final", arms=("a", "b"), margin=0.02, because="b"),
        "holds",
    ),
    "far from equal": (
        seed_world([0.9, 1.0], spread=0.001),
        EqualClaim(text="c", kind="equal", measure="final", arms=("a", "b"), margin=0.02, because="b"),
        "does not hold",
    ),
    "all seeds diverge": (
        seed_world([0.9], seeds=6, diverging=1.0),
        DivergenceClaim(text="c", kind="diverges", arms=("a",)),
        "holds",
    ),
    "no seed diverges": (
        seed_world([0.9], seeds=6),
        DivergenceClaim(text="c", kind="diverges", arms=("a",)),
        "does not hold",
    ),
}


@pytest.mark.parametrize("name", CLEAR)
def test_clear_truths_are_found(name):
    world, claim, decision = CLEAR[name]
    share = rates(world, claim, worlds=40)[decision == "does not hold"]
    assert share >= 0.85


def test_one_seed_decides_nothing_unless_seeds_do_not_matter():
    claim = order(["a"], ["b"])
    verdict = judge(claim, "s", {"a": over_seeds("a", [0.1]), "b": over_seeds("b", [0.9, 0.9])}, {})
    assert (verdict.decision, verdict.too_few) == ("undecided", "one seed of a; at least two are needed")
    ratings = np.full(50, 5.0)
    fixed = [
        over_users(label, factor * np.linspace(4, 6, 50), ratings, [0.0]) for label, factor in (("a", 1), ("b", 2))
    ]
    fixed = [ArmReport(arm.arm, arm.split, False, arm.runs, arm.estimate) for arm in fixed]
    assert decide(order(["a"], ["b"], measure="test"), *fixed) == "holds"


def test_an_arm_without_runs_is_named():
    verdict = judge(order(["a"], ["b"]), "s", {"a": over_seeds("a", []), "b": over_seeds("b", [0.9, 0.9])}, {})
    assert (verdict.decision, verdict.too_few, verdict.telling) == ("undecided", "a: not run yet", ())


def test_a_seed_that_diverged_counts_and_is_not_dropped():
    lucky = over_seeds("a", [0.80, 0.81, 0.82, *[math.inf] * 5])
    verdict = judge(order(["a"], ["b"]), "s", {"a": lucky, "b": over_seeds("b", np.linspace(0.9, 0.91, 8))}, {})
    assert verdict.decision == "undecided"
    assert verdict.effects[0].over == "ranks of seeds"


def test_a_claim_about_numbers_is_exact():
    published = (PublishedValue(measure="parameters", value=7, source="table 2"),)
    arms = {"a": ArmReport(Arm(label="a", published=published), "s", True, (), None)}
    claim = ExactClaim(text="c", kind="exact", arms=("a",), items=3)
    assert judge(claim, "s", arms, {"a": 7}).decision == "holds"
    assert judge(claim, "s", arms, {"a": 8}).decision == "does not hold"


def test_what_refutes_a_claim_is_told_and_what_is_least_clear_where_it_holds():
    arms = {
        label: over_seeds(label, np.array([0, 0.001, 0.002]) + mean)
        for label, mean in (("a", 0.5), ("b", 0.7), ("c", 0.6))
    }
    [refuting] = judge(order(["a"], ["b"], ["c"]), "s", arms, {}).telling
    assert refuting.label == "b − c"
    [nearest] = judge(order(["a"], ["c"], ["b"]), "s", arms, {}).telling
    assert nearest.label in {"a − c", "c − b"}
