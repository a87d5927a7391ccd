"""Bayesian factorization machine, sampled by Gibbs.

C. Freudenthaler, L. Schmidt-Thieme and S. Rendle, "Bayesian Factorization Machines", NIPS workshop, 2011; S. Rendle,
L. Zhang and Y. Koren, "On the Difficulty of Evaluating Baselines", arXiv:1905.01395, 2019. The sampler is myfm's.

A rating is w₀ + Σ w_j x_j + Σ_{j<k} ⟨v_j, v_k⟩ x_j x_k over features x of the user and of the item. With `plain`
features, who the user is and which the item, this is matrix factorization. `flipped` adds SVD++'s implicit sets both
ways: the items the user rated and the users who rated the item, in training only, scaled by 1/√size.

Split by side, that is w₀ + a_u + b_i + ⟨A_u, B_i⟩ with A_u = Σ_j v_j x_j over the user's features and
a_u = Σ_j w_j x_j + ½ (‖A_u‖² - Σ_j ‖v_j‖² x_j²): all that is kept of a sample. A prediction is the mean over samples.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from cfbench.contract import Config, Context, Plugin, State, Tunable
from cfbench.errors import ConfigError
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from cfbench.ratings import Pairs, Ratings, Scores

PAIRS = 50_000
"""Predicted at once: their factors take some tens of megabytes."""
LEVELS = 20
"""At most, for ordered probit: it learns a cut between each two neighbours."""


class BayesConfig(Config):
    """Hyper-parameters of `bayes`."""

    kind: Annotated[Literal["plain", "flipped"], Tunable(choices=("plain", "flipped"))] = Field(
        "flipped", description="features: user and item; or with both implicit sets, SVD++ flipped"
    )
    factors: Annotated[PositiveInt, Tunable(4, 64, log=True)] = Field(16, description="rank")
    probit: Annotated[bool, Tunable(choices=(False, True))] = Field(
        False, description=f"ratings are ordered levels, at most {LEVELS}, instead of numbers with Gaussian noise"
    )
    iterations: PositiveInt = Field(300, description="of the Gibbs sampler")
    burn_in: int = Field(50, ge=0, description="iterations before the first sample that counts")
    samples: PositiveInt = Field(
        100, description="kept, evenly spaced after the burn-in; what is stored grows with them"
    )

    @field_validator("samples")
    @classmethod
    def _there_are_so_many(cls, samples: int, info: ValidationInfo) -> int:
        left = info.data.get("iterations", math.inf) - info.data.get("burn_in", 0)
        if samples > left:
            raise ValueError(f"expected at most the {max(left, 0)} iterations after the burn-in")
        return samples

    @property
    def kept(self) -> frozenset[int]:
        """Which iterations (from 0) are kept; the last always is."""
        spaced = np.linspace(self.iterations - 1, self.burn_in, self.samples)
        return frozenset(np.rint(spaced).astype(int).tolist())


@dataclass(frozen=True)
class Posterior:
    """S samples, float32: w₀ (S,); a (S, users), A (S, users, r); b (S, items), B (S, items, r).

    Of ordered probit also the cuts (S, K - 1) between the levels (K,); both empty otherwise.
    """

    offsets: NDArray[np.float32]
    user_biases: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    cuts: NDArray[np.float32]
    levels: NDArray[np.float32]

    def predict(self, pairs: Pairs) -> NDArray[np.float64]:
        """(n,) the mean over samples of the expected rating."""
        users, items = pairs.users, pairs.items
        total = np.zeros(len(users))
        for s, offset in enumerate(self.offsets):
            products = np.einsum("nr,nr->n", self.user_factors[s, users], self.item_factors[s, items])
            scores = offset + self.user_biases[s, users] + self.item_biases[s, items] + products
            total += self._expected(scores, s) if len(self.levels) else scores
        return total / len(self.offsets)

    def _expected(self, scores: NDArray[np.float32], s: int) -> NDArray[np.float64]:
        """(n,) Σ_k level_k P(k) with P(rating ≤ level_k) = Φ(cut_k - score)."""
        from scipy.special import ndtr

        above = ndtr(scores[:, None].astype(np.float64) - self.cuts[s])  # (n, K - 1)
        expected: NDArray[np.float64] = self.levels[0] + above @ np.diff(self.levels).astype(np.float64)
        return expected


class Bayes:
    """The posterior mean."""

    _posterior: Posterior

    def __init__(self, config: BayesConfig) -> None:
        self._config = config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing to stop early)
        """Sample; validation ratings are not used. Raises `ConfigError` when there are no levels for ordered probit."""
        targets = Targets.of(train, probit=self._config.probit)
        keeper = Keeper(self._config.kept, *(features(train, side, self._config.kind) for side in ("user", "item")))
        _sample(self._config, train, keeper, targets, int(context.rng("gibbs").integers(2**31)))
        self._posterior = keeper.posterior(train, targets)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) posterior means; an unseen user or item is, in each sample, the average of the seen ones."""
        scores = np.zeros(len(pairs), np.float32)
        for rows in blocks(len(pairs), PAIRS):
            scores[rows] = self._posterior.predict(pairs.take(rows))
        return scores

    def state(self) -> State:
        """The samples."""
        return vars(self._posterior)

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the samples say it all)
        """Take the samples back; myfm is not needed."""
        self._posterior = Posterior(**state)

    @property
    def parameters(self) -> int:
        """How many one sample has: w₀, the cuts, and w and v of each feature."""
        own: int = self._posterior.user_biases.shape[1] + self._posterior.item_biases.shape[1]
        count = own if self._config.kind == "plain" else 2 * own  # each user and item is in the other's sets too
        cuts: int = self._posterior.cuts.shape[1]
        return 1 + cuts + count * (1 + self._config.factors)


def features(train: Ratings, side: Literal["user", "item"], kind: str) -> csr_matrix:
    """(n, m) of users or items: which it is and, for `flipped`, its implicit set times 1/√size."""
    from scipy.sparse import csr_matrix, hstack, identity

    rows = train.rows(side)
    itself = identity(len(rows), format="csr")
    if kind == "plain":
        return csr_matrix(itself)
    sizes = np.diff(rows.starts)
    weights = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
    met = csr_matrix((weights, rows.columns, rows.starts), (len(rows), rows.n_columns))
    return csr_matrix(hstack([itself, met], format="csr"))


@dataclass(frozen=True)
class Targets:
    """What is sampled for: (r - middle) / unit, so that the priors fit any scale; or places among ordered levels."""

    values: NDArray[np.float64]
    middle: float = 0.0
    unit: float = 1.0
    levels: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @staticmethod
    def of(train: Ratings, *, probit: bool) -> Targets:
        """Of the training ratings; raises `ConfigError` when ordered probit cannot be had of them."""
        if not probit:
            ratings = train.ratings.astype(np.float64)
            middle, unit = float(ratings.mean()), float(ratings.std()) or 1.0
            return Targets((ratings - middle) / unit, middle, unit)
        levels, places = np.unique(train.ratings, return_inverse=True)
        if not 2 <= len(levels) <= LEVELS:
            raise ConfigError(
                f"--probit: ordered probit is for 2 to {LEVELS} different ratings, "
                f"the training part has {len(levels)}; use --no-probit"
            )
        return Targets(places.astype(np.float64), levels=levels)


class Keeper:
    """Told of each iteration; keeps of some what predictions need. `users`, `items`: features, (n, m) each."""

    def __init__(self, kept: frozenset[int], users: csr_matrix, items: csr_matrix) -> None:
        self._kept = kept
        self.users, self.items = users, items
        self._samples: list[tuple[Any, ...]] = []

    def __call__(self, iteration: int, machine: Any, hyper: Any, history: Any) -> bool:  # noqa: ARG002 (what myfm gives)
        """Iterations are counted from 0; False says: go on."""
        if iteration in self._kept:
            w, v, m = np.asarray(machine.w), np.asarray(machine.V), self.users.shape[1]
            cuts = np.array(machine.cutpoints[0] if machine.cutpoints else ())
            self._samples.append(
                (machine.w0, *_project(self.users, w[:m], v[:m]), *_project(self.items, w[m:], v[m:]), cuts)
            )
        return False

    def posterior(self, train: Ratings, targets: Targets) -> Posterior:
        """What was kept, in the ratings' unit."""
        offsets, a, big_a, b, big_b, cuts = (np.stack(part) for part in zip(*self._samples, strict=True))
        for part, seen in (
            (a, train.seen_users),
            (big_a, train.seen_users),
            (b, train.seen_items),
            (big_b, train.seen_items),
        ):
            part[:, ~seen] = part[:, seen].mean(1, keepdims=True)  # what the prior draws there would be noise
        unit = np.float32(targets.unit)
        offsets = (offsets * targets.unit + targets.middle).astype(np.float32)
        return Posterior(offsets, unit * a, unit * big_a, unit * b, big_b, cuts.astype(np.float32), targets.levels)


def _project(x: csr_matrix, w: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[NDArray[np.float32], ...]:
    """The a (n,) and A (n, r) of the rows of x (n, m), features with the weights w (m,) and v (m, r)."""
    factors = x @ v
    biases = x @ w + ((factors**2).sum(1) - x.power(2) @ (v**2).sum(1)) / 2
    return biases.astype(np.float32), factors.astype(np.float32)


def _sample(config: BayesConfig, train: Ratings, keeper: Keeper, targets: Targets, seed: int) -> None:
    """Run the sampler. Its priors are myfm's own; each kind of feature is a group with a prior of its own."""
    from scipy.sparse import csr_matrix

    myfm = _myfm()
    settings = {
        "alpha_0": 1.0, "beta_0": 1.0, "gamma_0": 1.0, "mu_0": 0.0, "reg_0": 1.0, "fit_w0": True, "fit_linear": True,
        "n_iter": config.iterations, "n_kept_samples": 1, "group_index": _groups(config.kind, train),
        "task_type": myfm.TaskType.ORDERED if config.probit else myfm.TaskType.REGRESSION,
    }  # fmt: skip
    builder = myfm.ConfigBuilder()
    for name, value in settings.items():
        getattr(builder, f"set_{name}")(value)
    if config.probit:
        builder.set_cutpoint_groups([(len(targets.levels), list(range(len(train))))])
    pairs = ((train.users, keeper.users), (train.items, keeper.items))
    relations = [myfm.RelationBlock(codes.tolist(), x) for codes, x in pairs]
    nothing_else = csr_matrix((len(train), 0))
    myfm.create_train_fm(config.factors, 0.1, nothing_else, relations, targets.values, seed, builder.build(), keeper)


def _groups(kind: str, train: Ratings) -> list[int]:
    """Of every feature the number of its group."""
    users, items = train.n_users, train.n_items
    sizes = (users, items) if kind == "plain" else (users, items, items, users)
    return np.repeat(np.arange(len(sizes)), sizes).tolist()


def _myfm() -> Any:
    """The core of myfm: its estimators draw a progress bar of their own over cfbench's.

    The package asks `pkg_resources`, which setuptools ships no more, for two names that it never uses.
    """
    stand_in = ModuleType("pkg_resources")
    vars(stand_in).update(DistributionNotFound=None, get_distribution=None)
    known = sys.modules.setdefault("pkg_resources", stand_in)
    try:
        from myfm import _myfm
    finally:
        if known is stand_in:
            del sys.modules["pkg_resources"]
    return _myfm


PLUGIN = Plugin(
    title="Bayesian factorization machine by Gibbs sampling",
    paper="Freudenthaler, Schmidt-Thieme, Rendle, Bayesian Factorization Machines, NIPS workshop 2011",
    config=BayesConfig,
    build=Bayes,
    needs={"myfm": "cfbench-recsys[bayes]"},
    quick={"kind": "plain", "factors": 4, "iterations": 60, "burn_in": 20, "samples": 20},
)
