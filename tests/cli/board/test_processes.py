"""The board with real processes: runs that it starts and stops, a real terminal, and many runs."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time

import pytest
from textual.widgets import Input

from cfbench.cli.board.launcher import Launcher
from cfbench.runs import results as stored_runs
from cfbench.runs.results import Results

pytestmark = pytest.mark.slow  # each starts processes, or reads many records

CODE = (
    "import sys\nfrom pathlib import Path\nfrom cfbench import cli\nfrom cfbench.data import card\n"
    "card.SHIPPED_FOLDER = Path('cards').absolute()\ncli.main(sys.argv[1:])"
)
MANY = 200
PROGRAM = (sys.executable, "-c", CODE)
LONG_RUN = "cfbench run deepae --dataset tiny --no-preset --hidden 8 --batch-size 4 --epochs 3000 --patience 3000"


async def start_a_long_run(player):
    await player.until(lambda: player.table("leaderboard").row_count == 3)
    await player.press("n")
    player.app.screen.query_one(Input).value = LONG_RUN
    await player.press("enter")
    await player.until_shown("/3000")


def test_a_run_is_started_stopped_and_resumed(play, results):
    async def script(player):
        await start_a_long_run(player)
        await player.press("s")
        await player.until_shown("stop it, as Ctrl-C does")
        await player.press("enter")
        await player.until_shown("interrupted")
        (run,) = Results(results).unfinished()
        await player.press("r")
        await player.until_shown("running")
        await player.until(lambda: Results(results).is_running(run))
        await player.press("q")
        await player.until_shown("A run that you have started goes on.")
        await player.press("down", "enter")  # stop it and quit
        await player.until(lambda: not Results(results).is_running(run))
        assert Results(results).unfinished() == [run]

    play(script, launcher=Launcher(results, PROGRAM))


def test_a_run_goes_on_when_the_board_ends(play, results):
    launcher = Launcher(results, PROGRAM)

    async def script(player):
        await start_a_long_run(player)
        await player.press("q")
        await player.until_shown("leave them running, and quit")
        await player.press("enter")

    play(script, launcher=launcher)
    (command,) = launcher.started
    assert command.goes_on
    command.interrupt()
    ended = command.close()
    assert ended.status == 130
    assert "resume it with:" in ended.last_line


def open_terminal(home, results, **environment):
    """Open the board in a terminal of 80 × 24 characters, wait for the leaderboard, quit; return what was printed."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    settings = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    settings |= {"TERM": "xterm-256color"} | environment
    process = subprocess.Popen(
        [*PROGRAM, "board", "--dataset", "tiny", "--results", str(results)],
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=home, env=settings, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    printed, asked, end = b"", False, time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if select.select([controller], [], [], 0.1)[0]:
            try:
                printed += os.read(controller, 65536)
            except OSError:  # the terminal is closed
                break
        if b"0.5100" in printed and not asked:
            os.write(controller, b"q")
            asked = True
    assert process.wait(60) == 0
    os.close(controller)
    return printed.decode()


def styles(printed):
    """The numbers of all styles that were printed."""
    return {int(number or 0) for codes in re.findall(r"\x1b\[([0-9;]*)m", printed) for number in codes.split(";")}


def test_without_colours_the_cursor_is_in_reverse_video(home, results):
    printed = open_terminal(home, results, NO_COLOR="1")
    colours = {*range(30, 39), *range(40, 49), *range(90, 98), *range(100, 108)}
    assert not styles(printed) & colours
    assert 7 in styles(printed)
    assert styles(open_terminal(home, results)) & colours


def test_of_many_runs_only_the_new_record_is_read(play, results, monkeypatch):
    """The board answers keys while it ranks many configs."""
    (place,) = (results / "tiny/random90").glob("mean/*")
    record = json.loads((place / "record.json").read_text("utf-8"))
    for number in range(MANY):
        run = f"20260103-000000-mean-{number:06x}"
        shutil.copytree(place, place.with_name(run))
        record["request"] |= {"run": run, "config": {"number": number}}
        (place.with_name(run) / "record.json").write_text(json.dumps(record), "utf-8")
    last = place.with_name(run).rename(results / "new")
    reads, real = [], stored_runs.read_record
    monkeypatch.setattr(stored_runs, "read_record", lambda path: reads.append(path.parent.name) or real(path))

    async def script(player):
        await player.until(lambda: player.table("leaderboard").row_count == 3)
        await player.press("a", "3")  # a key is answered while the board ranks
        await player.until_shown("user's ratings")
        await player.press("1")
        await player.until(lambda: player.table("leaderboard").row_count == MANY + 3, seconds=600)
        reads.clear()
        last.rename(place.with_name(run))
        await player.until(lambda: player.table("leaderboard").row_count == MANY + 4, seconds=600)
        assert set(reads) == {run}

    play(script)
