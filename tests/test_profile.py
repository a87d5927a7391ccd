"""A data set's page: its numbers against counting by hand."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np

from cfbench import card, store
from cfbench.cli import profile
from cfbench.ratings import Scale


def test_the_numbers_are_those_of_counting_by_hand(terminal, monkeypatch):
    monkeypatch.setattr(profile, "_BLOCK", 100)
    told = json.loads(terminal("datasets tiny --json").out)
    ratings = store.open_dataset(card.load("tiny")).ratings
    by_value = Counter(ratings.ratings.tolist())
    assert told["histogram"] == {f"{1 + k / 2:g}": by_value.get(1 + k / 2, 0) for k in range(9)}
    of_users = sorted(Counter(ratings.users.tolist()).values())
    assert (told["ratings_a_user"]["least"], told["ratings_a_user"]["most"]) == (of_users[0], of_users[-1])
    assert of_users[len(of_users) // 2 - 1] <= told["ratings_a_user"]["median"] <= of_users[len(of_users) // 2]
    assert told["ratings"] == len(ratings)
    assert told["days"][0] == "2001-09-09"
    assert "random90" in told["splits"]


def test_a_scale_without_steps_is_counted_in_spans(terminal):
    ratings = store.open_dataset(card.load("tiny")).ratings
    values = np.linspace(-10, 10, len(ratings), dtype=np.float32)
    counts = profile._histogram(replace(ratings, ratings=values, scale=Scale(low=-10, high=10)))
    assert next(iter(counts)) == "-10 to -8"
    assert len(counts) == 10
    assert sum(counts.values()) == len(ratings)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_page_fits_80_columns_and_says_where_the_data_are(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = terminal("datasets tiny").out
    bars = [line for line in out.splitlines() if "█" in line]
    assert len(bars) == 9
    assert max(map(len, bars)) <= 80
    for text in ("ratings a user: least", "random 90/10: cold keep, test 0.1, valid 0.05", "ratings.parquet is for"):
        assert text in out


def test_a_data_set_that_is_not_here_has_a_page_too(empty_terminal):
    said = empty_terminal("datasets tiny")
    assert said.status == 0
    assert "not here: `cfbench download tiny`" in said.out
