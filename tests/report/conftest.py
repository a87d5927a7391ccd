"""Planted runs on the tiny data set, and the page that shows them, read by Python's own parser of HTML."""

import base64
import io
import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import optuna
import pytest
from fontTools.ttLib import TTFont
from optuna.distributions import CategoricalDistribution, FloatDistribution

from cfbench import metrics
from cfbench.contract import Epoch
from cfbench.data import card, store
from cfbench.report.board_report import BoardReport
from cfbench.report.live_page import LivePage
from cfbench.report.page_server import PageServer
from cfbench.runs.arrays import RunArrays
from cfbench.runs.machine import Machine
from cfbench.runs.record import DatasetFacts, Outcome, PluginFacts, Record, Request, SplitFacts
from cfbench.runs.results import Results
from cfbench.runs.under_way import ProgressFile
from cfbench.tuning.database import open_storage
from cfbench.tuning.database_url import study_url
from cfbench.tuning.study import FACTS

VOID = {"meta", "input", "br", "link"}
SVG = "{http://www.w3.org/2000/svg}"
RANGES = {
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
    "none": FloatDistribution(0, 1),
    "size": CategoricalDistribution(("8", "4,2")),
}


class PlantedRuns:
    """Runs whose predictions are the test ratings with noise of a known size."""

    def __init__(self):
        self.results, self.dataset = Results(Path("results")), store.open_dataset(card.load("tiny"))
        self.split = self.dataset.split("random90")
        self.test = self.split.test(self.dataset.ratings)

    def request(self, plugin, *, seed=0, run=None, title="planted", config=None):
        """The request of a run, which begins a second after the last one."""
        ratings, count = self.dataset.ratings, len(list(self.results.root.glob("*/*/*/*")))
        return Request(
            run=run or f"{plugin}-{seed}", started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=count),
            plugin=PluginFacts(name=plugin, title=title, package="planted 1", random=bool(seed)),
            dataset=DatasetFacts(name="tiny", card_version=1, fingerprint=ratings.fingerprint, users=ratings.n_users,
                                 items=ratings.n_items, ratings=len(ratings)),
            split=SplitFacts(name="random90", protocol="random 90/10", definition={},
                             fingerprint=self.split.fingerprint, report=self.split.report),
            preset=None, config=config or {}, origins=dict.fromkeys(config or {}, "flag"), seed=seed, device="cpu",
        )  # fmt: skip

    @contextmanager
    def under_way(self, plugin, curve=(), *, epochs=9):
        """Hold a run that is under way, with these validation RMSEs so far."""
        request = self.request(plugin, seed=7)
        with self.results.lock(request.run):
            folder = self.results.create(request)
            progress = ProgressFile(folder)
            for number, value in enumerate(curve, 1):
                progress.epoch(Epoch(number, epochs, value, value, 60.0 * number))
            yield folder

    def add(self, plugin, noise, *, seed=0, run=None, title="planted", seconds=1.0, config=None, curve=(), **outcome):
        """Store a run, and return its record."""
        errors = noise * np.random.default_rng([seed, len(plugin)]).normal(size=len(self.test))
        predictions = (self.test.ratings + errors).astype(np.float32)
        request = self.request(plugin, seed=seed, run=run, title=title, config=config)
        scores = {
            "rmse": metrics.rmse(predictions, self.test.ratings),
            "mae": metrics.mae(predictions, self.test.ratings),
        }
        machine = Machine(system="s", processor="p", cores=1, threads=None, python="3", libraries={})
        facts = {"status": "finished", "fit_seconds": seconds, "predict_seconds": 0.5, "parameters": 7} | outcome
        record = Record(request=request, outcome=Outcome(**scores, **facts), machine=machine)
        epochs = [Epoch(number, len(curve), value, value, 0.1) for number, value in enumerate(curve, 1)]
        return self.results.add(record, RunArrays(curve=epochs, test=predictions))[0]


@pytest.fixture
def planted_runs(terminal):
    """No runs yet, in the results folder of the terminal."""
    return PlantedRuns()


class ParsedPage(HTMLParser):
    """The elements of a page, each with its attributes and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open, self.source = [], [], text
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", **dict(attrs)})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag):
        """The elements of a kind."""
        return [element for element in self.elements if element["tag"] == tag]

    def values(self, name):
        """The values of an attribute, wherever it is."""
        return [element[name] for element in self.elements if element.get(name) is not None]


@pytest.fixture
def write_page(terminal):
    """A function that writes the page of a command line, and reads it."""

    def write(options=""):
        result = terminal(f"report --out page.html {options}")
        assert (result.status, result.out) == (0, "")
        assert "wrote page.html" in result.err
        return ParsedPage((terminal.folder / "page.html").read_text(encoding="utf-8"))

    return write


@pytest.fixture
def serve_page(planted_runs):
    """A function that serves the page of the planted runs, and returns its server; no pause holds news back."""
    servers = []

    def serve(report=None):
        report = report or BoardReport(card.load("tiny"), "random90", planted_runs.results)
        server, page = PageServer(0), LivePage(report, look_pause=0, page_pause=0)
        servers.append(server)
        threading.Thread(target=server.serve, args=(page,), daemon=True).start()
        return server

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


class DrawnFigure:
    """A figure of `cfbench plot` in SVG: its texts, and the lines of its panels in the numbers of the axes."""

    def __init__(self, path):
        self.source = path.read_text(encoding="utf-8")
        self.root = ET.fromstring(self.source)
        self.texts = ["".join(text.itertext()) for text in self.root.iter(f"{SVG}text")]

    @property
    def command(self):
        """The command line that draws it."""
        return next(each.text for each in self.root.iter("{http://purl.org/dc/elements/1.1/}description"))

    @property
    def font(self):
        """The letters of the font that the figure holds."""
        (data,) = re.findall(r"url\(data:font/woff;base64,([^)]*)\)", self.source)
        return set(map(chr, TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap()))

    def panel(self, number=1):
        """A panel, counted from 1."""
        return DrawnPanel(next(group for group in self.root.iter(f"{SVG}g") if group.get("id") == f"axes_{number}"))


class DrawnPanel:
    """The axes of a figure with numbers at their ticks, on linear scales."""

    def __init__(self, group):
        self.group = group

    def lines(self, width):
        """The lines of a width, as lists of points in the numbers of the axes."""
        style = re.compile(rf"stroke-width: {re.escape(width)}(;|$)")
        paths = [path for path in self.group.iter(f"{SVG}path") if style.search(path.get("style", ""))]
        return [self._points(path) for path in paths if path.get("d", "").count("L")]

    def bands(self):
        """The bands, as lists of the points around them."""
        groups = [group for group in self.group.iter(f"{SVG}g") if group.get("id", "").startswith("FillBetween")]
        return [self._points(next(group.iter(f"{SVG}path")), next(group.iter(f"{SVG}use"), None)) for group in groups]

    def _points(self, path, use=None):
        pairs = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d"))
        shift = 0.0 if use is None else float(use.get("y"))
        return [(self._value("x", float(x)), self._value("y", float(y) + shift)) for x, y in pairs]

    def _value(self, axis, place):
        (first, low), (last, high) = self._ticks(axis)
        return low + (place - first) / (last - first) * (high - low)

    def _ticks(self, axis):
        """The places and the numbers of the first and the last tick; places are their own numbers without any."""
        ticks = []
        for group in self.group.iter(f"{SVG}g"):
            if re.fullmatch(rf"{axis}tick_\d+", group.get("id", "")):
                text = "".join(text.text for text in group.iter(f"{SVG}text"))
                ticks += [(float(mark.get(axis)), text) for mark in group.iter(f"{SVG}use")]
        numbers = [(place, float(text)) for place, text in ticks if re.fullmatch(r"-?[\d.]+", text)]
        return (numbers[0], numbers[-1]) if len(numbers) > 1 else ((0.0, 0.0), (1.0, 1.0))


@pytest.fixture
def plot(terminal):
    """A function that draws a figure by the words after `cfbench plot`, and returns it with the messages."""

    def draw(line):
        result = terminal(f"plot {line} --out figure.svg")
        assert (result.status, result.out) == (0, ""), result.err
        return DrawnFigure(Path("figure.svg")), result.err

    return draw


def _plant_study(name, dataset, trials):
    """Store a study whose error depends on the rate alone, and is smallest for the rate 0.001 of the last trial."""
    study = optuna.create_study(storage=open_storage(study_url(Path("results"), name)), study_name=name)
    study.set_user_attr(FACTS, {"plugin": "<b>planted</b>", "data set": dataset, "split": "random90"})
    start = datetime(2026, 1, 1)  # noqa: DTZ001 (as Optuna stores it)
    for number in range(trials):
        distance = (trials - 1 - number) / trials
        params = {"rate": 10 ** (-3 + distance), "none": number * 7 % 12 / 12, "size": ("8", "4,2")[number % 2]}
        study.add_trial(
            optuna.trial.FrozenTrial(
                number, optuna.trial.TrialState.COMPLETE, 0.9 + distance, start, start + timedelta(seconds=5), params,
                RANGES, {"config": params} | ({"start": True} if number == 0 else {}), {}, {}, number,
            )
        )  # fmt: skip


@pytest.fixture
def plant_study():
    """The function that stores a study: `plant_study(name, dataset, trials)`."""
    return _plant_study
