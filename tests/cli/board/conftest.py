"""A small results folder whose records are the same in every session, and a player of keys and clicks."""

import asyncio
import json
import os
import re
import shutil
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from textual.widgets import DataTable

from cfbench import cli
from cfbench.cli.board.app import BoardApp
from cfbench.cli.board.watching import Choice
from cfbench.contract import Epoch
from cfbench.runs import arrays, under_way
from cfbench.runs.results import Results

ROWS = ("run bias", "run bias --seed 1 --user-reg 90", "run mean", "run svd --epochs 1")
TINY = Choice("tiny", "random90")
CURVE = tuple(Epoch(n, 8, 1.0 - n / 20, 0.9 - n / 30 + n * n / 200, 0.5 * n) for n in range(1, 9))
"""The learning curve of svd, whose own fit has none."""
SNAPSHOTS = Path(__file__).with_name("snapshots")
UPDATE = "CFBENCH_UPDATE_SNAPSHOTS"


def _command(line):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(line.split())
    assert exit_info.value.code == 0


def _fix(results):
    """Give each record the id, the times and the machine that it has in every session."""
    for number, record in enumerate(sorted(results.records("tiny", "random90"), key=lambda r: r.request.started), 1):
        place = results.place(record.request)
        run = f"20260101-00000{number}-{record.request.plugin.name}-00000{number}"
        facts = json.loads((place / "record.json").read_text("utf-8"))
        facts["request"] |= {"run": run, "started": f"2026-01-01T00:00:0{number}Z"}
        facts["request"]["plugin"] |= {"package": "cfbench 0", "source": f"{number:064}"}
        facts["outcome"] |= {"fit_seconds": number, "fit_cpu_seconds": number, "predict_seconds": 0.5}
        facts["outcome"] |= {"peak_memory": 10**8}
        facts["machine"] |= {"processor": "a processor", "cores": 2, "threads": 1, "system": "a system", "python": "3",
                             "libraries": {}}  # fmt: skip
        if record.request.plugin.name == "svd":
            arrays.write_arrays(place, arrays.RunArrays(CURVE))
            facts["files"][arrays.CURVE] = arrays.file_sha256(place / arrays.CURVE)
        (place / "record.json").write_text(json.dumps(facts), "utf-8")
        place.rename(place.with_name(run))


@pytest.fixture(scope="module")
def home(tmp_path_factory, working_in):
    """A folder with tiny and its results, as the current folder."""
    folder = tmp_path_factory.mktemp("board")
    with working_in(folder):
        _command("download tiny --from-file tiny.zip")
        for line in ROWS:
            _command(f"{line} --quiet")
        _fix(Results(Path("results")))
        yield folder


@pytest.fixture
def results(home, tmp_path):
    """A copy of the results."""
    shutil.copytree(home / "results", tmp_path / "results")
    return tmp_path / "results"


def screen_of(app):
    """The text on the screen, line by line, as a screenshot shows it."""
    lines = {}
    for element in ET.fromstring(app.export_screenshot()).iter("{http://www.w3.org/2000/svg}text"):
        line = re.search(r"line-(\d+)\)", element.get("clip-path") or "")
        if line:
            column = round(float(element.get("x")) / 12.2)  # the width of a character
            text = (element.text or "").replace("\xa0", " ")
            lines.setdefault(int(line[1]), []).append((column, text))
    shown = []
    for number in range(max(lines) + 1):
        row = ""
        for column, text in sorted(lines.get(number, [])):
            row = row.ljust(column) + text
        shown.append(row.rstrip())
    return "\n".join(shown) + "\n"


class Player:
    """Plays keys and clicks on a board."""

    def __init__(self, app, pilot):
        self.app, self._pilot = app, pilot

    @property
    def screen(self):
        return screen_of(self.app)

    async def until(self, condition, seconds=60, wanted=""):
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                pytest.fail(
                    f"not so after {seconds} seconds; the screen is:\n{self.screen}{wanted and 'expected:'}\n{wanted}"
                )
            await self._pilot.pause(0.1)

    async def until_shown(self, text):
        """Wait until a text is on the screen."""
        await self.until(lambda: text in self.screen)

    async def expect(self, name):
        """Wait until the screen is that of a stored snapshot; the environment variable `UPDATE` stores it anew."""
        file = SNAPSHOTS / f"{name}.txt"
        if os.environ.get(UPDATE):
            await self._pilot.pause(2)
            SNAPSHOTS.mkdir(exist_ok=True)
            file.write_text(self.screen, "utf-8")
        await self.until(lambda: self.screen == file.read_text("utf-8"), wanted=file.read_text("utf-8"))

    async def press(self, *keys):
        await self._pilot.press(*keys)
        await self._pilot.pause()

    async def click(self, selector, offset=(0, 0)):
        await self._pilot.click(selector, offset=offset)
        await self._pilot.pause()

    async def resize(self, width, height):
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause()

    def table(self, name):
        return self.app.query_one(f"#{name}", DataTable)


@pytest.fixture
def play(results):
    """A function that opens a board on the copy of the results and calls an async function with its player."""

    def play(script, size=(80, 24), choice=TINY, **options):
        async def session():
            app = BoardApp(choice, results, pause=0.2, **options)
            async with app.run_test(size=size, notifications=True) as pilot:
                await script(Player(app, pilot))

        asyncio.run(session())

    return play


@pytest.fixture
def under_way_run(results):
    """An unfinished run with three epochs, on which this process works."""
    stored = Results(results)
    request = stored.records("tiny", "random90")[0].request.model_copy(update={"run": "20260102-000000-bias-abcdef"})
    folder = stored.create(request)
    file = under_way.ProgressFile(folder)
    for number, valid in enumerate((1.2, 0.9, 1.0), 1):
        file.epoch(Epoch(number, 10, 1.0, valid, 60.0 * number))
    with stored.lock(request.run):
        yield file
