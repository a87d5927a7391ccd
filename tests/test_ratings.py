"""Ratings: scale, columns, fingerprint, sparse rows and catalogue."""

import hashlib
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cfbench.errors import DataError, UnknownNameError
from cfbench.ratings import Catalogue, Ratings, Scale

STARS = Scale(low=0, high=5, step=0.5)
GOLDEN = "e2b4e4af6a53a8b4508786c50ae00450bffb161087e65c098791f42f03f960e5"
tables = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 10).map(lambda k: k / 2), st.integers(-99, 2**40))
)


def table(rows=((0, 0, 0.0, 5), (1, 0, 4.5, 3), (0, 2, 5.0, 5)), n_users=3, n_items=4, *, timed=True):
    users, items, ratings, times = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Ratings(users, items, ratings, n_users, n_items, STARS, np.array(times, np.int64) if timed else None)


# ── scale ──


@pytest.mark.parametrize(
    ("scale", "valid", "invalid"),
    [
        (Scale(low=1, high=5, step=1), [1, 2, 5], [0, 0.999, 1.5, 5.001, 6]),
        (STARS, [0, 0.5, 4.5, 5], [-0.5, 0.25, 4.4, 5.5]),
        (Scale(low=0.5, high=5, step=0.5), [0.5, 1, 5], [0, 0.75]),
        (Scale(low=-10, high=10), [-10, -9.87, 0, 0.01, 10], [-10.01, 10.01, 99]),
        (Scale(low=0, high=1, step=0.1), [0.1, 0.3, 0.7, 1], [0.05, 0.31]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rating_outside_the_scale_or_between_its_steps_is_invalid(scale, valid, invalid, dtype):
    assert not scale.invalid(np.array(valid, dtype)).any()
    assert scale.invalid(np.array([*invalid, np.nan, np.inf, -np.inf], dtype)).all()


def test_clipping_returns_float32_and_keeps_values_inside_the_scale():
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
def test_an_impossible_scale_is_refused_with_what_is_expected(wrong):
    with pytest.raises(ValidationError, match="expected low < high, step ≥ 0 and a whole number of steps from low to"):
        Scale(**wrong)


@pytest.mark.parametrize("wrong", [{"high": float("inf")}, {"high": float("nan")}, {"high": 5, "step": float("nan")}])
def test_a_scale_must_be_finite(wrong):
    with pytest.raises(ValidationError, match="finite number"):
        Scale(low=1, **wrong)


def test_a_scale_has_a_readable_form():
    assert [str(Scale(low=1, high=5, step=1)), str(STARS), str(Scale(low=-10, high=10))] == [
        "1–5 by 1",
        "0–5 by 0.5",
        "-10–10",
    ]


# ── columns ──


def test_columns_have_the_documented_types_and_zero_is_a_rating():
    ratings = table()
    assert (ratings.users.dtype, ratings.items.dtype) == (np.int32, np.int32)
    assert (ratings.ratings.dtype, ratings.times.dtype) == (np.float32, np.int64)
    assert len(ratings) == 3
    assert ratings.ratings.tolist() == [0.0, 4.5, 5.0]
    assert ratings.seen_users.tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["users", "items", "ratings", "times"])
def test_columns_are_read_only_views_of_the_callers_writable_arrays(name):
    arrays = {
        "users": np.zeros(2, np.int32), "items": np.zeros(2, np.int32),
        "ratings": np.zeros(2, np.float32), "times": np.zeros(2, np.int64),
    }  # fmt: skip
    ratings = Ratings(**arrays, n_users=1, n_items=1, scale=STARS)
    with pytest.raises(ValueError, match="read-only"):
        getattr(ratings, name)[0] = 1
    arrays[name][0] = 0
    assert np.shares_memory(getattr(ratings, name), arrays[name])  # no copy


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"items": [0]}, r"column 'items' has shape \(1,\), expected \(2,\)"),
        ({"ratings": [[1, 2]]}, r"column 'ratings' has shape \(1, 2\), expected \(2,\)"),
        ({"times": [1, 2, 3]}, r"column 'times' has shape \(3,\), expected \(2,\)"),
        ({"users": [0, 2]}, "user codes reach from 0 to 2, expected 0 to 1"),
        ({"items": [-1, 1]}, "item codes reach from -1 to 1, expected 0 to 1"),
    ],
)
def test_columns_of_different_lengths_and_codes_out_of_range_are_refused(wrong, message):
    correct = {"users": [0, 1], "items": [0, 1], "ratings": [1, 2], "n_users": 2, "n_items": 2, "scale": STARS}
    with pytest.raises(DataError, match=message):
        Ratings(**correct | wrong)


def test_take_keeps_the_order_of_the_rows_and_the_codes():
    ratings = table()
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        part = ratings.take(rows)
        expected = np.arange(3)[rows]
        assert part.users.tolist() == ratings.users[expected].tolist()
        assert part.times.tolist() == ratings.times[expected].tolist()
        assert (part.n_users, part.n_items, part.scale) == (3, 4, STARS)
    empty = ratings.take(np.zeros(3, bool))
    assert len(empty) == 0
    assert empty.seen_items.tolist() == [False] * 4
    assert table(timed=False).take(np.array([0])).times is None


@given(tables)
def test_seen_and_unseen_equal_a_computation_with_sets(rows):
    ratings = table(rows, 6, 9)
    users, items = {row[0] for row in rows}, {row[1] for row in rows}
    assert set(np.flatnonzero(ratings.seen_users)) == users
    assert set(np.flatnonzero(ratings.seen_items)) == items
    every_user, every_item = (codes.ravel() for codes in np.indices((6, 9)))
    expected = [user not in users or item not in items for user, item in zip(every_user, every_item, strict=True)]
    assert ratings.unseen(every_user, every_item).tolist() == expected


@given(tables, st.sampled_from(["user", "item"]))
def test_sparse_rows_equal_a_dictionary_of_lists(rows, by):
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


def test_the_fingerprint_never_changes():
    assert table().fingerprint == GOLDEN


@given(tables, st.booleans())
def test_the_fingerprint_is_the_sha256_of_little_endian_numbers(rows, timed):
    data = f"cfbench ratings 1: {len(rows)} 6 9".encode()
    for column, kind in zip(range(4), "iifq", strict=True):
        data += b"-" if kind == "q" and not timed else b"".join(struct.pack(f"<{kind}", row[column]) for row in rows)
    assert table(rows, 6, 9, timed=timed).fingerprint == hashlib.sha256(data).hexdigest()


def test_arrays_in_big_endian_order_give_the_same_fingerprint():
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


# ── catalogue ──


def test_the_catalogue_finds_codes_by_id_and_names_an_unknown_id():
    items = pl.DataFrame({"id": ["Kolya (1996)", "Heat (1995)"], "title": [None, None]})
    catalogue = Catalogue(pl.DataFrame({"id": ["196", "186"]}), items.cast({"title": pl.String}))
    codes = catalogue.user_codes(["186", "196", "186"])
    assert codes.dtype == np.int32
    assert codes.tolist() == [1, 0, 1]
    assert catalogue.item_codes([]).tolist() == []
    with pytest.raises(UnknownNameError) as caught:
        catalogue.user_codes(["196", "197"])
    assert str(caught.value) == "no user '197'; there are: 186, 196"
    with pytest.raises(UnknownNameError) as caught:
        catalogue.item_codes(["heat"])
    assert str(caught.value) == "no item 'heat'; did you mean 'Heat (1995)'?"


def test_the_catalogue_has_titles_and_the_years_at_their_ends():
    titles = {
        "Heat (1995)": 1995, "Misérables, Les (1998) ": 1998, "2001: A Space Odyssey (1968)": 1968,
        "Kiss (Me) (1953) (2003)": 2003, None: 0, "": 0, "1984": 0, "(1995) Heat": 0, "Heat (95)": 0,
        "Death Note (2006–2007)": 0, "Heat (١٩٩٥)": 0, "Big (19950)": 0,
    }  # fmt: skip
    items = pl.DataFrame({"id": list(map(str, range(len(titles)))), "title": list(titles)})
    catalogue = Catalogue(pl.DataFrame({"id": []}), items)
    assert catalogue.titles == tuple(title or "" for title in titles)
    assert catalogue.years.tolist() == list(titles.values())
    assert catalogue.years.dtype == np.int16


def test_a_catalogue_without_titles_has_empty_titles_and_year_0():
    items = pl.DataFrame({"id": ["a", "b"], "title": [None, None]}, schema_overrides={"title": pl.String})
    catalogue = Catalogue(pl.DataFrame({"id": []}), items)
    assert (catalogue.titles, catalogue.years.tolist()) == (("", ""), [0, 0])
