"""timesvdpp recovers planted changes over time, which svdpp cannot know."""

import numpy as np
import pytest

from cfbench.contract import Context
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry

DAY = 86_400
STARS = Scale(low=1, high=5)
N_USERS, N_ITEMS, DAYS = 150, 60, 400
CONFIG = {"factors": 3, "epochs": 60, "lr": 0.02, "bias_lr": 0.02, "decay": 0.97, "day_reg": 0.005, "bin_reg": 0.005}
LINEAR = {"beta": 1.0, "epochs": 200, "lr": 0.03, "decay": 1.0, "drift_reg": 0.001} | dict.fromkeys(
    ("day_reg", "bin_reg", "scale_reg"), 5.0
)
"""For changes that are linear in time; slopes learn slowly."""


def parts(truth, *, session=False, seed=0):
    """Training and test ratings of `truth(users, items, days)`; in a session a user rates ten items of one day."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.6)
    days = rng.integers(0, DAYS, len(users))
    if session:
        days = rng.integers(0, DAYS, (N_USERS, 4))[users, rng.integers(0, 4, len(users))]
    ratings = STARS.clip(truth(users, items, days) + rng.normal(0, 0.1, len(users)))
    times = 900_000_000 + days * DAY + rng.integers(0, DAY, len(users))
    table = Ratings(users, items, ratings, N_USERS, N_ITEMS, STARS, times)
    held_out = rng.random(len(users)) < 0.2
    return table.take(~held_out), table.take(held_out)


def errors(train, test, **config):
    """Test RMSE of svdpp and of timesvdpp with the same hyper-parameters."""
    found = []
    for name, part in (("svdpp", train.without_times()), ("timesvdpp", train)):
        plugin = registry.load(name)
        known = {key: value for key, value in (CONFIG | config).items() if key in plugin.config.model_fields}
        model = plugin.build(plugin.config(**known))
        model.fit(part, part.take(np.arange(0)), Context(seed=1))
        pairs = test.pairs if name == "timesvdpp" else Pairs(test.users, test.items)
        found.append(float(np.sqrt(np.mean((STARS.clip(model.predict(pairs)) - test.ratings) ** 2))))
    return found


def user_drift(users, items, days):
    """Half of the users rate higher and higher, the others lower and lower."""
    return 3 + np.where(users % 2, 1, -1) * (days / DAYS - 0.5) * 2.5


def item_waves(users, items, days):
    """Each item is liked in some months and not in others."""
    return 3 + np.where((days // 50 + items) % 2, 1, -1)


def moods(users, items, days):
    """Each user has good and bad days."""
    return 3 + np.random.default_rng(0).normal(0, 0.8, (N_USERS, DAYS))[users, days]


def taste_drift(users, items, days):
    """Half of the users come to like the even items and to dislike the odd ones, the others the reverse."""
    return 3 + np.where(users % 2, 1, -1) * np.where(items % 2, 1, -1) * (days / DAYS - 0.5) * 2.5


def contrasts(users, items, days):
    """All users agree which items are good; on some days they spread their ratings more."""
    return (
        3 + np.where(items % 2, 0.7, -0.7) * np.random.default_rng(0).choice([0.2, 1.8], (N_USERS, DAYS))[users, days]
    )


@pytest.mark.parametrize(
    ("truth", "session", "config"),
    [
        (user_drift, False, LINEAR), (item_waves, False, {"bin_count": 8}), (moods, True, {}),
        (taste_drift, False, LINEAR), (contrasts, True, {"scale_reg": 0.005}),
    ],
)  # fmt: skip
def test_it_recovers_what_svdpp_cannot(truth, session, config):
    train, test = parts(truth, session=session)
    without_dates, with_dates = errors(train, test, **config)
    assert without_dates > 0.5
    assert with_dates < 0.6 * without_dates


def test_without_change_dates_do_little_harm():
    train, test = parts(lambda users, items, days: 3 + np.where(items % 2, 0.8, -0.8))
    without_dates, with_dates = errors(train, test)
    assert with_dates < 1.2 * without_dates


def test_a_pair_without_a_time_gets_the_mean_of_its_predictions_over_time():
    train, _ = parts(item_waves)
    plugin = registry.load("timesvdpp")
    model = plugin.build(plugin.config(**CONFIG))
    model.fit(train, train.take(np.arange(0)), Context(seed=1))
    items = np.arange(N_ITEMS, dtype=np.int32)
    undated = model.predict(Pairs(np.zeros(N_ITEMS, np.int32), items))
    assert abs(undated - 3).max() < 0.5  # the waves of an item cancel each other out
    every_day = 900_000_000 + DAY * np.arange(DAYS)
    zeros = np.zeros(DAYS, np.int32)
    means = np.array([model.predict(Pairs(zeros, zeros + item, every_day)).mean() for item in items])
    assert np.sqrt(np.mean((undated - means) ** 2)) < 0.3


def test_a_time_outside_training_counts_as_the_nearest_one_and_as_a_day_without_ratings():
    train, _ = parts(user_drift)
    plugin = registry.load("timesvdpp")
    model = plugin.build(plugin.config(**CONFIG))
    model.fit(train, train.take(np.arange(0)), Context(seed=1))
    users, items = np.arange(N_USERS, dtype=np.int32), np.zeros(N_USERS, np.int32)
    late, later = (
        model.predict(Pairs(users, items, np.full(N_USERS, train.times.max() + after * DAY))) for after in (5, 5_000)
    )
    assert late.tobytes() == later.tobytes()
    assert late[1::2].mean() > late[::2].mean() + 1
