"""A run tells other processes who works on it and how far it is; records that are known are not read again."""

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cfbench.contract import Config, Epoch, Plugin
from cfbench.data import card, store
from cfbench.errors import SkippedRunsWarning
from cfbench.runs import results as stored_runs
from cfbench.runs import run, under_way
from cfbench.runs.interruption import InterruptedRunError
from cfbench.runs.record import Request
from cfbench.runs.remembered import RememberedResults
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

RESULTS = Results(Path("results"))
EPOCHS = (Epoch(1, 10, 1.5, 1.25, 2.0), Epoch(2, 10, 1.0, None, 4.0), Epoch(3, 10, 0.75, 1.0, 6.0))


class Epochs:
    """A model that reports `EPOCHS`, and predicts 3."""

    parameters = 1

    def __init__(self, then):
        self._then = then

    def fit(self, train, valid, context):
        for epoch in EPOCHS:
            context.report(epoch)
            self._then(epoch)

    def predict(self, pairs):
        return np.full(len(pairs), 3.0, np.float32)

    def state(self):
        return {"three": np.array([3.0])}


@pytest.fixture
def start(terminal, register):
    """A function that starts a run of `Epochs`, or resumes one; `then` is called after each epoch."""
    tiny = store.open_dataset(card.load("tiny"))

    def work(then, resume=None):
        register("epochs", Plugin("e", "none", Config, lambda _: Epochs(then)))
        if resume is not None:
            return run.resume(resume, RESULTS, run.SilentRunListener())
        setup = configure("epochs", dataset="tiny", flags={}, preset=None)
        request = new_request(setup, tiny, tiny.split("random90"), 0)
        return run.start(request, tiny, RESULTS, run.SilentRunListener())

    return work


def test_a_run_is_seen_with_its_epochs_until_it_is_published(start):
    seen = []
    before = time.time()
    record, folder = start(lambda _: seen.append(under_way.list_unfinished(RESULTS)))
    assert [[each.epochs for each in runs] for runs in seen] == [[EPOCHS[:1]], [EPOCHS[:2]], [EPOCHS]]
    (last,) = seen[-1]
    assert last.running
    assert (last.request, last.process.number, last.process.is_here) == (record.request, os.getpid(), True)
    assert before <= last.process.since <= last.last_epoch_at <= time.time()
    assert [epoch["valid_rmse"] for epoch in last.curve()] == [1.25, None, 1.0]
    assert under_way.list_unfinished(RESULTS) == []
    assert {file.name for file in folder.iterdir()} == {*record.files, "record.json"}


def test_an_interrupted_run_keeps_its_epochs_and_a_resumed_one_tells_them_again(start):
    def press_ctrl_c(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        start(press_ctrl_c)
    (stopped,) = under_way.list_unfinished(RESULTS)
    assert (stopped.running, stopped.epochs) == (False, EPOCHS[:2])
    assert stopped.most_seconds_left(time.time()) is None
    assert not under_way.interrupt(stopped)  # its process, this one, does not work on it any more
    seen = []
    start(lambda _: seen.append(under_way.list_unfinished(RESULTS)[0].epochs), resume=stopped.request.run)
    assert seen == [EPOCHS[:1], EPOCHS[:2], EPOCHS]


def test_ctrl_c_reaches_the_process_that_works_on_a_run(start):
    def press_ctrl_c(epoch):
        (run,) = under_way.list_unfinished(RESULTS)
        elsewhere = replace(run, process=replace(run.process, machine=f"not-{socket.gethostname()}"))
        assert not under_way.interrupt(elsewhere)
        assert not under_way.interrupt(replace(run, process=None))
        assert under_way.interrupt(run)
        time.sleep(5)  # the signal comes first

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        with pytest.raises(InterruptedRunError):
            start(press_ctrl_c)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert [run.epochs for run in under_way.list_unfinished(RESULTS)] == [EPOCHS[:1]]


@pytest.fixture
def unfinished(tmp_path):
    """The results with one unfinished run, and its folder."""
    request = Request.model_validate({
        "run": "one", "started": "2026-11-24", "preset": None, "config": {}, "origins": {}, "seed": 0, "device": "cpu",
        "plugin": {"name": "p", "title": "p", "package": "p 1"},
        "dataset": {"name": "d", "card_version": 1, "fingerprint": "f", "users": 1, "items": 1, "ratings": 1},
        "split": {"name": "s", "protocol": "", "definition": {}, "fingerprint": "f", "report": {}},
    })  # fmt: skip
    results = Results(tmp_path)
    return results, results.create(request)


def read_one(results):
    """The only unfinished run."""
    (run,) = under_way.list_unfinished(results)
    return run


def test_the_time_that_is_left_follows_from_the_recent_epochs(unfinished):
    results, folder = unfinished
    file = under_way.ProgressFile(folder)
    with results.lock("one"):
        assert read_one(results).most_seconds_left(time.time()) is None
        file.epoch(Epoch(1, 10, 1.5, None, 20.0))
        run = read_one(results)
        assert run.most_seconds_left(run.last_epoch_at) == pytest.approx(9 * 20.0)
        for number in range(2, 8):
            file.epoch(Epoch(number, 10, 1.0, None, 20.0 + 2 * number))
        run = read_one(results)
    assert run.most_seconds_left(run.last_epoch_at) == pytest.approx(6.0)  # 3 epochs of 2 seconds
    assert run.most_seconds_left(run.last_epoch_at + 1.5) == pytest.approx(4.5)
    assert run.most_seconds_left(run.last_epoch_at + 100) == 0
    assert read_one(results).most_seconds_left(run.last_epoch_at) is None  # no process works on it now


def test_what_is_damaged_is_left_out(unfinished):
    results, folder = unfinished
    file = under_way.ProgressFile(folder)
    lines = [
        "[1]",
        '{"epoch": 1}',
        '{"epoch": "\x1b", "epochs": 3}',
        "nonsense",
        '{"process": null}',
        '{"process": 1e999}',
    ]
    for epoch in EPOCHS:
        file.epoch(epoch)
        with (folder / "progress.jsonl").open("ab") as stream:
            stream.write(b"\xff\n" + "\n".join(lines).encode() + b"\n")
    assert read_one(results).epochs == EPOCHS
    assert read_one(results).process.number == os.getpid()
    (folder / "request.json").write_text("{}", "utf-8")
    assert under_way.list_unfinished(results) == []


def test_a_second_fit_and_a_fit_that_goes_back_replace_the_later_epochs(unfinished):
    results, folder = unfinished
    file, seen = under_way.ProgressFile(folder), []
    for number in (1, 2, 3, 2, 3, 1):
        file.epoch(Epoch(number, 3, 1.0, None, 1.0))
        seen.append([epoch.epoch for epoch in read_one(results).epochs])
    assert seen == [[1], [1, 2], [1, 2, 3], [1, 2], [1, 2, 3], [1]]


def test_a_file_that_cannot_be_written_disturbs_nothing(unfinished):
    results, folder = unfinished
    (folder / "progress.jsonl").mkdir()
    under_way.ProgressFile(folder).epoch(EPOCHS[0])
    assert (read_one(results).process, read_one(results).epochs) == (None, ())


def test_remembered_results_read_a_record_again_only_when_it_changed(terminal, monkeypatch):
    terminal("run bias")
    terminal("run mean")
    reads = []
    real = stored_runs.read_record
    monkeypatch.setattr(stored_runs, "read_record", lambda path: reads.append(path) or real(path))
    results = RememberedResults(RESULTS.root)
    first = results.records("tiny", "random90")
    assert len(reads) == len(first) == 2
    assert results.records("tiny", "random90") == first == RESULTS.records("tiny", "random90")
    assert len(reads) == 4  # the last two are those of `RESULTS`
    file = RESULTS.place(first[0].request) / "record.json"
    text = file.read_text("utf-8")
    file.write_text("{}", "utf-8")
    with pytest.warns(SkippedRunsWarning, match="skipped 1 run"):
        assert results.records("tiny", "random90") == first[1:]
    file.write_text(text, "utf-8")
    assert results.records("tiny", "random90") == first
