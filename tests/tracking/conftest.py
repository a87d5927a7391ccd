"""A plugin that learns in three epochs, and a tracker that notes what it is told."""

import numpy as np
import pytest

from cfbench.contract import Config, Epoch, Plugin


class LearnerConfig(Config):
    """Hyper-parameters of `learner`."""

    hidden: tuple[int, ...] = (4, 2)
    rate: float = 0.5


class Learner:
    """Predicts 3, and reports the same three epochs in every fit; Ctrl-C comes in the epoch `stop`."""

    parameters = 1
    stop = 0

    def fit(self, train, valid, context):
        for number, rmse in enumerate((1.5, 1.25, 1.375)[: context.epochs], 1):
            if number == type(self).stop:
                raise KeyboardInterrupt
            context.report(Epoch(number, 3, rmse, rmse + 0.125 if len(valid) else None, number * 0.5))

    def predict(self, pairs):
        return np.full(len(pairs), 3, np.float32)

    def state(self):
        return {"none": np.zeros(1)}

    def restore(self, state, train, context):
        pass


@pytest.fixture
def learner(register, monkeypatch):
    """The plugin `learner`, which no Ctrl-C interrupts unless its attribute `stop` is set."""
    monkeypatch.setattr(Learner, "stop", 0)
    register(
        "learner", Plugin("a learner", "none", LearnerConfig, lambda _: Learner(), random=False, fixed_epochs=True)
    )
    return Learner


class NotingTracker:
    """A tracker that notes its calls; it raises `faults[call]`, if there is one."""

    name, place = "tensorboard", "the notes"

    def __init__(self):
        self.calls, self.faults = [], {}

    def _note(self, call, *facts):
        self.calls.append((call, *facts))
        if call in self.faults:
            raise self.faults[call]

    def begin(self, request):
        self._note("begin", request)

    def add(self, epochs):
        for epoch in epochs:
            self._note("add", epoch.epoch)

    def end(self, record, folder):
        self._note("end", record, folder)

    def stop(self):
        self._note("stop")


@pytest.fixture
def notes(monkeypatch):
    """The tracker of every `--log-to`."""
    tracker = NotingTracker()
    monkeypatch.setattr("cfbench.tracking.tracker.open_tracker", lambda name, place: tracker)
    return tracker
