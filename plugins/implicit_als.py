"""Who rated what, factorised, and ratings read out of it: implicit ALS with a ridge regression for each user.

Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, learns vectors q_i
from which pairs have a rating, whatever its value (the library `implicit` computes them). With these held fixed, every
user's taste w_u is a ridge regression on what the biases leave of their ratings:

    r̂(u, i) = μ + b_u + b_i + q_i·w_u,    w_u = argmin Σ_i (r - μ - b_u - b_i - q_i·w)² + ridge |w|²

That people choose what they rate says much of what they like. Only pairs of the training part enter.

The factorisation leaves open in which coordinates q_i is written, and the ridge is not indifferent to them. They are
those in which q_i·q_j is the agreement of items i and j in the fitted preferences, Σ_u p̂_ui p̂_uj, up to one number for
all: the mean of |q_i|² is k, so that `ridge` means the same on any data set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cfbench.contract import Config, Context, Plugin, State, Tunable
from cfbench.learning import biases
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Pairs, Ratings, Scores


class ImplicitALSConfig(Config):
    """Hyper-parameters of `implicit-als`."""

    factors: Annotated[int, Tunable(8, 256, log=True)] = Field(64, ge=1, description="length of q_i")
    alpha: Annotated[float, Tunable(1, 100, log=True)] = Field(
        10.0, gt=0, description="confidence that a rated pair is a one; that any other is a zero has confidence 1"
    )
    reg: Annotated[float, Tunable(1e-3, 100, log=True)] = Field(
        40.0, gt=0, description="regularisation of the factorisation"
    )
    sweeps: int = Field(15, ge=1, description="alternations between users and items")
    ridge: Annotated[float, Tunable(1, 1e4, log=True)] = Field(
        100.0, gt=0, description="regularisation of a user's ridge regression"
    )


class ImplicitALS:
    """Biases, and q_i and w_u: zeros for an item or user without a training rating."""

    def __init__(self, config: ImplicitALSConfig) -> None:
        self._config = config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (nothing to stop early)
        """Factorise who rated what, then regress in closed form; validation ratings are not used."""
        self._biases = biases.fit(train)
        self._items = self._factorise(train, context)
        self._users = self._read_out(train)

    def _factorise(self, train: Ratings, context: Context) -> NDArray[np.float32]:
        """(n_items, k) the items' vectors; the same for any number of threads, as a thread solves whole rows."""
        import torch
        from implicit.cpu.als import AlternatingLeastSquares
        from scipy.sparse import csr_matrix
        from threadpoolctl import threadpool_limits

        rows, config = train.rows("user"), self._config
        rated = csr_matrix(
            (np.ones(len(train), np.float32), rows.columns, rows.starts), shape=(len(rows), rows.n_columns)
        )
        with threadpool_limits(1, "blas"):  # a pool in each of its threads slows implicit down; it warns of that
            model = AlternatingLeastSquares(
                factors=config.factors, alpha=config.alpha, regularization=config.reg, iterations=config.sweeps,
                num_threads=torch.get_num_threads(), random_state=context.rng("implicit"),
            )  # fmt: skip
            model.fit(rated, show_progress=False)
        return _balanced(model.user_factors, model.item_factors)

    def _read_out(self, train: Ratings) -> NDArray[np.float32]:
        """(n_users, k) the users' regressions."""
        import torch

        from cfbench.learning.ridge import Regressions

        left = replace(train, ratings=train.ratings - self._biases.predict(train.pairs))
        penalty = torch.full((self._config.factors,), self._config.ridge)
        features = torch.from_numpy(self._items)
        solutions, _ = Regressions(left.rows("user"), "cpu").solve(features, torch.zeros(len(features)), penalty, 0.0)
        users: NDArray[np.float32] = solutions.numpy()
        return users

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) r̂; for an unseen user or item, the biases."""
        users, items = pairs.users, pairs.items
        scores = self._biases.predict(pairs)
        for rows in blocks(len(users), 2**16):
            scores[rows] += np.einsum("nk,nk->n", self._users[users[rows]], self._items[items[rows]])
        return scores

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes) -> Scores:
        """(n,) predictions of `asked` for a new user: their bias, and a ridge regression like any other's."""
        from cfbench.learning.ridge import solve_one

        at_items, at_asked = (self._biases.fold_in(items, ratings, codes) for codes in (items, asked))
        w = solve_one(self._items[items], ratings - at_items, self._config.ridge)
        scores: Scores = (at_asked + self._items[asked] @ w).astype(np.float32)
        return scores

    def state(self) -> State:
        """Both sides' factors; the biases follow from the training ratings."""
        return {"users": self._users, "items": self._items}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (computes on the CPU)
        """Take them back."""
        self._biases = biases.fit(train)
        self._users, self._items = state["users"], state["items"]

    @property
    def parameters(self) -> int:
        """The mean, biases and factors."""
        return 1 + sum(a.size for a in (self._biases.users, self._biases.items, self._users, self._items))


def _balanced(users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n_items, k) Q (XᵀX)^½ in units of its root mean square, from X (n_users, k) and Q (n_items, k)."""
    x, q = users.astype(np.float64), items.astype(np.float64)
    values, vectors = np.linalg.eigh(x.T @ x)
    q = q @ (vectors * np.sqrt(values.clip(0))) @ vectors.T
    size = np.sqrt(np.mean(q**2))
    balanced: NDArray[np.float32] = (q / size if size else q).astype(np.float32)
    return balanced


PLUGIN = Plugin(
    title="implicit ALS with a ridge readout of ratings",
    paper="Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008",
    config=ImplicitALSConfig,
    build=ImplicitALS,
    quick={"factors": 8, "ridge": 2.0},
)
