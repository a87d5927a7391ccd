"""Item rankings: against plain loops over sorted lists, at the level of chance, and from stored models."""

import json
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cfbench.leaderboard.item_ranking import RankingTask, default_liked, measure
from cfbench.plugins.bias import Bias
from cfbench.ratings import Pairs, Scale
from cfbench.runs.job import reopen
from cfbench.runs.results import Results


class Table:
    """A model that predicts from a table (users, items)."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, np.float32)

    def predict(self, pairs):
        return self.scores[pairs.users, pairs.items]


@pytest.fixture
def world(tiny):
    """The ratings and the split of the tiny data set, and a function that measures a table of scores there."""
    ratings, split = tiny.dataset.ratings, tiny.dataset.split("random90")

    def rank(scores, k=5, liked=4.0, **options):
        return measure("table", Table(scores), ratings, split, RankingTask(k, liked), **options)

    rank.ratings, rank.split = ratings, split
    return rank


def rank_naively(ratings, split, scores, k, liked):
    """The measures by plain loops over lists that are sorted by score; all scores differ."""
    rows = list(zip(ratings.users.tolist(), ratings.items.tolist(), ratings.ratings.tolist(), split.parts, strict=True))
    measures = []
    for user in range(ratings.n_users):
        known = {item for u, item, _, part in rows if u == user and part in (0, 1)}
        targets = {item for u, item, rating, part in rows if u == user and part == 2 and rating >= liked}
        if targets:
            candidates = [item for item in range(ratings.n_items) if item not in known]
            candidates.sort(key=lambda item: -scores[user, item])
            places = [place for place, item in enumerate(candidates, 1) if item in targets]
            ideal = sum(1 / log2(place + 1) for place in range(1, min(k, len(targets)) + 1))
            gain = sum(1 / log2(place + 1) for place in places if place <= k)
            measures.append((gain / ideal, sum(place <= k for place in places) / len(targets), 1 / places[0]))
    return [*np.mean(measures, axis=0), len(measures)]


@pytest.mark.parametrize(("k", "liked"), [(1, 3.0), (5, 4.0), (10, 2.5), (1000, 3.5)])
def test_the_measures_equal_those_of_plain_loops(world, k, liked):
    shape = (world.ratings.n_users, world.ratings.n_items)
    scores = np.random.default_rng(k).normal(size=shape).astype(np.float32)
    ranking = world(scores, k, liked)
    expected = rank_naively(world.ratings, world.split, scores, k, liked)
    assert [ranking.ndcg, ranking.recall, ranking.mrr, ranking.users] == pytest.approx(expected, rel=1e-12)
    test_users = len(set(world.split.test(world.ratings).users.tolist()))
    assert ranking.users + ranking.left_out == test_users


def test_a_user_without_training_ratings_is_ranked_over_all_items(world):
    scores = np.random.default_rng(3).normal(size=(world.ratings.n_users, world.ratings.n_items)).astype(np.float32)
    test = world.split.test(world.ratings)
    cold = test.users[np.argmax(test.ratings >= 4)]
    parts = np.where((world.ratings.users == cold) & (world.split.parts <= 1), 3, world.split.parts).astype(np.uint8)
    split = replace(world.split, parts=parts)
    ranking = measure("table", Table(scores), world.ratings, split, RankingTask(5, 4.0))
    expected = rank_naively(world.ratings, split, scores, 5, 4.0)
    assert [ranking.ndcg, ranking.recall, ranking.mrr, ranking.users] == pytest.approx(expected, rel=1e-12)
    assert ranking != world(scores, 5, 4.0)


def test_the_size_of_the_blocks_changes_nothing(world):
    scores = np.random.default_rng(0).integers(0, 9, (world.ratings.n_users, world.ratings.n_items))
    whole = world(scores)
    assert all(world(scores, block=block) == whole for block in (1, 100, 1000))


def test_a_model_that_predicts_one_number_has_the_score_of_chance(world):
    ranking = world(np.full((world.ratings.n_users, world.ratings.n_items), 3.5), k=5)
    test = world.split.test(world.ratings)
    known = np.bincount(world.ratings.users[world.split.parts <= 1], minlength=world.ratings.n_users)
    users = np.unique(test.users[test.ratings >= 4])
    assert ranking.recall == pytest.approx(np.mean(5 / (world.ratings.n_items - known[users])))


def test_the_items_that_the_user_rated_before_are_not_ranked(world):
    scores = np.random.default_rng(1).normal(size=(world.ratings.n_users, world.ratings.n_items))
    expected = world(scores)
    known = world.split.parts <= 1
    scores[world.ratings.users[known], world.ratings.items[known]] += 100
    assert world(scores) == expected


def test_knowing_the_ratings_gives_perfect_lists(world):
    test = world.split.test(world.ratings)
    scores = np.zeros((world.ratings.n_users, world.ratings.n_items))
    scores[test.users, test.items] = test.ratings
    ranking = world(scores, k=1000)
    assert (ranking.ndcg, ranking.recall, ranking.mrr) == (1, 1, 1)


def test_there_is_no_ranking_if_nobody_likes_anything(world):
    assert world(np.zeros((world.ratings.n_users, world.ratings.n_items)), liked=5.5) is None


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"), [(1, 5, 1, 4), (0.5, 5, 0.5, 4), (1, 10, 1, 8), (-10, 10, 0, 5), (0, 1, 1, 1)]
)
def test_liked_items_have_a_rating_three_quarters_up_the_scale(low, high, step, expected):
    assert default_liked(Scale(low=low, high=high, step=step)) == pytest.approx(expected)


# Stored models


def compare(terminal, options=""):
    """The result of `compare --ranking` as JSON, and what it printed as messages."""
    result = terminal(f"compare --ranking --json {options}")
    assert result.status == 0, result.err
    return json.loads(result.out), result.err


def test_compare_ranks_by_the_stored_models_and_keeps_what_it_computed(terminal):
    terminal("run bias")
    terminal("run ensemble")
    data, messages = compare(terminal)
    assert messages.count("ranking all items for each user") == 2
    results = Results(Path("results"))
    for row in data["rows"]:
        record, folder = results.find(row["runs"][0])
        model, dataset = reopen(record, folder, results, "auto")
        split = dataset.split("random90")
        shape = (dataset.ratings.n_users, dataset.ratings.n_items)
        users, items = (codes.ravel().astype(np.int32) for codes in np.indices(shape))
        scores = model.predict(Pairs(users, items)).reshape(shape)
        expected = measure("table", Table(scores), dataset.ratings, split, RankingTask(10, 4.0))
        assert [row["ndcg"], row["recall"], row["mrr"]] == pytest.approx([expected.ndcg, expected.recall, expected.mrr])
        facts = {"k": 10, "liked": 4.0, "users": expected.users, "left_out": expected.left_out}
        assert data["item_ranking"] == facts | {"without_model": [], "faults": []}
    assert compare(terminal) == (data, "")
    for options in ("--k 3", "--liked 3"):
        other, messages = compare(terminal, options)
        assert messages.count("ranking all items") == 2
        assert other["rows"][0]["recall"] != data["rows"][0]["recall"]


def test_the_table_shows_the_measures_only_on_request_and_explains_them(terminal):
    terminal("run bias")
    assert "nDCG" not in terminal("compare").out
    out = " ".join(terminal("compare --ranking --k 7").out.split())
    assert "nDCG@7 recall@7 MRR" in out
    assert "with a test rating of at least 4, without" in out
    assert "ndcg" in terminal("compare --ranking --format csv").out.splitlines()[0].split(",")


def test_seeds_are_averaged_and_rows_can_be_sorted_by_a_measure(terminal):
    small = "--factors 4 --epochs 2"
    for seed in (0, 1):
        terminal(f"run svd {small} --seed {seed}")
    single = [compare(terminal, "--plugin svd")[0]["rows"][0]["mrr"]]
    terminal("run bias")
    rows = compare(terminal, "--sort mrr")[0]["rows"]
    assert [row["mrr"] for row in rows] == sorted((row["mrr"] for row in rows), reverse=True)
    kept = [json.loads(file.read_text())["mrr"] for file in Path("home/rankings").glob("*-svd-*.json")]
    assert single == [pytest.approx(np.mean(kept))]
    assert len(kept) == 2


def test_a_run_without_its_model_has_a_dash_and_a_command_that_makes_it_again(terminal):
    terminal("run bias --user-reg 7")
    terminal("run mean")
    (model,) = Path("results").glob("tiny/random90/bias/*/model.safetensors")
    model.unlink()
    result = terminal("compare --ranking")
    assert {"nDCG@10", "recall@10", "MRR"} <= set(result.out.split())
    assert "– runs without a stored model: 1 (bias); this makes one, and --all-runs shows it: " in result.err
    alone = terminal("compare --ranking --plugin bias").out
    assert "nDCG@10" in alone
    assert next(line for line in alone.splitlines() if " bias " in line).count("–") >= 3
    command = result.err.partition("shows it: cfbench ")[2].splitlines()[0]
    assert command == "run bias --dataset tiny --split random90 --seed 0 --no-preset --user-reg=7.0"
    assert terminal(command).status == 0
    data, _ = compare(terminal, "--all-runs")
    assert all(row["ndcg"] is not None for row in data["rows"])


def test_a_damaged_model_is_named_and_the_other_rows_are_ranked(terminal):
    terminal("run bias")
    terminal("run mean")
    (model,) = Path("results").glob("tiny/random90/bias/*/model.safetensors")
    model.write_bytes(b"no model")
    data, _ = compare(terminal)
    assert {row["plugin"]: row["ndcg"] is None for row in data["rows"]} == {"bias": True, "mean": False}
    (fault,) = data["item_ranking"]["faults"]
    assert "model.safetensors is damaged or missing" in fault


def test_a_plugin_that_fails_is_named_and_the_other_rows_are_ranked(terminal, monkeypatch):
    terminal("run bias")
    terminal("run mean")

    def fail(self, pairs):
        raise KeyError("no such item")

    monkeypatch.setattr(Bias, "predict", fail)
    data, _ = compare(terminal)
    assert {row["plugin"]: row["ndcg"] is None for row in data["rows"]} == {"bias": True, "mean": False}
    (fault,) = data["item_ranking"]["faults"]
    assert "no such item" in fault


def test_predictions_made_elsewhere_have_a_dash_and_so_has_an_ensemble_of_them(terminal):
    for part in ("test", "valid"):
        terminal(f"export split --part {part} --out {part}.csv")
        table = pl.read_csv(f"{part}.csv")
        table.with_columns(prediction=table["rating"] + 1).write_csv(f"{part}.csv")
    assert terminal("import-predictions test.csv --plugin-name theirs --valid valid.csv").status == 0
    terminal("run bias")
    terminal("run ensemble")
    data, _ = compare(terminal)
    measured = {row["plugin"]: row["mrr"] is not None for row in data["rows"]}
    assert measured == {"bias": True, "theirs": False, "ensemble": False}
    assert data["item_ranking"]["without_model"] == []
    (fault,) = data["item_ranking"]["faults"]
    assert "holds predictions that were made elsewhere, and no model" in fault


@pytest.mark.parametrize("options", ["--k 5", "--liked 3", "--ranking --by rating"])
def test_options_that_say_nothing_together_are_refused(terminal, options):
    assert terminal(f"compare {options}").status == 2


def test_a_missing_data_set_is_an_error_with_the_command_that_gets_it(terminal, monkeypatch):
    terminal("run bias")
    monkeypatch.setenv("CFBENCH_DATA", str(terminal.folder / "elsewhere"))
    result = terminal("compare --dataset tiny --ranking")
    assert result.status != 0
    assert "`cfbench download tiny` gets it" in result.err
