"""Ids become codes by first appearance, block by block or as a whole, from a reader or from a frame."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfbench.data.id_codes import encode_ratings, from_frame
from cfbench.errors import DataError
from cfbench.ratings import Scale

STARS = Scale(low=0, high=5, step=0.5)
ids = st.sampled_from(["196", "186", "7", "a", "ü", " x"])


def columns(users, items, ratings=None, **more):
    return pl.DataFrame({"user": users, "item": items, "rating": ratings or [1.0] * len(users), **more})


@given(st.lists(st.tuples(ids, ids)))
def test_codes_follow_first_appearance(pairs):
    users, items = ([pair[k] for pair in pairs] for k in (0, 1))
    frame = columns(pl.Series(users, dtype=pl.String), pl.Series(items, dtype=pl.String))
    ratings, catalogue = encode_ratings(frame, None, STARS)
    assert catalogue.users["id"].to_list() == list(dict.fromkeys(users))
    assert catalogue.items["id"].to_list() == list(dict.fromkeys(items))
    assert [catalogue.users["id"][k] for k in ratings.users.tolist()] == users
    assert [catalogue.items["id"][k] for k in ratings.items.tolist()] == items
    assert (ratings.n_users, ratings.n_items) == (len(set(users)), len(set(items)))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1), st.permutations(range(10)))
def test_other_ids_for_the_same_users_and_items_give_the_same_fingerprint(pairs, names):
    users, items = ([pair[k] for pair in pairs] for k in (0, 1))
    numbers, _ = encode_ratings(columns(users, items), None, STARS)
    texts, _ = encode_ratings(
        columns([f"user {names[user]}" for user in users], [f"Film {names[item]} (1995)" for item in items]),
        None,
        STARS,
    )
    assert numbers.fingerprint == texts.fingerprint


def test_ratings_and_times_stay_with_their_rows():
    ratings, _ = encode_ratings(
        columns(["b", "a", "b"], ["x", "y", "y"], [0.0, 2.5, 5.0], time=[30, 10, 20]), None, STARS
    )
    assert ratings.users.tolist() == [0, 1, 0]
    assert ratings.items.tolist() == [0, 1, 1]
    assert ratings.ratings.tolist() == [0, 2.5, 5]
    assert ratings.times.tolist() == [30, 10, 20]
    assert encode_ratings(columns(["b"], ["x"]), None, STARS)[0].times is None


def test_an_item_gets_its_first_title_or_null():
    titles = pl.DataFrame({"item": ["z", "y", "x", "y"], "title": ["Zorro", "Yes", None, "Yes again"]})
    _, catalogue = encode_ratings(columns(["u"] * 3, ["x", "y", "w"]), titles, STARS)
    assert catalogue.items.to_dict(as_series=False) == {"id": ["x", "y", "w"], "title": [None, "Yes", None]}
    _, untitled = encode_ratings(columns(["u"], ["x"]), None, STARS)
    assert untitled.items.to_dict(as_series=False) == {"id": ["x"], "title": [None]}


@pytest.mark.parametrize(("rating_id", "title_id"), [(242, "242"), ("242", 242)])
def test_titles_match_items_when_one_id_is_a_number_and_the_other_is_text(rating_id, title_id):
    _, catalogue = encode_ratings(
        columns([1], [rating_id]), pl.DataFrame({"item": [title_id], "title": ["Kolya (1996)"]}), STARS
    )
    assert catalogue.items.to_dict(as_series=False) == {"id": ["242"], "title": ["Kolya (1996)"]}
    assert catalogue.user_codes(["1"]).tolist() == [0]


# ── frames ──

ROWS = [("ann", "p", 4.5, 86400), ("bob", "q", 0.5, 86401), ("ann", "q", 3.0, 86402), ("cy", "p", 5.0, 172800)]


class ArrowFrame:
    """A frame that, like one of pandas, offers the Arrow C stream interface."""

    def __init__(self, frame):
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self._frame.__arrow_c_stream__(requested_schema)


def test_an_arrow_frame_gives_the_same_ratings_as_a_polars_frame():
    frame = pl.DataFrame(ROWS, schema=["user", "item", "rating", "time"], orient="row")
    one, catalogue = from_frame(frame)
    other, _ = from_frame(ArrowFrame(frame), scale=Scale(low=0, high=5))
    assert one.fingerprint == other.fingerprint
    assert catalogue.users["id"].to_list() == ["ann", "bob", "cy"]
    assert (one.scale.low, other.scale.low) == (0.5, 0)


def test_a_frame_without_a_column_is_refused():
    with pytest.raises(DataError, match="the frame has no column 'rating'"):
        from_frame(pl.DataFrame({"user": [1], "item": [1]}))


def test_a_frame_with_gaps_is_refused():
    with pytest.raises(DataError, match="column 'rating' of the frame has 1 gaps"):
        from_frame(pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1.0, None]}))


def test_a_frame_with_a_rating_off_its_scale_is_refused():
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1.0, 6.0]})
    with pytest.raises(DataError, match="rating 6 in row 1 of the frame is off the scale 1–5; give its scale"):
        from_frame(frame, scale=Scale(low=1, high=5))


def test_a_frame_that_rates_a_pair_twice_is_refused():
    frame = pl.DataFrame({"user": ["a", "b", "a", "b", "a"], "item": [7, 7, 8, 7, 7], "rating": [1, 2, 3, 4, 2]})
    with pytest.raises(DataError, match=r"^rows 1 and 3 of the frame both rate user 'b' with item 7 \(2 rows repeat"):
        from_frame(frame)
    assert len(from_frame(frame.unique(["user", "item"], keep="last"))[0]) == 3


def test_dates_of_a_frame_become_seconds():
    frame = pl.DataFrame(
        {"user": [1, 2], "item": [1, 2], "rating": [1, 2], "time": [date(1970, 1, 2), date(1970, 1, 3)]}
    )
    assert from_frame(frame)[0].times.tolist() == [86400, 172800]


def test_a_frame_with_ratings_that_float32_cannot_tell_apart_is_refused():
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1e15 + 1, 1e15 + 2]})
    with pytest.raises(DataError, match=r"cannot tell rating 1000000000000001\.0 in row 0"):
        from_frame(frame)
