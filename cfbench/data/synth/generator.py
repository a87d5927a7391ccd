"""Synthetic ratings with the shape of the Netflix Prize, at any scale.

At scale 1 there are as many users, movies, ratings, probe pairs and qualifying pairs as in the original. At scale s
there are s times as many users and ratings, and the cube root of s times as many movies, so that a user still rates a
small part of many movies.

- The number of ratings of a user and of a movie are log-normal: small for most, very large for a few.
- More and more users arrive over time. A user rates from the day of arrival to the last day, and no movie before its
  release.
- A rating is the mean, plus the biases of the user and the movie, plus the product of their tastes in `RANK`
  dimensions, plus noise, rounded to whole stars. So a model that learns biases beats the mean, and a model that learns
  tastes beats biases.

The same seed and scale give the same ratings, with the same version of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cfbench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener

USERS, MOVIES, RATINGS, PROBE, QUALIFYING = 480_189, 17_770, 100_480_507, 1_408_395, 2_817_131
"""The counts of the original."""
LARGEST_ID = 2_649_429
"""The largest CustomerID."""
FIRST_DAY, LAST_DAY = np.datetime64("1999-11-11"), np.datetime64("2005-12-31")
DAYS = int((LAST_DAY - FIRST_DAY).astype(int)) + 1
RANK = 8
SMALLEST_SCALE = 0.0001
MEAN, USER_BIAS, MOVIE_BIAS, TASTE, NOISE = 3.66, 0.45, 0.45, 0.52, 0.85
"""The mean rating, and the standard deviations of what is added to it."""
_LATEST = 4  # the probe is drawn from about this many latest ratings of each user
_MAX_POPULARITY = 0.49  # the largest part of the users that rates one movie


@dataclass(frozen=True, eq=False)
class SyntheticNetflix:
    """Synthetic ratings, ordered by movie: movie k (from 0) has the ratings `starts[k]` to `starts[k + 1]`.

    Shapes: `ids` (users,) int32, from 1 to 2,649,429 with gaps; `users` (n,) int32, indices of `ids`; `days` (n,) int16
    since 1999-11-11; `stars` (n,) uint8; `probe` (p,) int64, indices of ratings, ascending; `years` (movies,) int16, 0
    for unknown. The withheld pairs of the qualifying set are in `withheld_starts`, `withheld_users` and
    `withheld_days`, in the same form.
    """

    ids: NDArray[np.int32]
    years: NDArray[np.int16]
    starts: NDArray[np.int64]
    users: NDArray[np.int32]
    days: NDArray[np.int16]
    stars: NDArray[np.uint8]
    probe: NDArray[np.int64]
    withheld_starts: NDArray[np.int64]
    withheld_users: NDArray[np.int32]
    withheld_days: NDArray[np.int16]


def require_scale(scale: float) -> None:
    """Raise `UsageError` unless synthetic data can have that scale."""
    if not SMALLEST_SCALE <= scale <= 1:
        raise UsageError(
            f"synthetic data have a scale from {SMALLEST_SCALE} to 1, got {scale:g}; choose another with --scale"
        )


def draw_netflix(scale: float, seed: int, listener: ProgressListener) -> SyntheticNetflix:
    """Draw the ratings; they take about 800 MB at scale 1. Raises `UsageError` for a scale outside 0.0001 to 1."""
    require_scale(scale)
    rng = np.random.default_rng([seed, round(scale * 1e9)])
    population = _Population.draw(scale, rng)
    starts, withheld_starts = _to_starts(population.counts), _to_starts(population.withheld_counts)
    users, days, stars = (np.empty(starts[-1], kind) for kind in (np.int32, np.int16, np.uint8))
    withheld_users, withheld_days = (np.empty(withheld_starts[-1], kind) for kind in (np.int32, np.int16))
    latest = _LatestDays(len(population.ids))
    for movie, (first, end) in enumerate(pairwise(starts.tolist())):
        ratings, withheld = population.rate(movie, rng)
        users[first:end], days[first:end], stars[first:end] = ratings
        rows = slice(withheld_starts[movie], withheld_starts[movie + 1])
        withheld_users[rows], withheld_days[rows] = withheld.users, withheld.days
        latest.update(ratings.users, ratings.days)
        listener.progress("drawing ratings", end, len(users))
    probe = _draw_probe(round(PROBE * scale), latest.threshold, users, days, rng)
    return SyntheticNetflix(
        population.ids, population.years, starts, users, days, stars, probe,
        withheld_starts, withheld_users, withheld_days,
    )  # fmt: skip


class _MovieRatings(NamedTuple):
    """n ratings of one movie, in no order."""

    users: NDArray[np.int32]
    days: NDArray[np.int16]
    stars: NDArray[np.uint8]

    def take(self, rows: NDArray[np.int64]) -> _MovieRatings:
        return _MovieRatings(self.users[rows], self.days[rows], self.stars[rows])


@dataclass(eq=False)
class _Population:
    """The users and the movies, before any rating."""

    ids: NDArray[np.int32]
    arrivals: NDArray[np.float32]
    """(users,) the time of each user's arrival, from 0 (the first day) to 1 (the last day)."""
    activity: NDArray[np.float32]
    biases: NDArray[np.float32]
    tastes: NDArray[np.float32]
    """(users, RANK)."""
    urn: NDArray[np.int32]
    """Users, each repeated in proportion to the activity: a random element is more often an active user."""
    sure_users: NDArray[np.int32]
    """All users, ordered by the one movie that each of them surely rates, so that nobody is without a rating."""
    sure_starts: NDArray[np.int64]
    """(movies + 1,) where the sure users of each movie begin."""
    years: NDArray[np.int16]
    releases: NDArray[np.float32]
    """(movies,) the time of each movie's release, from 0 to 1."""
    counts: NDArray[np.int64]
    """(movies,) the number of ratings."""
    withheld_counts: NDArray[np.int64]
    """(movies,) the number of withheld ratings."""
    movie_biases: NDArray[np.float32]
    movie_tastes: NDArray[np.float32]
    """(movies, RANK)."""

    @classmethod
    def draw(cls, scale: float, rng: np.random.Generator) -> _Population:
        """Draw all users and movies. The order of the draws decides what a seed gives."""
        n_users, n_movies = round(USERS * scale), round(MOVIES * scale ** (1 / 3))
        counts = _log_normal_counts(
            round(RATINGS * scale), rng.normal(0, 2.1, n_movies), int(_MAX_POPULARITY * n_users)
        )
        withheld_counts = _divide(round(QUALIFYING * scale), counts.astype(float))
        activity = np.exp(rng.normal(0, 1.35, n_users)).astype(np.float32)
        slots = (rng.random(1) + np.arange(n_users)) * counts.sum() / n_users
        years = (2005 - np.minimum(rng.exponential(13, n_movies), 109)).astype(np.int16)
        releases = np.maximum(0, (years - 1999.86 + rng.random(n_movies)) / (DAYS / 365.25)).astype(np.float32)
        years[3::2540] = 0  # unknown years are as rare as in the original, and the smallest data have one
        return cls(
            ids=(rng.permutation(LARGEST_ID)[:n_users] + 1).astype(np.int32),
            arrivals=np.sqrt(rng.random(n_users, np.float32)) * np.float32(0.98),
            activity=activity,
            biases=rng.normal(0, USER_BIAS, n_users).astype(np.float32),
            tastes=rng.standard_normal((n_users, RANK), np.float32),
            urn=np.repeat(np.arange(n_users, dtype=np.int32), _divide(8 * n_users, activity.astype(float))),
            sure_users=rng.permutation(n_users).astype(np.int32),
            sure_starts=np.searchsorted(slots, _to_starts(counts)),
            years=years,
            releases=np.minimum(releases, 0.98),
            counts=counts,
            withheld_counts=withheld_counts,
            movie_biases=rng.normal(0, MOVIE_BIAS, n_movies).astype(np.float32),
            movie_tastes=(rng.standard_normal((n_movies, RANK)) * TASTE / np.sqrt(RANK)).astype(np.float32),
        )

    def rate(self, movie: int, rng: np.random.Generator) -> tuple[_MovieRatings, _MovieRatings]:
        """The ratings of a movie, and those of them that are withheld."""
        count, n_withheld = int(self.counts[movie]), int(self.withheld_counts[movie])
        users, n_sure = self._draw_users(movie, count + n_withheld, rng)
        possible_from = np.maximum(self.arrivals[users], self.releases[movie])
        delays = rng.random(len(users), np.float32) ** np.float32(1.4)  # more ratings early than late
        days = ((possible_from + delays * (1 - possible_from)) * DAYS).astype(np.int16)
        np.minimum(days, DAYS - 1, out=days)
        scores = self.tastes[users] @ self.movie_tastes[movie]
        scores += self.biases[users] + (MEAN + self.movie_biases[movie])
        scores += rng.standard_normal(len(users), np.float32) * np.float32(NOISE)
        ratings = _MovieRatings(users, days, np.clip(np.rint(scores), 1, 5).astype(np.uint8))
        withheld = self._draw_withheld(delays, n_sure, n_withheld, rng)
        is_withheld = np.zeros(len(users), np.bool_)
        is_withheld[withheld] = True
        others = rng.permutation(np.flatnonzero(~is_withheld))
        return ratings.take(others), ratings.take(withheld)

    @staticmethod
    def _draw_withheld(
        delays: NDArray[np.float32], n_sure: int, count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """(count,) rows of late ratings, or of any if those are too few; never a sure user's, the first `n_sure`."""
        candidates = np.flatnonzero(delays > 0.5)
        candidates = candidates[candidates >= n_sure]
        if len(candidates) < count:
            candidates = np.arange(n_sure, len(delays))
        return rng.permutation(candidates)[:count]

    def _draw_users(self, movie: int, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int32], int]:
        """(count,) different users: first the movie's sure users, then active ones; and the number of sure users."""
        sure = self.sure_users[self.sure_starts[movie] : self.sure_starts[movie + 1]]
        if count > len(self.ids) / 8:  # the urn would give the same users again and again
            keys = rng.standard_exponential(len(self.ids), np.float32) / self.activity
            keys[sure] = -1
            users = np.argpartition(keys, count - 1)[:count].astype(np.int32)
            users.sort()
            is_sure = keys[users] < 0
            return np.concatenate([users[is_sure], users[~is_sure]]), len(sure)
        users = sure
        while len(users) < count:
            more = self.urn[rng.integers(0, len(self.urn), 2 * (count - len(users)) + 8)]
            users = self._drop_repeats(np.concatenate([users, more]))
        return users[:count], len(sure)

    def _drop_repeats(self, users: NDArray[np.int32]) -> NDArray[np.int32]:
        """The users in their order, each once."""
        places = np.arange(len(users), dtype=np.int32)
        first = np.empty(len(self.ids), np.int32)
        first[users[::-1]] = places[::-1]  # the last write of a user stays, which is its first place
        distinct: NDArray[np.int32] = users[first[users] == places]
        return distinct


class _LatestDays:
    """The days of each user's four latest ratings, −1 where there are fewer."""

    def __init__(self, n_users: int) -> None:
        self._days = np.full((n_users, _LATEST), -1, np.int16)  # latest first

    @property
    def threshold(self) -> NDArray[np.int16]:
        """(users,) the day of each user's fourth latest rating."""
        return self._days[:, -1]

    def update(self, users: NDArray[np.int32], days: NDArray[np.int16]) -> None:
        """Add one rating of each of these users, who are all different."""
        is_later = days > self._days[users, -1]
        users, days = users[is_later], days[is_later]
        candidates = np.concatenate([self._days[users], days[:, None]], axis=1)
        candidates.sort(axis=1)
        self._days[users] = candidates[:, :0:-1]


def _draw_probe(
    count: int,
    threshold: NDArray[np.int16],
    users: NDArray[np.int32],
    days: NDArray[np.int16],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(count,) indices of ratings, ascending, drawn from the latest ratings of all users."""
    step = 1 << 22
    parts = []
    for start in range(0, len(users), step):
        rows = slice(start, start + step)
        parts.append(start + np.flatnonzero(days[rows] >= threshold[users[rows]]))
    return np.sort(rng.permutation(np.concatenate(parts))[:count])


def _log_normal_counts(total: int, logs: NDArray[np.float64], largest: int) -> NDArray[np.int64]:
    """Counts from 3 to `largest` that add up to `total` and are proportional to exp(`logs`), found by bisection."""
    low, high = -50.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(np.exp(logs + middle), 3, largest).sum() > total:
            high = middle
        else:
            low = middle
    return _divide(total, np.clip(np.exp(logs + low), 3, largest))


def _divide(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers in proportion to the weights that add up to `total`."""
    ends = np.rint(np.cumsum(weights) / weights.sum() * total).astype(np.int64)
    ends[-1] = total
    shares: NDArray[np.int64] = np.diff(ends, prepend=0)
    return shares


def _to_starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n + 1,) where each group begins, for groups of these sizes that follow each other; and the end."""
    return np.concatenate([[0], np.cumsum(counts)])
