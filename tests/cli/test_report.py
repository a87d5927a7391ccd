"""`cfbench report`: where the page is written, and the options that it shares with `compare`."""

import importlib.util
import re

import pytest


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_library_is_one_line(empty_terminal, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    result = empty_terminal("report --dataset tiny")
    assert result.status == 2
    remedy = r"which is not installed; install it with: .*pip install 'cfbench-recsys\[report\]'\n"
    assert re.fullmatch(rf"error: a .* needs {missing}, {remedy}", result.err)
    assert not (empty_terminal.folder / "report.html").exists()


def test_the_page_shows_what_the_options_choose_and_names_its_command(terminal):
    terminal("run bias")
    terminal("run mean")
    result = terminal("report --plugin bias --metric mae --clusters both --all-runs --quiet")
    assert (result.status, result.out, result.err) == (0, "", "")
    page = (terminal.folder / "report.html").read_text(encoding="utf-8")
    options = "--metric mae --clusters both --plugin bias --all-runs"
    assert f"<code>cfbench report --dataset tiny --split random90 {options}</code>" in page
    assert "ranked by MAE" in page
    assert "other users and items like these" in page
    assert "cfbench run bias --dataset tiny --split random90 --seed 0 --no-preset" in page
    assert "cfbench run mean" not in page


def test_a_page_that_cannot_be_written_leaves_the_old_one(terminal):
    (terminal.folder / "old").mkdir()
    result = terminal("report --out old")
    assert result.status == 1
    assert "cannot write old: a folder exists where a file is needed" in result.err
    assert list((terminal.folder / "old").iterdir()) == []
    assert terminal("report --plugin nobody").status == 2
