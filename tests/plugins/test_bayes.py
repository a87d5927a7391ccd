"""The Bayesian factorization machine is compared with the predictions of myfm, and with planted structure."""

import os
import signal
import subprocess
import sys
from _thread import interrupt_main
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from cfbench import memory
from cfbench.contract import Context
from cfbench.errors import ConfigError
from cfbench.plugins.bayes import PLUGIN, Bayes, BayesConfig, SampleCollector, build_features, import_myfm
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import Planted, planted
from cfbench.testing.planted import rmse

QUICK = {"factors": 4, "iterations": 40, "burn_in": 10, "samples": 30}


def fitted(data, **config):
    model = Bayes(BayesConfig(**QUICK | config))
    model.fit(data.train, data.valid, Context(seed=3))
    return model


def test_a_fit_that_needs_more_than_the_available_memory_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 300_000)
    data = planted(seed=5)
    message = (
        rf"^a fit with myfm \({len(data.train):,} ratings as lists, 30 samples\) needs about 0\.0 GB of memory, and "
        r"0\.0 GB are available here; use a smaller data set, --kind plain, fewer --samples or fewer --factors$"
    )
    with pytest.raises(ConfigError, match=message):
        fitted(data)


def implicit_sets(keys, others, n_keys, n_others):
    """(n_keys, n_others) dense: 1/√size where key and other have a rating in common."""
    sets = np.zeros((n_keys, n_others))
    for key, other in zip(keys, others, strict=True):
        sets[key, other] = 1 / np.sqrt((keys == key).sum())
    return sets


def dense_features(train, kind):
    """Features of all users and of all items, as dense matrices."""
    n_users, n_items = train.n_users, train.n_items
    if kind == "plain":
        return np.eye(n_users), np.eye(n_items)
    return (
        np.hstack([np.eye(n_users), implicit_sets(train.users, train.items, n_users, n_items)]),
        np.hstack([np.eye(n_items), implicit_sets(train.items, train.users, n_items, n_users)]),
    )


def predict_with_myfm(data, kind, *, probit):
    """(n,) what the estimators of myfm predict for the test part, fitted with the settings of `fitted`."""
    from scipy.sparse import csr_matrix

    import_myfm()
    import myfm

    train, test = data.train, data.test
    user_features, item_features = dense_features(train, kind)
    x_train = csr_matrix(np.hstack([user_features[train.users], item_features[train.items]]))
    x_test = csr_matrix(np.hstack([user_features[test.users], item_features[test.items]]))
    n_users, n_items = train.n_users, train.n_items
    fit_settings = {
        "n_iter": 40, "n_kept_samples": 30,
        "group_shapes": [n_users, n_items] if kind == "plain" else [n_users, n_items, n_items, n_users],
    }  # fmt: skip
    seed = int(Context(seed=3).rng("gibbs").integers(2**31))
    if probit:
        levels, values = np.unique(train.ratings, return_inverse=True)
        estimator = myfm.MyFMOrderedProbit(rank=4, random_seed=seed)
        estimator.fit(x_train, values, **fit_settings)
        return estimator.predict_proba(x_test) @ levels
    mean, spread = train.ratings.mean(dtype=float), train.ratings.std(dtype=float)
    estimator = myfm.MyFMRegressor(rank=4, random_seed=seed)
    estimator.fit(x_train, (train.ratings - mean) / spread, **fit_settings)
    return estimator.predict(x_test) * spread + mean


@pytest.mark.parametrize("probit", [False, True])
@pytest.mark.parametrize("kind", ["plain", "flipped"])
def test_predictions_are_those_of_myfm(kind, probit):
    data = planted(seed=3, n_users=25, n_items=20, scale=Scale(low=1, high=5, step=1))
    seen = ~data.train.unseen(data.test.users, data.test.items)
    scores = fitted(data, kind=kind, probit=probit).predict(data.test.pairs)
    assert scores[seen] == pytest.approx(predict_with_myfm(data, kind, probit=probit)[seen], abs=1e-4)


@pytest.mark.parametrize("kind", ["plain", "flipped"])
def test_features_are_one_hot_and_the_implicit_sets_of_the_training_part(kind):
    data = planted(seed=4, n_users=12, n_items=9)
    user_features, item_features = dense_features(data.train, kind)
    assert build_features(data.train, "user", kind).toarray() == pytest.approx(user_features)
    assert build_features(data.train, "item", kind).toarray() == pytest.approx(item_features)


def test_the_prediction_for_an_unseen_user_is_the_average_over_the_seen_users():
    data = planted(seed=5)
    model, train = fitted(data), data.train
    item = int(train.items[0])
    seen = np.flatnonzero(train.seen_users).astype(np.int32)
    unseen = np.flatnonzero(~train.seen_users).astype(np.int32)
    of_seen = model.predict(Pairs(seen, np.full(len(seen), item, np.int32)))
    of_unseen = model.predict(Pairs(unseen, np.full(len(unseen), item, np.int32)))
    assert of_unseen == pytest.approx(of_seen.mean(), abs=1e-4)


def test_predictions_follow_a_shift_and_a_stretch_of_the_scale():
    data = planted(seed=6)
    scale = Scale(low=-200, high=600)
    wide = Planted(*(
        replace(part, ratings=(part.ratings - 2) * 200, scale=scale) for part in (data.train, data.valid, data.test)
    ))  # fmt: skip
    expected = (fitted(data).predict(data.test.pairs) - 2) * 200
    assert fitted(wide).predict(data.test.pairs) == pytest.approx(expected, abs=0.2)


def two_camps(n_users=600):
    """Ratings by two camps of users, who differ in which items they rate.

    Of the first 20 items, users with an even code mostly rate even ones and the others odd ones; these ratings are
    noise. The camps disagree on the other 20 items, some ratings of which are the test part.
    """
    rng = np.random.default_rng(0)
    users, items = np.indices((n_users, 40))
    disputed, same_parity = items >= 20, users % 2 == items % 2
    rated = rng.random(users.shape) < np.where(disputed, 0.15, np.where(same_parity, 0.6, 0.05))
    opinions = np.where(users % 2 == 0, 0.8, -0.8) * disputed
    ratings = np.clip(3 + opinions + rng.normal(size=users.shape), 1, 5)[rated]
    table = Ratings(users[rated], items[rated], ratings, n_users, 40, Scale(low=1, high=5))
    test = (table.items >= 20) & (rng.random(len(table)) < 0.3)
    return Planted(table.take(~test), table.take(np.arange(0)), table.take(test))


def test_flipped_features_learn_from_which_items_were_rated():
    data = two_camps()
    plain = rmse(fitted(data, kind="plain").predict(data.test.pairs), data.test)
    flipped = rmse(fitted(data, kind="flipped").predict(data.test.pairs), data.test)
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


def test_a_process_without_myfm_restores_the_state_and_predicts_the_same_bits(tmp_path):
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
        (
            lambda n: np.linspace(1, 5, n),
            r"^--probit: expected 2 to 20 different ratings in the training part, found \d{3,}; use --no-probit$",
        ),
        (lambda n: np.full(n, 3.0), r"found 1; use --no-probit$"),
    ],
)
def test_ordered_probit_refuses_too_many_and_too_few_different_ratings(ratings, message):
    data = planted(seed=8)
    train = replace(data.train, ratings=ratings(len(data.train)))
    with pytest.raises(ConfigError, match=message):
        fitted(replace(data, train=train), probit=True)


def test_ordered_probit_learns_on_half_stars():
    data = planted(seed=9, scale=Scale(low=0.5, high=5, step=0.5))
    scores = fitted(data, probit=True).predict(data.test.pairs)
    assert rmse(scores, data.test) < 0.8 * data.mean_error
    assert scores.min() >= 0.5
    assert scores.max() <= 5


def test_more_samples_than_iterations_after_the_burn_in_is_an_error():
    with pytest.raises(
        ConfigError, match=r"^--samples: expected at most the 10 iterations after the burn-in, got 100$"
    ):
        registry.make_config(PLUGIN, {}, {"iterations": "60", "burn_in": "50"})


@pytest.mark.parametrize(("samples", "iterations"), [(4, {2, 4, 7, 9}), (8, set(range(2, 10))), (1, {9})])
def test_samples_are_spaced_evenly_up_to_the_last_iteration(samples, iterations):
    assert BayesConfig(iterations=10, burn_in=2, samples=samples).sampled_iterations == iterations


def test_fewer_samples_are_a_selection_from_the_same_chain():
    data = planted(seed=10)
    many, few = (fitted(data, samples=samples).state() for samples in (30, 10))
    assert few["user_factors"].shape[0] == 10
    assert np.isin(few["offsets"], many["offsets"]).all()


def test_ctrl_c_stops_the_sampler_at_once(monkeypatch):
    iterations = []

    def interrupt(collector, iteration, *_):
        iterations.append(iteration)
        if iteration == 3:
            interrupt_main()
        return False

    monkeypatch.setattr(SampleCollector, "__call__", interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore the signal
    try:
        with pytest.raises(KeyboardInterrupt):
            fitted(planted(seed=11))
    finally:
        signal.signal(signal.SIGINT, before)
    assert max(iterations) <= 4


@pytest.mark.parametrize(("kind", "n_features"), [("plain", 80 + 60), ("flipped", 2 * (80 + 60))])
def test_parameters_counts_every_weight_of_one_sample(kind, n_features):
    assert fitted(planted(seed=12), kind=kind).parameters == 1 + n_features * (1 + 4)


@pytest.mark.slow
@pytest.mark.online
def test_the_preset_scores_at_most_0_882_on_ml_100k(ml_100k):
    split, (_, preset) = ml_100k.split("random90"), registry.preset("bayes", None, "ml-100k")
    model = Bayes(BayesConfig(**preset))
    model.fit(split.train(ml_100k.ratings), split.valid(ml_100k.ratings), Context())
    test = split.test(ml_100k.ratings)
    assert rmse(model.predict(test.pairs), test) <= 0.882
