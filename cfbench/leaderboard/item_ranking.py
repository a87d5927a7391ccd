"""How high a model places the test items that users liked, among all items that they could be recommended.

For each user with a liked test item, the model predicts every item of the data set, whether or not the training part
has ratings of it. The items that the user rated in the training or the validation part are left out. All others are
ranked by prediction, test items that the user disliked among them. Blocks of users keep the memory bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from cfbench.data.parts import TRAIN, VALID
from cfbench.metrics import LikedPlaces, ndcg, recall, reciprocal_rank
from cfbench.ratings import Pairs, blocks
from cfbench.runs.fitting import predict

if TYPE_CHECKING:
    from cfbench.contract import Predictor
    from cfbench.data.split import Split
    from cfbench.metrics import Counts
    from cfbench.ratings import Codes, Ratings, Scale, SparseRows
    from cfbench.runs.record import Record

LIKED_SHARE = 0.75
"""By default a user likes an item whose rating is at least this far up the scale: 4 of 1–5, 7.75 of 1–10."""
PAIRS_PER_BLOCK = 1_000_000
"""How many pairs are predicted at once."""


class ItemRanking(BaseModel):
    """How well a model ranks items: means over the users with a liked test item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ndcg: float
    recall: float
    mrr: float
    users: int
    """How many users have a liked test item."""
    left_out: int
    """How many users have test items, but none that they liked."""


@dataclass(frozen=True)
class RankingTask:
    """What is measured: nDCG and recall of the first `k` places, for ratings of at least `liked`."""

    k: int
    liked: float


@dataclass(frozen=True)
class ItemRankings:
    """What the item rankings of a leaderboard measure, and of which runs there are none."""

    task: RankingTask
    users: int
    """How many users have a liked test item."""
    left_out: int
    """How many users have test items, but none that they liked."""
    without_model: tuple[Record, ...]
    """The runs whose model is not stored."""
    faults: tuple[str, ...]
    """Why the models of other runs could not rank."""


def default_liked(scale: Scale) -> float:
    """Return the lowest rating that is at least `LIKED_SHARE` up the scale."""
    span = scale.high - scale.low
    if not scale.step:
        return scale.low + LIKED_SHARE * span
    return scale.low + ceil(LIKED_SHARE * span / scale.step - 1e-6) * scale.step


def measure(
    plugin: str, model: Predictor, ratings: Ratings, split: Split, task: RankingTask, *, block: int = PAIRS_PER_BLOCK
) -> ItemRanking | None:
    """Rank all items for each user with a liked test item; None if no user has one.

    At most `block` pairs are predicted at once, but at least those of one user. Raises what `predict` raises.
    """
    test = split.test(ratings)
    liked = test.take(test.ratings >= task.liked - 1e-6)
    users = np.unique(liked.users)
    if not len(users):
        return None
    liked_items = liked.rows("user")
    known_items = ratings.take((split.parts == TRAIN) | (split.parts == VALID)).rows("user")
    user_blocks = blocks(len(users), max(1, block // ratings.n_items))
    parts = [_place(plugin, model, users[rows], known_items, liked_items) for rows in user_blocks]
    above, tied = np.concatenate(parts, axis=1)
    counts = np.diff(liked_items.starts)[users]
    places = LikedPlaces(np.repeat(np.arange(len(users)), counts), above, tied)
    return ItemRanking(
        ndcg=float(ndcg(places, task.k).mean()),
        recall=float(recall(places, task.k).mean()),
        mrr=float(reciprocal_rank(places).mean()),
        users=len(users),
        left_out=len(np.unique(test.users)) - len(users),
    )


def _place(plugin: str, model: Predictor, users: Codes, known: SparseRows, liked: SparseRows) -> Counts:
    """(2, n) how many items are above each liked item of these users, and how many are tied with it."""
    n_items = known.n_columns
    pairs = Pairs(np.repeat(users, n_items), np.tile(np.arange(n_items, dtype=np.int32), len(users)))
    scores = predict(plugin, model, pairs).reshape(len(users), n_items)  # (users, items)
    places = []
    for user, row in zip(users.tolist(), scores, strict=True):
        candidates = np.delete(row, _columns(known, user))
        candidates.sort()
        targets = row[_columns(liked, user)]
        not_above = np.searchsorted(candidates, targets, side="right")
        places.append([len(candidates) - not_above, not_above - np.searchsorted(candidates, targets, side="left")])
    return np.concatenate(places, axis=1)


def _columns(rows: SparseRows, row: int) -> Codes:
    """The columns of one row."""
    return rows.columns[rows.starts[row] : rows.starts[row + 1]]
