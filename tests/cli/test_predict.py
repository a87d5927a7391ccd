"""`cfbench predict`. New users and `cfbench recommend` are tested in tests/runs/test_recommend.py."""

import json
from pathlib import Path

import pytest

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
