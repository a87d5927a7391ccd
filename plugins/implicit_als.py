"""Implicit ALS: factors of who rated what, and a ridge regression to ratings.

Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, learn vectors q_i
from which pairs have a rating, whatever its value; the library `implicit` computes them. The q_i stay fixed then, and
the vector w_u of each user is a ridge regression on the user's ratings minus the biases:

    r̂(u, i) = μ + b_u + b_i + q_i·w_u,    w_u = argmin_w Σ_i (r - μ - b_u - b_i - q_i·w)² + ridge |w|²

Which items users choose to rate says much about what they like. Only pairs of the training part are used.

The factorisation determines the q_i only up to a linear change of coordinates, but the ridge penalty depends on the
coordinates. Here q_i·q_j is proportional to the agreement of items i and j in the fitted preferences, Σ_u p̂_ui p̂_uj,
and the mean of |q_i|² is the number of factors, so that `ridge` means the same on every data set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cfbench.contract import Config, Context, Plugin, Side, State, Tunable
from cfbench.learning import biases
from cfbench.ratings import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Pairs, Ratings, Scores


class ImplicitALSConfig(Config):
    """Hyper-parameters of `implicit-als`."""

    factors: Annotated[int, Tunable(8, 256, log=True)] = Field(
        64, ge=1, description="number of factors k: length of q_i and w_u"
    )
    alpha: Annotated[float, Tunable(1, 100, log=True)] = Field(
        10.0, gt=0, description="weight of a pair with a rating in the factorisation; a pair without one has weight 1"
    )
    reg: Annotated[float, Tunable(1e-3, 100, log=True)] = Field(
        40.0, gt=0, description="strength of the L2 penalty on the factors in the factorisation"
    )
    sweeps: int = Field(15, ge=1, description="number of alternations between users and items")
    ridge: Annotated[float, Tunable(1, 1e4, log=True)] = Field(
        100.0, gt=0, description="strength of the L2 penalty on w_u in the ridge regression of each user"
    )


class ImplicitALS:
    """Biases, q_i and w_u. An item without a training rating has q_i = 0, and such a user has w_u = 0."""

    def __init__(self, config: ImplicitALSConfig) -> None:
        self._config = config

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:  # noqa: ARG002 (it does not stop early)
        """Factorise who rated what, then solve a ridge regression per user; `valid` is not used."""
        self._biases = biases.fit(train)
        self._items = self._fit_items(train, context)
        self._users = self._fit_users(train)

    def _fit_items(self, train: Ratings, context: Context) -> NDArray[np.float32]:
        """(n_items, k) q_i. They do not depend on the number of threads, because each row is solved by one thread."""
        import torch
        from implicit.cpu.als import AlternatingLeastSquares
        from scipy.sparse import csr_matrix
        from threadpoolctl import threadpool_limits

        rows, config = train.rows("user"), self._config
        ones = np.ones(len(train), np.float32)
        rated = csr_matrix((ones, rows.columns, rows.starts), shape=(len(rows), rows.n_columns))
        with threadpool_limits(1, "blas"):  # BLAS threads inside the threads of implicit are slow; it warns of them
            model = AlternatingLeastSquares(
                factors=config.factors, alpha=config.alpha, regularization=config.reg, iterations=config.sweeps,
                num_threads=torch.get_num_threads(), random_state=context.rng("implicit"),
            )  # fmt: skip
            model.fit(rated, show_progress=False)
        return balance_items(model.user_factors, model.item_factors)

    def _fit_users(self, train: Ratings) -> NDArray[np.float32]:
        """(n_users, k) w_u."""
        import torch

        from cfbench.learning.ridge import Regressions

        residuals = replace(train, ratings=train.ratings - self._biases.predict(train.pairs))
        penalty = torch.full((self._config.factors,), self._config.ridge)
        items = torch.from_numpy(self._items)
        regressions = Regressions(residuals.rows("user"), "cpu")
        solutions, _ = regressions.solve(items, torch.zeros(len(items)), penalty, 0.0)
        users: NDArray[np.float32] = solutions.numpy()
        return users

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) r̂; for an unseen user or item, only the biases."""
        scores = self._biases.predict(pairs)
        for rows in blocks(len(pairs), 2**16):
            users, items = self._users[pairs.users[rows]], self._items[pairs.items[rows]]  # (b, k), (b, k)
            scores[rows] += np.einsum("bk,bk->b", users, items)
        return scores

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions of `targets` for a new user, whose bias and w_u are computed as those of a training user."""
        from cfbench.learning.ridge import solve_one

        residuals = ratings - self._biases.fold_in(items, ratings, items)
        w = solve_one(self._items[items], residuals, self._config.ridge)  # (k,)
        baselines = self._biases.fold_in(items, ratings, targets)
        scores: Scores = (baselines + self._items[targets] @ w).astype(np.float32)
        return scores

    def embeddings(self, side: Side) -> NDArray[np.float32]:
        """(n, k) w_u or q_i."""
        return (self._users if side == "user" else self._items).copy()

    def state(self) -> State:
        """w_u and q_i; `restore` computes the biases from the training ratings."""
        return {"users": self._users, "items": self._items}

    def restore(self, state: State, train: Ratings, context: Context) -> None:  # noqa: ARG002 (it uses the CPU only)
        """Restore w_u and q_i, and compute the biases."""
        self._biases = biases.fit(train)
        self._users, self._items = state["users"], state["items"]

    @property
    def parameters(self) -> int:
        """The mean, the biases and the factors."""
        return 1 + self._biases.users.size + self._biases.items.size + self._users.size + self._items.size


def balance_items(users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n_items, k) Q (XᵀX)^½ divided by its root mean square, from the factors X (n_users, k) and Q (n_items, k).

    The inner products of its rows are proportional to Q XᵀX Qᵀ, whatever the coordinates of X and Q.
    """
    x, q = users.astype(np.float64), items.astype(np.float64)
    values, vectors = np.linalg.eigh(x.T @ x)
    q = q @ (vectors * np.sqrt(values.clip(0))) @ vectors.T
    size = np.sqrt(np.mean(q**2))
    balanced: NDArray[np.float32] = (q / size if size else q).astype(np.float32)
    return balanced


PLUGIN = Plugin(
    title="implicit ALS with a ridge regression to ratings",
    paper="Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008",
    config=ImplicitALSConfig,
    build=ImplicitALS,
    quick={"factors": 8, "ridge": 2.0},
)
