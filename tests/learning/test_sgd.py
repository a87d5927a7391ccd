"""The compiled passes against the updates of the papers, one rating at a time in NumPy."""

import numpy as np
import pytest

from cfbench.learning import sgd, sgd_passes
from cfbench.testing import planted

STEPS = sgd_passes.Steps(*map(np.float32, (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07)))
DATE_STEPS = sgd_passes.DateSteps(*map(np.float32, (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08)))
USERS, ITEMS, FACTORS, DAYS, BINS = 30, 20, 5, 50, 4


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(0, 0.3, shape).astype(np.float32)


def make_cells():
    rows = planted(n_users=USERS, n_items=ITEMS).train.rows("user")
    return sgd_passes.Cells(rows.starts, rows.columns, rows.values - 3), len(rows.columns)


def make_factors():
    shapes = ((USERS,), (ITEMS,), (USERS, FACTORS), (ITEMS, FACTORS), (ITEMS, FACTORS))
    return sgd_passes.Factors(*(random(*shape, seed=k) for k, shape in enumerate(shapes)))


def make_dates(cells, n):
    rng = np.random.default_rng(1)
    return sgd_passes.Dates(
        rng.uniform(-1, 1, n).astype(np.float32), rng.integers(0, DAYS, n).astype(np.int32),
        rng.integers(0, BINS, n).astype(np.int32),
    )  # fmt: skip


def make_date_factors(drift=FACTORS):
    shapes = ((USERS,), (USERS, drift), (DAYS,), (ITEMS, BINS), (USERS,), (DAYS,))
    return sgd_passes.DateFactors(*(random(*shape, seed=9 + k) for k, shape in enumerate(shapes)))


def in_double(parameters):
    return type(parameters)(*(array.astype(float) for array in parameters))


def learn_one(user, item, error, user_factors, steps, w, rated):
    """The updates of q_i, p_u and every y_j, all from the values before; `user_factors` are p_u(t) + z_u."""
    p, q, y = w.users[user].copy(), w.items[item].copy(), w.implicit[rated].copy()
    w.users[user] = p + steps.lr * (error * q - steps.user_reg * p)
    w.items[item] = q + steps.lr * (error * user_factors - steps.item_reg * q)
    w.implicit[rated] = y + steps.implicit_lr * (error * q / np.sqrt(len(rated)) - steps.implicit_reg * y)


def literal_svdpp(order, cells, w, s):
    squares = 0.0
    for user in order:
        start, end = cells.starts[user : user + 2]
        rated = cells.items[start:end]
        for cell in range(start, end):
            item, b_u = cells.items[cell], w.user_biases[user]
            x = w.users[user] + w.implicit[rated].sum(0) / np.sqrt(len(rated))
            b_i = w.item_biases[item]
            error = cells.targets[cell] - (b_u + b_i + w.items[item] @ x)
            squares += error**2
            w.user_biases[user] += s.bias_lr * (error - s.bias_reg * b_u)
            w.item_biases[item] += s.bias_lr * (error - s.bias_reg * b_i)
            learn_one(user, item, error, x, s, w, rated)
    return squares


def literal_timesvdpp(order, cells, dates, w, v, s, t):
    squares = 0.0
    for user in order:
        start, end = cells.starts[user : user + 2]
        rated = cells.items[start:end]
        for cell in range(start, end):
            item, dev, day, part = cells.items[cell], dates.deviations[cell], dates.days[cell], dates.bins[cell]
            drift = v.factor_slopes[user] * dev if v.factor_slopes.size else 0
            x = w.users[user] + drift + w.implicit[rated].sum(0) / np.sqrt(len(rated))
            b_i, c = w.item_biases[item] + v.bin_biases[item, part], 1 + v.user_scales[user] + v.day_scales[day]
            b_u = w.user_biases[user] + v.user_slopes[user] * dev + v.day_biases[day]
            error = cells.targets[cell] - (b_u + b_i * c + w.items[item] @ x)
            squares += error**2
            w.user_biases[user] += s.bias_lr * (error - s.bias_reg * w.user_biases[user])
            w.item_biases[item] += s.bias_lr * (error * c - s.bias_reg * w.item_biases[item])
            v.user_slopes[user] += t.lr * (error * dev - t.slope_reg * v.user_slopes[user])
            v.day_biases[day] += t.lr * (error - t.day_reg * v.day_biases[day])
            v.bin_biases[item, part] += t.lr * (error * c - t.bin_reg * v.bin_biases[item, part])
            v.user_scales[user] += t.lr * (error * b_i - t.scale_reg * v.user_scales[user])
            v.day_scales[day] += t.lr * (error * b_i - t.scale_reg * v.day_scales[day])
            if v.factor_slopes.size:
                gradient = error * dev * w.items[item] - t.factor_reg * v.factor_slopes[user]
                v.factor_slopes[user] += t.factor_lr * gradient
            learn_one(user, item, error, x, s, w, rated)
    return squares


def assert_equal(compiled, literal):
    for name in compiled._fields:
        np.testing.assert_allclose(getattr(compiled, name), getattr(literal, name), atol=2e-5, err_msg=name)


def orders(passes=3):
    """Users in random order; the last one has no ratings, and no pass learns from it."""
    return [np.random.default_rng(k).permutation(USERS - 1).astype(np.int32) for k in range(passes)]


def test_a_pass_of_svdpp_is_the_updates_of_every_implicit_factor_at_every_rating():
    (cells, _), factors, literal = make_cells(), make_factors(), in_double(make_factors())
    for order in orders():
        squares = sgd_passes.svdpp_pass(order, cells, factors, STEPS)
        assert squares == pytest.approx(literal_svdpp(order, cells, literal, STEPS), rel=1e-5)
    assert_equal(factors, literal)


@pytest.mark.parametrize("drift", [FACTORS, 0])
def test_a_pass_of_timesvdpp_is_the_updates_of_every_parameter_at_every_rating(drift):
    cells, n = make_cells()
    dates, factors, date_factors = make_dates(cells, n), make_factors(), make_date_factors(drift)
    literal, date_literal = in_double(factors), in_double(date_factors)
    for order in orders():
        squares = sgd_passes.timesvdpp_pass(order, cells, dates, factors, date_factors, STEPS, DATE_STEPS)
        expected = literal_timesvdpp(order, cells, dates, literal, date_literal, STEPS, DATE_STEPS)
        assert squares == pytest.approx(expected, rel=1e-5)
    assert_equal(factors, literal)
    assert_equal(date_factors, date_literal)


def test_the_parameters_of_a_single_user_are_the_minimum_of_the_sum_over_its_ratings():
    features, targets = random(12, 3), random(12)
    p, bias = sgd.solve_user(features, targets, user_reg=0.1, bias_reg=0.02)

    def objective(w):
        errors = targets - w[-1] - features @ w[:-1]
        return (errors**2).sum() + 12 * (0.1 * (w[:-1] ** 2).sum() + 0.02 * w[-1] ** 2)

    best = np.append(p, bias)
    lowest, rng = objective(best), np.random.default_rng(0)
    assert all(objective(best + rng.normal(0, 0.01, 4)) > lowest for _ in range(50))
    unknown, nothing = sgd.solve_user(features[:0], targets[:0], user_reg=0.1, bias_reg=0.02)
    assert (unknown.tolist(), nothing) == ([0, 0, 0], 0)
