"""Colours and width of what is printed."""

import os
import subprocess
import sys

from cfbench.cli import console
from cfbench.contract import Epoch

PRINT_RED = "from cfbench.cli.console import out; out().print('x', style='bold red')"


def printed(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | env
    ).stdout


def test_a_terminal_gets_colours():
    assert "\x1b[1;31m" in printed(PRINT_RED, FORCE_COLOR="1", TERM="xterm")


def test_no_color_turns_the_colours_of_a_terminal_off():
    assert "31m" not in printed(PRINT_RED, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm")


def test_a_pipe_gets_no_colours_and_no_bars(terminal):
    terminal("run bias")
    result = terminal("compare")
    assert "\x1b" not in result.out + result.err


def test_a_pipe_gets_a_line_about_an_epoch_from_time_to_time(capsys, monkeypatch):
    from cfbench.cli import console, progress

    console.err.cache_clear()
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    with progress.RunProgress("deepae") as shown:
        shown.begin("a-run")
        shown.epoch(Epoch(1, 3, train_rmse=1.0, valid_rmse=1.5, seconds=1.0))
        shown.epoch(Epoch(2, 3, train_rmse=0.9, valid_rmse=1.75, seconds=2.0))
        shown.epoch(Epoch(3, 3, train_rmse=0.8, valid_rmse=None, seconds=3.0))
    assert capsys.readouterr().err.splitlines() == [
        "deepae epoch 1/3 train 1.0000 valid 1.5000 best 1.5000@1",
        "deepae epoch 2/3 train 0.9000 valid 1.7500 best 1.5000@1",
        "deepae epoch 3/3 train 0.8000",
    ]


def test_an_error_that_quotes_a_very_long_text_keeps_its_beginning_and_its_end(capsys):
    console.err.cache_clear()
    console.error(f"expected a number, got {'9' * 100_000}; correct it")
    line = capsys.readouterr().err
    assert len(line) < 1600
    assert line.startswith("error: expected a number, got 999")
    assert line.endswith("9; correct it\n")
