"""`cfbench similar`: the nearest neighbours of an item or a user by their codes."""

import csv
import io
import json

import numpy as np
import pytest

from cfbench.data import card, store

FILMS = 39
"""The items of tiny that have a rating."""


def circle_codes(seen):
    """The code of item k is a point at k² / 10 degrees."""
    angles = np.radians(np.arange(len(seen)) ** 2 / 10)
    return np.column_stack([np.cos(angles), np.sin(angles)]) * np.arange(1, len(angles) + 1)[:, None]


@pytest.fixture
def circle(run_coded):
    """A terminal where the last run has codes on a circle."""
    return run_coded("circle", circle_codes)


def rows(result):
    assert result.status == 0, result.err
    return list(csv.DictReader(io.StringIO(result.out)))


def catalogue():
    return store.open_dataset(card.load("tiny")).catalogue


def test_the_neighbours_are_those_at_the_smallest_angle_whatever_the_lengths(circle):
    ids = list(catalogue().items["id"])
    at = ids.index("i20")
    angles = np.abs(np.arange(FILMS) ** 2 - at**2) / 10
    expected = [code for code in np.argsort(angles, kind="stable").tolist() if code != at][:10]
    found = rows(circle("similar last --item i20"))
    assert [row["item"] for row in found] == [ids[code] for code in expected]
    cosines = [float(row["similarity"]) for row in found]
    np.testing.assert_allclose(cosines, np.cos(np.radians(angles[expected])), atol=1e-4)
    assert found[0]["title"] == f"Film {found[0]['item'][1:]}, The"
    assert found[0]["genres"] == ("Even", "Odd")[int(found[0]["item"][1:]) % 2]
    assert json.loads(circle("similar last --item i20 --top 2 --json").out) == [
        row | {"similarity": float(row["similarity"]), "ratings": int(row["ratings"])} for row in found[:2]
    ]


def test_a_title_or_a_part_of_one_names_the_item(circle):
    assert circle("similar last --item 20,").out == circle("similar last --item i20").out


def test_a_part_of_several_titles_names_some_of_them(circle):
    result = circle("similar last --item film")
    assert result.status == 2
    assert "titles contain 'film'; give the id of one: i" in result.err
    assert result.err.rstrip().endswith("…")


def test_fewer_neighbours_than_asked_for_are_announced(circle):
    result = circle("similar last --item i20 --top 500")
    assert len(rows(result)) == FILMS - 1
    assert f"{FILMS - 1} of 500: there are no more items with a training rating" in result.err


def test_users_have_neighbours_where_the_model_has_their_codes(terminal):
    terminal("run als --factors 3 --epochs 4")
    found = rows(terminal("similar last --user u1 --top 3"))
    assert [list(row) for row in found] == [["user", "similarity", "ratings"]] * 3
    assert "u1" not in {row["user"] for row in found}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("similar last", "similar to what? give either --item ID or --user ID"),
        ("similar last --item i1 --user u1", "similar to what? give either --item ID or --user ID"),
        ("similar last --item nothing", "no item 'nothing'"),
        ("similar last --user u1", "circle, as this run configured it, has codes of items, not of users"),
        ("similar bias --item i1", "bias, as this run configured it, has no codes of users or items"),
    ],
)
def test_what_cannot_be_done_is_one_line(circle, line, message):
    circle("run bias")
    result = circle(line.replace("last", "circle"))
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_an_item_without_a_training_rating_is_neither_accepted_nor_listed(terminal, run_coded):
    """One user rates the items u and v, and the split moves the rating of v out of the training part."""
    lines = [f"u{user},i{item},{1 + (user * item) % 5},train" for user in range(8) for item in range(8)]
    lines += ["u1,unseen,3,test", "u2,i0x,3,valid"]
    (terminal.folder / "mine.csv").write_text("user,item,rating,part\n" + "\n".join(lines))
    assert terminal("import mine.csv --name mine --part-column part").status == 0
    run_coded("circle", circle_codes)
    result = terminal("similar circle --item unseen")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert "item 'unseen' has no training rating in split own" in result.err
    assert {row["item"] for row in rows(terminal("similar circle --item i0 --top 99"))} == {
        f"i{k}" for k in range(1, 8)
    }
