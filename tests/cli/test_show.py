"""`cfbench show`: the record, the learning curve and the errors by slice."""

import json
import shutil
from pathlib import Path

import pytest

from cfbench.cli import console

SMALL = "--hidden 16 --epochs 3 --batch-size 16"


def test_show_prints_the_record_and_where_each_value_comes_from(terminal):
    terminal(f"run deepae {SMALL}")
    result = terminal("show last")
    for text in ("hidden", "16 (flag)", "0 (preset)", "0.0 (default)", "test RMSE", "versions", "random90"):
        assert text in result.out


def test_show_draws_the_curve_and_the_errors_by_rating_and_activity(terminal):
    terminal("run deepae --hidden 16 --epochs 3 --batch-size 16")
    out = terminal("show last").out
    assert "RMSE by epoch: · training, • validation" in out
    assert "user's ratings" in out
    assert "█" in out
    data = json.loads(terminal("show last --json").out)
    assert len(data["curve"]) == 3
    assert sum(part["ratings"] for part in data["slices"]["rating"]) == data["request"]["split"]["report"]["test"]


@pytest.mark.parametrize("width", [12, 30, 45])
def test_a_narrow_terminal_has_shorter_bars_and_every_number(terminal, monkeypatch, width):
    terminal("run bias")
    slices = json.loads(terminal("show last --json").out)["slices"]["rating"]
    monkeypatch.setenv("COLUMNS", str(width))
    console.out.cache_clear()
    lines = terminal("show last").out.splitlines()
    for part in slices:
        expected = [part["label"], f"{part['ratings']:,}", f"{part['rmse']:.4f}"]
        assert any(line.split()[:3] == expected for line in lines)
    assert max(map(len, lines[-8:-1])) <= max(width, 34)


def test_show_without_the_data_shows_the_record(terminal, monkeypatch):
    terminal("run bias")
    monkeypatch.setenv("CFBENCH_DATA", str(terminal.folder / "elsewhere"))
    result = terminal("show last")
    assert "test RMSE" in result.out
    assert "no errors by slice: the ratings of tiny that the run was scored on are not downloaded" in result.err


def test_show_counts_the_members_of_an_ensemble_and_says_what_it_took_without_them(terminal):
    terminal("run bias")
    terminal("run ensemble")
    page = " ".join(terminal("show last").out.split())
    record = json.loads(terminal("show last --json").out)
    bias_parameters = 1 + record["request"]["dataset"]["users"] + record["request"]["dataset"]["items"]
    assert record["cost"]["parameters"] == bias_parameters + 2
    assert f"parameters {bias_parameters + 2} fit" in page
    assert "members 1; the cost above includes theirs; without members: parameters 2, fit" in page


def test_show_names_the_members_that_are_missing_instead_of_a_cost(terminal):
    terminal("run bias")
    terminal("run ensemble")
    (folder,) = Path("results").glob("tiny/random90/bias/*")
    shutil.rmtree(folder)
    page = " ".join(terminal("show last").out.split())
    assert "fit – (– of processor time)" in page
    assert f"members missing from the results are 1 of 1: {folder.name}; so the cost is unknown; without" in page
