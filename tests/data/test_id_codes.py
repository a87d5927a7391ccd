"""Ids become codes by first appearance, block by block or as a whole."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfbench.data.id_codes import encode_ratings
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
