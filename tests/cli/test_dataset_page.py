"""The page of a data set: its numbers against counts by hand, its splits in words."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cfbench.cli.view.dataset_page import print_page
from cfbench.data import card, store
from cfbench.data.split_definitions import (
    HeldOut,
    KFold,
    LastFraction,
    LeaveLastOut,
    Official,
    RandomHoldout,
    TimeWindow,
)
from cfbench.ratings import Scale
from cfbench.report.dataset_summary import count_values, describe, split_lines, summarize_dataset


@pytest.fixture
def tiny(terminal):
    """The downloaded data set tiny."""
    return store.open_dataset(card.load("tiny"))


def test_the_numbers_are_those_of_a_count_by_hand(terminal, tiny):
    page = json.loads(terminal("datasets tiny --json").out)
    ratings = tiny.ratings
    by_value = Counter(ratings.ratings.tolist())
    assert page["histogram"] == {f"{1 + k / 2:g}": by_value.get(1 + k / 2, 0) for k in range(9)}
    of_users = sorted(Counter(ratings.users.tolist()).values())
    assert (page["ratings_a_user"]["least"], page["ratings_a_user"]["most"]) == (of_users[0], of_users[-1])
    assert of_users[len(of_users) // 2 - 1] <= page["ratings_a_user"]["median"] <= of_users[len(of_users) // 2]
    assert page["ratings"] == len(ratings)
    assert page["days"][0] == "2001-09-09"
    assert "random90" in page["splits"]


def test_the_block_size_does_not_change_the_counts(tiny):
    assert count_values(tiny.ratings, block=100) == count_values(tiny.ratings)


def test_a_scale_without_steps_is_counted_in_ten_intervals(tiny):
    values = np.linspace(-10, 10, len(tiny.ratings), dtype=np.float32)
    counts = count_values(replace(tiny.ratings, ratings=values, scale=Scale(low=-10, high=10)))
    assert next(iter(counts)) == "-10 to -8"
    assert len(counts) == 10
    assert sum(counts.values()) == len(tiny.ratings)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_page_fits_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = terminal("datasets tiny").out
    bars = [line for line in out.splitlines() if "█" in line]
    assert len(bars) == 9
    splits = [line for line in out.splitlines() if line.startswith("  ") and line not in bars]
    assert len(splits) == 2 * 9 + 1  # the words of time90 need two lines
    assert max(map(len, bars + splits)) <= 80


def test_the_page_shows_activity_splits_and_the_file_for_other_tools(terminal):
    out = terminal("datasets tiny").out
    assert "ratings of a user: least" in out
    assert "test: 10 % of the ratings, at random; validation: 5 % of the rest" in out
    assert "other tools can read ratings.parquet" in out


def test_the_page_of_a_missing_data_set_says_how_to_get_it(empty_terminal):
    result = empty_terminal("datasets tiny")
    assert result.status == 0
    assert "not available; get it with `cfbench download tiny`" in result.out


def test_every_split_of_a_small_data_set_is_cut_and_counted(terminal, tiny):
    splits = json.loads(terminal("datasets tiny --json").out)["splits"]
    assert {name: splits[name]["counts"] for name in splits} == {name: tiny.split(name).report for name in splits}
    counts = splits["5fold-2"]["counts"]
    shown = f"{counts['train']:,} train, {counts['valid']:,} validation, {counts['test']:,} test ratings"
    assert f"  5fold-2   test: fold 2 of 5; no validation part\n            {shown}" in terminal("datasets tiny").out


def test_the_page_of_a_large_data_set_cuts_no_split_and_counts_those_that_are_cut(tiny, monkeypatch, capsys):
    report = tiny.split("random80").report
    monkeypatch.setattr(store.Dataset, "split", lambda *_: pytest.fail("the page cut a split"))
    page = summarize_dataset(tiny.card, tiny, small=10)
    assert {name: split.report for name, split in page.splits.items() if split.report} == {"random80": report}
    print_page(page)
    counted = [line for line in capsys.readouterr().out.splitlines() if " validation, " in line]
    assert [line.split()[0] for line in counted] == [f"{report['train']:,}"]


def test_an_impossible_split_says_why(tiny):
    timeless = replace(tiny, ratings=replace(tiny.ratings, times=None, known_fingerprint=None))
    split = summarize_dataset(tiny.card, timeless).splits["last1"]
    reason = "leave-last-out needs timestamps, and this data set has none"
    assert (split.report, split.impossible) == (None, reason)
    assert split_lines(split)[1] == f"impossible for these ratings: {reason}"


def test_a_split_whose_counts_differ_from_the_published_ones_says_so(tiny):
    other = RandomHoldout(expected={"train": 7, "test": tiny.split("random90").report["test"]})
    changed = tiny.card.model_copy(update={"splits": {"other": other}})
    split = summarize_dataset(changed, replace(tiny, card=changed)).splits["other"]
    assert split.as_json()["published_counts"] == other.expected
    count = split.report["train"]
    assert split_lines(split)[2] == f"not as published: train: expected 7, got {count:,}"


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (RandomHoldout(test=0.125, valid=0), "test: 12.5 % of the ratings, at random"),
        (KFold(fold=2), "test: fold 2 of 5; no validation part"),
        (KFold(fold=2, valid=0.1), "test: fold 2 of 5; validation: 10 % of the rest"),
        (Official(first=0, last=20_000), "test: source rows 0 to 19,999; validation: 5 % of the rest"),
        (
            HeldOut(cold="drop"),
            "test: the ratings that the authors held out; validation: 5 % of the rest; cold ratings are left out",
        ),
        (LeaveLastOut(), "test: the last rating of each user; validation: the one before"),
        (LeaveLastOut(test=3, valid=2), "test: the last 3 ratings of each user; validation: the 2 before"),
        (LeaveLastOut(test=2, valid=0), "test: the last 2 ratings of each user"),
        (
            LastFraction(),
            "test: the last 10 % of each user's ratings; validation: the 5 % before; cold ratings are left out",
        ),
        (LastFraction(test=0.2, valid=0, cold="keep"), "test: the last 20 % of each user's ratings"),
        (
            TimeWindow(
                train_from="2005-09-01",
                train_to="2005-11-30",
                test_from="2005-12-01",
                test_to="2005-12-31",
                cold="keep",
            ),
            "train: 2005-09-01 to 2005-11-30; test: 2005-12-01 to 2005-12-31; validation: 50 % of the test period",
        ),
    ],
)
def test_every_kind_of_split_has_its_words(definition, words):
    assert describe(definition) == words


def test_the_netflix_prize_shows_its_published_counts_before_it_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path))
    full = summarize_dataset(card.load("netflix"), None).splits["full"]
    assert split_lines(full)[1] == "as published: 98,074,901 train, 2,250,481 held-out ratings"
