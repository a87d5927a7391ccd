"""The plugins on scikit-surprise: each against surprise's own predictions and its own loader."""

import os
from itertools import product

import numpy as np
import pytest
import surprise

from cfbench.contract import Context, DivergedError, FoldIn
from cfbench.errors import ConfigError
from cfbench.plugins._surprise import Training, Units, grouped
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import planted

STARS = Scale(low=1, high=5, step=1)
HALVES = Scale(low=0.5, high=5, step=0.5)
SEED = 3


def table(scale=STARS):
    """Planted ratings in which every odd code is unknown, in an order in which surprise numbers items as cfbench does.

    Surprise numbers by first appearance; so users come in order, and each user's items do, new ones last.
    """
    train = planted(seed=4, n_users=40, n_items=30, scale=scale).train
    numbers, rows = {}, []
    for user in np.unique(train.users).tolist():
        mine = train.users == user
        ratings = dict(zip(train.items[mine].tolist(), train.ratings[mine].tolist(), strict=True))
        order = sorted(ratings, key=lambda item: numbers.get(item, 1000 + item))
        rows += [(2 * user, 2 * numbers.setdefault(item, len(numbers)), ratings[item]) for item in order]
    users, items, ratings = zip(*rows, strict=True)
    return Ratings(np.array(users), np.array(items), np.array(ratings), max(users) + 2, max(items) + 2, scale)


def fitted(name, train, **config):
    plugin = registry.load(name)
    model = plugin.build(plugin.config(**config))
    model.fit(train, train.take(np.arange(0)), Context(seed=SEED))
    return model


def trainset(train):
    """By surprise's own loader."""
    reader = surprise.Reader(rating_scale=(train.scale.low, train.scale.high))
    rows = zip(train.users.tolist(), train.items.tolist(), train.ratings.tolist(), [None] * len(train), strict=True)
    return surprise.Dataset(reader).construct_trainset(list(rows))


def all_pairs(train):
    return tuple(codes.ravel().astype(np.int32) for codes in np.indices((train.n_users, train.n_items)))


def theirs(algorithm, train, *, clip=False):
    algorithm.fit(trainset(train))
    pairs = zip(*(codes.tolist() for codes in all_pairs(train)), strict=True)
    return np.array([algorithm.predict(user, item, clip=clip).est for user, item in pairs])


def knn_case(kind, orientation, similarity, **more):
    kinds = {"basic": surprise.KNNBasic, "centered": surprise.KNNWithMeans, "baseline": surprise.KNNBaseline}
    ours = {"kind": kind, "orientation": orientation, "similarity": similarity, "k": 6, "min_k": 3} | more
    options = {"name": similarity, "user_based": orientation == "user"}
    options |= {name: more[name] for name in ("min_support", "shrinkage") if name in more}
    return (
        "knn", ours, lambda: kinds[kind](k=ours["k"], min_k=ours["min_k"], sim_options=dict(options), verbose=False)
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
    ("svdpp", {}, lambda: surprise.SVDpp(random_state=SEED)),
    (
        "svdpp",
        {"factors": 7, "epochs": 9, "lr": 0.02, "reg": 0.1, "init_std": 0.3},
        lambda: surprise.SVDpp(7, 9, lr_all=0.02, reg_all=0.1, init_std_dev=0.3, random_state=SEED),
    ),
    ("nmf", {}, lambda: surprise.NMF(random_state=SEED)),
    (
        "nmf",
        {"factors": 7, "epochs": 9, "user_reg": 0.1, "item_reg": 0.2, "init_high": 1.5},
        lambda: surprise.NMF(7, 9, reg_pu=0.1, reg_qi=0.2, init_high=1.5, random_state=SEED),
    ),
    (
        "nmf",
        {"factors": 3, "biased": True, "bias_lr": 0.01, "bias_reg": 0.1},
        lambda: surprise.NMF(
            3, biased=True, lr_bu=0.01, lr_bi=0.01, reg_bu=0.1, reg_bi=0.1, random_state=SEED
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
def test_every_pair_is_predicted_as_surprise_predicts_it_unclipped_unknown_codes_and_ties_too(name, config, algorithm):
    train = table()
    scores = fitted(name, train, **config).predict(Pairs(*all_pairs(train)))
    np.testing.assert_allclose(scores, theirs(algorithm(), train), rtol=0, atol=1e-6)


def test_clipped_to_the_scale_predictions_are_those_surprise_gives_by_default():
    train = table()
    algorithm = surprise.SVD(init_std_dev=1, random_state=SEED)
    scores = fitted("svd", train, init_std=1).predict(Pairs(*all_pairs(train)))
    assert scores.max() > 5
    np.testing.assert_allclose(train.scale.clip(scores), theirs(algorithm, train, clip=True), rtol=0, atol=1e-6)


def test_the_bridge_makes_the_trainset_that_surprise_loads_itself():
    train = table()
    ours, loaded = Training.of(train, Units()).trainset(), trainset(train)
    assert (ours.ur, ours.ir) == (dict(loaded.ur), dict(loaded.ir))
    assert (ours._raw2inner_id_users, ours._raw2inner_id_items) == (
        loaded._raw2inner_id_users, loaded._raw2inner_id_items
    )  # fmt: skip
    for fact in ("n_users", "n_items", "n_ratings", "rating_scale", "global_mean"):
        assert getattr(ours, fact) == getattr(loaded, fact)


def test_the_order_of_the_training_ratings_is_no_difference():
    train = table()
    shuffled = train.take(np.random.default_rng(0).permutation(len(train)))
    first, second = (fitted("svd", part).predict(Pairs(*all_pairs(train))) for part in (train, shuffled))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(("name", "units"), [("slopeone", 2), ("coclustering", 2), ("svd", 1), ("knn", 1)])
def test_half_stars_are_not_cut_to_whole_ones(name, units):
    train = table(HALVES)
    doubled = Ratings(train.users, train.items, train.ratings * units, train.n_users, train.n_items, train.scale)
    algorithm = {
        "slopeone": surprise.SlopeOne(), "coclustering": surprise.CoClustering(random_state=SEED),
        "svd": surprise.SVD(random_state=SEED), "knn": surprise.KNNBasic(verbose=False),
    }[name]  # fmt: skip
    scores = fitted(name, train).predict(Pairs(*all_pairs(train)))
    np.testing.assert_allclose(scores, theirs(algorithm, doubled) / units, rtol=0, atol=1e-6)


def test_slope_one_solves_the_papers_example_of_half_a_star():
    # A gives I 1 and J 1.5, B gives I 2: then B gives J 2 + (1.5 - 1)
    train = Ratings(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, 1.5, 2]), 2, 2, HALVES)
    model = fitted("slopeone", train)
    assert model.predict(Pairs(np.array([1]), np.array([1]))).tolist() == [2.5]
    assert model.fold_in(np.array([0]), np.array([2.0], np.float32), np.array([1])).tolist() == [2.5]
    assert model.parameters == 1 + 2


@pytest.mark.parametrize("scale", [Scale(low=-10, high=10), Scale(low=0.3, high=7.3, step=0.7)])
def test_one_cluster_of_each_adds_the_means_of_user_and_item_on_any_scale(scale):
    train = table(scale)
    users, items = train.users, train.items
    mean = [np.bincount(codes, train.ratings) / np.bincount(codes).clip(1) for codes in (users, items)]
    truth = mean[0][users] + mean[1][items] - train.ratings.mean()
    scores = fitted("coclustering", train, user_clusters=1, item_clusters=1).predict(Pairs(users, items))
    np.testing.assert_allclose(scores, truth, atol=1e-4)


def test_nmf_counts_a_scale_below_zero_from_its_low_end_and_shows_its_high_end_as_5():
    train = table(Scale(low=-10, high=10))
    shown = (train.ratings + 10) / 4
    moved = Ratings(train.users, train.items, shown, train.n_users, train.n_items, Scale(low=0, high=5))
    scores = fitted("nmf", train).predict(Pairs(*all_pairs(train)))
    np.testing.assert_allclose(scores, 4 * theirs(surprise.NMF(random_state=SEED), moved) - 10, atol=1e-5)


def test_baseline_als_and_bias_are_one_model_from_two_hands():
    train = table()
    first, second = (fitted(name, train).predict(Pairs(*all_pairs(train))) for name in ("baseline-als", "bias"))
    np.testing.assert_allclose(first, second, atol=1e-6)


FOLDS_IN = [
    ("slopeone", {}),
    *[
        ("knn", {"kind": kind, "orientation": orientation, "similarity": similarity, "k": 6, "min_k": 3})
        for kind, orientation, similarity in product(KINDS, ("user", "item"), SIMILARITIES)
    ],
    ("knn", {"similarity": "pearson", "min_support": 12}),
    ("knn", {"similarity": "pearson_baseline", "shrinkage": 3, "kind": "centered"}),
]


@pytest.mark.parametrize(("name", "config"), FOLDS_IN, ids=str)
def test_a_training_user_folded_in_is_predicted_as_in_training(name, config):
    train = table()
    model = fitted(name, train, **config)
    assert isinstance(model, FoldIn)
    rng = np.random.default_rng(0)
    for user in (0, 8, 30):
        mine = rng.permutation(np.flatnonzero(train.users == user))
        asked = np.setdiff1d(np.arange(train.n_items), train.items[mine]).astype(np.int32)  # with unknown ones
        folded = model.fold_in(train.items[mine], train.ratings[mine], asked)
        told = model.predict(Pairs(np.full(len(asked), user, np.int32), asked))
        if name == "knn" and config.get("kind") != "baseline":  # of an unknown item the user's own mean is not used
            assert (folded[asked % 2 == 1] == np.float32(train.ratings.mean(dtype=float))).all()
        np.testing.assert_allclose(folded, told, rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [{}, {"orientation": "item"}, {"kind": "baseline"}], ids=str)
@pytest.mark.parametrize("name", ["knn", "slopeone"])
def test_a_user_with_unknown_items_only_is_an_unknown_user(name, config):
    train = table()
    model = fitted(name, train, **(config if name == "knn" else {}))
    asked = np.arange(train.n_items, dtype=np.int32)
    folded = model.fold_in(np.array([1, 3]), np.array([5, 5], np.float32), asked)
    assert folded.tobytes() == model.predict(Pairs(np.ones(len(asked), np.int32), asked)).tobytes()


def test_pairs_that_ask_for_the_same_row_come_together_each_once_and_few_at_a_time():
    rows = Training.of(table(), Units()).by_user
    keys = np.random.default_rng(0).integers(0, len(rows), 500)
    met = np.zeros(500, int)
    for places, row in grouped(keys, rows, cells=60):
        (key,) = np.unique(keys[places])
        assert (row.start, row.stop) == (rows.starts[key], rows.starts[key + 1])
        assert len(places) == 1 or len(places) * (row.stop - row.start) <= 60
        met[places] += 1
    assert (met == 1).all()


@pytest.mark.parametrize(
    ("name", "config", "parameters"),
    [
        ("svd", {"factors": 7}, 8 * (39 + 29)), ("svd", {"factors": 7, "biased": False}, 7 * (39 + 29)),
        ("svdpp", {"factors": 7}, 8 * (39 + 29) + 7 * 29), ("nmf", {"factors": 7}, 7 * (39 + 29)),
        ("nmf", {"factors": 7, "biased": True}, 8 * (39 + 29)), ("baseline-als", {}, 39 + 29),
        ("coclustering", {}, 2 * (39 + 29) + 3 + 3 + 9),
        ("slopeone", {}, 29 * 28 // 2 - 1 + 39),  # one pair has no common user
        ("knn", {}, 39 * 38 // 2), ("knn", {"kind": "centered", "orientation": "item"}, 29 * 28 // 2 + 29),
        ("knn", {"kind": "baseline"}, 39 * 38 // 2 + 39 + 29),
    ],
)  # fmt: skip
def test_parameters_are_the_numbers_learned_of_the_39_users_and_29_items_in_training(name, config, parameters):
    assert fitted(name, table(), **config).parameters == parameters


def test_a_learning_rate_that_is_too_high_is_told_as_divergence():
    with pytest.raises(DivergedError, match=r"^pu, qi, bu, bi left the finite numbers; lower the learning rate$"):
        fitted("svd", table(), lr=50)


def test_cosine_over_ratings_of_zero_is_refused_in_one_line():
    zeros = Ratings(np.array([0, 1]), np.array([0, 0]), np.array([0, 3]), 2, 1, Scale(low=0, high=5))
    message = (
        r"^--similarity cosine: two users have a norm of 0 over their common ratings, where it is undefined; "
        r"take msd or pearson$"
    )
    with pytest.raises(ConfigError, match=message):
        fitted("knn", zeros, similarity="cosine")


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the machine does not say how much memory it has")
@pytest.mark.parametrize(
    ("name", "needs", "advice"),
    [
        ("knn", "3 matrices of 39 × 39", "take --orientation item or a smaller data set"),
        ("slopeone", "2 matrices of 29 × 29", "take a data set with fewer items"),
    ],
)
def test_a_matrix_beyond_the_memory_is_refused_before_it_is_filled(name, needs, advice, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    with pytest.raises(ConfigError) as caught:
        fitted(name, table())
    assert str(caught.value) == f"{name} needs {needs}, 0 GB, and this machine has 0 GB; {advice}"
