"""`cfbench download`, and commands that download on their own."""

from pathlib import Path

from cfbench.cli import dataset_choice
from cfbench.data import store


def test_download_makes_the_data_set_current(empty_terminal):
    result = empty_terminal("download tiny --from-file tiny.zip")
    assert result.status == 0
    assert "this is now the current data set" in result.err
    assert store.current() == "tiny"


def test_the_terms_of_a_data_set_are_shown_once(empty_terminal):
    first = empty_terminal("download tiny --from-file tiny.zip")
    assert "Do what you like with tiny." in first.err
    second = empty_terminal("download tiny --again --from-file tiny.zip")
    assert second.status == 0
    assert "Do what you like" not in second.err


def test_run_downloads_a_missing_data_set(empty_terminal, monkeypatch):
    monkeypatch.setattr(dataset_choice, "DEFAULT_DATASET", "tiny")
    monkeypatch.setattr(store, "fetch", lambda card, folder, **_: (Path("tiny.zip"), card.sources[0]))
    result = empty_terminal("run bias")
    assert result.status == 0
    assert "test RMSE" in result.out
    assert "bias on tiny, split random90" in result.err


def test_run_downloads_nothing_for_an_unknown_split(empty_terminal):
    result = empty_terminal("run bias --dataset tiny --split nosuch")
    assert result.status == 2
    assert result.err.startswith("error: no split 'nosuch'")
    assert result.err.count("\n") == 1
