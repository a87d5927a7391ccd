"""The plugins on scikit-surprise are compared with the predictions and the loader of surprise itself."""

import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import surprise

from cfbench import memory
from cfbench.contract import Context, DivergedError, FoldIn
from cfbench.errors import ConfigError
from cfbench.plugins._surprise import convert_ratings, group_by_row, same_units
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import planted

STARS = Scale(low=1, high=5, step=1)
HALVES = Scale(low=0.5, high=5, step=0.5)
SEED = 3
NMF_OF_SURPRISE = {"factors": 15, "epochs": 50, "user_reg": 0.06, "item_reg": 0.06}
"""surprise's defaults, which are not those of the plugin."""


def table(scale=STARS):
    """Planted ratings in which no odd code has a rating.

    Surprise numbers users and items by first appearance, cfbench by code. The rows come in an order in which both
    number them alike: by user, and the items of a user by code, items without an earlier rating last.
    """
    train = planted(seed=4, n_users=40, n_items=30, scale=scale).train
    new_codes, rows = {}, []
    for user in np.unique(train.users).tolist():
        of_user = train.users == user
        ratings = dict(zip(train.items[of_user].tolist(), train.ratings[of_user].tolist(), strict=True))
        for item in sorted(ratings, key=lambda item: new_codes.get(item, 1000 + item)):
            new_code = new_codes.setdefault(item, 2 * len(new_codes))
            rows.append((2 * user, new_code, ratings[item]))
    users, items, ratings = zip(*rows, strict=True)
    return Ratings(np.array(users), np.array(items), np.array(ratings), max(users) + 2, max(items) + 2, scale)


def fitted(name, train, **config):
    plugin = registry.load(name)
    model = plugin.build(plugin.config(**config))
    model.fit(train, train.take(np.arange(0)), Context(seed=SEED))
    return model


def load_with_surprise(train):
    """The `surprise.Trainset` that surprise loads from these ratings."""
    reader = surprise.Reader(rating_scale=(train.scale.low, train.scale.high))
    rows = zip(train.users.tolist(), train.items.tolist(), train.ratings.tolist(), [None] * len(train), strict=True)
    return surprise.Dataset(reader).construct_trainset(list(rows))


def all_pairs(train):
    users, items = np.indices((train.n_users, train.n_items), dtype=np.int32)
    return Pairs(users.ravel(), items.ravel())


def predict_with_surprise(algorithm, train, *, clip=False):
    """(n,) what the algorithm, fitted on these ratings, predicts for all pairs."""
    algorithm.fit(load_with_surprise(train))
    pairs = all_pairs(train)
    return np.array([
        algorithm.predict(user, item, clip=clip).est
        for user, item in zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)
    ])  # fmt: skip


def knn_case(kind, orientation, similarity, **more):
    """A plugin, its config, and the same algorithm of surprise."""
    kinds = {"basic": surprise.KNNBasic, "centered": surprise.KNNWithMeans, "baseline": surprise.KNNBaseline}
    config = {"kind": kind, "orientation": orientation, "similarity": similarity, "k": 6, "min_k": 3} | more
    options = {"name": similarity, "user_based": orientation == "user"}
    options |= {name: more[name] for name in ("min_support", "shrinkage") if name in more}
    return (
        "knn", config,
        lambda: kinds[kind](k=config["k"], min_k=config["min_k"], sim_options=dict(options), verbose=False),
    )  # fmt: skip


KINDS = ("basic", "centered", "baseline")
SIMILARITIES = ("msd", "cosine", "pearson", "pearson_baseline")
CASES = [
    ("svd", {}, lambda: surprise.SVD(random_state=SEED)),
    (
        "svd",
        {"factors": 7, "epochs": 9, "lr": 0.02, "reg": 0.1, "init_std": 0.3},
        lambda: surprise.SVD(7, 9, lr_all=0.02, reg_all=0.1, init_std_dev=0.3, random_state=SEED),
    ),
    ("svd", {"biased": False}, lambda: surprise.SVD(biased=False, random_state=SEED)),
    ("surprise-svdpp", {}, lambda: surprise.SVDpp(random_state=SEED)),
    (
        "surprise-svdpp",
        {"factors": 7, "epochs": 9, "lr": 0.02, "reg": 0.1, "implicit_reg": 0.03, "init_std": 0.3},
        lambda: surprise.SVDpp(7, 9, lr_all=0.02, reg_all=0.1, reg_yj=0.03, init_std_dev=0.3, random_state=SEED),
    ),
    ("nmf", {}, lambda: surprise.NMF(64, 100, reg_pu=0.5, reg_qi=0.012, random_state=SEED)),
    (
        "nmf",
        {"factors": 7, "epochs": 9, "user_reg": 0.1, "item_reg": 0.2, "init_high": 1.5},
        lambda: surprise.NMF(7, 9, reg_pu=0.1, reg_qi=0.2, init_high=1.5, random_state=SEED),
    ),
    (
        "nmf",
        {"factors": 3, "biased": True, "bias_lr": 0.01, "bias_reg": 0.1},
        lambda: surprise.NMF(
            3, 100, biased=True, reg_pu=0.5, reg_qi=0.012, lr_bu=0.01, lr_bi=0.01, reg_bu=0.1, reg_bi=0.1,
            random_state=SEED,
        ),
    ),
    ("baseline-als", {}, lambda: surprise.BaselineOnly(verbose=False)),
    (
        "baseline-als",
        {"user_reg": 3, "item_reg": 4, "sweeps": 2},
        lambda: surprise.BaselineOnly({"method": "als", "reg_u": 3, "reg_i": 4, "n_epochs": 2}, verbose=False),
    ),
    ("slopeone", {}, surprise.SlopeOne),
    ("coclustering", {}, lambda: surprise.CoClustering(random_state=SEED)),
    (
        "coclustering",
        {"user_clusters": 5, "item_clusters": 4, "epochs": 3},
        lambda: surprise.CoClustering(5, 4, 3, random_state=SEED),
    ),
    ("knn", {}, lambda: surprise.KNNBasic(verbose=False)),
    *[knn_case(*case) for case in product(KINDS, ("user", "item"), SIMILARITIES)],
    *[knn_case("basic", "user", similarity, min_support=12) for similarity in SIMILARITIES],
    knn_case("baseline", "item", "pearson_baseline", shrinkage=3),
    knn_case("centered", "user", "msd", k=1, min_k=1),
    knn_case("basic", "user", "msd", k=1000, min_k=20),
]  # fmt: skip
IDS = [f"{name}-{'-'.join(map(str, config.values())) or 'defaults'}" for name, config, _ in CASES]


@pytest.mark.parametrize(("name", "config", "algorithm"), CASES, ids=IDS)
def test_predictions_of_all_pairs_are_those_of_surprise_without_clipping(name, config, algorithm):
    train = table()  # with unknown users and items, and with ties between neighbours
    scores = fitted(name, train, **config).predict(all_pairs(train))
    np.testing.assert_allclose(scores, predict_with_surprise(algorithm(), train), rtol=0, atol=1e-6)


def test_clipped_predictions_are_those_of_surprise_with_clipping():
    train = table()
    algorithm = surprise.SVD(init_std_dev=1, random_state=SEED)
    scores = fitted("svd", train, init_std=1).predict(all_pairs(train))
    assert scores.max() > 5
    np.testing.assert_allclose(
        train.scale.clip(scores), predict_with_surprise(algorithm, train, clip=True), rtol=0, atol=1e-6
    )


def test_the_converted_trainset_is_the_one_that_surprise_loads():
    train = table()
    converted, loaded = convert_ratings(train, same_units(train.scale)).trainset(), load_with_surprise(train)
    assert (converted.ur, converted.ir) == (dict(loaded.ur), dict(loaded.ir))
    for name in ("n_users", "n_items", "n_ratings", "rating_scale", "global_mean"):
        assert getattr(converted, name) == getattr(loaded, name)
    for user in np.unique(train.users).tolist():
        assert converted.to_inner_uid(user) == loaded.to_inner_uid(user)
    for item in np.unique(train.items).tolist():
        assert converted.to_inner_iid(item) == loaded.to_inner_iid(item)


def test_the_converted_trainset_knows_no_user_and_no_item_without_a_rating():
    train = table()
    converted = convert_ratings(train, same_units(train.scale)).trainset()
    with pytest.raises(ValueError, match="not part of the trainset"):
        converted.to_inner_uid(1)
    with pytest.raises(ValueError, match="not part of the trainset"):
        converted.to_inner_iid(1)


def test_the_order_of_the_training_ratings_does_not_change_the_model():
    train = table()
    shuffled = train.take(np.random.default_rng(0).permutation(len(train)))
    first, second = (fitted("svd", part).predict(all_pairs(train)) for part in (train, shuffled))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(("name", "units_per_star"), [("slopeone", 2), ("coclustering", 2), ("svd", 1), ("knn", 1)])
def test_half_stars_are_not_truncated_to_whole_stars(name, units_per_star):
    train = table(HALVES)
    in_units = replace(train, ratings=train.ratings * units_per_star)
    algorithm = {
        "slopeone": surprise.SlopeOne(), "coclustering": surprise.CoClustering(random_state=SEED),
        "svd": surprise.SVD(random_state=SEED), "knn": surprise.KNNBasic(verbose=False),
    }[name]  # fmt: skip
    scores = fitted(name, train).predict(all_pairs(train))
    np.testing.assert_allclose(scores, predict_with_surprise(algorithm, in_units) / units_per_star, rtol=0, atol=1e-6)


def test_slope_one_predicts_the_papers_example():
    # user A rates I 1 and J 1.5, and user B rates I 2: the prediction for B and J is 2 + (1.5 - 1)
    train = Ratings(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, 1.5, 2]), 2, 2, HALVES)
    model = fitted("slopeone", train)
    assert model.predict(Pairs(np.array([1]), np.array([1]))).tolist() == [2.5]
    assert model.fold_in(np.array([0]), np.array([2.0], np.float32), np.array([1])).tolist() == [2.5]
    assert model.parameters == 1 + 2


@pytest.mark.parametrize("scale", [Scale(low=-10, high=10), Scale(low=0.3, high=7.3, step=0.7)])
def test_coclustering_with_one_cluster_adds_the_deviations_of_the_user_and_the_item_mean(scale):
    train = table(scale)
    users, items = train.users, train.items
    user_means = np.bincount(users, train.ratings) / np.bincount(users).clip(1)
    item_means = np.bincount(items, train.ratings) / np.bincount(items).clip(1)
    truth = user_means[users] + item_means[items] - train.ratings.mean()
    scores = fitted("coclustering", train, user_clusters=1, item_clusters=1).predict(train.pairs)
    np.testing.assert_allclose(scores, truth, atol=1e-4)


def test_nmf_maps_a_scale_with_negative_ratings_to_0_to_5():
    train = table(Scale(low=-10, high=10))
    mapped = replace(train, ratings=(train.ratings + 10) / 4, scale=Scale(low=0, high=5))
    expected = 4 * predict_with_surprise(surprise.NMF(15, 50, random_state=SEED), mapped) - 10
    np.testing.assert_allclose(fitted("nmf", train, **NMF_OF_SURPRISE).predict(all_pairs(train)), expected, atol=1e-5)


def test_baseline_als_and_bias_give_the_same_predictions():
    train = table()
    by_surprise, by_cfbench = (fitted(name, train).predict(all_pairs(train)) for name in ("baseline-als", "bias"))
    np.testing.assert_allclose(by_surprise, by_cfbench, atol=1e-6)


KNN_FOLD_INS = [
    *[
        {"kind": kind, "orientation": orientation, "similarity": similarity, "k": 6, "min_k": 3}
        for kind, orientation, similarity in product(KINDS, ("user", "item"), SIMILARITIES)
    ],
    {"similarity": "pearson", "min_support": 12},
    {"similarity": "pearson_baseline", "shrinkage": 3, "kind": "centered"},
]


def fold_in_again(model, train, user):
    """Items that a training user did not rate, and their predictions when this user is folded in as a new one.

    The ratings are in random order. Items without a training rating are among the targets.
    """
    rows = np.random.default_rng(user).permutation(np.flatnonzero(train.users == user))
    targets = np.setdiff1d(np.arange(train.n_items), train.items[rows]).astype(np.int32)
    return targets, model.fold_in(train.items[rows], train.ratings[rows], targets)


@pytest.mark.parametrize("user", [0, 8, 30])
@pytest.mark.parametrize(
    ("name", "config"), [("slopeone", {}), *[("knn", config) for config in KNN_FOLD_INS]], ids=str
)  # fmt: skip
def test_a_folded_in_training_user_gets_the_predictions_of_training(name, config, user):
    train = table()
    model = fitted(name, train, **config)
    assert isinstance(model, FoldIn)
    targets, folded = fold_in_again(model, train, user)
    predicted = model.predict(Pairs(np.full(len(targets), user, np.int32), targets))
    np.testing.assert_allclose(folded, predicted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [config for config in KNN_FOLD_INS if config.get("kind") != "baseline"], ids=str)
def test_an_unknown_item_of_a_folded_in_user_gets_the_mean_and_not_the_mean_of_the_user(config):
    train = table()
    targets, folded = fold_in_again(fitted("knn", train, **config), train, user=8)
    unknown = targets % 2 == 1
    assert unknown.any()
    assert (folded[unknown] == np.float32(train.ratings.mean(dtype=float))).all()


@pytest.mark.parametrize(
    ("name", "config"),
    [("slopeone", {}), ("knn", {}), ("knn", {"orientation": "item"}), ("knn", {"kind": "baseline"})],
    ids=str,
)
def test_a_folded_in_user_who_rated_only_unknown_items_is_an_unknown_user(name, config):
    train = table()
    model = fitted(name, train, **config)
    targets = np.arange(train.n_items, dtype=np.int32)
    unknown_user = np.ones(len(targets), np.int32)
    folded = model.fold_in(np.array([1, 3]), np.array([5, 5], np.float32), targets)
    assert folded.tobytes() == model.predict(Pairs(unknown_user, targets)).tobytes()


def test_positions_with_the_same_row_form_groups_of_a_bounded_size():
    train = table()
    rows = convert_ratings(train, same_units(train.scale)).by_user
    row_ids = np.random.default_rng(0).integers(0, len(rows), 500)
    visits = np.zeros(500, int)
    for positions, cells in group_by_row(row_ids, rows, max_cells=60):
        (row_id,) = np.unique(row_ids[positions])
        assert (cells.start, cells.stop) == (rows.starts[row_id], rows.starts[row_id + 1])
        assert len(positions) == 1 or len(positions) * (cells.stop - cells.start) <= 60
        visits[positions] += 1
    assert (visits == 1).all()


@pytest.mark.parametrize(
    ("name", "config", "parameters"),
    [
        ("svd", {"factors": 7}, 8 * (39 + 29)), ("svd", {"factors": 7, "biased": False}, 7 * (39 + 29)),
        ("surprise-svdpp", {"factors": 7}, 8 * (39 + 29) + 7 * 29), ("nmf", {"factors": 7}, 7 * (39 + 29)),
        ("nmf", {"factors": 7, "biased": True}, 8 * (39 + 29)), ("baseline-als", {}, 39 + 29),
        ("coclustering", {}, 2 * (39 + 29) + 3 + 3 + 9),
        ("slopeone", {}, 29 * 28 // 2 - 1 + 39),  # two items have no user in common
        ("knn", {}, 39 * 38 // 2), ("knn", {"kind": "centered", "orientation": "item"}, 29 * 28 // 2 + 29),
        ("knn", {"kind": "baseline"}, 39 * 38 // 2 + 39 + 29),
    ],
)  # fmt: skip
def test_parameters_counts_what_is_learned_for_the_39_users_and_29_items_of_training(name, config, parameters):
    assert fitted(name, table(), **config).parameters == parameters


def test_a_learning_rate_that_is_too_high_raises_diverged_error():
    message = r"^pu, qi, bu, bi became NaN or infinite; lower the learning rate$"
    with pytest.raises(DivergedError, match=message) as caught:
        fitted("svd", table(), lr=50)
    assert not caught.value.usable


def test_cosine_of_ratings_that_are_all_zero_is_refused_in_one_line():
    zeros = Ratings(np.array([0, 1]), np.array([0, 0]), np.array([0, 3]), 2, 1, Scale(low=0, high=5))
    message = (
        r"^--similarity cosine: the common ratings of two users have a norm of 0, expected a norm above 0; "
        r"use --similarity msd or --similarity pearson$"
    )
    with pytest.raises(ConfigError, match=message):
        fitted("knn", zeros, similarity="cosine")


ARRAYS = "use a smaller data set, or a plugin that keeps ratings in arrays, such as als"


@pytest.mark.parametrize(
    ("name", "matrices", "advice"),
    [
        ("knn", " and matrices of 39 × 39", "use --orientation item or a smaller data set"),
        ("slopeone", " and matrices of 29 × 29", "use a data set with fewer items"),
        *((name, "", ARRAYS) for name in ("svd", "surprise-svdpp", "nmf", "coclustering", "baseline-als")),
    ],
)
def test_a_fit_that_needs_more_than_the_available_memory_is_refused(name, matrices, advice, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    ratings = table()
    with pytest.raises(ConfigError) as caught:
        fitted(name, ratings)
    assert str(caught.value) == (
        f"a fit with surprise ({len(ratings):,} ratings as Python lists{matrices}) needs about 0.0 GB of memory, and "
        f"0.0 GB are available here; {advice}"
    )


MEASURE = """
import sys
import numpy as np
from cfbench.contract import Context
from cfbench.ratings import Ratings, Scale
from cfbench.runs import machine, registry
from cfbench import memory

def ratings(users, items, n):
    u, i = np.divmod(np.random.default_rng(0).choice(users * items, n, replace=False), items)
    return Ratings(u, i, np.full(n, 3.0), users, items, Scale(low=1, high=5, step=1))

def fit(part):
    plugin = registry.load(sys.argv[1])
    few = {"iterations": 3, "burn_in": 0, "samples": 3} if sys.argv[1] == "bayes" else {}
    plugin.build(plugin.config(**few)).fit(part, part.take(np.arange(0)), Context())

fit(ratings(30, 30, 200))  # imports everything
part = ratings(*map(int, sys.argv[2:]))
needed = []
memory.available_memory = lambda: 10**18
require = memory.require_memory
for module in ("cfbench.plugins._surprise", "cfbench.plugins.bayes"):
    if module in sys.modules:
        sys.modules[module].require_memory = lambda size, what, advice: needed.append(size)
machine.reset_peak_memory("cpu")
with open("/proc/self/status") as status:
    before = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
fit(part)
print((machine.peak_memory() - before) / needed[0])
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can measure the peak again")
@pytest.mark.parametrize(
    "case",
    [
        "slopeone 100 3000 4000",
        *(pytest.param(case, marks=pytest.mark.slow) for case in (
            "slopeone 2000 300 150000", "svd 2000 500 300000", "knn 2500 500 200000", "bayes 2000 500 300000"
        )),
    ],
)  # fmt: skip
def test_a_fit_takes_about_the_memory_that_its_guard_expects(case):
    process = subprocess.run([sys.executable, "-c", MEASURE, *case.split()], capture_output=True, text=True, check=True)
    assert 0.8 < float(process.stdout) < 1.05
