"""SVD++: matrix factorization that also uses which items a user rated.

Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model", KDD 2008, equation 15:

    r̂(u, i) = μ + b_u + b_i + q_i · (p_u + |N(u)|^(-1/2) Σ_(j ∈ N(u)) y_j), where N(u) are the items that u rated
    Σ over the ratings of (r - r̂)² + λ_b (b_u² + b_i²) + λ_p |p_u|² + λ_q |q_i|² + λ_y Σ_(j ∈ N(u)) |y_j|²

Stochastic gradient descent over single ratings minimises the sum: the updates are those of surprise's SVD++
(`surprise-svdpp`), in a form that does not cost a user's ratings squared (`cfbench.learning.sgd_passes`). A popular
item's |y_j|² counts once for each rating of each user who rated it, so λ_y must be far smaller than the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.learning import biases
from cfbench.learning.lazy import sgd, sgd_passes
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cfbench.contract import Side
    from cfbench.learning.sgd import SGDModel
    from cfbench.learning.sgd_passes import Cells, Factors, Steps
    from cfbench.ratings import Codes, Pairs, Ratings, Scores


class SVDpp:
    """The parameters of SVD++, in units of `sgd.unit`; zeros for users and items without a training rating."""

    def __init__(self, config: SVDppConfig, train: Ratings, rng: np.random.Generator) -> None:
        self._config, self._train = config, train
        self._mean, self._unit = biases.mean(train), sgd.unit(train.scale)
        self._cells = make_cells(train, self._mean)
        self._factors = make_factors(train, rng, factors=config.factors, init_std=config.init_std)

    @property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """Biases and factors by name."""
        return self._factors._asdict()

    def learn(self, rng: np.random.Generator, rate: float) -> float:
        """One pass: users in random order, the ratings of a user by item code."""
        order = rng.permutation(np.flatnonzero(self._train.seen_users).astype(np.int32))
        steps = make_steps(self._config, rate)
        squares = sgd_passes.svdpp_pass(order, self._cells, self._factors, steps)
        return squares / max(1, len(self._train))

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) r̂."""
        scores = np.empty(len(pairs), np.float32)
        for rows in blocks(len(pairs), 2**18):
            users, items = pairs.users[rows], pairs.items[rows]
            on_top = self._factors.user_biases[users] + self._factors.item_biases[items]
            on_top += multiply(self._cells, self._factors, users, items)
            scores[rows] = self._mean + self._unit * on_top
        return scores

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions for a new user: the y_j and q_i stay, b_u and p_u minimise the sum over the user."""
        values = (ratings - self._mean) / self._unit
        on_top = fold_in(self._config, self._factors, self._factors.item_biases, (items, values, targets))
        scores: Scores = (self._mean + self._unit * on_top).astype(np.float32)
        return scores

    def embeddings(self, side: Side) -> NDArray[np.float32]:
        """(n, k) q_i, or p_u + |N(u)|^(-1/2) Σ y_j."""
        return self._factors.items.copy() if side == "item" else user_vectors(self._cells, self._factors)


def make_cells(train: Ratings, mean: float) -> Cells:
    """The training ratings by user, as what the model predicts on top of the mean."""
    rows = train.rows("user")
    targets = (rows.values - mean) / sgd.unit(train.scale)
    return sgd_passes.Cells(rows.starts, rows.columns, targets.astype(np.float32))


def make_factors(train: Ratings, rng: np.random.Generator, *, factors: int, init_std: float) -> Factors:
    """Biases of 0, and normal factors of users and items with a training rating."""

    def normal(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        values = rng.normal(0, init_std, (len(seen), factors)).astype(np.float32)
        values[~seen] = 0
        return values

    users, items = train.seen_users, train.seen_items
    user_biases, item_biases = np.zeros(len(users), np.float32), np.zeros(len(items), np.float32)
    return sgd_passes.Factors(user_biases, item_biases, normal(users), normal(items), normal(items))


def make_steps(config: SVDppConfig, rate: float) -> Steps:
    """Learning rates, times `rate`, and penalties."""
    rates = (rate * config.bias_lr, rate * config.lr, rate * config.implicit_lr)
    penalties = (config.bias_reg, config.user_reg, config.item_reg, config.implicit_reg)
    return sgd_passes.Steps(*map(np.float32, (*rates, *penalties)))


def multiply(cells: Cells, factors: Factors, users: Codes, items: Codes) -> NDArray[np.float32]:
    """(n,) q_i · (p_u + |N(u)|^(-1/2) Σ y_j)."""
    distinct, rows = np.unique(users, return_inverse=True)
    vectors = user_vectors(cells, factors, distinct)  # (users, k)
    products: NDArray[np.float32] = np.einsum("nk,nk->n", vectors[rows], factors.items[items])
    return products


def user_vectors(cells: Cells, factors: Factors, users: Codes | None = None) -> NDArray[np.float32]:
    """(n, k) p_u + |N(u)|^(-1/2) Σ y_j of these users, or of all."""
    if users is None:
        users = np.arange(len(factors.users), dtype=np.int32)
    vectors = factors.users[users]
    sgd_passes.add_implicit(users, cells.starts, cells.items, factors.implicit, vectors)
    return vectors


def fold_in(
    config: SVDppConfig, factors: Factors, item_biases: NDArray[np.float32], new_user: tuple[Codes, Scores, Codes]
) -> NDArray[np.float64]:
    """(n,) r̂ - μ of a new user's targets. `new_user`: rated items (m,), their values on top of μ (m,), targets (n,)."""
    items, values, targets = new_user
    z = factors.implicit[items].sum(0) / np.sqrt(len(items))  # (k,); the y_j of an item nobody rated is 0
    base = item_biases + factors.items @ z  # (n_items,)
    p, bias = sgd.solve_user(
        factors.items[items], values - base[items], user_reg=config.user_reg, bias_reg=config.bias_reg
    )
    on_top: NDArray[np.float64] = base[targets] + bias + factors.items[targets] @ p
    return on_top


class SVDppConfig(Config):
    """Hyper-parameters of `svdpp`; errors and penalties count in quarters of the scale, on five stars in stars."""

    factors: Annotated[PositiveInt, Tunable(10, 200, log=True)] = Field(
        50, description="number of factors: length of p_u, q_i and y_j"
    )
    epochs: PositiveInt = Field(40, description="highest number of passes over the training ratings")
    patience: int = Field(3, ge=0, description="stop after this many epochs without a better validation; 0: never")
    lr: Annotated[float, Tunable(2e-3, 0.1, log=True)] = Field(0.02, gt=0, description="learning rate of p_u and q_i")
    implicit_lr: Annotated[float, Tunable(5e-4, 0.1, log=True)] = Field(0.01, ge=0, description="learning rate of y_j")
    bias_lr: Annotated[float, Tunable(1e-3, 0.1, log=True)] = Field(
        0.005, gt=0, description="learning rate of the biases"
    )
    decay: Annotated[float, Tunable(0.8, 1)] = Field(
        0.9, gt=0, le=1, description="factor by which all learning rates change after each epoch"
    )
    bias_reg: Annotated[float, Tunable(1e-3, 0.2, log=True)] = Field(0.02, ge=0, description="λ_b, of the biases")
    user_reg: Annotated[float, Tunable(5e-3, 0.3, log=True)] = Field(0.05, ge=0, description="λ_p, of user factors")
    item_reg: Annotated[float, Tunable(5e-3, 0.3, log=True)] = Field(0.05, ge=0, description="λ_q, of item factors")
    implicit_reg: Annotated[float, Tunable(1e-6, 1e-2, log=True)] = Field(
        1e-4, ge=0, description="λ_y, of implicit factors; surprise has one λ for all, far too strong for y_j"
    )
    init_std: float = Field(0.05, ge=0, description="standard deviation of the initial factors")


def build(config: SVDppConfig) -> SGDModel:
    """The model of equation 15."""

    def create(train: Ratings, rng: np.random.Generator) -> SVDpp:
        return SVDpp(config, train, rng)

    return sgd.SGDModel(create, epochs=config.epochs, patience=config.patience, decay=config.decay)


PLUGIN = Plugin(
    title="SVD++: matrix factorization with implicit feedback, by SGD",
    paper="Koren, Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model, KDD 2008",
    config=SVDppConfig,
    build=build,
    fixed_epochs=True,
    quick={"factors": 5, "epochs": 60, "lr": 0.03, "bias_lr": 0.03, "implicit_lr": 0.03, "decay": 0.98},
)
