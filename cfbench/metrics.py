"""How far predictions are from ratings, and how high a model places the items that users like.

The measures of places are expectations over the orders of items with equal predictions, each order as likely as any
other (F. McSherry and M. Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
Tied Scores", ECIR 2008). So a model that predicts one number for all items has the score of chance, not of luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.ratings import Scores

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]


def rmse(predictions: Scores, ratings: Scores) -> float:
    """Root mean squared error `√(Σ (p - r)² / n)` over all ratings, in float64; NaN without ratings.

    >>> rmse(np.float32([3, 4]), np.float32([4, 2])) == ((1 + 4) / 2) ** 0.5
    True
    """
    return float(np.sqrt(np.mean(_errors(predictions, ratings) ** 2))) if len(ratings) else float("nan")


def mae(predictions: Scores, ratings: Scores) -> float:
    """Mean absolute error `Σ |p - r| / n` over all ratings, in float64; NaN without ratings.

    >>> mae(np.float32([3, 4]), np.float32([4, 2]))
    1.5
    """
    return float(np.mean(np.abs(_errors(predictions, ratings)))) if len(ratings) else float("nan")


def _errors(predictions: Scores, ratings: Scores) -> NDArray[np.float64]:
    return predictions.astype(np.float64) - ratings.astype(np.float64)


@dataclass(frozen=True, eq=False)
class LikedPlaces:
    """Where a model places the items that users like, among all items that it ranks for each user.

    Shapes: `users` (n,) which of the users, 0, 1, …, likes the item; each user has at least one. `above` (n,) the
    number of items with a higher prediction; `tied` (n,) the number with the same prediction, the item itself included:
    so the item has one of the places above + 1 to above + tied.
    """

    users: Counts
    above: Counts
    tied: Counts

    @cached_property
    def liked(self) -> Counts:
        """(users,) how many items each user likes."""
        return np.bincount(self.users)

    def sum_by_user(self, values: Floats) -> Floats:
        """(users,) the sums of one value for each liked item."""
        return np.bincount(self.users, values).astype(np.float64)


def ndcg(places: LikedPlaces, k: int) -> Floats:
    """(users,) the normalised discounted cumulative gain of the first k places, for items that are liked or not.

    DCG@k = Σ 1 / log2(place + 1) over the liked items in the first k places, divided by its largest possible value (K.
    Järvelin and J. Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS 2002).

    >>> ndcg(LikedPlaces(np.array([0]), above=np.array([1]), tied=np.array([1])), k=10) * np.log2(3)
    array([1.])
    """
    gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])  # (k + 1,) of the first places
    last = places.above + places.tied
    expected = (gains[np.minimum(last, k)] - gains[np.minimum(places.above, k)]) / places.tied
    shares: Floats = places.sum_by_user(expected) / gains[np.minimum(places.liked, k)]
    return shares


def recall(places: LikedPlaces, k: int) -> Floats:
    """(users,) the share of a user's liked items that are in the first k places.

    It is measured over all items, as by P. Cremonesi, Y. Koren and R. Turrin, "Performance of Recommender Algorithms on
    Top-N Recommendation Tasks", RecSys 2010, not over a sample of them.

    >>> recall(LikedPlaces(np.array([0, 0]), above=np.array([0, 9]), tied=np.array([1, 2])), k=10)
    array([0.75])
    """
    last = places.above + places.tied
    inside = (np.minimum(last, k) - np.minimum(places.above, k)) / places.tied
    return places.sum_by_user(inside) / places.liked


def reciprocal_rank(places: LikedPlaces) -> Floats:
    """(users,) 1 / the place of the first liked item; its mean over users is the MRR.

    E. Voorhees, "The TREC-8 Question Answering Track Report", TREC 1999.

    >>> reciprocal_rank(LikedPlaces(np.array([0, 0]), above=np.array([3, 7]), tied=np.array([1, 1])))
    array([0.25])
    """
    first = np.full(len(places.liked), np.iinfo(np.int64).max)
    np.minimum.at(first, places.users, places.above)
    is_first = places.above == first[places.users]
    ties = np.zeros(len(first), np.int64)
    ties[places.users[is_first]] = places.tied[is_first]
    liked_in_tie = np.bincount(places.users[is_first], minlength=len(first))
    ranks = zip(first.tolist(), ties.tolist(), liked_in_tie.tolist(), strict=True)
    return np.array([_expected_reciprocal(*rank) for rank in ranks])


def _expected_reciprocal(above: int, tied: int, liked: int) -> float:
    """The expectation of 1 / (above + X), where X is the first of `liked` places drawn from 1 to `tied`."""
    if tied == 1:
        return 1 / (above + 1)
    x = np.arange(1, tied - liked + 2)  # P(X = x + 1) / P(X = x) = (tied - x - liked + 1) / (tied - x)
    ratios = (tied - x[:-1] - liked + 1) / (tied - x[:-1])
    probabilities = liked / tied * np.concatenate([[1.0], np.cumprod(ratios)])
    return float((probabilities / (above + x)).sum())
