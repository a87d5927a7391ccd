"""A data set's page: its numbers against counting by hand."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cfbench.cli.view import dataset_page
from cfbench.data import card, store
from cfbench.data.split_definitions import HeldOut, KFold, LeaveLastOut, Official, RandomHoldout, TimeWindow
from cfbench.ratings import Scale


def test_the_numbers_are_those_of_counting_by_hand(terminal, monkeypatch):
    monkeypatch.setattr(dataset_page, "_BLOCK", 100)
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
    counts = dataset_page._histogram(replace(ratings, ratings=values, scale=Scale(low=-10, high=10)))
    assert next(iter(counts)) == "-10 to -8"
    assert len(counts) == 10
    assert sum(counts.values()) == len(ratings)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_page_fits_80_columns_and_says_where_the_data_are(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = terminal("datasets tiny").out
    bars = [line for line in out.splitlines() if "█" in line]
    assert len(bars) == 9
    splits = [line for line in out.splitlines() if line.startswith("  ") and line not in bars]
    assert len(splits) == 16
    assert max(map(len, bars + splits)) <= 80
    for text in ("ratings a user: least", "10 % at random test, 5 % of the rest validate", "ratings.parquet is for"):
        assert text in out


def test_a_data_set_that_is_not_here_has_a_page_too(empty_terminal):
    said = empty_terminal("datasets tiny")
    assert said.status == 0
    assert "not here: `cfbench download tiny`" in said.out


def test_the_splits_of_a_small_set_are_counted_as_they_are_cut(terminal):
    dataset = store.open_dataset(card.load("tiny"))
    told = json.loads(terminal("datasets tiny --json").out)["splits"]
    assert {name: told[name]["counts"] for name in told} == {name: dataset.split(name).report for name in told}
    counts = told["5fold-2"]["counts"]
    shown = f"{counts['train']:,} train, {counts['valid']:,} validate, {counts['test']:,} test"
    assert f"  5fold-2   fold 2 of 5 tests, nothing validates\n            {shown}" in terminal("datasets tiny").out


def test_a_large_set_shows_the_splits_that_were_cut_before_and_cuts_none(terminal, monkeypatch):
    report = store.open_dataset(card.load("tiny")).split("random80").report
    monkeypatch.setattr(dataset_page, "_SMALL", 10)
    monkeypatch.setattr(store.Dataset, "split", lambda *_: pytest.fail("it cut a split"))
    said = terminal("datasets tiny")
    assert said.status == 0
    counted = [line for line in said.out.splitlines() if "validate," in line]
    assert [line.split()[0] for line in counted] == [f"{report['train']:,}"]


@pytest.mark.usefixtures("terminal")
def test_a_split_that_is_impossible_and_one_that_is_not_as_published_say_so():
    dataset = store.open_dataset(card.load("tiny"))
    timeless = replace(dataset, ratings=replace(dataset.ratings, times=None, known_fingerprint=None))
    other = RandomHoldout(expected={"train": 7, "test": dataset.split("random90").report["test"]})
    changed = dataset.card.model_copy(update={"splits": {"other": other}})
    told = dataset_page.facts(changed, replace(timeless, card=changed))["splits"]
    needs = "leave-last-out needs timestamps, and this data set has none"
    assert (told["last1"]["counts"], told["last1"]["impossible"]) == (None, needs)
    assert list(dataset_page._described(told["last1"]))[1] == f"impossible here: {needs}"
    assert told["other"]["published_counts"] == other.expected
    got = told["other"]["counts"]["train"]
    assert list(dataset_page._described(told["other"]))[2] == f"not as published: train: expected 7, got {got:,}"


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (RandomHoldout(test=0.125, valid=0), "12.5 % at random test"),
        (KFold(fold=2, valid=0.1), "fold 2 of 5 tests, 10 % of the rest validate"),
        (Official(first=0, last=20_000), "rows 0 to 19,999 of the source test, 5 % of the rest validate"),
        (HeldOut(cold="drop"), "what its authors set aside tests, 5 % of the rest validate, cold ones are left out"),
        (LeaveLastOut(), "the last rating of each user tests, the one before validates"),
        (LeaveLastOut(test=3, valid=2), "the last 3 ratings of each user test, the 2 before validate"),
        (LeaveLastOut(test=2, valid=0), "the last 2 ratings of each user test"),
        (
            TimeWindow(
                train_from="2005-09-01",
                train_to="2005-11-30",
                test_from="2005-12-01",
                test_to="2005-12-31",
                cold="keep",
            ),
            "train 2005-09-01 to 2005-11-30, test 2005-12-01 to 2005-12-31, 50 % of the test span validate",
        ),
    ],
)
def test_every_kind_of_split_has_its_words(definition, words):
    assert dataset_page.in_words(definition) == words


def test_the_netflix_prize_has_its_published_counts_before_it_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path))
    full = dataset_page.facts(card.load("netflix"), None)["splits"]["full"]
    assert list(dataset_page._described(full))[1] == "as published: 98,074,901 train, 2,250,481 are held out"
