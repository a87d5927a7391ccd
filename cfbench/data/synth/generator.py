"""TWIN: planted ratings with the shape of the Netflix Prize's, at any scale.

At scale 1 there are as many users, movies, ratings, probe and qualifying pairs as in the real one. At scale s there are
s of the users and ratings, and the cube root of s of the movies, so that a user still rates some of many movies.

- How much a user rates and how often a movie is rated are log-normal: most little, a few very much.
- Users come more and more; each rates from the day they came, no movie before it came out, none after the last day.
- A rating is the mean, plus the user's and the movie's bias, plus how their tastes of `RANK` dimensions agree, plus
  noise, rounded to whole stars. A model that learns biases beats the mean, and one that learns tastes beats that one.

The same seed and scale give the same twin, with the same version of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener

USERS, MOVIES, RATINGS, PROBE, QUALIFYING = 480_189, 17_770, 100_480_507, 1_408_395, 2_817_131
"""Of the real one."""
LARGEST_ID = 2_649_429
FIRST_DAY, LAST_DAY = np.datetime64("1999-11-11"), np.datetime64("2005-12-31")
DAYS = int((LAST_DAY - FIRST_DAY).astype(int)) + 1
RANK = 8
SMALLEST = 0.0001
MEAN, USER_BIAS, MOVIE_BIAS, TASTE, NOISE = 3.66, 0.45, 0.45, 0.52, 0.85
"""The mean rating; and the standard deviations of what is added to it."""
_LATEST = 4  # the probe is drawn from so many latest ratings of each user
_POPULAR = 0.49  # of the users, at most, rate a movie


@dataclass(frozen=True, eq=False)
class SyntheticNetflix:
    """What was drawn. Ratings stand movie after movie, those of movie k (from 0) at `starts[k]` to `starts[k + 1]`.

    Shapes: `ids` (users,) int32, from 1 to 2,649,429 with gaps; `users` (n,) int32, rows of `ids`; `days` (n,) int16
    since 1999-11-11; `stars` (n,) uint8; `probe` (p,) int64, rows of ratings, ascending; `years` (movies,) int16, 0 for
    unknown. The withheld pairs are likewise in `withheld_starts`, `withheld_users` and `withheld_days`.
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
    """Raise `UsageError` when no twin can have that scale."""
    if not SMALLEST <= scale <= 1:
        raise UsageError(f"a twin has a scale from {SMALLEST} to 1, got {scale:g}; choose another with --scale")


def draw(scale: float, seed: int, listener: ProgressListener) -> SyntheticNetflix:
    """Draw a twin; about 800 MB at scale 1. Raises `UsageError` when the scale is not from 0.0001 to 1."""
    require_scale(scale)
    rng = np.random.default_rng([seed, round(scale * 1e9)])
    world = _World.draw(scale, rng)
    starts, withheld_starts = _starts(world.counts), _starts(world.withheld)
    users, days, stars = (np.empty(starts[-1], kind) for kind in (np.int32, np.int16, np.uint8))
    withheld_users, withheld_days = (np.empty(withheld_starts[-1], kind) for kind in (np.int32, np.int16))
    latest = _Latest(len(world.ids))
    for movie, (first, end) in enumerate(zip(starts.tolist(), starts[1:].tolist(), strict=False)):
        kept, hidden = world.rate(movie, rng)
        users[first:end], days[first:end], stars[first:end] = kept
        held = slice(withheld_starts[movie], withheld_starts[movie + 1])
        withheld_users[held], withheld_days[held], _ = hidden
        latest.see(*kept[:2])
        listener.progress("drawing ratings", end, len(users))
    probe = _probe(round(PROBE * scale), latest.day, users, days, rng)
    return SyntheticNetflix(
        world.ids, world.years, starts, users, days, stars, probe, withheld_starts, withheld_users, withheld_days
    )


@dataclass(eq=False)
class _World:
    """Users and movies before they meet."""

    ids: NDArray[np.int32]
    came: NDArray[np.float32]
    """(users,) when each came, as a part of all days."""
    activity: NDArray[np.float32]
    biases: NDArray[np.float32]
    tastes: NDArray[np.float32]
    """(users, RANK)."""
    urn: NDArray[np.int32]
    """Users, each as often as they are active: one drawn from it at random is an active one."""
    certain: NDArray[np.int32]
    """Users in the order of the movies that they certainly rate, so that each rates at least one."""
    certain_starts: NDArray[np.int64]
    years: NDArray[np.int16]
    released: NDArray[np.float32]
    counts: NDArray[np.int64]
    withheld: NDArray[np.int64]
    movie_biases: NDArray[np.float32]
    movie_tastes: NDArray[np.float32]

    @classmethod
    def draw(cls, scale: float, rng: np.random.Generator) -> _World:
        """Everything about each user and each movie."""
        n_users, n_movies = round(USERS * scale), round(MOVIES * scale ** (1 / 3))
        counts = _counts(round(RATINGS * scale), rng.normal(0, 2.1, n_movies), int(_POPULAR * n_users))
        withheld = _shares(round(QUALIFYING * scale), counts.astype(float))
        activity = np.exp(rng.normal(0, 1.35, n_users)).astype(np.float32)
        slots = (rng.random(1) + np.arange(n_users)) * counts.sum() / n_users
        years = (2005 - np.minimum(rng.exponential(13, n_movies), 109)).astype(np.int16)
        released = np.maximum(0, (years - 1999.86 + rng.random(n_movies)) / (DAYS / 365.25)).astype(np.float32)
        years[3::2540] = 0  # as rare as in the real one, and one in the smallest twin
        return cls(
            ids=(rng.permutation(LARGEST_ID)[:n_users] + 1).astype(np.int32),
            came=np.sqrt(rng.random(n_users, np.float32)) * np.float32(0.98),
            activity=activity,
            biases=rng.normal(0, USER_BIAS, n_users).astype(np.float32),
            tastes=rng.standard_normal((n_users, RANK), np.float32),
            urn=np.repeat(np.arange(n_users, dtype=np.int32), _shares(8 * n_users, activity.astype(float))),
            certain=rng.permutation(n_users).astype(np.int32),
            certain_starts=np.searchsorted(slots, _starts(counts)),
            years=years,
            released=np.minimum(released, 0.98),
            counts=counts,
            withheld=withheld,
            movie_biases=rng.normal(0, MOVIE_BIAS, n_movies).astype(np.float32),
            movie_tastes=(rng.standard_normal((n_movies, RANK)) * TASTE / np.sqrt(RANK)).astype(np.float32),
        )

    def rate(self, movie: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """The users, days and stars of a movie's ratings, in no order; and of those that are withheld."""
        count, withheld = int(self.counts[movie]), int(self.withheld[movie])
        users, n_certain = self._raters(movie, count + withheld, rng)
        first = np.maximum(self.came[users], self.released[movie])
        part = rng.random(len(users), np.float32) ** np.float32(1.4)  # more at the beginning
        days = ((first + part * (1 - first)) * DAYS).astype(np.int16)
        np.minimum(days, DAYS - 1, out=days)
        scores = self.tastes[users] @ self.movie_tastes[movie]
        scores += self.biases[users] + (MEAN + self.movie_biases[movie])
        scores += rng.standard_normal(len(users), np.float32) * np.float32(NOISE)
        stars = np.clip(np.rint(scores), 1, 5).astype(np.uint8)
        candidates = np.flatnonzero(part > 0.5)  # later ones are withheld, but none that a user is here for
        candidates = candidates[candidates >= n_certain]
        if len(candidates) < withheld:
            candidates = np.arange(n_certain, len(users))
        hidden = rng.permutation(candidates)[:withheld]
        is_kept = np.ones(len(users), np.bool_)
        is_kept[hidden] = False
        kept = rng.permutation(np.flatnonzero(is_kept))
        columns = users, days, stars
        return tuple(column[kept] for column in columns), tuple(column[hidden] for column in columns)

    def _raters(self, movie: int, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int32], int]:
        """(count,) different users: first those who are certain, then more active ones; and how many are certain."""
        certain = self.certain[self.certain_starts[movie] : self.certain_starts[movie + 1]]
        if count > len(self.ids) / 8:  # the urn would give the same ones again and again
            keys = rng.standard_exponential(len(self.ids), np.float32) / self.activity
            keys[certain] = -1
            chosen = np.argpartition(keys, count - 1)[:count].astype(np.int32)
            chosen.sort()
            is_certain = keys[chosen] < 0
            return np.concatenate([chosen[is_certain], chosen[~is_certain]]), len(certain)
        drawn = certain
        while len(drawn) < count:
            more = self.urn[rng.integers(0, len(self.urn), 2 * (count - len(drawn)) + 8)]
            drawn = self._distinct(np.concatenate([drawn, more]))
        return drawn[:count], len(certain)

    def _distinct(self, users: NDArray[np.int32]) -> NDArray[np.int32]:
        """The users in their order, each once."""
        places = np.arange(len(users), dtype=np.int32)
        first = np.empty(len(self.ids), np.int32)
        first[users[::-1]] = places[::-1]  # of equal users the last one written stays, which is the first in order
        distinct: NDArray[np.int32] = users[first[users] == places]
        return distinct


class _Latest:
    """The day of each user's fourth latest rating, −1 as long as there are fewer."""

    def __init__(self, n_users: int) -> None:
        self._days = np.full((n_users, _LATEST), -1, np.int16)  # latest first

    @property
    def day(self) -> NDArray[np.int16]:
        """(users,)."""
        return self._days[:, -1]

    def see(self, users: NDArray[np.int32], days: NDArray[np.int16]) -> None:
        """Take account of one rating each of different users."""
        later = days > self._days[users, -1]
        users, days = users[later], days[later]
        mine = np.concatenate([self._days[users], days[:, None]], axis=1)
        mine.sort(axis=1)
        self._days[users] = mine[:, :0:-1]


def _probe(
    count: int, latest: NDArray[np.int16], users: NDArray[np.int32], days: NDArray[np.int16], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(count,) rows, ascending, from the latest ratings of users."""
    step = 1 << 22
    slices = ((at, slice(at, at + step)) for at in range(0, len(users), step))
    candidates = np.concatenate([at + np.flatnonzero(days[part] >= latest[users[part]]) for at, part in slices])
    return np.sort(rng.permutation(candidates)[:count])


def _counts(total: int, logs: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Log-normal counts from 3 to `most` that add up to `total`: the factor is found by halving."""
    low, high = -50.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(np.exp(logs + middle), 3, most).sum() > total:
            high = middle
        else:
            low = middle
    return _shares(total, np.clip(np.exp(logs + low), 3, most))


def _shares(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers in proportion to the weights that add up to `total`."""
    ends = np.rint(np.cumsum(weights) / weights.sum() * total).astype(np.int64)
    ends[-1] = total
    shares: NDArray[np.int64] = np.diff(ends, prepend=0)
    return shares


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])
