"""Command lines that the board starts are processes of their own, and can be stopped."""

import sys
import time

import pytest

from cfbench.cli.board.launcher import Launcher, read_run_command
from cfbench.errors import UsageError

ECHO = "import sys, time\nprint(sys.argv[1:], chr(27), flush=True)\nif sys.argv[-1] != 'end': time.sleep(60)"


@pytest.fixture
def launcher(tmp_path):
    """A launcher whose program prints its arguments, and waits unless `end` is the last one."""
    return Launcher(tmp_path, (sys.executable, "-S", "-E", "-c", ECHO))


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_command_is_started_with_the_results_and_stopped_by_ctrl_c(launcher, tmp_path):
    command = launcher.start("cfbench run bias --seed '1'")
    wait_for(lambda: command.last_line)
    assert command.last_line == f"['run', 'bias', '--seed', '1', '--results', '{tmp_path}'] ␛"
    assert command.goes_on
    assert launcher.take_ended() == []
    command.interrupt()
    wait_for(lambda: not command.goes_on)
    command.interrupt()  # it has ended: nothing happens
    (ended,) = launcher.take_ended()
    assert (ended.line, ended.last_line) == ("cfbench run bias --seed '1'", "KeyboardInterrupt")
    assert ended.status != 0
    assert launcher.started == launcher.take_ended() == []


def test_a_command_that_names_its_results_keeps_them(launcher):
    command = launcher.start("cfbench run bias --results=elsewhere end")
    wait_for(lambda: not command.goes_on)
    (ended,) = launcher.take_ended()
    assert (ended.status, ended.last_line) == (0, "['run', 'bias', '--results=elsewhere', 'end'] ␛")


def test_a_program_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="cannot start `cfbench run bias`: No such file"):
        Launcher(tmp_path, (str(tmp_path / "nothing"),)).start("cfbench run bias")


@pytest.mark.parametrize("line", ["", "cfbench", "cfbench run", "cfbench tune bias", "rm -r /", "cfbench run 'bias"])
def test_only_a_run_of_cfbench_is_started(line):
    with pytest.raises(UsageError):
        read_run_command(line)
