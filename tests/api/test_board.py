"""`cfbench.compare`: the leaderboard of the command line as a frame."""

import csv
import io
import json

import pytest

import cfbench
from cfbench.errors import UnknownNameError, UsageError


def as_text(value):
    """A value of a frame as the command line writes it to CSV."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list) else str(value)


@pytest.fixture
def board(terminal):
    """A terminal with runs of two plugins, one of them with two configs."""
    for line in ("run mean", "run bias", "run bias --item-reg 3"):
        assert terminal(line).status == 0
    return terminal


def test_the_frame_is_what_the_command_line_writes_as_csv(board, capsys):
    for options, flags in (
        ({}, ""),
        ({"all_runs": True, "metric": "mae", "clusters": "both"}, "--all-runs --metric mae --clusters both"),
        ({"by": "rating"}, "--by rating"),
        ({"plugins": ["bias"], "ranking": True, "k": 5}, "--plugin bias --ranking --k 5"),
    ):
        expected = list(csv.reader(io.StringIO(board(f"compare --format csv {flags}").out)))
        frame = cfbench.compare("tiny", **options)
        assert capsys.readouterr() == ("", "")
        assert [frame.columns, *([as_text(value) for value in row] for row in frame.rows())] == expected


def test_the_runs_of_a_row_can_be_opened_and_bad_input_is_refused(board):
    data = cfbench.load("tiny")
    best = cfbench.compare(data, split=data.split("random90")).row(0, named=True)
    assert cfbench.Run.open(best["runs"][0]).scores.rmse == best["rmse"]
    with pytest.raises(UnknownNameError, match="no plugin 'als'"):
        cfbench.compare("tiny", plugins=["als"])
    with pytest.raises(UsageError, match="leave out one of them"):
        cfbench.compare("tiny", ranking=True, by="rating")


def test_a_board_without_runs_has_the_columns_and_no_rows(terminal):
    frame = cfbench.compare("tiny")
    assert len(frame) == 0
    assert {"place", "plugin", "rmse", "runs"} <= set(frame.columns)
