"""The board: what is on the screen, and what keys and the mouse do."""

import json
import re

import pytest
from textual.widgets import Input, TabbedContent

from cfbench.cli.board.watching import Choice
from cfbench.contract import Epoch
from cfbench.runs import results as stored_runs

ROWS = 3
"""bias is shown with the better one of its two configs."""


def loaded(player, rows=ROWS):
    return lambda: player.table("leaderboard").row_count == rows


def test_the_leaderboard_fits_a_small_and_a_large_terminal(play):
    async def script(player):
        await player.until(loaded(player))
        await player.expect("leaderboard-80x24")
        await player.resize(160, 48)
        await player.expect("leaderboard-160x48")
        await player.resize(40, 12)
        await player.until_shown("bias    0.5100")

    play(script)


@pytest.mark.slow
def test_details_comparison_slices_and_notes_are_one_key_away(play):
    async def script(player):
        await player.until(loaded(player))
        await player.press("enter")
        await player.until_shown("test RMSE")
        await player.expect("run-80x24")
        await player.press("escape", "space", "down", "c")
        await player.until_shown("of a minus b")
        await player.expect("comparison-80x24")
        await player.press("escape", "b")
        await player.expect("slices-80x24")
        await player.press("b")
        assert "item's ratings" in player.screen
        await player.press("question_mark")
        assert "quit; the runs that you have started" in player.screen

    play(script)


@pytest.mark.slow
def test_metric_configs_and_split_can_be_changed(play, results):
    async def script(player):
        await player.until(loaded(player))
        await player.press("m")
        await player.until_shown("by MAE, 3 rows")
        await player.press("a")
        await player.until(loaded(player, ROWS + 1))
        await player.press("d")
        await player.until_shown("Which leaderboard?")
        await player.press("down", "enter")
        await player.until_shown("split random80")
        await player.until(loaded(player, 0))
        await player.press("question_mark")
        await player.until_shown("no runs of tiny, split random80")

    (results / "tiny/random80/bias/nothing").mkdir(parents=True)
    play(script)


def test_a_new_run_appears_and_only_its_record_is_read(play, results, monkeypatch):
    reads = []
    real = stored_runs.read_record
    monkeypatch.setattr(stored_runs, "read_record", lambda path: reads.append(path.parent.name) or real(path))
    (place,) = (results / "tiny/random90").glob("svd/*")
    hidden = place.rename(results / "new")

    async def script(player):
        await player.until(loaded(player, ROWS - 1))
        await player.press("down")
        chosen = player.table("leaderboard").chosen_key
        reads.clear()
        hidden.rename(place)
        await player.until(loaded(player))
        assert player.table("leaderboard").chosen_key == chosen
        assert set(reads) == {place.name}

    play(script)


@pytest.mark.slow
def test_the_mouse_chooses_rows_and_tabs(play):
    async def script(player):
        await player.until(loaded(player))
        await player.click("#leaderboard", offset=(10, 2))
        assert player.table("leaderboard").cursor_row == 1
        await player.click("#leaderboard", offset=(10, 2))  # the second click opens the row
        await player.until_shown("test RMSE")
        await player.press("escape")
        await player.click("#--content-tab-slices")
        assert player.app.query_one(TabbedContent).active == "slices"
        assert "user's ratings" in player.screen

    play(script)


ATTACK = "[/nope] [bold]x[/bold] \x1b]0;owned\x07\x1b[31mred\x9b2J\x7f\u202e"
SHOWN = "[/nope] [bold]x[/bold] ␛]0;owned␇␛[31mred"


def test_text_of_records_controls_nothing(play, results):
    """Markup and control characters in a title, in a config and in the message of a run are only text."""
    (file,) = (results / "tiny/random90").glob("mean/*/record.json")
    record = json.loads(file.read_text("utf-8"))
    record["request"]["plugin"]["title"] = ATTACK
    record["request"]["config"][ATTACK] = ATTACK
    record["outcome"]["message"] = ATTACK
    file.write_text(json.dumps(record), "utf-8")

    async def script(player):
        await player.until(loaded(player))
        await player.press("down", "down")
        await player.until_shown(SHOWN)
        await player.press("enter")
        await player.until_shown(f"finished: {SHOWN}")
        player.app.notify(ATTACK, markup=False)
        await player.press("end")
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", player.screen)

    play(script, size=(120, 40))


@pytest.mark.slow
def test_runs_under_way_show_their_curve_and_the_time_that_is_left(play, under_way_run):
    async def script(player):
        await player.until_shown("2 Under way (1)")
        await player.press("2")
        await player.until_shown("★ best epoch 2: 0.9000")
        line = next(line for line in player.screen.splitlines() if "3/10" in line)
        assert re.search(r"bias +running +3/10 +1.0000 +1.0000 +0.9000@2 +≤ [67] m \d\d s", line)
        under_way_run.epoch(Epoch(4, 10, 1.0, 0.8, 240.0))
        await player.until_shown("★ best epoch 4: 0.8000")
        await player.press("r")
        await player.until_shown("only an interrupted run")
        await player.press("s", "escape")

    play(script)


@pytest.mark.slow
def test_the_example_of_a_new_run_is_the_chosen_row_with_a_seed_that_it_lacks(play):
    async def script(player):
        await player.until(loaded(player))
        await player.press("down", "n")
        line = player.app.screen.query_one(Input)
        assert line.value.startswith("cfbench run svd --dataset tiny --split random90 --seed 1 --no-preset")
        assert "--epochs=1" in line.value
        line.value = "rm -r /"
        await player.press("enter")
        await player.until_shown("expected a command such as `cfbench run bias --seed 1`")
        await player.press("escape")
        await player.press("s")
        assert player.app.query_one(TabbedContent).active == "board"

    play(script)


@pytest.mark.slow
def test_what_cannot_be_read_is_said(play, results):
    (file,) = (results / "tiny/random90").glob("svd/*/record.json")
    file.write_text("{}", "utf-8")

    async def script(player):
        await player.until(loaded(player, ROWS - 1))
        await player.press("4", "pagedown", "pagedown")
        await player.until_shown("skipped 1 run")

    async def unknown(player):
        await player.until_shown("no data set 'nothing'")

    play(script)
    play(unknown, choice=Choice("nothing", "random90"))


@pytest.mark.parametrize("missing", [True, False])
def test_the_command_needs_textual_and_a_terminal(terminal, monkeypatch, missing):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if missing and name == "textual" else real(name))
    result = terminal("board")
    assert (result.status, result.out) == (2, "")
    if missing:
        remedy = r"which is not installed; install it with: .*pip install 'cfbench-recsys\[board\]'\n"
        assert re.fullmatch(rf"error: the board needs textual, {remedy}", result.err)
    else:
        assert "`cfbench compare --dataset tiny --split random90` prints the leaderboard" in result.err
        assert terminal("board --dataset nothing").status == 2
        assert terminal("board --split nothing").status == 2
