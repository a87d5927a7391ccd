"""Planted runs on the tiny data set, and the page that shows them, read by Python's own parser of HTML."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

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

VOID = {"meta", "input", "br", "link"}


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
