"""One pass of stochastic gradient descent over the training ratings of SVD++ and timeSVD++, compiled by Numba.

A rating changes the factors y_j of all items j that its user rated. Done literally, a user with n ratings costs n²
updates. But all these y_j change alike: each rating multiplies them by the same number and adds the same vector. So
the pass keeps both while it goes through the ratings of a user, and changes the y_j once at the end. The result is the
one of the literal updates, and a user costs n.

Numba compiles a function at its first call, in about a second. The updates depend on each other, so NumPy and torch
cannot compute them many at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cfbench.ratings import Codes

F = TypeVar("F", bound="Callable[..., Any]")
Floats: TypeAlias = NDArray[np.float32]


def compiled(function: F) -> F:
    """Compile a function when it is called for the first time."""
    try:
        return cast("F", numba.njit(function, cache=True, nogil=True))
    except RuntimeError:  # no folder for the cache can be written
        return cast("F", numba.njit(function, nogil=True))


class Cells(NamedTuple):
    """The training ratings by user: user u has the cells `starts[u]` to `starts[u + 1]`."""

    starts: NDArray[np.int64]
    items: Codes
    targets: Floats
    """(cells,) what the model predicts on top of the mean."""


class Factors(NamedTuple):
    """The parameters of SVD++, changed in place."""

    user_biases: Floats
    item_biases: Floats
    users: Floats
    """(n_users, k) p_u."""
    items: Floats
    """(n_items, k) q_i."""
    implicit: Floats
    """(n_items, k) y_j."""


class Steps(NamedTuple):
    """Learning rates and L2 penalties, as float32."""

    bias_lr: np.float32
    lr: np.float32
    implicit_lr: np.float32
    bias_reg: np.float32
    user_reg: np.float32
    item_reg: np.float32
    implicit_reg: np.float32


class Dates(NamedTuple):
    """The dates of the training ratings, in the order of the cells."""

    deviations: Floats
    """(cells,) dev_u(t)."""
    days: Codes
    """(cells,) the day, counted over the days of all users: days of two users are two days."""
    bins: Codes
    """(cells,) the item's time bin."""


class DateFactors(NamedTuple):
    """The parameters that timeSVD++ has beside those of SVD++, changed in place."""

    user_slopes: Floats
    """(n_users,) a_u."""
    factor_slopes: Floats
    """(n_users, k) a_uk; (n_users, 0) if factors do not drift."""
    day_biases: Floats
    """(days,) b_u,t."""
    bin_biases: Floats
    """(n_items, bins) b_i,Bin(t)."""
    user_scales: Floats
    """(n_users,) c_u - 1."""
    day_scales: Floats
    """(days,) c_u,t."""


class DateSteps(NamedTuple):
    """Learning rate and L2 penalties of these parameters, as float32."""

    lr: np.float32
    factor_lr: np.float32
    slope_reg: np.float32
    factor_reg: np.float32
    day_reg: np.float32
    bin_reg: np.float32
    scale_reg: np.float32


class Place(NamedTuple):
    """Where the parameters of one rating are: the user, the item, the user's day, the item's bin; and dev_u(t)."""

    user: int
    item: int
    day: int
    bin: int
    deviation: np.float32


@compiled
def add_implicit(users: Codes, starts: NDArray[np.int64], items: Codes, implicit: Floats, sums: Floats) -> None:
    """Add |N(u)|^(-1/2) Σ_(j ∈ N(u)) y_j of each user (n,) to the rows of `sums` (n, k)."""
    for row in range(len(users)):
        start, end = starts[users[row]], starts[users[row] + 1]
        if end > start:
            root = np.float32(1 / np.sqrt(end - start))
            for cell in range(start, end):
                for f in range(sums.shape[1]):
                    sums[row, f] += root * implicit[items[cell], f]


@compiled
def svdpp_pass(order: Codes, cells: Cells, factors: Factors, steps: Steps) -> float:
    """Learn from the ratings of the users in this order; return the sum of the squared errors before each update."""
    squares, z = 0.0, np.empty((1, factors.users.shape[1]), np.float32)
    for row in range(len(order)):
        user, start, end = order[row], cells.starts[order[row]], cells.starts[order[row] + 1]
        z[:] = 0
        add_implicit(order[row : row + 1], cells.starts, cells.items, factors.implicit, z)
        before = z[0].copy()
        for cell in range(start, end):
            item = cells.items[cell]
            error = cells.targets[cell] - factors.user_biases[user] - factors.item_biases[item]
            error -= product(factors, user, item, z[0])
            squares += error * error
            move(factors.user_biases, user, error, steps.bias_lr, steps.bias_reg)
            move(factors.item_biases, item, error, steps.bias_lr, steps.bias_reg)
            step(factors, user, item, error, steps, z[0], z[0])
        change_implicit(factors.implicit, cells.items[start:end], steps, before, z[0])
    return squares


@compiled
def product(factors: Factors, user: int, item: int, on_top: Floats) -> np.float32:
    """q_i · (p_u + on_top), where `on_top` (k,) holds the user's sum over the y_j."""
    p, q, total = factors.users[user], factors.items[item], np.float32(0)
    for f in range(len(on_top)):
        total += q[f] * (p[f] + on_top[f])
    return total


@compiled
def step(factors: Factors, user: int, item: int, error: np.float32, steps: Steps, on_top: Floats, z: Floats) -> None:
    """Change p_u, q_i and z by the gradient of one rating.

    z (k,), the user's sum over the y_j, changes as the y_j would. `on_top` (k,) is z, or z plus the user's drift.
    """
    shrink = np.float32(1) - steps.implicit_lr * steps.implicit_reg
    p, q = factors.users[user], factors.items[item]
    for f in range(len(z)):
        p_f, q_f = p[f], q[f]
        p[f] = p_f + steps.lr * (error * q_f - steps.user_reg * p_f)
        q[f] = q_f + steps.lr * (error * (p_f + on_top[f]) - steps.item_reg * q_f)
        z[f] = shrink * z[f] + steps.implicit_lr * error * q_f


@compiled
def change_implicit(implicit: Floats, items: Codes, steps: Steps, before: Floats, after: Floats) -> None:
    """Change the y_j of a user's items so that their sum z (k,) changes from `before` to `after`."""
    n = len(items)
    shrink = np.float32((np.float32(1) - steps.implicit_lr * steps.implicit_reg) ** n)
    root = np.float32(1 / np.sqrt(max(n, 1)))
    for cell in range(n):
        y = implicit[items[cell]]
        for f in range(len(y)):
            y[f] = shrink * y[f] + root * (after[f] - shrink * before[f])


@compiled
def timesvdpp_pass(
    order: Codes, cells: Cells, dates: Dates, factors: Factors, date_factors: DateFactors, steps: Steps,
    date_steps: DateSteps,
) -> float:  # fmt: skip
    """As `svdpp_pass`, for timeSVD++."""
    k, slopes = factors.users.shape[1], date_factors.factor_slopes
    squares, z, on_top = 0.0, np.empty((1, k), np.float32), np.empty(k, np.float32)
    for row in range(len(order)):
        user, start, end = order[row], cells.starts[order[row]], cells.starts[order[row] + 1]
        z[:] = 0
        add_implicit(order[row : row + 1], cells.starts, cells.items, factors.implicit, z)
        before = z[0].copy()
        for cell in range(start, end):
            place = Place(user, cells.items[cell], dates.days[cell], dates.bins[cell], dates.deviations[cell])
            on_top[:] = z[0]
            for f in range(slopes.shape[1]):
                on_top[f] += slopes[user, f] * place.deviation
            error = cells.targets[cell] - dated_bias(place, factors, date_factors)
            error -= product(factors, user, place.item, on_top)
            squares += error * error
            step_biases(place, error, factors, date_factors, steps, date_steps)
            for f in range(slopes.shape[1]):
                gradient = error * place.deviation * factors.items[place.item, f]
                slopes[user, f] += date_steps.factor_lr * (gradient - date_steps.factor_reg * slopes[user, f])
            step(factors, user, place.item, error, steps, on_top, z[0])
        change_implicit(factors.implicit, cells.items[start:end], steps, before, z[0])
    return squares


@compiled
def dated_bias(place: Place, factors: Factors, date_factors: DateFactors) -> np.float32:
    """b_u + a_u dev_u(t) + b_u,t + (b_i + b_i,Bin(t)) (c_u + c_u,t)."""
    user_bias = factors.user_biases[place.user] + date_factors.user_slopes[place.user] * place.deviation
    item_bias = factors.item_biases[place.item] + date_factors.bin_biases[place.item, place.bin]
    scale = np.float32(1) + date_factors.user_scales[place.user] + date_factors.day_scales[place.day]
    return np.float32(user_bias + date_factors.day_biases[place.day] + item_bias * scale)


@compiled
def step_biases(
    place: Place, error: np.float32, factors: Factors, date_factors: DateFactors, steps: Steps, date_steps: DateSteps
) -> None:
    """Change the parameters of `dated_bias` by the gradient of one rating."""
    user, item, day, time_bin, deviation = place
    item_bias = factors.item_biases[item] + date_factors.bin_biases[item, time_bin]
    scale = np.float32(1) + date_factors.user_scales[user] + date_factors.day_scales[day]
    move(factors.user_biases, user, error, steps.bias_lr, steps.bias_reg)
    move(factors.item_biases, item, error * scale, steps.bias_lr, steps.bias_reg)
    move(date_factors.user_slopes, user, error * deviation, date_steps.lr, date_steps.slope_reg)
    move(date_factors.day_biases, day, error, date_steps.lr, date_steps.day_reg)
    move(date_factors.bin_biases[item], time_bin, error * scale, date_steps.lr, date_steps.bin_reg)
    move(date_factors.user_scales, user, error * item_bias, date_steps.lr, date_steps.scale_reg)
    move(date_factors.day_scales, day, error * item_bias, date_steps.lr, date_steps.scale_reg)


@compiled
def move(values: Floats, at: int, gradient: np.float32, lr: np.float32, reg: np.float32) -> None:
    """One step of one number down the gradient of its error and its penalty."""
    values[at] += lr * (gradient - reg * values[at])
