"""The Bayesian factorization machine: against myfm's own predictions, and where the truth is planted."""

import os
import signal
import subprocess
import sys
from _thread import interrupt_main
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from cfbench.contract import Context
from cfbench.errors import ConfigError
from cfbench.plugins.bayes import PLUGIN, Bayes, BayesConfig, Keeper, _myfm, features
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import Planted, planted
from cfbench.testing.planted import rmse

QUICK = {"factors": 4, "iterations": 40, "burn_in": 10, "samples": 30}


def fitted(data, **config):
    model = Bayes(BayesConfig(**QUICK | config))
    model.fit(data.train, data.valid, Context(seed=3))
    return model


def sets_by_hand(train, n, m, keys, others):
    """(n, m) dense: 1/√size where key and other meet in training."""
    met = np.zeros((n, m))
    for key, other in zip(keys, others, strict=True):
        met[key, other] = 1 / np.sqrt((keys == key).sum())
    return met


def dense(train, kind):
    """Features of users and of items, put together by hand."""
    u, i = train.n_users, train.n_items
    if kind == "plain":
        return np.eye(u), np.eye(i)
    return (
        np.hstack([np.eye(u), sets_by_hand(train, u, i, train.users, train.items)]),
        np.hstack([np.eye(i), sets_by_hand(train, i, u, train.items, train.users)]),
    )


def by_myfm(data, kind, *, probit):
    """What myfm's own estimator says of the test part."""
    from scipy.sparse import csr_matrix

    _myfm()
    import myfm

    train, test = data.train, data.test
    x = np.hstack([part[codes] for part, codes in zip(dense(train, kind), (train.users, train.items), strict=True)])
    z = np.hstack([part[codes] for part, codes in zip(dense(train, kind), (test.users, test.items), strict=True)])
    u, i = train.n_users, train.n_items
    estimator = (myfm.MyFMOrderedProbit if probit else myfm.MyFMRegressor)(
        rank=4, random_seed=int(Context(seed=3).rng("gibbs").integers(2**31))
    )
    levels, places = np.unique(train.ratings, return_inverse=True)
    mean, spread = train.ratings.mean(dtype=float), train.ratings.std(dtype=float)
    estimator.fit(
        csr_matrix(x), places if probit else (train.ratings - mean) / spread, n_iter=40, n_kept_samples=30,
        group_shapes=[u, i] if kind == "plain" else [u, i, i, u],
    )  # fmt: skip
    if probit:
        return estimator.predict_proba(csr_matrix(z)) @ levels
    return estimator.predict(csr_matrix(z)) * spread + mean


@pytest.mark.parametrize("probit", [False, True])
@pytest.mark.parametrize("kind", ["plain", "flipped"])
def test_predictions_from_the_kept_samples_are_those_of_myfm(kind, probit):
    data = planted(seed=3, n_users=25, n_items=20, scale=Scale(low=1, high=5, step=1))
    seen = ~data.train.unseen(data.test.users, data.test.items)
    ours = fitted(data, kind=kind, probit=probit).predict(data.test.pairs)
    assert ours[seen] == pytest.approx(by_myfm(data, kind, probit=probit)[seen], abs=1e-4)


@pytest.mark.parametrize("kind", ["plain", "flipped"])
def test_features_are_identities_and_the_sets_met_in_training_alone(kind):
    data = planted(seed=4, n_users=12, n_items=9)
    for side, expected in zip(("user", "item"), dense(data.train, kind), strict=True):
        assert features(data.train, side, kind).toarray() == pytest.approx(expected)


def test_an_unseen_user_is_predicted_as_the_seen_ones_are_on_average():
    data = planted(seed=5)
    model, train = fitted(data), data.train
    item = int(train.items[0])
    seen = np.flatnonzero(train.seen_users).astype(np.int32)
    cold = np.flatnonzero(~train.seen_users).astype(np.int32)
    of_all = model.predict(Pairs(seen, np.full(len(seen), item, np.int32)))
    assert model.predict(Pairs(cold, np.full(len(cold), item, np.int32))) == pytest.approx(of_all.mean(), abs=1e-4)


def test_a_scale_a_hundred_times_as_wide_gives_predictions_a_hundred_times_as_wide():
    data = planted(seed=6)
    scale = Scale(low=-200, high=600)
    wide = replace(
        data, **{p: replace(getattr(data, p), ratings=(getattr(data, p).ratings - 2) * 200, scale=scale)
                 for p in ("train", "valid", "test")},
    )  # fmt: skip
    pairs = data.test.users, data.test.items
    assert fitted(wide).predict(Pairs(*pairs)) == pytest.approx(
        (fitted(data).predict(Pairs(*pairs)) - 2) * 200, abs=0.2
    )


def camps(n_users=600):
    """Two camps: even users rate even ones of 20 items, odd users odd ones, all with noise; 20 others they like or not.

    The test part is of those others.
    """
    rng = np.random.default_rng(0)
    users, items = np.indices((n_users, 40))
    other, own = items >= 20, users % 2 == items % 2
    rated = rng.random(users.shape) < np.where(other, 0.15, np.where(own, 0.6, 0.05))
    likes = np.where(users % 2 == 0, 0.8, -0.8) * other
    ratings = np.clip(3 + likes + rng.normal(size=users.shape), 1, 5)[rated]
    table = Ratings(users[rated], items[rated], ratings, n_users, 40, Scale(low=1, high=5))
    test = (table.items >= 20) & (rng.random(len(table)) < 0.3)
    return Planted(table.take(~test), table.take(np.arange(0)), table.take(test))


def test_the_flipped_kind_learns_from_what_was_rated_where_ratings_say_little():
    data = camps()
    plain, flipped = (
        rmse(fitted(data, kind=kind).predict(data.test.pairs), data.test) for kind in ("plain", "flipped")
    )
    assert flipped < 0.95 * plain


RESTORE = """
import sys
sys.modules["myfm"] = None
import numpy as np
from safetensors.numpy import load_file
from cfbench.contract import Context
from cfbench.ratings import Pairs
from cfbench.plugins.bayes import Bayes, BayesConfig
model = Bayes(BayesConfig())
model.restore(load_file("state"), None, Context())
users, items = np.load("pairs.npy")
np.save("scores.npy", model.predict(Pairs(users, items)))
"""


def test_another_process_predicts_the_same_bits_from_the_state_without_myfm(tmp_path):
    data = planted(seed=7, scale=Scale(low=1, high=5, step=1))
    model = fitted(data, probit=True)
    save_file(model.state(), tmp_path / "state")
    np.save(tmp_path / "pairs.npy", np.stack([data.test.users, data.test.items]))
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", RESTORE], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": path})
    assert np.load(tmp_path / "scores.npy").tobytes() == model.predict(data.test.pairs).tobytes()


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (lambda n: np.linspace(1, 5, n), r"^--probit: .* 2 to 20 different ratings, the training part has \d{3}"),
        (lambda n: np.full(n, 3.0), "the training part has 1; use --no-probit"),
    ],
)  # fmt: skip
def test_ordered_probit_of_too_many_or_too_few_levels_is_refused_in_one_line(ratings, message):
    data = planted(seed=8)
    train = replace(data.train, ratings=ratings(len(data.train)))
    with pytest.raises(ConfigError, match=message):
        fitted(replace(data, train=train), probit=True)


def test_ordered_probit_learns_on_half_stars():
    data = planted(seed=9, scale=Scale(low=0.5, high=5, step=0.5))
    scores = fitted(data, probit=True).predict(data.test.pairs)
    assert rmse(scores, data.test) < 0.8 * data.mean_error
    assert (scores.min() >= 0.5, scores.max() <= 5) == (True, True)


def test_more_samples_than_iterations_after_the_burn_in_are_refused():
    with pytest.raises(
        ConfigError, match=r"^--samples: expected at most the 10 iterations after the burn-in, got 100$"
    ):
        registry.configure(PLUGIN, {}, {"iterations": "60", "burn_in": "50"})


@pytest.mark.parametrize(("samples", "kept"), [(4, {2, 4, 7, 9}), (8, set(range(2, 10))), (1, {9})])
def test_samples_are_spaced_evenly_up_to_the_last_iteration(samples, kept):
    assert BayesConfig(iterations=10, burn_in=2, samples=samples).kept == kept


def test_thinning_keeps_samples_of_the_same_chain():
    data = planted(seed=10)
    whole, thin = (fitted(data, samples=samples).state() for samples in (30, 10))
    assert thin["user_factors"].shape[0] == 10
    for sample in thin["offsets"]:
        assert sample in whole["offsets"]


def test_ctrl_c_ends_the_sampler_at_once(monkeypatch):
    iterations = []

    def interrupted(keeper, iteration, *_):
        iterations.append(iteration)
        if iteration == 3:
            interrupt_main()
        return False

    monkeypatch.setattr(Keeper, "__call__", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            fitted(planted(seed=11))
    finally:
        signal.signal(signal.SIGINT, before)
    assert max(iterations) <= 4


def test_parameters_count_every_weight_of_one_sample():
    data = planted(seed=12)
    features_of = {"plain": 80 + 60, "flipped": 2 * (80 + 60)}
    for kind, count in features_of.items():
        assert fitted(data, kind=kind).parameters == 1 + count * (1 + 4)


@pytest.mark.slow
@pytest.mark.online
def test_the_shipped_preset_scores_at_most_0_882_on_ml_100k(ml_100k):
    split, (_, preset) = ml_100k.split("random90"), registry.preset("bayes", None, "ml-100k")
    model = Bayes(BayesConfig(**preset))
    model.fit(split.train(ml_100k.ratings), split.valid(ml_100k.ratings), Context())
    test = split.test(ml_100k.ratings)
    assert rmse(model.predict(test.pairs), test) <= 0.882
