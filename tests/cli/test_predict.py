"""`cfbench predict`. New users and `cfbench recommend` are tested in tests/runs/test_recommend.py."""

import json
from pathlib import Path

import pytest

from cfbench.contract import Plugin
from cfbench.plugins.bias import Bias, BiasConfig

CSV = "user,item\nu1,i2\n\nu3,i4\n"


@pytest.fixture
def bias(terminal):
    """A terminal where the last run is one of bias."""
    terminal("run bias")
    return terminal


def test_pairs_on_the_command_line_give_csv_in_a_pipe(bias):
    lines = bias("predict last u1,i2 u3,i4").out.splitlines()
    assert lines[0] == "user,item,prediction,title"
    assert lines[1].startswith("u1,i2,")
    assert lines[1].endswith('"Film 2, The"')
    assert lines[2].startswith("u3,i4,")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("file", "text", "encoding"),
    [
        ("pairs.csv", CSV, "utf-8"),
        ("pairs.tsv", "u1\ti2\nu3\ti4\n", "utf-8"),
        pytest.param("marked.csv", CSV, "utf-8-sig", id="with the mark that spreadsheets write"),
    ],
)
def test_a_file_of_pairs_gives_the_same_predictions(bias, file, text, encoding):
    Path(file).write_text(text, encoding=encoding)
    assert bias(f"predict last --file {file}").out == bias("predict last u1,i2 u3,i4").out


def test_predictions_as_json_are_on_the_scale_and_have_titles(bias):
    (row,) = json.loads(bias("predict last u1,i2 --json").out)
    assert 1 <= row["prediction"] <= 5
    assert row["title"] == "Film 2, The"


def test_output_writes_the_csv_to_a_file(bias):
    result = bias("predict last u1,i2 u3,i4 --output there.csv")
    assert (result.status, result.out) == (0, "")
    assert result.err == "wrote 2 predictions to there.csv\n"
    assert Path("there.csv").read_text() == bias("predict last u1,i2 u3,i4").out


def test_an_error_names_the_unknown_id(bias):
    assert "no user 'u999'" in bias("predict last u999,i1").err
    assert "no item 'i999'" in bias("predict last u1,i999").err


def test_a_run_whose_model_is_not_stored_names_the_command_that_makes_it_again(terminal):
    terminal("run deepae --hidden 8 --epochs 2 --batch-size 16 --seed 4")
    before = terminal("predict last u1,i2 u3,i4").out
    (model,) = Path("results").glob("*/*/*/*/model.safetensors")
    model.unlink()
    for line in ("predict last u1,i2 u3,i4", "recommend last --user u1"):
        result = terminal(line)
        assert (result.status, result.out) == (1, "")
        (error,) = result.err.splitlines()
        text, _, command = error.partition(": cfbench ")
        assert text.startswith(f"error: the model of run {model.parent.name} is not stored here")
    assert terminal(command).status == 0
    (again,) = Path("results").glob("*/*/*/*/model.safetensors")
    assert terminal(f"predict {again.parent.name} u1,i2 u3,i4").out == before


def test_an_ensemble_names_the_member_whose_model_is_not_stored(terminal):
    for plugin in ("bias", "als --epochs 2", "ensemble"):
        assert terminal(f"run {plugin}").status == 0
    (model,) = Path("results").glob("*/*/als/*/model.safetensors")
    model.unlink()
    (ensemble,) = Path("results").glob("*/*/ensemble/*")
    result = terminal(f"predict {ensemble.name} u1,i2")
    assert result.status == 1
    assert f"the model of run {model.parent.name}, which run {ensemble.name} blends, is not stored here" in result.err
    assert ": cfbench run als --dataset tiny" in result.err


def test_a_wrong_device_is_named_before_a_missing_model(bias):
    (model,) = Path("results").glob("*/*/*/*/model.safetensors")
    model.unlink()
    result = bias("predict last u1,i2 --device banana")
    assert (result.status, result.err) == (
        2,
        "error: unknown device 'banana'; expected auto, cpu, cuda, cuda:N or mps\n",
    )


def test_a_stopped_run_and_a_failed_one_say_that_they_have_no_model(terminal, register):
    def interrupt(*_):
        raise KeyboardInterrupt

    for fit, message in (
        (interrupt, "resume it with: cfbench run --resume"),
        (None, "because it failed; choose a run"),
    ):
        model = type("Faulty", (Bias,), {"fit": fit})
        register("faulty", Plugin("f", "none", BiasConfig, model))
        terminal("run faulty --seed 1" if fit else "run faulty")
        result = terminal("predict faulty u1,i2" if fit else "predict last u1,i2")
        assert result.status == 1
        assert message in result.err


@pytest.mark.parametrize(
    "line",
    [
        "predict last u1,i2 --device nowhere",
        "recommend last --user u1 --device cuda:9",
        "run bias --device cuda",
        "run deepae --device nowhere",
        "tune deepae --device cuda:9",
    ],
)
def test_a_wrong_device_is_a_wrong_command_line(bias, line):
    result = bias(line)
    assert (result.status, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
