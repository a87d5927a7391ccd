"""`cfbench.load`: data sets and splits as frames, with the ids of the source."""

import polars as pl
import pytest

import cfbench
from cfbench.errors import DataError, UnknownNameError, UsageError


def test_a_data_set_that_is_not_there_is_an_error_with_the_command_that_gets_it(empty_terminal):
    with pytest.raises(DataError, match=r"^data set 'tiny' is not available; run `cfbench download tiny`$"):
        cfbench.load("tiny")
    with pytest.raises(UnknownNameError, match="no data set 'tinny'; did you mean 'tiny'"):
        cfbench.load("tinny")


def test_download_prepares_the_data_set_in_silence_and_reports_its_progress(empty_terminal, capsys):
    steps = []
    downloads = empty_terminal.folder / "home" / "downloads"
    downloads.mkdir(parents=True)
    empty_terminal.archive.rename(downloads / "tiny.zip")  # so that no network is needed
    data = cfbench.load("tiny", download=True, progress=lambda *step: steps.append(step))
    assert (data.name, str(data.scale)) == ("tiny", "1–5 by 0.5")
    assert data.card.terms == "Do what you like with tiny."
    assert steps
    assert capsys.readouterr() == ("", "")
    assert repr(data).startswith("<Data tiny: 59 users, 39 items, ")


def test_ratings_and_parts_are_those_that_the_command_line_exports(terminal):
    data = cfbench.load("tiny")
    terminal("export ratings --out ratings.parquet")
    assert data.ratings.equals(pl.read_parquet("ratings.parquet"))
    assert data.ratings.columns == ["user", "item", "rating", "time", "title"]
    for part in ("train", "valid", "test"):
        terminal(f"export split --split random90@7 --part {part} --out {part}.parquet")
        assert getattr(data.split("random90@7"), part).equals(pl.read_parquet(f"{part}.parquet"))


def test_the_default_split_is_that_of_the_command_line_and_the_report_counts_its_parts(terminal):
    split = cfbench.load("tiny").split()
    assert split.name == "random90"
    assert split.report["train"] == len(split.train)
    assert repr(split).startswith("<DataSplit random90 of tiny: ")
    assert len(split.fingerprint) == 64


def test_folds_are_several_splits(terminal):
    data = cfbench.load("tiny")
    assert data.folds("5fold") == [f"5fold-{fold}" for fold in range(1, 6)]
    with pytest.raises(UsageError, match=r"^5fold means 5 splits; use one after the other: data.folds\('5fold'\)$"):
        data.split("5fold")
    with pytest.raises(UnknownNameError, match="no split 'random09'; did you mean 'random90'"):
        data.split("random09")
