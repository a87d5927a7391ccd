"""A model that leaves cfbench predicts elsewhere what it predicts here."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cfbench.data.parts import TRAIN
from cfbench.ratings import Pairs
from cfbench.runs import fitting, model_export
from cfbench.runs.stored_model import load_model

DOCUMENT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
PAPER = "run deepae --preset paper-3m --hidden 16,8 --epochs 30 --batch-size 16 --lr 0.002"
NEW_USER = {"i3": 5.0, "i7": 1.5, "i9": 4.0, "i12": 2.0}


@pytest.fixture(scope="module")
def onnxruntime():
    """The runtime, if the extra `onnx` is installed."""
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    return pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def code(after):
    """The first block of code behind these words of docs/serving.md."""
    return re.search(r"```python\n(.*?)```", DOCUMENT[DOCUMENT.index(after) :], re.DOTALL)[1]


def training_table(terminal):
    """The stored model, and the ratings and the mask of the training part, (users, items)."""
    stored = load_model("last", terminal.folder / "results", "cpu", None)
    train = stored.dataset.ratings.take(stored.dataset.split(stored.split).parts == TRAIN)
    ratings = np.full((train.n_users, train.n_items), 77, np.float32)  # unrated cells must not matter
    ratings[train.users, train.items] = train.ratings
    return stored, ratings, ratings != 77


def new_user_predictions(terminal, ratings, items):
    """What `cfbench predict --ratings` says of a new user with these ratings."""
    Path("new.csv").write_text("".join(f"{item},{rating}\n" for item, rating in ratings.items()), "utf-8")
    rows = json.loads(terminal(f"predict last --ratings new.csv --json {' '.join(items)}").out)
    return {row["item"]: row["prediction"] for row in rows}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("run deepae --preset general --epochs 3", marks=pytest.mark.slow), PAPER,
        pytest.param("run autorec --hidden 8 --epochs 3", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_onnxruntime_predicts_what_cfbench_predicts(terminal, onnxruntime, line):
    assert terminal(line).status == 0
    assert terminal("export model last --out model.onnx").status == 0
    session = onnxruntime.InferenceSession("model.onnx")
    facts = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    stored, ratings, rated = training_table(terminal)
    assert facts["users"] == stored.dataset.catalogue.users["id"].to_list()
    assert facts["items"] == stored.dataset.catalogue.items["id"].to_list()
    feed = {"ratings": ratings, "rated": rated}
    if facts["rows"] == "item":
        feed = {"ratings": ratings.T.copy(), "rated": rated.T.copy(), "items": np.arange(ratings.shape[1])}
    (found,) = session.run(["predictions"], feed)
    found = found.T if facts["rows"] == "item" else found
    users, items = (codes.ravel().astype(np.int32) for codes in np.indices(ratings.shape))
    expected = fitting.predict(stored.plugin, stored.model, Pairs(users, items))
    np.testing.assert_allclose(found.ravel(), stored.dataset.ratings.scale.clip(expected), atol=1e-4)
    assert found.std() > 0.01
    if line == PAPER:
        check_document(terminal)


def check_document(terminal):
    """The code of the document predicts for a new user who gave one item the rating 4."""
    names = {}
    exec(code("in the preset `general`").replace('"242"', '"i3"'), names)
    expected = new_user_predictions(terminal, {"i3": 4}, names["facts"]["items"])
    assert dict(zip(expected, names["predictions"][0], strict=True)) == pytest.approx(expected, abs=1e-4)


def test_the_loader_of_the_document_predicts_for_a_new_user(terminal):
    terminal(PAPER)
    assert terminal("export model last --out model.safetensors").status == 0
    names = {}
    exec(code("learned ratings (the paper's presets)"), names)
    facts, arrays = names["load"]("model.safetensors")
    found = names["predict"](facts, arrays, NEW_USER)
    expected = new_user_predictions(terminal, NEW_USER, facts["items"])
    assert found == pytest.approx(expected, abs=1e-4)
    assert len(set(expected.values())) > 10


def test_the_loader_of_the_document_predicts_with_als(terminal):
    terminal("run als --factors 4")
    terminal("export model last --out als.bin --format safetensors")
    names = {}
    exec(code("learned ratings (the paper's presets)") + code("`als` takes fewer lines"), names)
    facts, arrays = names["load"]("als.bin")
    rows = json.loads(terminal("predict last u1,i2 u3,i4 u5,i0 --json").out)
    for row in rows:
        found = names["predict_als"](facts, arrays, row["user"], row["item"])
        assert found == pytest.approx(row["prediction"], abs=1e-4)


def test_a_model_that_is_no_network_is_refused_as_onnx_in_one_line(terminal):
    terminal("run bias")
    answer = terminal("export model last --out model.onnx")
    assert answer.status == 2
    assert answer.err == (
        "error: bias is no network over rows of ratings, and cannot leave as ONNX; use --format safetensors\n"
    )
    assert not Path("model.onnx").exists()


def test_without_the_libraries_of_onnx_one_line_says_how_to_install_them(terminal, monkeypatch):
    terminal("run autorec --hidden 4 --epochs 1")
    monkeypatch.setattr(model_export, "find_spec", lambda _: None)
    answer = terminal("export model last --out model.onnx")
    assert answer.status == 2
    assert "ONNX needs more libraries: `pip install 'cfbench-recsys[onnx]'`; or use --format safetensors" in answer.err


def test_a_model_too_large_for_an_onnx_file_is_refused(terminal, monkeypatch):
    terminal("run autorec --hidden 4 --epochs 1")
    monkeypatch.setattr(model_export, "find_spec", lambda _: True)
    monkeypatch.setattr(model_export, "MAX_ONNX_BYTES", 1000)
    answer = terminal("export model last --out model.onnx")
    assert answer.status == 2
    assert "an ONNX file holds at most 1e-06 GB; use --format safetensors" in answer.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export model last", "where to? give a file that ends in .onnx or .safetensors, as in --out model.onnx"),
        ("export model --out m.onnx", "whose model? name a run, as in `cfbench export model last --out"),
        ("export model last --out m.bin", "m.bin must end in .onnx or .safetensors, or give --format onnx"),
        ("export model none --out m.onnx", "no run 'none'"),
        ("export model last --dataset tiny --out m.onnx", "a run has its own data set and split"),
        ("export ratings --out r.csv --format onnx", "--format is for a model; the ending of r.csv chooses"),
    ],
)
def test_an_error_is_one_line(terminal, line, message):
    answer = terminal(line)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert message in answer.err
