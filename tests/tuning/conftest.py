"""Two plugins whose best config is known, and what the tests of tuning share."""

import json
import math
import os
import platform
import warnings
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from cfbench.contract import Config, Epoch, Plugin, Tunable
from cfbench.data import card, store
from cfbench.metrics import rmse
from cfbench.runs.setup import configure
from cfbench.tuning.database_url import study_url
from cfbench.tuning.job import WorkerJob
from cfbench.tuning.locks import WorkerLocks
from cfbench.tuning.plan import plan_study
from cfbench.tuning.study import load_studies, open_for_worker


class BowlConfig(Config):
    """The error is a bowl with its bottom at x = 2, y = 0.01, whole = 4 and shape = (4, 2)."""

    x: Annotated[float, Tunable(0, 5)] = Field(4.5, ge=0, description="best at 2")
    y: Annotated[float, Tunable(1e-4, 1, log=True)] = Field(0.0, ge=0, description="best at 0.01")
    whole: Annotated[int, Tunable(0, 6, step=2)] = Field(0, description="best at 4")
    shape: Annotated[tuple[int, ...], Tunable(choices=((8,), (4, 2)))] = Field((1,), description="best at 4, 2")
    kind: Annotated[Literal["a", "b"], Tunable(choices=("a", "b"))] = Field("a", description="has no effect")
    size: int = Field(7, ge=1, description="not tuned")


class Bowl:
    """Predicts the mean rating plus the distance of its config from the bottom of the bowl."""

    parameters = 1

    def __init__(self, config):
        self.config = config

    def fit(self, train, valid, context):
        c = self.config
        log_y = math.log10(max(c.y, 1e-4))
        distance = (c.x - 2) ** 2 / 5 + (log_y + 2) ** 2 / 5 + abs(c.whole - 4) / 9 + (tuple(c.shape) != (4, 2)) / 5
        self.prediction = float(train.ratings.mean()) + distance

    def predict(self, pairs):
        return np.full(len(pairs), self.prediction, np.float32)

    def state(self):
        return {"prediction": np.array([self.prediction])}

    def restore(self, state, train, context):
        (self.prediction,) = state["prediction"]


class StepwiseConfig(Config):
    """One number and the number of epochs."""

    x: Annotated[float, Tunable(0, 1)] = Field(0.0, description="the smaller the better")
    epochs: int = Field(9, description="how many")


class Stepwise:
    """A model with epochs: it predicts the mean plus x, and a little less at each epoch."""

    parameters = 1

    def __init__(self, config, lengths):
        self.config, self.lengths = config, lengths

    def fit(self, train, valid, context):
        self.lengths.append(0)
        for epoch in range(1, self.config.epochs + 1):
            self.lengths[-1] = epoch
            self.prediction = float(train.ratings.mean()) + self.config.x + 0.01 / epoch
            context.report(Epoch(epoch, self.config.epochs, 1.0, rmse(self.predict(valid.pairs), valid.ratings), 0.0))

    predict, state, restore = Bowl.predict, Bowl.state, Bowl.restore


@pytest.fixture
def bowl_plugin():
    """The plugin `bowl`."""
    return Plugin("a bowl", "none", BowlConfig, Bowl)


@pytest.fixture
def register_bowl(register):
    """Register `bowl`, if wanted with a function that runs before each fit, other predictions or another config."""

    def add(before_fit=lambda config, train, valid, context: None, predict=Bowl.predict, config=BowlConfig):
        class ChangedBowl(Bowl):
            def fit(self, train, valid, context):
                before_fit(self.config, train, valid, context)
                super().fit(train, valid, context)

            def predict(self, pairs):
                return predict(self, pairs)

        register("bowl", Plugin("a bowl", "none", config, ChangedBowl))

    return add


@pytest.fixture
def bowl(register_bowl, terminal):
    """A terminal that knows the plugin `bowl`."""
    register_bowl()
    return terminal


@pytest.fixture
def stepwise_lengths(register, terminal):
    """Register the plugin `stepwise`; the list gets the number of epochs of each fit."""
    lengths = []
    register("stepwise", Plugin("epochs", "none", StepwiseConfig, lambda config: Stepwise(config, lengths)))
    return lengths


@pytest.fixture
def tune(terminal):
    """Run `cfbench tune` and return the JSON that it prints."""

    def run_command(line):
        answer = terminal(f"tune {line} --json")
        assert answer.status == 0, answer.err
        return json.loads(answer.out)

    return run_command


@dataclass
class StudyFile:
    """A study in the results folder."""

    name: str = "bowl-tiny-random90"

    @property
    def url(self):
        return study_url(Path("results"), self.name)

    def open(self):
        return open_for_worker(self.name, self.url, 0)

    def trials(self):
        (study,) = load_studies(self.url)
        return study.get_trials(deepcopy=False)

    def states(self):
        return [trial.state.name for trial in self.trials()]


@pytest.fixture
def study_file():
    """A study in the results folder, by its name."""
    return StudyFile


@pytest.fixture
def start_trial():
    """Start a trial of a study and leave it running; it belongs to the process of that name."""

    def ask(study, worker=""):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Heartbeat of storage")
            trial = study.ask()
        if worker:
            trial.set_user_attr("worker", worker)
        return trial

    return ask


@pytest.fixture
def dead_process():
    """A function that returns the mark of a process which was killed while it ran trials of a study.

    Its process id is that of this living process, as after a container has started again.
    """
    numbers = count()

    def leave_lock(study):
        locks = WorkerLocks.of_study(study.name, study.url)
        locks.folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-dead{next(numbers)}"
        (locks.folder / f"{name}.lock").touch()
        return f"{platform.node()}:{name}"

    return leave_lock


@pytest.fixture
def make_plan(terminal):
    """The plan of a study of a registered plugin on the data set tiny."""

    def make(plugin="bowl"):
        tiny = store.open_dataset(card.load("tiny"))
        setup = configure(plugin, dataset="tiny", flags={}, preset=None)
        return plan_study(setup, tiny, tiny.split("random90"), 0, [])

    return make


@pytest.fixture
def make_job(make_plan):
    """A worker's job for a study in the results folder."""

    def make(study, plugin="bowl", *, trials=None, deadline=None):
        plan = make_plan(plugin)
        return WorkerJob(name=study.name, storage=study.url, plan=plan, device="cpu", trials=trials, deadline=deadline)

    return make
