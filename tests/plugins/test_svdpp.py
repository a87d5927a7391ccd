"""svdpp against surprise's SVD++, and on ratings whose structure only the items that a user rated reveal."""

import numpy as np
import pytest
import surprise

from cfbench.contract import Context, DivergedError
from cfbench.learning import sgd_passes
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import planted

STARS = Scale(low=1, high=5)


def fitted(name, train, valid=None, seed=1, **config):
    plugin = registry.load(name)
    model = plugin.build(plugin.config(**config))
    model.fit(train, train.take(np.arange(0)) if valid is None else valid, Context(seed=seed))
    return model


def rmse(model, ratings):
    return float(np.sqrt(np.mean((ratings.scale.clip(model.predict(ratings.pairs)) - ratings.ratings) ** 2)))


def dense(n_users=25, n_items=12):
    """(n_users, n_items) ratings, all of them known: both libraries then number users and items alike."""
    rng = np.random.default_rng(5)
    users, items = (codes.ravel() for codes in np.indices((n_users, n_items)))
    return Ratings(users, items, rng.integers(1, 6, len(users)), n_users, n_items, STARS)


def test_passes_from_the_same_factors_learn_the_parameters_that_surprise_learns():
    train, epochs = dense(), 7
    names = ("bu", "bi", "pu", "qi", "yj")
    rates, penalties = (0.01, 0.02, 0.03), {"bu": 0.04, "bi": 0.04, "pu": 0.05, "qi": 0.06, "yj": 0.003}
    algorithm = surprise.SVDpp(
        4, epochs, lr_bu=rates[0], lr_bi=rates[0], lr_pu=rates[1], lr_qi=rates[1], lr_yj=rates[2], random_state=3,
        **{f"reg_{name}": value for name, value in penalties.items()},
    )  # fmt: skip
    rows = list(
        zip(train.users.tolist(), train.items.tolist(), train.ratings.tolist(), [None] * len(train), strict=True)
    )
    algorithm.fit(surprise.Dataset(surprise.Reader()).construct_trainset(rows))

    rng, sparse = np.random.RandomState(3), train.rows("user")  # as surprise does
    first = [rng.normal(0, 0.1, (n, 4)).astype(np.float32) for n in (train.n_users, train.n_items, train.n_items)]
    biases = np.zeros(train.n_users, np.float32), np.zeros(train.n_items, np.float32)
    factors = sgd_passes.Factors(*biases, *first)
    cells = sgd_passes.Cells(sparse.starts, sparse.columns, sparse.values - train.ratings.mean())
    steps = sgd_passes.Steps(*map(np.float32, (*rates, *(penalties[name] for name in ("bu", "pu", "qi", "yj")))))
    for _ in range(epochs):
        order = np.arange(train.n_users, dtype=np.int32)
        sgd_passes.svdpp_pass(order, cells, factors, steps)
    for name, array in zip(names, factors, strict=True):
        np.testing.assert_allclose(array, getattr(algorithm, name), atol=1e-5, err_msg=name)


def test_it_predicts_planted_ratings_as_well_as_surprise_with_the_same_hyper_parameters():
    data = planted(seed=3, n_users=150, n_items=60)
    same = {"factors": 6, "epochs": 30, "init_std": 0.1, "implicit_reg": 0.002}
    own = {"lr": 0.02, "bias_lr": 0.02, "implicit_lr": 0.02, "bias_reg": 0.03, "user_reg": 0.03, "item_reg": 0.03}
    errors = [rmse(fitted("svdpp", data.train, decay=1, seed=s, **same, **own), data.test) for s in range(3)]
    of_surprise = [
        rmse(fitted("surprise-svdpp", data.train, lr=0.02, reg=0.03, seed=s, **same), data.test) for s in range(3)
    ]
    assert np.mean(errors) == pytest.approx(np.mean(of_surprise), rel=0.02)


def tastes():
    """Ratings in which a user's taste shows only in which items the user rated: those of one of two genres.

    The ratings of these items are noise. Each user also rated some of the other 20 items: 4 stars or 2, by genre.
    """
    rng, n = np.random.default_rng(8), 300
    genres = rng.integers(0, 2, n)
    users, items, ratings = [], [], []
    for user, genre in enumerate(genres.tolist()):
        own, shared = rng.permutation(10)[:6] + 10 * genre, rng.permutation(20)[:4] + 20
        users += [user] * 10
        items += [*own.tolist(), *shared.tolist()]
        ratings += [*rng.uniform(2, 4, 6).tolist(), *(4.0 if (item + genre) % 2 else 2.0 for item in shared.tolist())]
    table = Ratings(np.array(users), np.array(items), np.array(ratings), n, 40, STARS)
    hidden = (table.items >= 20) & (table.users < 100)
    return table.take(~hidden), table.take(hidden)


def test_it_learns_from_which_items_a_user_rated():
    train, test = tastes()
    config = {"factors": 4, "epochs": 60, "lr": 0.02, "decay": 1, "user_reg": 0.1}
    with_implicit = rmse(fitted("svdpp", train, implicit_lr=0.02, **config), test)
    without = rmse(fitted("svdpp", train, implicit_lr=0, **config), test)
    assert without > 0.9  # the ratings alone do not say whether 4 or 2 stars
    assert with_implicit < 0.4


def test_a_known_user_who_is_folded_in_gets_nearly_the_predictions_of_training():
    data = planted(seed=6, n_users=200, n_items=40, density=0.6)
    model = fitted("svdpp", data.train, factors=3, epochs=150, lr=0.02, decay=0.98)
    of_user = data.train.take(data.train.users == 7)
    targets = np.setdiff1d(np.arange(39, dtype=np.int32), of_user.items)
    folded = model.fold_in(of_user.items, of_user.ratings, targets)
    predicted = model.predict(Pairs(np.full(len(targets), 7, np.int32), targets))
    np.testing.assert_allclose(folded, predicted, atol=0.15)


@pytest.mark.parametrize("name", ["svdpp", "timesvdpp"])
def test_a_user_or_item_without_training_ratings_gets_what_the_other_side_says(name):
    data = planted(seed=7)
    model = fitted(name, data.train, factors=3)
    last_user, last_item = data.train.n_users - 1, data.train.n_items - 1
    everyone, everything = (np.arange(n, dtype=np.int32) for n in (last_user, last_item))
    by_item = model.predict(Pairs(np.full(last_item, last_user, np.int32), everything))
    by_user = model.predict(Pairs(everyone, np.full(last_user, last_item, np.int32)))
    nobody = model.predict(Pairs(np.array([last_user]), np.array([last_item])))
    assert nobody.tolist() == [np.float32(data.train.ratings.mean(dtype=float))]
    for codes, scores in ((data.train.items, by_item), (data.train.users, by_user)):
        means = np.bincount(codes, data.train.ratings)[:-1] / np.bincount(codes)[:-1].clip(1)
        assert np.corrcoef(means, scores[: len(means)])[0, 1] > 0.9


@pytest.mark.parametrize("name", ["svdpp", "timesvdpp"])
def test_a_learning_rate_that_is_too_high_raises_diverged_error(name):
    with pytest.raises(DivergedError, match="RMSE became"):
        fitted(name, planted(seed=1).train, lr=40.0)


def test_parameters_counts_biases_factors_and_the_mean():
    train = planted(seed=1).train
    assert fitted("svdpp", train, factors=7, epochs=1).parameters == 1 + 80 + 60 + 7 * (80 + 2 * 60)


def test_a_scale_ten_times_as_wide_changes_the_unit_and_nothing_else():
    data = planted(seed=2)
    tens = Ratings(
        data.train.users, data.train.items, data.train.ratings * 10, 80, 60, Scale(low=10, high=50)
    )  # fmt: skip
    scores = [fitted("svdpp", train, factors=3, epochs=5).predict(data.test.pairs) for train in (data.train, tens)]
    np.testing.assert_allclose(10 * scores[0], scores[1], atol=1e-3)
