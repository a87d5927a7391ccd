"""The slices of the test ratings, and the scores of users and items that training has not seen."""

from collections import Counter

import numpy as np
import pytest

from cfbench.data import split, split_definitions
from cfbench.leaderboard import scoring, slice_intervals
from cfbench.leaderboard.intervals import interval
from cfbench.ratings import Ratings, Scale


def slices_and_errors(tiny, by):
    """The slices of the one stored run, and its errors."""
    record = tiny.add_noisy("bias", 0.7)
    (row,) = tiny.rank(by=(by,))
    return row.slices[by], tiny.predictions(record) - tiny.test_part().ratings


def check_slice(part, members, errors):
    """A slice has this many ratings and this RMSE; `members` (n,) is True for its test ratings."""
    assert part.ratings == members.sum()
    assert part.rmse == pytest.approx(float(np.sqrt(np.mean(errors[members] ** 2))))


@pytest.mark.parametrize("by", ["user-activity", "item-popularity", "rating"])
def test_slices_divide_the_test_ratings_and_their_squared_errors_add_up(tiny, by):
    slices, errors = slices_and_errors(tiny, by)
    assert sum(part.ratings for part in slices) == len(errors)
    assert sum(part.ratings * part.rmse**2 for part in slices) == pytest.approx(float(np.sum(errors**2)))


@pytest.mark.parametrize(("by", "column"), [("user-activity", "users"), ("item-popularity", "items")])
def test_a_slice_has_the_users_or_items_whose_training_ratings_its_label_counts(tiny, by, column):
    slices, errors = slices_and_errors(tiny, by)
    train = tiny.dataset.split("random90").train(tiny.dataset.ratings)
    train_counts = Counter(getattr(train, column).tolist())
    codes = getattr(tiny.test_part(), column).tolist()
    for part in slices:
        low, high = map(int, part.label.split("–"))
        check_slice(part, np.array([low <= train_counts[code] <= high for code in codes]), errors)


def test_a_slice_by_rating_has_the_test_ratings_of_one_value(tiny):
    slices, errors = slices_and_errors(tiny, "rating")
    for part in slices:
        check_slice(part, tiny.test_part().ratings == float(part.label), errors)


def test_a_scale_of_many_values_is_divided_into_ten_spans():
    values = np.array([0.0, 9.99, 10.0, 55.0, 100.0], np.float32)
    codes = np.arange(len(values), dtype=np.int32)
    table = Ratings(codes, codes, values, len(values), len(values), Scale(low=0, high=100, step=0))
    test_part = scoring.TestPart(None, table, None, None)
    assert test_part.slice_labels("rating")[::9] == ["0–10", "90–100"]
    assert test_part.slice_index("rating").tolist() == [0, 0, 1, 5, 9]


def test_new_users_and_items_have_no_score_where_training_has_seen_them_all(tiny):
    tiny.add_noisy("bias", 0.7)
    (row,) = tiny.rank()
    assert (row.new_users, row.new_items) == (None, None)


@pytest.mark.parametrize("by", ["user-activity", "item-popularity"])
def test_the_score_of_new_users_and_items_is_that_of_the_ratings_training_has_not_seen(by):
    users, items = np.divmod(np.arange(400, dtype=np.int32), 20)
    users, items = np.append(users, 20).astype(np.int32), np.append(items, 20).astype(np.int32)  # one pair is alone
    table = Ratings(users, items, np.full(401, 3, np.float32), 21, 21, Scale(low=1, high=5, step=1))
    cuts = (split.make_split("s", split_definitions.RandomHoldout(seed=seed), table) for seed in range(100))
    cut = next(cut for cut in cuts if cut.report["cold_ratings"])
    test_part = scoring.build_test_part(table, cut)
    errors = np.where(test_part.ratings.users == 20, 2.0, 0.5)
    runs = [scoring.RunErrors(test_part, errors), scoring.RunErrors(test_part, 2 * errors)]
    assert scoring.score_new(runs, by) == pytest.approx((2.5 * 4) ** 0.5)


@pytest.mark.parametrize("clusters", ["user", "both"])
@pytest.mark.parametrize("by", ["user-activity", "rating"])
def test_the_interval_of_a_slice_is_that_of_a_test_part_of_its_ratings_alone(tiny, by, clusters):
    records = [tiny.add_noisy("bias", 0.7, seed=seed) for seed in (0, 1)]
    (row,) = tiny.rank(by=(by,))
    seeds = slice_intervals.read_seeds(row.row, tiny.results, tiny.dataset)
    intervals = slice_intervals.slice_intervals(seeds, by, clusters)
    assert len(intervals) == len(row.slices[by])
    whole = seeds[0][0].test_part
    labels, index = whole.slice_labels(by), whole.slice_index(by)
    for part, found in zip(row.slices[by], intervals, strict=True):
        members = index == labels.index(part.label)
        table = whole.ratings.take(members)
        alone = scoring.TestPart(whole.split, table, whole.user_activity, whole.item_popularity)
        runs = [[scoring.RunErrors(alone, (tiny.predictions(r) - whole.ratings.ratings)[members])] for r in records]
        expected = interval(scoring.estimate_score(runs, "rmse", clusters))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
