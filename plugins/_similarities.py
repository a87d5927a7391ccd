"""The similarities of a new user to the training users, which `knn` needs to fold in a user.

Surprise computes similarities only between training users. The formulas are those of `surprise.similarities`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from cfbench.ratings import Codes

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class CommonRatings:
    """c pairs of ratings that a new user and a training user give the same item."""

    new: Floats
    """(c,) ratings by the new user."""
    training: Floats
    """(c,) ratings by the training users."""
    users: Codes
    """(c,) the training users."""
    n_users: int
    """Number of training users."""

    def sums(self, values: Floats) -> Floats:
        """(n_users,) sums of `values` (c,) over the common ratings with each training user."""
        return np.bincount(self.users, values, minlength=self.n_users).astype(np.float64, copy=False)


def compute_similarities(
    name: Literal["msd", "cosine", "pearson", "pearson_baseline"],
    common: CommonRatings,
    min_support: int,
    shrinkage: float,
) -> Floats:
    """(n_users,) similarities of the new user to each training user; 0 where a similarity is undefined.

    It is also 0 with fewer than `min_support` common ratings. For `pearson_baseline` the ratings in `common` are minus
    their baseline estimates, and `shrinkage` pulls similarities with few common ratings towards 0.
    """
    counts = common.sums(np.ones_like(common.new))
    with np.errstate(divide="ignore", invalid="ignore"):
        if name == "msd":
            similarities = 1 / (common.sums((common.new - common.training) ** 2) / counts + 1)
        elif name == "cosine":
            similarities = _cosine(common)
        elif name == "pearson":
            similarities = _pearson(common, counts)
        else:
            similarities = _cosine(common) * ((counts - 1) / (counts - 1 + shrinkage))
            min_support = max(2, min_support)
    return np.where((counts >= min_support) & np.isfinite(similarities), similarities, 0.0)


def _cosine(common: CommonRatings) -> Floats:
    squares = common.sums(common.new**2) * common.sums(common.training**2)
    cosines: Floats = common.sums(common.new * common.training) / np.sqrt(squares)
    return cosines


def _pearson(common: CommonRatings, counts: Floats) -> Floats:
    new_sums, training_sums = common.sums(common.new), common.sums(common.training)
    covariances = counts * common.sums(common.new * common.training) - new_sums * training_sums
    new_variances = counts * common.sums(common.new**2) - new_sums**2
    training_variances = counts * common.sums(common.training**2) - training_sums**2
    correlations: Floats = covariances / np.sqrt(new_variances * training_variances)
    return correlations
