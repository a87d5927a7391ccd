"""Recommendations for users of the data set and for new users."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from cfbench.cli import console
from cfbench.cli.plain import PlainConsole
from cfbench.cli.view import predictions
from cfbench.contract import Config, Plugin
from cfbench.data import card, store
from cfbench.data.parts import TRAIN
from cfbench.errors import PredictionError
from cfbench.learning import biases
from cfbench.runs import recommend
from cfbench.testing import planted


class Flat:
    """Predicts 3 for all pairs and cannot fold in new users."""

    parameters = 1

    def fit(self, train, valid, context):
        pass

    def predict(self, pairs):
        return np.full(len(pairs), 3, np.float32)

    def state(self):
        return {"three": np.array([3.0])}

    def restore(self, state, train, context):
        pass


class ByItems(Flat):
    def fold_in(self, items, ratings, targets):
        raise PredictionError("its rows are items")


class Broken(Flat):
    def fold_in(self, items, ratings, targets):
        return np.full(len(targets), np.nan, np.float32)


def fake(model):
    return Plugin("a fake", "none", Config, lambda _: model())


def rows(result):
    assert result.status == 0, result.err
    return list(csv.DictReader(io.StringIO(result.out)))


def rated_in_training(user):
    data = store.open_dataset(card.load("tiny"))
    rows = (data.split("random90").parts == TRAIN) & (data.ratings.users == data.catalogue.user_codes([user])[0])
    return [data.catalogue.items["id"][int(code)] for code in data.ratings.items[rows]]


def test_the_recommendations_are_the_highest_predictions_of_items_not_rated_in_training(terminal):
    terminal("run bias")
    rated = set(rated_in_training("u1"))
    others = [name for name in (f"i{k}" for k in range(39)) if name not in rated]
    scores = rows(terminal("predict last " + " ".join(f"u1,{name}" for name in others)))
    expected = sorted(scores, key=lambda row: -float(row["prediction"]))[:10]
    found = rows(terminal("recommend last --user u1"))
    assert [row["prediction"] for row in found] == [row["prediction"] for row in expected]
    assert {row["item"] for row in found} == {row["item"] for row in expected}
    assert found[0]["title"] == f"Film {found[0]['item'][1:]}, The"
    assert json.loads(terminal("recommend last --user u1 -n 3 --json").out) == [
        row | {"prediction": float(row["prediction"])} for row in found[:3]
    ]


@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_size_of_the_blocks_of_items_makes_no_difference(block):
    data = planted(seed=4)
    model = biases.fit(data.train)
    rated = np.arange(data.train.n_items) % 3 == 0
    together = recommend.recommend("bias", model, 1, rated, 10)
    in_blocks = recommend.recommend("bias", model, 1, rated, 10, block=block)
    assert [array.tolist() for array in in_blocks] == [array.tolist() for array in together]


def test_equal_predictions_keep_the_order_of_the_data_set(terminal, register):
    register("fake", fake(Flat))
    terminal("run fake")
    rated = set(rated_in_training("u5"))
    data = store.open_dataset(card.load("tiny"))
    first = [name for name in data.catalogue.items["id"] if name not in rated][:4]
    assert [row["item"] for row in rows(terminal("recommend last --user u5 -n 4"))] == first


def test_if_there_are_fewer_items_all_are_listed_with_a_note(terminal):
    terminal("run bias")
    result = terminal("recommend last --user u1 -n 1000")
    left = 39 - len(rated_in_training("u1"))
    assert len(rows(result)) == left
    assert f"{left} of 1000: there are no more items that this user has not rated" in result.err


def test_the_predictions_for_a_new_user_follow_the_formula_of_the_biases(terminal):
    terminal("run bias")
    Path("ratings.csv").write_text("item,rating\ni3,5\n\ni7\t4.5\n")
    data = store.open_dataset(card.load("tiny"))
    model = biases.fit(data.split("random90").train(data.ratings))
    rated = data.catalogue.item_codes(["i3", "i7"])
    user_bias = (np.array([5, 4.5]) - model.mean - model.items[rated]).sum() / (2 + 15.0)
    truth = dict(zip(data.catalogue.items["id"], np.clip(model.mean + user_bias + model.items, 1, 5), strict=True))
    found = rows(terminal("recommend last --ratings ratings.csv -n 1000"))
    assert len(found) == 37
    assert not {"i3", "i7"} & {row["item"] for row in found}
    for row in [*found, *rows(terminal("predict last --ratings ratings.csv i3 i8"))]:
        assert float(row["prediction"]) == pytest.approx(truth[row["item"]], abs=1e-4)
    Path("items.csv").write_text("item\ni3\ni8\n")
    assert rows(terminal("predict last --ratings ratings.csv --file items.csv"))[1]["item"] == "i8"


def test_every_bad_line_of_a_file_of_ratings_is_reported_with_its_number(terminal):
    terminal("run bias")
    Path("ratings.csv").write_text("i3,5\ni333,4\ni4\ni5,x\ni6,7\ni7,4.3\ni3,4\n,3\ni9,nan\n")
    result = terminal("recommend last --ratings ratings.csv")
    assert result.status == 1
    assert result.out == ""
    assert result.err.splitlines() == [
        "error: ratings.csv, line 2: no item 'i333'; did you mean 'i33'?",
        "error: ratings.csv, line 3: expected ITEM,RATING, such as 242,4, got 'i4'",
        "error: ratings.csv, line 4: expected a rating on the scale 1–5 by 0.5, got 'x'",
        "error: ratings.csv, line 5: expected a rating on the scale 1–5 by 0.5, got '7'",
        "error: ratings.csv, line 6: expected a rating on the scale 1–5 by 0.5, got '4.3'",
        "error: ratings.csv, line 7: line 1 already rates the item of 'i3,4'",
        "error: ratings.csv, line 8: expected ITEM,RATING, such as 242,4, got ',3'",
        "error: ratings.csv, line 9: expected a rating on the scale 1–5 by 0.5, got 'nan'",
    ]
    Path("ratings.csv").write_text("i3\n" * 1000)
    result = terminal("recommend last --ratings ratings.csv")
    assert result.err.splitlines()[10:] == ["error: ratings.csv: 990 more bad lines"]
    Path("ratings.csv").write_text("item,rating\n")
    result = terminal("recommend last --ratings ratings.csv")
    assert "ratings.csv has no ratings; expected lines such as 242,4" in result.err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Flat,
            "fake, as this run configured it, cannot predict for a new user; these plugins can by default: ",
        ),
        (ByItems, "fake: its rows are items; these plugins can by default: "),
    ],
)
def test_the_error_of_a_model_that_cannot_fold_in_lists_plugins_that_can(terminal, register, model, message):
    register("fake", fake(model))
    terminal("run fake")
    Path("ratings.csv").write_text("i3,5\n")
    for line in ("recommend last --ratings ratings.csv", "predict last --ratings ratings.csv i1"):
        result = terminal(line)
        assert result.status == 2
        assert message in result.err
        assert "bias" in result.err.partition("these plugins can by default: ")[2]
        assert result.err.count("\n") == 1


def test_predictions_for_a_new_user_must_be_finite(terminal, register):
    register("fake", fake(Broken))
    terminal("run fake")
    Path("ratings.csv").write_text("i3,5\n")
    result = terminal("recommend last --ratings ratings.csv")
    assert "plugin 'fake': 39 of 39 predictions of predict are not finite" in result.err


def test_titles_with_brackets_are_shown_unchanged_on_a_terminal(monkeypatch):
    wide = PlainConsole(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", lambda: wide)
    predictions.print_predictions([{"item": "5", "prediction": 3.5, "title": "[REC] [/x]"}], json=False)
    assert "[REC] [/x]" in wide.file.getvalue()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("recommend last", "whose items? give either --user ID or --ratings PATH"),
        ("recommend last --user u1 --ratings x.csv", "whose items? give either --user ID or --ratings PATH"),
        ("recommend last --user u1 -n 0", "Invalid value for '-n'"),
        ("recommend last --user u999", "no user 'u999'"),
        ("recommend last --ratings nowhere.csv", "cannot read nowhere.csv"),
        ("predict last --ratings nowhere.csv", "nothing to predict: give ITEMs or --file PATH"),
        (
            "run bias --preset x --no-preset",
            "--preset x and --no-preset contradict each other; leave out one of them",
        ),
    ],
)
def test_a_wrong_request_is_reported_in_one_line(line, message, terminal):
    terminal("run bias")
    result = terminal(line)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1
