"""Bayesian factorization machine, fitted by Gibbs sampling (myfm).

C. Freudenthaler, L. Schmidt-Thieme and S. Rendle, "Bayesian Factorization Machines", NIPS workshop, 2011; S. Rendle,
L. Zhang and Y. Koren, "On the Difficulty of Evaluating Baselines", arXiv:1905.01395, 2019. myfm does the sampling.

A rating is w₀ + Σ_j w_j x_j + Σ_{j<k} ⟨v_j, v_k⟩ x_j x_k over features x of the user and of the item. `plain` features
are the user and the item in one-hot encoding; with them the model is matrix factorization. `flipped` adds the implicit
sets of SVD++ for both sides, from the training part only: the items that the user rated and the users who rated the
item, scaled by 1/√size.

The sum splits into w₀ + a_u + b_i + ⟨A_u, B_i⟩, with A_u = Σ_j v_j x_j over the features of the user and
a_u = Σ_j w_j x_j + ½ (‖A_u‖² - Σ_j ‖v_j‖² x_j²); likewise b_i and B_i for the item. The plugin stores only these five
for each sample. A prediction is the mean over samples.
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
from cfbench.memory import require_memory
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from cfbench.ratings import Pairs, Ratings, Scores

BLOCK_SIZE = 50_000
"""Number of pairs predicted at once; their factors take some tens of megabytes."""
MAX_LEVELS = 20
"""Maximum number of different ratings for ordered probit, which learns a cut between each two neighbouring levels."""


RATING_BYTES = {"plain": 120, "flipped": 250}
"""Bytes of memory per rating in the lists and features of a fit; measured: 116 and 246."""
PROBIT_BYTES = 24
"""Bytes more per rating with ordered probit."""


class BayesConfig(Config):
    """Hyper-parameters of `bayes`."""

    kind: Annotated[Literal["plain", "flipped"], Tunable(choices=("plain", "flipped"))] = Field(
        "flipped",
        description="features: user and item only (plain), or also who rated what, as in SVD++ (flipped)",
    )
    factors: Annotated[PositiveInt, Tunable(4, 64, log=True)] = Field(16, description="number of factors per feature")
    probit: Annotated[bool, Tunable(choices=(False, True))] = Field(
        False, description=f"treat ratings as at most {MAX_LEVELS} ordered levels, not as numbers with Gaussian noise"
    )
    iterations: PositiveInt = Field(300, description="number of iterations of the Gibbs sampler")
    burn_in: int = Field(50, ge=0, description="number of first iterations that are not sampled")
    samples: PositiveInt = Field(
        100, description="number of samples, evenly spaced after the burn-in; the size of a stored run grows with them"
    )

    @field_validator("samples")
    @classmethod
    def _check_samples(cls, samples: int, info: ValidationInfo) -> int:
        after_burn_in = info.data.get("iterations", math.inf) - info.data.get("burn_in", 0)
        if samples > after_burn_in:
            raise ValueError(f"expected at most the {max(after_burn_in, 0)} iterations after the burn-in")
        return samples

    @property
    def sampled_iterations(self) -> frozenset[int]:
        """The iterations (from 0) at which a sample is taken; the last iteration is always one of them."""
        spaced = np.linspace(self.iterations - 1, self.burn_in, self.samples)
        return frozenset(np.rint(spaced).astype(int).tolist())


@dataclass(frozen=True)
class Posterior:
    """S samples, float32: w₀ (S,); a (S, users), A (S, users, r); b (S, items), B (S, items, r).

    With ordered probit also the levels (K,) and the cuts between them (S, K - 1); both are empty without it.
    """

    offsets: NDArray[np.float32]
    user_biases: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    cuts: NDArray[np.float32]
    levels: NDArray[np.float32]

    def predict(self, pairs: Pairs) -> NDArray[np.float64]:
        """(n,) mean over samples of the expected rating."""
        users, items = pairs.users, pairs.items
        total = np.zeros(len(pairs))
        for s, offset in enumerate(self.offsets):
            products = np.einsum("nr,nr->n", self.user_factors[s, users], self.item_factors[s, items])
            scores = offset + self.user_biases[s, users] + self.item_biases[s, items] + products
            total += self._expected_ratings(scores, s) if len(self.levels) else scores
        return total / len(self.offsets)

    def _expected_ratings(self, scores: NDArray[np.float32], s: int) -> NDArray[np.float64]:
        """(n,) Σ_k level_k P(rating = level_k), with P(rating ≤ level_k) = Φ(cut_k - score), for sample s."""
        from scipy.special import ndtr

        above = ndtr(scores[:, None].astype(np.float64) - self.cuts[s])  # (n, K - 1): P(rating > level_k)
        expected: NDArray[np.float64] = self.levels[0] + above @ np.diff(self.levels).astype(np.float64)
        return expected


class Bayes:
    """The posterior mean of a factorization machine."""

    _posterior: Posterior

    def __init__(self, config: BayesConfig) -> None:
        self._config = config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (it does not stop early)
        """Sample from the posterior; `valid` is not used. Raises `ConfigError` for `probit` with unsuitable ratings."""
        require_memory(
            fit_bytes(self._config, train),
            f"a fit with myfm ({len(train):,} ratings as lists, {self._config.samples} samples)",
            "use a smaller data set, --kind plain, fewer --samples or fewer --factors",
        )
        targets = make_levels(train) if self._config.probit else standardize(train)
        seed = int(context.rng("gibbs").integers(2**31))
        self._posterior = sample_posterior(self._config, train, targets, seed)

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) posterior means; in each sample, an unseen user or item is the average of the seen ones."""
        scores = np.zeros(len(pairs), np.float32)
        for rows in blocks(len(pairs), BLOCK_SIZE):
            scores[rows] = self._posterior.predict(pairs.take(rows))
        return scores

    def state(self) -> State:
        """The samples."""
        return vars(self._posterior)

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (the state is complete)
        """Restore the samples; this does not need myfm."""
        self._posterior = Posterior(**state)

    @property
    def parameters(self) -> int:
        """The number of parameters in one sample: w₀, the cuts, and w and v of each feature."""
        n_codes: int = self._posterior.user_biases.shape[1] + self._posterior.item_biases.shape[1]
        n_cuts: int = self._posterior.cuts.shape[1]
        n_features = n_codes if self._config.kind == "plain" else 2 * n_codes  # each code is also in implicit sets
        return 1 + n_cuts + n_features * (1 + self._config.factors)


def fit_bytes(config: BayesConfig, train: Ratings) -> int:
    """About how many bytes of memory a fit takes: the lists and features of the ratings, and the samples twice."""
    numbers_per_sample = (train.n_users + train.n_items) * (1 + config.factors)
    rating_bytes = RATING_BYTES[config.kind] + PROBIT_BYTES * config.probit
    return rating_bytes * len(train) + 2 * 4 * config.samples * numbers_per_sample


def build_features(train: Ratings, side: Literal["user", "item"], kind: str) -> csr_matrix:
    """(n, m) features of all users or all items: one-hot and, for `flipped`, the implicit set times 1/√size."""
    from scipy.sparse import csr_matrix, hstack, identity

    rows = train.rows(side)
    one_hot = identity(len(rows), format="csr")
    if kind == "plain":
        return csr_matrix(one_hot)
    sizes = np.diff(rows.starts)
    weights = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
    implicit_sets = csr_matrix((weights, rows.columns, rows.starts), (len(rows), rows.n_columns))
    return csr_matrix(hstack([one_hot, implicit_sets], format="csr"))


@dataclass(frozen=True)
class Targets:
    """The values (n,) that the machine is fitted to: (rating - mean) / spread, or with `levels` (K,) a level from 0."""

    values: NDArray[np.float64]
    mean: float = 0.0
    spread: float = 1.0
    levels: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def standardize(train: Ratings) -> Targets:
    """Targets with mean 0 and standard deviation 1, so that the priors suit any rating scale."""
    ratings = train.ratings.astype(np.float64)
    mean, spread = float(ratings.mean()), float(ratings.std()) or 1.0
    return Targets((ratings - mean) / spread, mean, spread)


def make_levels(train: Ratings) -> Targets:
    """Targets for ordered probit; raises `ConfigError` when there are too few or too many different ratings."""
    levels, values = np.unique(train.ratings, return_inverse=True)
    if not 2 <= len(levels) <= MAX_LEVELS:
        raise ConfigError(
            f"--probit: expected 2 to {MAX_LEVELS} different ratings in the training part, "
            f"found {len(levels)}; use --no-probit"
        )
    return Targets(values.astype(np.float64), levels=levels)


def sample_posterior(config: BayesConfig, train: Ratings, targets: Targets, seed: int) -> Posterior:
    """Run the Gibbs sampler of myfm with its default priors, and collect the samples."""
    from scipy.sparse import csr_matrix

    myfm = import_myfm()
    users, items = build_features(train, "user", config.kind), build_features(train, "item", config.kind)
    collector = SampleCollector(config.sampled_iterations, users, items)
    relations = [myfm.RelationBlock(train.users.tolist(), users), myfm.RelationBlock(train.items.tolist(), items)]
    no_other_features = csr_matrix((len(train), 0))
    settings = configure_myfm(myfm, config, train, n_levels=len(targets.levels))
    init_std = 0.1
    myfm.create_train_fm(
        config.factors, init_std, no_other_features, relations, targets.values, seed, settings, collector
    )  # fmt: skip
    return collector.posterior(train, targets)


def configure_myfm(myfm: Any, config: BayesConfig, train: Ratings, n_levels: int) -> Any:
    """Settings of the sampler. Each kind of feature is a group with its own prior."""
    n_users, n_items = train.n_users, train.n_items
    sizes = (n_users, n_items) if config.kind == "plain" else (n_users, n_items, n_items, n_users)
    builder = myfm.ConfigBuilder()
    builder.set_alpha_0(1.0)
    builder.set_beta_0(1.0)
    builder.set_gamma_0(1.0)
    builder.set_mu_0(0.0)
    builder.set_reg_0(1.0)
    builder.set_fit_w0(True)
    builder.set_fit_linear(True)
    builder.set_n_iter(config.iterations)
    builder.set_n_kept_samples(1)  # SampleCollector takes the samples
    builder.set_group_index(np.repeat(np.arange(len(sizes)), sizes).tolist())
    builder.set_task_type(myfm.TaskType.ORDERED if config.probit else myfm.TaskType.REGRESSION)
    if config.probit:
        builder.set_cutpoint_groups([(n_levels, list(range(len(train))))])
    return builder.build()


class SampleCollector:
    """The callback of myfm: it takes a sample at some iterations. `users` and `items` are features, each (n, m)."""

    def __init__(self, iterations: frozenset[int], users: csr_matrix, items: csr_matrix) -> None:
        self._iterations, self._users, self._items = iterations, users, items
        self._samples: list[tuple[Any, ...]] = []

    def __call__(self, iteration: int, machine: Any, hyper: Any, history: Any) -> bool:  # noqa: ARG002 (myfm's choice)
        """Take a sample if this is one of the iterations, counted from 0. myfm would stop if this returned True."""
        if iteration in self._iterations:
            w, v, n_user_features = np.asarray(machine.w), np.asarray(machine.V), self._users.shape[1]
            user_biases, user_factors = project(self._users, w[:n_user_features], v[:n_user_features])
            item_biases, item_factors = project(self._items, w[n_user_features:], v[n_user_features:])
            cuts = np.array(machine.cutpoints[0] if machine.cutpoints else ())
            self._samples.append((machine.w0, user_biases, user_factors, item_biases, item_factors, cuts))
        return False

    def posterior(self, train: Ratings, targets: Targets) -> Posterior:
        """All samples, in the unit of the ratings."""
        columns = [np.stack(column) for column in zip(*self._samples, strict=True)]
        offsets, user_biases, user_factors, item_biases, item_factors, cuts = columns
        for array in (user_biases, user_factors):
            _average_unseen(array, train.seen_users)
        for array in (item_biases, item_factors):
            _average_unseen(array, train.seen_items)
        spread = np.float32(targets.spread)
        offsets = (offsets * targets.spread + targets.mean).astype(np.float32)
        return Posterior(
            offsets, spread * user_biases, spread * user_factors, spread * item_biases, item_factors,
            cuts.astype(np.float32), targets.levels,
        )  # fmt: skip


def _average_unseen(samples: NDArray[np.float32], seen: NDArray[np.bool_]) -> None:
    """Replace unseen users or items in each sample by the average of the seen ones: prior draws would be noise."""
    samples[:, ~seen] = samples[:, seen].mean(1, keepdims=True)


def project(
    x: csr_matrix, w: NDArray[np.float64], v: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The a (n,) and A (n, r) of users or items, from their features x (n, m) and the weights w (m,) and v (m, r)."""
    factors = x @ v
    biases = x @ w + ((factors**2).sum(1) - x.power(2) @ (v**2).sum(1)) / 2
    return biases.astype(np.float32), factors.astype(np.float32)


def import_myfm() -> Any:
    """The compiled core of myfm, whose estimators would draw a second progress bar.

    The package imports two names from `pkg_resources` and never uses them. Recent versions of setuptools no longer ship
    `pkg_resources`, so a placeholder takes its place during the import.
    """
    placeholder = ModuleType("pkg_resources")
    vars(placeholder).update(DistributionNotFound=None, get_distribution=None)
    imported = sys.modules.setdefault("pkg_resources", placeholder)
    try:
        from myfm import _myfm
    finally:
        if imported is placeholder:
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
