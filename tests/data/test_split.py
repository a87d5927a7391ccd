"""Splits: exact, disjoint, reproducible to the bit; their reports against counting by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from cfbench.data import parts as parts_module
from cfbench.data.parts import LEFT_OUT, TEST, TRAIN, VALID, random_keys
from cfbench.data.split import make_split, restore_split
from cfbench.data.split_definitions import (
    DEFAULT_SPLIT,
    STANDARD_SPLITS,
    HeldOut,
    KFold,
    LastFraction,
    LeaveLastOut,
    Official,
    RandomHoldout,
    TimeWindow,
)
from cfbench.errors import SplitError
from cfbench.ratings import Ratings, Scale

DAY = 86_400
N_USERS, N_ITEMS = 6, 9


def table(rows):
    """Ratings from (user, item, day) rows; a day may be a fraction."""
    users, items, days = zip(*rows, strict=True) if rows else ((), (), ())
    times = (np.array(days, np.float64) * DAY).astype(np.int64)
    return Ratings(users, items, np.ones(len(rows)), N_USERS, N_ITEMS, Scale(low=1, high=5), times)


def fixed_ratings():
    """A thousand fixed ratings over forty days; every item above 56 has one rating."""
    i = np.arange(1000)
    items = np.where(i % 25 == 0, 57 + i // 25, (i * i + 3 * i) % 57)
    times = (i * 37 % 1000) // 25 * DAY + i
    return Ratings((i * 7) % 40, items, 1 + (i * 13) % 5, 40, 97, Scale(low=1, high=5, step=1), times)


def equal_ratings(n):
    """n equal ratings by one user of one item."""
    return Ratings(np.zeros(n), np.zeros(n), np.ones(n), 1, 1, Scale(low=1, high=5), np.zeros(n))


def rows_of(cut, part):
    return np.flatnonzero(cut.parts == part).tolist()


WINDOW = {"train_from": date(1970, 1, 2), "train_to": date(1970, 1, 5)}
WINDOW |= {"test_from": date(1970, 1, 6), "test_to": date(1970, 1, 9)}
seeds, fractions, colds = st.integers(0, 2**40), st.floats(0, 0.9), st.sampled_from(["keep", "drop"])
common = {"seed": seeds, "cold": colds}
rows = st.tuples(st.integers(0, 4), st.integers(0, 7), st.floats(0, 10))
tables = st.lists(rows, max_size=40).map(table)
larger_tables = st.lists(rows, min_size=20, max_size=60).map(table)
definitions = st.one_of(
    st.builds(RandomHoldout, test=fractions, valid=fractions, **common),
    st.builds(KFold, folds=st.integers(3, 6), fold=st.integers(1, 3), valid=fractions, **common),
    st.builds(Official, first=st.integers(0, 3), last=st.integers(4, 9), valid=fractions, **common),
    st.builds(TimeWindow, valid=fractions, **{name: st.just(day) for name, day in WINDOW.items()}, **common),
    st.builds(LeaveLastOut, test=st.integers(1, 2), valid=st.integers(0, 2), **common),
    st.builds(LastFraction, test=fractions, valid=fractions, **common),
)


def make_or_reject(definition, ratings):
    """The split; an example whose training or test part would be empty does not count."""
    try:
        return make_split("any", definition, ratings)
    except SplitError:
        reject()


# ── every split ──


@given(larger_tables, definitions)
def test_the_report_equals_counting_by_hand(ratings, definition):
    cut = make_or_reject(definition, ratings)
    pairs = list(zip(ratings.users.tolist(), ratings.items.tolist(), strict=True))
    train, valid, test, left_out = (rows_of(cut, part) for part in (TRAIN, VALID, TEST, LEFT_OUT))
    assert sorted(train + valid + test + left_out) == list(range(len(ratings)))
    users, items = {pairs[row][0] for row in train}, {pairs[row][1] for row in train}
    cold = [row for row in range(len(ratings)) if pairs[row][0] not in users or pairs[row][1] not in items]
    assert cut.report == {
        "train": len(train), "valid": len(valid), "test": len(test), "left_out": len(left_out),
        "dropped": sum(row in left_out and has_a_part(definition, ratings, row) for row in cold),
        "cold_users": len({pairs[row][0] for row in test} - users),
        "cold_items": len({pairs[row][1] for row in test} - items),
        "cold_ratings": len(set(test) & set(cold)),
        "train_users": len(users), "train_items": len(items), "held_out": len(test) + len(valid),
        "held_out_users": len({pairs[row][0] for row in test + valid}),
        "held_out_items": len({pairs[row][1] for row in test + valid}),
    }  # fmt: skip
    if definition.cold == "drop":
        assert not set(cold) & set(valid + test)
    if definition.cold == "keep":
        assert cut.report["dropped"] == 0


def cold_and_rating_counts(report):
    """The report without the counts of users and items of the parts."""
    return {name: count for name, count in report.items() if not name.startswith(("train_", "held_out"))}


def has_a_part(definition, ratings, row):
    """Whether the definition assigns the rating to a part, cold or not; only a time window leaves days out."""
    if definition.kind != "time":
        return True
    day = datetime.fromtimestamp(int(ratings.times[row]), UTC).date()
    return WINDOW["train_from"] <= day <= WINDOW["train_to"] or WINDOW["test_from"] <= day <= WINDOW["test_to"]


@given(larger_tables, definitions)
def test_a_split_made_twice_is_the_same_to_the_bit(ratings, definition):
    first, second = (make_or_reject(definition, ratings) for _ in range(2))
    assert first.parts.tobytes() == second.parts.tobytes()
    assert first.fingerprint == second.fingerprint


@given(larger_tables, definitions)
def test_a_split_is_restored_from_json_and_its_parts(ratings, definition):
    again = type(definition).model_validate_json(definition.model_dump_json())
    assert again == definition
    cut = make_or_reject(definition, ratings)
    restored = restore_split("any", again, ratings, cut.parts.copy(), dropped=cut.report["dropped"])
    assert (restored.fingerprint, restored.report) == (cut.fingerprint, cut.report)


def test_the_parts_of_a_split_keep_the_order_of_the_ratings_and_are_read_only():
    ratings = fixed_ratings()
    cut = make_split("random90", STANDARD_SPLITS["random90"], ratings)
    for part, number in ((cut.train(ratings), TRAIN), (cut.valid(ratings), VALID), (cut.test(ratings), TEST)):
        assert part.fingerprint == ratings.take(np.array(rows_of(cut, number))).fingerprint
    with pytest.raises(ValueError, match="read-only"):
        cut.parts[0] = TEST


# Before changing any of these, change the version in the fingerprint of `split` and CACHE_VERSION of `split_cache`.
GOLDEN = {
    "random90": ("790490b742cbb86a", [5, 7, 14, 22, 31], [19, 62, 81]),
    "random80": ("1aba61766eb85ab4", [0, 3, 5, 7, 14], [21, 67, 92]),
    "5fold-1": ("e917486c0b8d01c9", [4, 17, 18, 22, 24], []),
    "5fold-2": ("c254daa864680a0c", [11, 21, 34, 37, 39], []),
    "5fold-3": ("742ea39ad077831b", [0, 1, 5, 7, 13], []),
    "5fold-4": ("c13dde0dccfb4964", [9, 15, 29, 30, 32], []),
    "5fold-5": ("9c71edfbf478b5af", [2, 3, 6, 8, 10], []),
    "last1": ("2de742ab4dd77d03", [26, 27, 53, 54, 80], [25, 52, 79]),
    "time90": ("c88042f8da87a9ac", [26, 27, 52, 53, 54], [24, 51, 78]),
    "random90@7": ("c19559b992bfb745", [6, 10, 25, 52, 54], [15, 74, 78]),
    "half, drop": ("10f596b856068ef7", [3, 4, 5, 7, 9], [1, 6, 13]),
    "official": ("70a651fe4e444c58", [10, 11, 12, 13, 14], [116, 154, 173]),
    "time": ("e580c725a6219bd4", [18, 42, 44, 47, 69], [15, 16, 17]),
}  # fmt: skip
GOLDEN_DEFINITIONS = {
    **STANDARD_SPLITS,
    "random90@7": STANDARD_SPLITS["random90"].model_copy(update={"seed": 7}),
    "half, drop": RandomHoldout(test=0.5, valid=0.5, cold="drop"),
    "official": Official(first=10, last=110),
    "time": TimeWindow(
        train_from=date(1970, 1, 1), train_to=date(1970, 1, 20), test_from=date(1970, 1, 22), test_to=date(1970, 1, 30)
    ),
}


@pytest.mark.parametrize("name", GOLDEN_DEFINITIONS)
def test_the_splits_of_fixed_ratings_never_change(name):
    cut = make_split(name, GOLDEN_DEFINITIONS[name], fixed_ratings())
    assert (cut.fingerprint[:16], rows_of(cut, TEST)[:5], rows_of(cut, VALID)[:3]) == GOLDEN[name]


def test_the_random_keys_never_change():
    assert random_keys(1, "test").random_raw(3).tolist() == [
        1905610655638564922,
        10960599897410127490,
        14607712083982051424,
    ]


def test_the_fingerprint_depends_only_on_the_ratings_and_the_parts():
    ratings = fixed_ratings()
    plain = make_split("random90", STANDARD_SPLITS["random90"], ratings)
    other_name = make_split("mine", RandomHoldout(seed=1, test=0.1, valid=0.05), ratings)
    assert plain.fingerprint == other_name.fingerprint
    assert make_split("mine", RandomHoldout(valid=0.06), ratings).fingerprint != plain.fingerprint
    columns = {"users": ratings.users, "items": ratings.items, "ratings": ratings.ratings, "times": ratings.times}
    for name, column in columns.items():
        changed = column.copy()
        changed[500] = changed[501] if changed[500] != changed[501] else changed[502]
        assert changed[500] != column[500]
        other = Ratings(**columns | {name: changed}, n_users=40, n_items=97, scale=ratings.scale)
        again = make_split("random90", STANDARD_SPLITS["random90"], other)
        assert again.parts.tobytes() == plain.parts.tobytes()
        assert again.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    "definition", [RandomHoldout(), KFold(), Official(first=0, last=1), LeaveLastOut(), LastFraction()]
)
def test_an_empty_table_cannot_be_split(definition):
    with pytest.raises(SplitError, match=r"(of 0|has 0 ratings); choose another with --split"):
        make_split("any", definition, table([]))


@pytest.mark.parametrize(
    ("definition", "part"),
    [
        (RandomHoldout(test=0), "test"), (RandomHoldout(test=0.01), "test"), (RandomHoldout(test=0.9), "training"),
        (KFold(folds=5), "test"), (Official(first=0, last=3), "training"), (LeaveLastOut(test=3), "test"),
        (LastFraction(), "test"),
        (TimeWindow(**WINDOW), "test"), (TimeWindow(**WINDOW, cold="keep", valid=0.6), "test"),
    ],
)  # fmt: skip
def test_an_empty_training_or_test_part_is_refused_by_name(definition, part):
    ratings = table([(0, 0, 1), (0, 1, 2), (1, 2, 6)])
    with pytest.raises(SplitError) as caught:
        make_split("mine", definition, ratings)
    assert str(caught.value) == f"split 'mine' leaves no {part} ratings out of 3; choose another with --split"


# ── random ──


@given(n=st.integers(2, 300), test=fractions, valid=fractions, seed=seeds)
def test_a_random_split_holds_out_the_exact_number_of_ratings(n, test, valid, seed):
    parts = RandomHoldout(test=test, valid=valid, seed=seed).cut(equal_ratings(n))
    n_test = round(test * n)
    n_valid = round(valid * (n - n_test))
    assert np.bincount(parts, minlength=4).tolist() == [n - n_test - n_valid, n_valid, n_test, 0]


@given(n=st.integers(10, 200), valid=fractions, seed=seeds)
def test_the_test_part_does_not_depend_on_the_validation_fraction(n, valid, seed):
    with_valid, without_valid = (RandomHoldout(valid=v, seed=seed).cut(equal_ratings(n)) for v in (valid, 0))
    assert np.array_equal(with_valid == TEST, without_valid == TEST)
    assert not (without_valid == VALID).any()


def test_a_larger_test_part_of_a_seed_contains_the_smaller_one():
    small, large = (set(np.flatnonzero(RandomHoldout(test=t).cut(equal_ratings(500)) == TEST)) for t in (0.1, 0.2))
    assert small < large


def test_seeds_differ_and_all_rows_are_equally_likely():
    """Over 400 seeds, each of 200 rows is held out as often as expected, within five standard deviations."""
    parts = np.array([RandomHoldout(test=0.3, valid=0.5, seed=seed).cut(equal_ratings(200)) for seed in range(400)])
    assert len({row.tobytes() for row in parts}) == 400
    for part, chance in ((TEST, 0.3), (VALID, 0.35), (TRAIN, 0.35)):
        times_in_part = (parts == part).sum(axis=0)
        assert np.abs(times_in_part - 400 * chance).max() < 5 * np.sqrt(400 * chance * (1 - chance))
    together = ((parts == TEST)[:-1] & (parts == TEST)[1:]).mean()  # of consecutive seeds
    assert together == pytest.approx(0.09, abs=0.005)


def test_each_purpose_has_a_different_random_stream():
    purposes = [random_keys(1, purpose).random_raw(64).tobytes() for purpose in ("test", "valid", "folds", "halves")]
    assert len(set(purposes)) == 4


# ── folds ──


@given(n=st.integers(1, 200), folds=st.integers(2, 12), valid=fractions, seed=seeds)
def test_folds_partition_the_ratings_evenly(n, folds, valid, seed):
    cuts = [KFold(folds=folds, fold=k, valid=valid, seed=seed).cut(equal_ratings(n)) for k in range(1, folds + 1)]
    in_test = np.array([cut == TEST for cut in cuts])
    assert (in_test.sum(axis=0) == 1).all()
    sizes = in_test.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1
    for cut, size in zip(cuts, sizes, strict=True):
        assert (cut == VALID).sum() == round(valid * (n - size))


def test_the_five_standard_folds_partition_the_ratings():
    cuts = [make_split(f"5fold-{k}", STANDARD_SPLITS[f"5fold-{k}"], fixed_ratings()) for k in range(1, 6)]
    assert sorted(row for cut in cuts for row in rows_of(cut, TEST)) == list(range(1000))
    assert all((cut.report["train"], cut.report["valid"]) == (800, 0) for cut in cuts)
    assert len({cut.fingerprint for cut in cuts}) == 5


def test_a_fold_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match="expected a fold from 1 to 5, got 6"):
        KFold(fold=6)


# ── official ──


def test_the_official_rows_are_the_whole_test_part():
    cut = make_split("u2", Official(first=200, last=400), fixed_ratings())
    assert rows_of(cut, TEST) == list(range(200, 400))
    assert cut.report["valid"] == 40
    for seed in (1, 2):
        other = make_split("u2", Official(first=200, last=400, seed=seed), fixed_ratings())
        assert rows_of(other, TEST) == rows_of(cut, TEST)
        assert (rows_of(other, VALID) == rows_of(cut, VALID)) == (seed == 1)


def test_official_rows_beyond_the_data_set_are_refused():
    with pytest.raises(SplitError) as caught:
        make_split("u5", Official(first=80_000, last=100_000), fixed_ratings())
    assert str(caught.value) == (
        "the split needs the test rows 80000 to 100000, but the data set has 1000 ratings; choose another with --split"
    )


def test_an_empty_range_of_official_rows_is_refused():
    with pytest.raises(ValidationError, match="expected first < last, got 5 and 5"):
        Official(first=5, last=5)


# ── time windows ──


def test_both_dates_of_a_span_are_included_to_the_second():
    definition = TimeWindow(
        train_from=date(2005, 9, 1), train_to=date(2005, 11, 30), test_from=date(2005, 12, 1),
        test_to=date(2005, 12, 31), valid=0, cold="keep",
    )  # fmt: skip
    moments = {
        datetime(2005, 8, 31, 23, 59, 59, tzinfo=UTC): LEFT_OUT,
        datetime(2005, 9, 1, tzinfo=UTC): TRAIN,
        datetime(2005, 11, 30, 23, 59, 59, tzinfo=UTC): TRAIN,
        datetime(2005, 12, 1, tzinfo=UTC): TEST,
        datetime(2005, 12, 31, 23, 59, 59, tzinfo=UTC): TEST,
        datetime(2006, 1, 1, tzinfo=UTC): LEFT_OUT,
    }
    ratings = table([(0, 0, moment.timestamp() / DAY) for moment in moments])
    assert ratings.times.tolist() == [moment.timestamp() for moment in moments]
    assert make_split("3m", definition, ratings).parts.tolist() == list(moments.values())


@given(
    st.lists(st.integers(-400 * DAY, 400 * DAY), min_size=1, max_size=50),
    st.lists(st.dates(date(1969, 1, 1), date(1971, 1, 1)), min_size=4, max_size=4, unique=True).map(sorted),
)
def test_time_windows_follow_the_calendar(times, days):
    n = len(times)
    ratings = Ratings(np.zeros(n), np.zeros(n), np.ones(n), 1, 1, Scale(low=1, high=5), np.array(times))
    names = ("train_from", "train_to", "test_from", "test_to")
    parts = TimeWindow(**dict(zip(names, days, strict=True))).cut(ratings)
    for part, time in zip(parts, times, strict=True):
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time)).date()
        expected = TRAIN if days[0] <= day <= days[1] else TEST if days[2] <= day <= days[3] else LEFT_OUT
        assert part == expected


def test_cold_ratings_are_dropped_before_the_later_span_is_halved():
    warm = [(0, 0, 2), (1, 1, 2)] + [(k % 2, (k // 2) % 2, 6) for k in range(10)]
    cold = [(2, 0, 6), (0, 3, 7), (4, 4, 7), (2, 1, 20)]
    ratings = table(warm + cold)
    without_cold = make_split("3m", TimeWindow(**WINDOW), ratings)
    assert cold_and_rating_counts(without_cold.report) == {
        "train": 2, "valid": 5, "test": 5, "left_out": 4, "dropped": 3,
        "cold_users": 0, "cold_items": 0, "cold_ratings": 0,
    }  # fmt: skip
    with_cold = make_split("3m", TimeWindow(**WINDOW, cold="keep", valid=0), ratings)
    assert cold_and_rating_counts(with_cold.report) == {
        "train": 2, "valid": 0, "test": 13, "left_out": 1, "dropped": 0,
        "cold_users": 2, "cold_items": 2, "cold_ratings": 3,
    }  # fmt: skip


def test_the_seed_changes_only_the_halves_of_the_later_span():
    first, second = (make_split("3m", TimeWindow(**WINDOW, seed=seed), fixed_ratings()) for seed in (1, 2))
    assert rows_of(first, TEST) != rows_of(second, TEST)
    for part in (TRAIN, LEFT_OUT):
        assert rows_of(first, part) == rows_of(second, part)


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_to": date(1970, 1, 6)}, {"train_to": date(1970, 1, 20)}, {"train_from": date(1970, 1, 6)},
        {"test_to": date(1970, 1, 5)},
    ],
)  # fmt: skip
def test_spans_that_overlap_or_are_reversed_are_refused(wrong):
    with pytest.raises(ValidationError, match="expected a span of training days and then one of test days, got 1970-"):
        TimeWindow(**WINDOW | wrong)


def test_a_span_may_be_one_day_or_end_at_the_last_date_of_python():
    days = {"train_from": date(1, 1, 1), "train_to": date(1970, 1, 2), "test_from": date(1970, 1, 3)}
    parts = TimeWindow(**days, test_to=date.max).cut(table([(0, 0, 1), (0, 0, 2), (0, 0, 900_000)]))
    assert parts.tolist() == [TRAIN, TEST, TEST]


# ── the last of each user ──


@given(tables, st.integers(1, 3), st.integers(0, 3))
def test_the_last_ratings_of_each_user_are_held_out_and_ties_keep_the_order_of_the_source(ratings, test, valid):
    whole_days = Ratings(
        ratings.users, ratings.items, ratings.ratings, N_USERS, N_ITEMS, ratings.scale, ratings.times // DAY
    )
    parts = LeaveLastOut(test=test, valid=valid).cut(whole_days)
    expected = [TRAIN] * len(ratings)
    for user in range(N_USERS):
        history = sorted(np.flatnonzero(ratings.users == user), key=lambda row: whole_days.times[row])
        if len(history) > test + valid:
            for k, row in enumerate(reversed(history)):
                if k < test + valid:
                    expected[row] = TEST if k < test else VALID
    assert parts.tolist() == expected


def test_users_with_too_few_ratings_are_not_cut():
    ratings = table([(0, k, k) for k in range(3)] + [(1, 0, 5), (1, 1, 4)] + [(2, 0, 1)])
    cut = make_split("last1", LeaveLastOut(), ratings)
    assert cut.parts.tolist() == [TRAIN, VALID, TEST, TRAIN, TRAIN, TRAIN]


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        (LeaveLastOut(), "leave-last-out"), (LastFraction(), "a split by each user's time"),
        (TimeWindow(**WINDOW), "a time split"),
    ],
)  # fmt: skip
def test_splits_by_time_need_times(definition, kind):
    ratings = Ratings([0], [0], [1], 1, 1, Scale(low=1, high=5))
    with pytest.raises(SplitError) as caught:
        make_split("any", definition, ratings)
    assert str(caught.value) == (f"{kind} needs timestamps, and this data set has none; choose another with --split")


@given(tables, fractions, fractions)
def test_the_last_fraction_of_each_user_is_held_out_and_ties_keep_the_order_of_the_source(ratings, test, valid):
    whole_days = replace(ratings, times=ratings.times // DAY, known_fingerprint=None)
    expected = [TRAIN] * len(ratings)
    for user in range(N_USERS):
        history = sorted(np.flatnonzero(ratings.users == user), key=lambda row: whole_days.times[row])
        n_test, n_valid = round(test * len(history)), round(valid * len(history))
        if n_test + n_valid < len(history):
            for k, row in enumerate(reversed(history)):
                if k < n_test + n_valid:
                    expected[row] = TEST if k < n_test else VALID
    assert LastFraction(test=test, valid=valid).cut(whole_days).tolist() == expected


@pytest.mark.parametrize(
    ("n", "test", "valid"),
    [(1, 0, 0), (5, 0, 0), (6, 1, 0), (10, 1, 0), (11, 1, 1), (15, 2, 1), (25, 2, 1), (40, 4, 2)],
)
def test_time90_holds_out_the_rounded_tenth_and_twentieth_of_each_user(n, test, valid):
    ratings = table([(0, 0, -k) for k in range(n)] + [(1, 0, 100 - k) for k in range(40)])
    parts = STANDARD_SPLITS["time90"].cut(ratings)
    assert parts[:n].tolist() == [TEST] * test + [VALID] * valid + [TRAIN] * (n - test - valid)
    assert parts[n:].tolist() == [TEST] * 4 + [VALID] * 2 + [TRAIN] * 34


def test_time90_leaves_out_ratings_of_items_that_nobody_rated_earlier():
    history = [(0, 0, day) for day in range(18)]
    cut = make_split("time90", STANDARD_SPLITS["time90"], table([*history, (0, 1, 18), (0, 0, 19)]))
    assert (rows_of(cut, LEFT_OUT), rows_of(cut, VALID), rows_of(cut, TEST)) == ([18], [17], [19])
    assert (cut.report["dropped"], cut.report["cold_ratings"]) == (1, 0)


# ── cold ──


def test_cold_ratings_are_counted_and_kept_or_dropped():
    ratings = table([(0, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (0, 3, 0), (2, 4, 0)])
    with_cold = make_split("mine", Official(first=2, last=6, valid=0), ratings)
    assert cold_and_rating_counts(with_cold.report) == {
        "train": 2, "valid": 0, "test": 4, "left_out": 0, "dropped": 0,
        "cold_users": 1, "cold_items": 2, "cold_ratings": 3,
    }  # fmt: skip
    without_cold = make_split("mine", Official(first=2, last=6, valid=0, cold="drop"), ratings)
    assert without_cold.parts.tolist() == [TRAIN, TRAIN, TEST, LEFT_OUT, LEFT_OUT, LEFT_OUT]
    assert cold_and_rating_counts(without_cold.report) == {
        "train": 2, "valid": 0, "test": 1, "left_out": 3, "dropped": 3,
        "cold_users": 0, "cold_items": 0, "cold_ratings": 0,
    }  # fmt: skip


def test_a_user_with_ratings_only_in_validation_is_cold():
    ratings = table([(0, 0, 1), (1, 0, 1), (1, 0, 2), (0, 0, 2), (0, 0, 3), (0, 0, 4)])
    parts = np.array([TRAIN, VALID, TEST, TRAIN, TRAIN, TEST], np.uint8)
    report = restore_split("mine", RandomHoldout(), ratings, parts, dropped=0).report
    assert (report["cold_users"], report["cold_items"], report["cold_ratings"]) == (1, 0, 1)


@pytest.mark.parametrize("wrong", [{"test": 1}, {"test": -0.1}, {"valid": 1}, {"seed": -1}, {"cold": "maybe"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RandomHoldout(**wrong)


def test_the_default_split_is_a_standard_split():
    assert DEFAULT_SPLIT in STANDARD_SPLITS
    assert all(definition.protocol for definition in STANDARD_SPLITS.values())


def test_ratings_held_out_by_the_authors_are_the_test_part():
    ratings = replace(table([(k % 4, k % 5, 1.0) for k in range(20)]), held_out=np.arange(20) % 3 == 0)
    cut = make_split("probe", HeldOut(valid=0.5), ratings)
    assert (cut.parts == TEST).tolist() == ratings.held_out.tolist()
    assert (cut.report["valid"], cut.report["train"]) == (6, 7)


def test_a_source_without_held_out_ratings_is_refused():
    with pytest.raises(SplitError, match="the source has no held-out ratings for testing; choose another with --split"):
        make_split("probe", HeldOut(), fixed_ratings())


def test_published_counts_that_differ_are_reported_and_do_not_change_the_split():
    ratings = table([(k % 4, k % 5, 1.0) for k in range(20)])
    plain = make_split("x", RandomHoldout(), ratings)
    right = make_split("x", RandomHoldout(expected={"train": plain.report["train"], "test": 2}), ratings)
    wrong = make_split("x", RandomHoldout(expected={"train_users": 5, "test": 2}), ratings)
    assert right.mismatches == []
    assert wrong.mismatches == ["train users: expected 5, got 4"]
    assert plain.fingerprint == right.fingerprint == wrong.fingerprint


def test_splits_do_not_depend_on_the_block_size(monkeypatch):
    ratings = table([(k % 6, k % 4, 1.0) for k in range(77)])
    ratings = replace(ratings, times=np.arange(77) * 31 % 11 * DAY, held_out=np.arange(77) % 7 == 0)
    kinds = (
        RandomHoldout(), KFold(fold=2), KFold(fold=5, cold="drop"), Official(first=3, last=40, cold="drop"),
        HeldOut(), TimeWindow(**WINDOW), LeaveLastOut(test=2, valid=3),
        LastFraction(test=0.3, valid=0.2),
    )  # fmt: skip
    in_one_block = [make_split("x", kind, ratings) for kind in kinds]
    monkeypatch.setattr(parts_module, "BLOCK_ROWS", 5)
    in_small_blocks = [make_split("x", kind, ratings) for kind in kinds]
    assert [cut.fingerprint for cut in in_one_block] == [cut.fingerprint for cut in in_small_blocks]
    assert [cut.report for cut in in_one_block] == [cut.report for cut in in_small_blocks]


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.35, 0.5, 0.99])
def test_equal_keys_do_not_change_how_many_are_held_out(fraction, monkeypatch):
    class AlternatingKeys:
        """A stream of the keys 0, 1, 0, 1, …"""

        def __init__(self, *_):
            self.position = 0

        def random_raw(self, n):
            keys = np.arange(self.position, self.position + n, dtype=np.uint64) % np.uint64(2)
            self.position += n
            return keys

    monkeypatch.setattr(parts_module, "random_keys", AlternatingKeys)
    monkeypatch.setattr(parts_module, "BLOCK_ROWS", 7)
    parts = RandomHoldout(test=fraction, valid=0).cut(equal_ratings(100))
    assert (parts == TEST).sum() == round(fraction * 100)


@given(larger_tables, definitions)
def test_a_restored_split_has_the_given_or_the_counted_report(ratings, definition):
    cut = make_or_reject(definition, ratings)
    again = restore_split("any", definition, ratings, cut.parts, report=dict(cut.report))
    assert (again.fingerprint, again.report) == (cut.fingerprint, cut.report)
    counted = restore_split("any", definition, ratings, cut.parts, dropped=cut.report["dropped"])
    assert (counted.fingerprint, counted.report) == (cut.fingerprint, cut.report)


def test_published_counts_have_the_names_of_the_report():
    names = make_split("any", RandomHoldout(), fixed_ratings()).report
    assert RandomHoldout(expected=names).expected == names
    with pytest.raises(ValidationError, match=r"expected.raitings.*\n *Input should be 'train', 'valid'"):
        RandomHoldout(expected={"raitings": 3})
