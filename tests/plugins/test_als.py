"""als against its own objective, planted structure and single ridge regressions."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from cfbench.contract import Context, DivergedError
from cfbench.plugins.als import ALS, ALSConfig
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.testing import Planted, planted

STARS = Scale(low=1, high=5)


def fitted(data, seed=1, device="cpu", **config):
    model, curve = ALS(ALSConfig(**config)), []
    model.fit(data.train, data.valid, Context(seed=seed, device=device, report=curve.append))
    return model, curve


def rmse(model, ratings):
    residuals = ratings.scale.clip(model.predict(ratings.pairs)) - ratings.ratings
    return float(np.sqrt(np.mean(residuals**2)))


def objective(model, table, config):
    """The sum that the module's docstring minimises, in float64."""
    users, items = (model.state()[side].astype(np.float64) for side in ("users", "items"))
    p, q = users[table.users], items[table.items]
    predictions = table.ratings.mean(dtype=np.float64) + p[:, -1] + q[:, -1] + (p[:, :-1] * q[:, :-1]).sum(1)
    total = ((table.ratings - predictions) ** 2).sum()
    for codes, side in ((table.users, users), (table.items, items)):
        counts = np.bincount(codes, minlength=len(side))
        total += config.reg * (counts**config.exponent * (side**2).sum(1)).sum()
    return total


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_the_objective_never_rises_between_half_sweeps(exponent, monkeypatch):
    config = ALSConfig(factors=5, reg=0.3, exponent=exponent, epochs=8, patience=0)
    data, objectives = planted(seed=2), []
    solve_users, solve_items = ALS.solve_users, ALS.solve_items

    def recorded(half_sweep):
        def solve(model):
            errors = half_sweep(model)
            objectives.append(objective(model, data.train, config))
            return errors

        return solve

    monkeypatch.setattr(ALS, "solve_users", recorded(solve_users))
    monkeypatch.setattr(ALS, "solve_items", recorded(solve_items))
    ALS(config).fit(data.train, data.valid, Context())
    assert len(objectives) == 16
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(objectives))
    assert objectives[-1] < 0.9 * objectives[0]


def test_at_the_end_no_small_change_of_users_or_items_lowers_the_objective():
    config = ALSConfig(factors=3, reg=1, exponent=0.5, epochs=300, patience=0)
    data = planted(seed=3)
    model, _ = fitted(data, **config.model_dump())
    least = objective(model, data.train, config)
    rng = np.random.default_rng(0)
    for side in ("users", "items"):
        for size in (1e-2, -1e-2):
            moved = ALS(config)
            state = {name: array.copy() for name, array in model.state().items()}
            state[side] += (size * rng.normal(size=state[side].shape)).astype(np.float32)
            moved.restore(state, data.train, Context())
            assert objective(moved, data.train, config) > least


def test_planted_factors_and_biases_are_recovered_almost_to_the_noise():
    rng = np.random.default_rng(4)
    users, items = np.nonzero(rng.random((300, 200)) < 0.4)
    p, q, user_biases, item_biases = (rng.normal(size=shape) for shape in ((300, 2), (200, 2), 300, 200))
    truth = 3 + user_biases[users] + item_biases[items] + (p[users] * q[items]).sum(1)
    table = Ratings(users, items, truth + 0.1 * rng.normal(size=len(users)), 300, 200, Scale(low=-30, high=30))
    part = rng.random(len(users))
    data = Planted(table.take(part < 0.8), table.take(part > 0.9), table.take((part > 0.8) & (part < 0.9)))
    model, _ = fitted(data, factors=2, reg=0.02)
    assert rmse(model, data.test) < 1.1 * 0.1
    too_small, _ = fitted(data, factors=1, reg=0.02)
    assert rmse(too_small, data.test) > 5 * 0.1


def test_the_training_error_reported_is_that_of_the_predictions():
    data = planted(seed=5)
    model, curve = fitted(data, factors=4, epochs=6, patience=0, reg=0.5)
    best = min(curve, key=lambda epoch: epoch.valid_rmse)
    residuals = model.predict(data.train.pairs) - data.train.ratings
    assert best.train_rmse == pytest.approx(np.sqrt(np.mean(residuals**2)), rel=1e-4)
    assert best.valid_rmse == pytest.approx(rmse(model, data.valid), rel=1e-6)


def test_ratings_that_are_fitted_exactly_have_a_training_error_of_0_or_more():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cells = rng.choice(9, 5, replace=False).astype(np.int32)
        table = Ratings(cells // 3, cells % 3, rng.integers(1, 6, 5).astype(np.float32), 3, 3, STARS)
        _, curve = fitted(Planted(train=table, valid=table.take(np.arange(0)), test=table), factors=8, reg=0.01)
        assert all(epoch.train_rmse >= 0 for epoch in curve)


def test_more_regularisation_means_smaller_factors():
    data = planted(seed=6)
    sizes = [np.abs(fitted(data, reg=reg, epochs=5)[0].state()["users"]).sum() for reg in (0.1, 1, 10)]
    assert sizes == sorted(sizes, reverse=True)


def test_a_cold_user_is_predicted_by_the_items_bias_and_a_cold_pair_by_the_mean():
    data = planted(seed=7)
    model, _ = fitted(data, epochs=5)
    mean, item_biases = data.train.ratings.mean(dtype=np.float64), model.state()["items"][:, -1]
    scores = model.predict(Pairs(np.array([79, 79], np.int32), np.array([3, 59], np.int32)))
    np.testing.assert_allclose(scores, [mean + item_biases[3], mean], rtol=1e-6)


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_a_folded_in_user_is_predicted_like_a_user_solved_in_training(exponent):
    data = planted(seed=8)
    model, _ = fitted(data, factors=4, epochs=3, patience=0, exponent=exponent)
    model.solve_users()  # a user who is folded in is solved after the items
    own = data.train.take(data.train.users == 5)
    targets = np.arange(60, dtype=np.int32)
    folded = model.fold_in(own.items, own.ratings, targets)
    np.testing.assert_allclose(folded, model.predict(Pairs(np.full(60, 5, np.int32), targets)), atol=1e-4)
    assert folded.dtype == np.float32


def test_a_user_with_a_single_rating_of_a_cold_item_is_folded_in():
    data = planted(seed=8)
    model, _ = fitted(data, epochs=3)
    high, low = (
        model.fold_in(np.array([59], np.int32), np.array([r], np.float32), np.array([3], np.int32)) for r in (5, 1)
    )
    assert 0 < high - low < 4


def test_singular_equations_are_reported_as_divergence():
    users, items = (codes.ravel() for codes in np.indices((4, 4)))
    table = Ratings(users, items, np.where(users == items, 5, 1), 4, 4, STARS)
    with pytest.raises(DivergedError, match="training RMSE became nan in epoch 1"):
        ALS(ALSConfig(factors=40, reg=1e-30, exponent=0)).fit(table, table, Context())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns_what_the_cpu_learns():
    data = planted(seed=9)
    on_cpu, on_gpu = (fitted(data, device=device, epochs=10, patience=0)[0] for device in ("cpu", "cuda:0"))
    scores = (model.predict(data.test.pairs) for model in (on_cpu, on_gpu))
    np.testing.assert_allclose(*scores, atol=0.01)
