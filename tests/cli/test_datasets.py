"""`cfbench datasets`: the list. The page of one data set is tested in test_dataset_page.py."""

import json
import subprocess
import sys

import pytest


def test_the_list_shows_the_current_data_set(terminal):
    assert "current" in terminal("datasets").out


def test_the_list_as_json_says_what_is_downloaded(terminal):
    assert json.loads(terminal("datasets --json").out)[0]["downloaded"] is True


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_list_keeps_names_and_counts_complete_at_any_width(width, tmp_path, monkeypatch):
    (tmp_path / "current").write_text("ml-100k\n")
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", str(width))
    command = [sys.executable, "-m", "cfbench", "datasets"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    assert "ml-latest-small" in out
    assert ("100,480,507" in out) == (width > 40)
    assert ("CC BY-SA" in out) == (width == 200)
