"""Standard streams that are closed or full, or whose encoding lacks characters."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cfbench.cli import streams

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
HOME = "import sys\nfrom pathlib import Path\nfrom cfbench import cli\nfrom cfbench.data import card\n"
MAIN = HOME + "card.SHIPPED_FOLDER = Path('cards').absolute()\ncli.main(sys.argv[1:])"


def shell(redirection, line, **env):
    """Run a command line in a process of its own, with its streams redirected by a shell."""
    command = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-c", MAIN, *line.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | env)


@needs_full_device
@pytest.mark.parametrize("line", ["--help", "run bias"])
def test_a_full_standard_output_is_one_line_and_status_1(line, terminal):
    result = shell(">/dev/full", line)
    assert result.returncode == 1
    errors = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert errors == ["error: cannot write to standard output: No space left on device; results are missing from it"]
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_a_closed_standard_output_is_one_line_and_status_1(empty_terminal):
    result = shell(">&-", "--help")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: cannot write to standard output: Bad file descriptor; results are missing from it"
    ]


def test_a_run_is_complete_although_its_results_cannot_be_printed(terminal):
    """No file of the run takes the number of the closed stream: the leaderboard reads all of them."""
    assert shell(">&-", "run bias").returncode == 1
    result = terminal("compare --json")
    assert result.status == 0
    assert '"plugin": "bias"' in result.out
    assert result.err == ""


@needs_full_device
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&- <&-"])
def test_a_run_goes_on_when_its_messages_cannot_be_printed(redirection, terminal):
    result = shell(redirection, "run bias")
    assert result.returncode == 0
    assert "test RMSE" in result.stdout


def test_every_character_can_be_printed_in_ascii(terminal):
    terminal("run bias")
    result = shell("", "compare --by rating", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "#" in result.stdout  # a bar
    assert result.stdout.isascii()


@pytest.mark.parametrize("text", [f"x{character}y" for character in "–−─│└±≈≥≤×…●◉•·✓✗█▏▎▍▌▋▊▉é中\udcff\U0001f600"])
def test_a_character_that_the_encoding_lacks_becomes_ascii(text):
    streams.prepare()
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="cfbench-plain")
    stream.write(text)
    stream.flush()
    assert re.fullmatch(r"x([^\w\s]{1,3}|[ox]|\\[xuU][0-9a-f]+)y", stream.buffer.getvalue().decode("ascii"))


@pytest.mark.parametrize("line", ["run bias --results \udcff", "compare --dataset \udcff", "import \udcff.csv"])
def test_an_argument_that_is_not_utf8_is_a_one_line_error(line, terminal):
    result = terminal(line)
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "is not UTF-8: '\\udcff" in result.err


def test_a_setting_that_is_not_utf8_is_a_one_line_error(terminal, monkeypatch):
    monkeypatch.setenv("CFBENCH_RESULTS", "\udcff")
    result = terminal("compare")
    assert result.status == 2
    assert result.err == (
        "error: CFBENCH_RESULTS is not UTF-8: '\\udcff'; rename that file or folder, for example with `mv`\n"
    )


def test_too_little_memory_is_one_line(terminal, monkeypatch):
    from cfbench.data import store

    def exhaust(_):
        raise MemoryError

    monkeypatch.setattr(store, "open_dataset", exhaust)
    result = terminal("compare")
    assert result.status == 1
    assert result.err == "error: out of memory: close other programs, or choose a smaller model or data set\n"


def test_an_error_of_the_system_is_one_line(terminal, monkeypatch):
    from cfbench.data import store

    def fail(_):
        raise OSError(37, "No locks available", "ratings.parquet")

    monkeypatch.setattr(store, "open_dataset", fail)
    result = terminal("compare")
    assert result.status == 1
    assert result.err.count("\n") == 1
    assert "No locks available: 'ratings.parquet'" in result.err
