"""The table: scale, columns, codes, fingerprint, sparse rows, and the way to disk and back."""

import hashlib
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cfbench.errors import DataError, UnknownNameError
from cfbench.ratings import Catalogue, Ratings, Scale, code

STARS = Scale(low=0, high=5, step=0.5)
GOLDEN = "e2b4e4af6a53a8b4508786c50ae00450bffb161087e65c098791f42f03f960e5"
ids = st.sampled_from(["196", "186", "7", "a", "ü", " x"])
tables = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 10).map(lambda k: k / 2), st.integers(-99, 2**40))
)


def table(rows=((0, 0, 0.0, 5), (1, 0, 4.5, 3), (0, 2, 5.0, 5)), n_users=3, n_items=4, *, timed=True):
    users, items, ratings, times = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Ratings(users, items, ratings, n_users, n_items, STARS, np.array(times, np.int64) if timed else None)


def columns(users, items, ratings=None, **more):
    return pl.DataFrame({"user": users, "item": items, "rating": ratings or [1.0] * len(users), **more})


# ── scale ──


@pytest.mark.parametrize(
    ("scale", "allowed", "off"),
    [
        (Scale(low=1, high=5, step=1), [1, 2, 5], [0, 0.999, 1.5, 5.001, 6]),
        (STARS, [0, 0.5, 4.5, 5], [-0.5, 0.25, 4.4, 5.5]),
        (Scale(low=0.5, high=5, step=0.5), [0.5, 1, 5], [0, 0.75]),
        (Scale(low=-10, high=10), [-10, -9.87, 0, 0.01, 10], [-10.01, 10.01, 99]),
        (Scale(low=0, high=1, step=0.1), [0.1, 0.3, 0.7, 1], [0.05, 0.31]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rating_is_off_the_scale_outside_it_or_between_its_steps(scale, allowed, off, dtype):
    never = [np.nan, np.inf, -np.inf]
    assert scale.off(np.array([*allowed, *off, *never], dtype)).tolist() == [False] * len(allowed) + [True] * (
        len(off) + 3
    )


def test_clipping_keeps_what_is_inside_as_it_is_and_is_float32():
    clipped = STARS.clip(np.array([-1, 0, 0.3, 4.9, 5, 7, np.inf, -np.inf, np.nan], np.float64))
    assert clipped.dtype == np.float32
    np.testing.assert_array_equal(clipped, np.array([0, 0, 0.3, 4.9, 5, 5, 5, 0, np.nan], np.float32))
    np.testing.assert_array_equal(Scale(low=-10, high=10).clip(np.array([-11, -10, 3])), np.float32([-10, -10, 3]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 5, "high": 1}, {"low": 1, "high": 1}, {"low": 1, "high": 5, "step": -1},
        {"low": 1, "high": 5, "step": 3}, {"low": 1, "high": 5, "step": 8},
    ],
)  # fmt: skip
def test_a_scale_that_cannot_be_says_what_is_expected(wrong):
    with pytest.raises(ValidationError, match="expected low < high, step ≥ 0 and a whole number of steps from low to"):
        Scale(**wrong)


@pytest.mark.parametrize("wrong", [{"high": float("inf")}, {"high": float("nan")}, {"high": 5, "step": float("nan")}])
def test_a_scale_is_finite(wrong):
    with pytest.raises(ValidationError, match="finite number"):
        Scale(low=1, **wrong)


def test_a_scale_is_written_for_people():
    assert [str(Scale(low=1, high=5, step=1)), str(STARS), str(Scale(low=-10, high=10))] == [
        "1–5 by 1",
        "0–5 by 0.5",
        "-10–10",
    ]


# ── columns ──


def test_columns_have_the_types_they_promise_and_a_zero_is_a_rating():
    ratings = table()
    assert (ratings.users.dtype, ratings.items.dtype) == (np.int32, np.int32)
    assert (ratings.ratings.dtype, ratings.times.dtype) == (np.float32, np.int64)
    assert len(ratings) == 3
    assert ratings.ratings.tolist() == [0.0, 4.5, 5.0]
    assert ratings.seen_users.tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["users", "items", "ratings", "times"])
def test_columns_are_read_only_and_the_caller_keeps_a_writable_array(name):
    given_columns = {
        "users": np.zeros(2, np.int32), "items": np.zeros(2, np.int32),
        "ratings": np.zeros(2, np.float32), "times": np.zeros(2, np.int64),
    }  # fmt: skip
    ratings = Ratings(**given_columns, n_users=1, n_items=1, scale=STARS)
    with pytest.raises(ValueError, match="read-only"):
        getattr(ratings, name)[0] = 1
    given_columns[name][0] = 0
    assert np.shares_memory(getattr(ratings, name), given_columns[name])  # nothing was copied


def test_columns_of_other_lengths_and_codes_out_of_range_are_refused():
    good = {"users": [0, 1], "items": [0, 1], "ratings": [1, 2], "n_users": 2, "n_items": 2, "scale": STARS}
    for wrong, message in (
        ({"items": [0]}, r"column 'items' has shape \(1,\), expected \(2,\)"),
        ({"ratings": [[1, 2]]}, r"column 'ratings' has shape \(1, 2\), expected \(2,\)"),
        ({"times": [1, 2, 3]}, r"column 'times' has shape \(3,\), expected \(2,\)"),
        ({"users": [0, 2]}, "user codes reach from 0 to 2, expected 0 to 1"),
        ({"items": [-1, 1]}, "item codes reach from -1 to 1, expected 0 to 1"),
    ):
        with pytest.raises(DataError, match=message):
            Ratings(**good | wrong)


def test_taking_rows_keeps_their_order_and_the_codes():
    ratings = table()
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        part = ratings.take(rows)
        expected = np.arange(3)[rows]
        assert part.users.tolist() == ratings.users[expected].tolist()
        assert part.times.tolist() == ratings.times[expected].tolist()
        assert (part.n_users, part.n_items, part.scale) == (3, 4, STARS)
    nothing = ratings.take(np.zeros(3, bool))
    assert len(nothing) == 0
    assert nothing.seen_items.tolist() == [False] * 4
    assert table(timed=False).take(np.array([0])).times is None


@given(tables)
def test_seen_and_unseen_are_what_sets_say(rows):
    ratings = table(rows, 6, 9)
    users, items = {row[0] for row in rows}, {row[1] for row in rows}
    assert set(np.flatnonzero(ratings.seen_users)) == users
    assert set(np.flatnonzero(ratings.seen_items)) == items
    every_user, every_item = (codes.ravel() for codes in np.indices((6, 9)))
    expected = [user not in users or item not in items for user, item in zip(every_user, every_item, strict=True)]
    assert ratings.unseen(every_user, every_item).tolist() == expected


@given(tables, st.sampled_from(["user", "item"]))
def test_sparse_rows_are_what_a_dictionary_of_lists_says(rows, by):
    sparse = table(rows, 6, 9).rows(by)
    lists = {row: [] for row in range(6 if by == "user" else 9)}
    for user, item, rating, _ in rows:
        key, column = (user, item) if by == "user" else (item, user)
        lists[key].append((column, rating))
    assert len(sparse) == len(lists)
    assert sparse.n_columns == (9 if by == "user" else 6)
    assert (sparse.starts.dtype, sparse.columns.dtype, sparse.values.dtype) == (np.int64, np.int32, np.float32)
    assert (sparse.starts[0], sparse.starts[-1]) == (0, len(rows))
    for key, expected in lists.items():
        span = slice(sparse.starts[key], sparse.starts[key + 1])
        got = list(zip(sparse.columns[span].tolist(), sparse.values[span].tolist(), strict=True))
        assert got == sorted(expected, key=lambda pair: pair[0])


# ── fingerprint ──


def test_the_fingerprint_is_the_one_it_has_always_been():
    assert table().fingerprint == GOLDEN


@given(tables, st.booleans())
def test_the_fingerprint_is_the_digest_of_little_endian_numbers(rows, timed):
    data = f"cfbench ratings 1: {len(rows)} 6 9".encode()
    for column, kind in zip(range(4), "iifq", strict=True):
        data += b"-" if kind == "q" and not timed else b"".join(struct.pack(f"<{kind}", row[column]) for row in rows)
    assert table(rows, 6, 9, timed=timed).fingerprint == hashlib.sha256(data).hexdigest()


def test_arrays_of_the_other_byte_order_give_the_same_table():
    ratings = table()
    swapped = Ratings(
        ratings.users.astype(">i4"), ratings.items.astype(">i8"), ratings.ratings.astype(">f8"), 3, 4, STARS,
        ratings.times.astype(">i8"),
    )  # fmt: skip
    assert swapped.fingerprint == ratings.fingerprint


def test_every_change_of_the_table_changes_the_fingerprint():
    rows = [(0, 0, 0.0, 5), (1, 0, 4.5, 3)]
    others = [
        table(rows), table(rows, n_users=4), table(rows, n_items=5), table(rows, timed=False), table(rows[::-1]),
        table(rows[:1]), table([(1, 0, 0.0, 5), rows[1]]), table([(0, 1, 0.0, 5), rows[1]]),
        table([(0, 0, 0.5, 5), rows[1]]), table([(0, 0, 0.0, 6), rows[1]]), table([]), table([], timed=False),
    ]  # fmt: skip
    assert len({other.fingerprint for other in others}) == len(others)


# ── codes ──


@given(st.lists(st.tuples(ids, ids)))
def test_codes_are_given_by_first_appearance(pairs):
    users, items = ([pair[k] for pair in pairs] for k in (0, 1))
    frame = columns(pl.Series(users, dtype=pl.String), pl.Series(items, dtype=pl.String))
    ratings, catalogue = code(frame, None, STARS)
    assert catalogue.users["id"].to_list() == list(dict.fromkeys(users))
    assert catalogue.items["id"].to_list() == list(dict.fromkeys(items))
    assert [catalogue.users["id"][k] for k in ratings.users.tolist()] == users
    assert [catalogue.items["id"][k] for k in ratings.items.tolist()] == items
    assert (ratings.n_users, ratings.n_items) == (len(set(users)), len(set(items)))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1), st.permutations(range(10)))
def test_other_names_for_the_same_users_and_items_give_the_same_fingerprint(pairs, names):
    users, items = ([pair[k] for pair in pairs] for k in (0, 1))
    numbers, _ = code(columns(users, items), None, STARS)
    texts, _ = code(
        columns([f"user {names[user]}" for user in users], [f"Film {names[item]} (1995)" for item in items]),
        None,
        STARS,
    )
    assert numbers.fingerprint == texts.fingerprint


def test_values_and_times_stay_with_their_rows():
    ratings, _ = code(columns(["b", "a", "b"], ["x", "y", "y"], [0.0, 2.5, 5.0], time=[30, 10, 20]), None, STARS)
    assert ratings.users.tolist() == [0, 1, 0]
    assert ratings.items.tolist() == [0, 1, 1]
    assert ratings.ratings.tolist() == [0, 2.5, 5]
    assert ratings.times.tolist() == [30, 10, 20]
    assert code(columns(["b"], ["x"]), None, STARS)[0].times is None


def test_titles_find_their_items_missing_ones_are_null_and_the_first_of_several_counts():
    titles = pl.DataFrame({"item": ["z", "y", "x", "y"], "title": ["Zorro", "Yes", None, "Yes again"]})
    _, catalogue = code(columns(["u"] * 3, ["x", "y", "w"]), titles, STARS)
    assert catalogue.items.to_dict(as_series=False) == {"id": ["x", "y", "w"], "title": [None, "Yes", None]}
    _, untitled = code(columns(["u"], ["x"]), None, STARS)
    assert untitled.items.to_dict(as_series=False) == {"id": ["x"], "title": [None]}


@pytest.mark.parametrize(("here", "there"), [(242, "242"), ("242", 242)])
def test_titles_find_items_whose_ids_are_numbers_on_one_side_and_text_on_the_other(here, there):
    _, catalogue = code(columns([1], [here]), pl.DataFrame({"item": [there], "title": ["Kolya (1996)"]}), STARS)
    assert catalogue.items.to_dict(as_series=False) == {"id": ["242"], "title": ["Kolya (1996)"]}
    assert catalogue.user_codes(["1"]).tolist() == [0]


def test_the_catalogue_answers_ids_with_codes_and_names_the_unknown():
    catalogue = Catalogue(pl.DataFrame({"id": ["196", "186"]}), pl.DataFrame({"id": ["Kolya (1996)", "Heat (1995)"]}))
    codes = catalogue.user_codes(["186", "196", "186"])
    assert codes.dtype == np.int32
    assert codes.tolist() == [1, 0, 1]
    assert catalogue.item_codes([]).tolist() == []
    with pytest.raises(UnknownNameError) as fault:
        catalogue.user_codes(["196", "197"])
    assert str(fault.value) == "no user '197'; there are: 186, 196"
    with pytest.raises(UnknownNameError) as fault:
        catalogue.item_codes(["heat"])
    assert str(fault.value) == "no item 'heat'; did you mean 'Heat (1995)'?"
