"""Logs runs to MLflow: to a database file with a folder beside it, or to a server."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cfbench.files import make_folder
from cfbench.tracking import facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cfbench.contract import Epoch
    from cfbench.runs.record import Outcome, Record, Request
    from cfbench.tracking.facts import TrackerName

PLACE_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_FILE = "mlflow.db"
ARTIFACTS = "mlartifacts"
"""The folder, beside a database file, that holds the files of runs."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # cfbench sends no statistics
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Variables of MLflow, unless the user has set them."""
STATUS = {"stopped": "KILLED", "failed": "FAILED"}
"""How MLflow calls the end of a run that did not finish."""
MOST_METRICS = 1000
"""MLflow takes at most so many at a time."""


class MLflow:
    """A run of the experiment `cfbench/<dataset>/<split>`: curves, scores, config, labels and all its files."""

    name: TrackerName = "mlflow"

    def __init__(self, place: str | None) -> None:
        place = place or os.environ.get(PLACE_VARIABLE) or DEFAULT_FILE
        self._file = None if ":" in place else Path(place).absolute()
        self._uri = place if self._file is None else f"sqlite:///{self._file}"
        self._run, self._started = "", 0
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # takes seconds, before a run begins

        self._connect = MlflowClient

    @property
    def place(self) -> str:
        """The file or the address, without the password that an address may have."""
        return self._uri.rpartition("@")[2] if self._file is None else str(self._file)

    def begin(self, request: Request) -> None:
        """Begin a run, or continue the same one if it is there."""
        from mlflow.entities import Param

        if self._file is not None:
            make_folder(self._file.parent)  # MLflow would try for minutes
        with _quiet():
            self._client = self._connect(tracking_uri=self._uri)
            self._started = int(1000 * request.started.timestamp())
            self._run = self._find_run(request) or self._create_run(request)
            values = facts.settings(request).items()
            self._client.log_batch(self._run, params=[Param(name, str(value)) for name, value in values])
            known = self._client.get_metric_history(self._run, "train_rmse")
        self._known = {metric.step for metric in known}

    def add(self, epochs: Sequence[Epoch]) -> None:
        """Add points to the curves; a resumed run reports its earlier epochs again."""
        points = [
            (name, value, epoch.epoch, epoch.seconds)
            for epoch in epochs
            if epoch.epoch not in self._known
            for name, value in facts.errors(epoch).items()
        ]
        self._known.update(epoch.epoch for epoch in epochs)
        self._log(points)

    def end(self, record: Record, folder: Path) -> None:
        """Add the scores and the files."""
        outcome = record.outcome
        step, seconds = outcome.best_epoch or 0, outcome.fit_seconds or 0.0
        self._log([(name, value, step, seconds) for name, value in facts.scores(outcome).items()])
        self._client.set_tag(self._run, "cfbench.status", outcome.status)
        self._client.log_artifacts(self._run, str(folder))
        self._terminate(STATUS.get(outcome.status, "FINISHED"), _seconds(outcome))

    def stop(self) -> None:
        """Mark the run as killed."""
        if self._run:
            self._terminate("KILLED")

    def _terminate(self, status: str, seconds: float | None = None) -> None:
        end = None if seconds is None else self._started + int(1000 * seconds)
        self._client.set_terminated(self._run, status, end)

    def _log(self, points: Sequence[tuple[str, float, int, float]]) -> None:
        """Log points: name, value, epoch, and seconds since the run began."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, self._started + int(1000 * seconds), step) for name, value, step, seconds in points
        ]
        for first in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._run, metrics[first : first + MOST_METRICS])

    def _find_run(self, request: Request) -> str:
        """Return MLflow's id of the run; empty if it is not there."""
        experiment = self._client.get_experiment_by_name(_experiment(request))
        if experiment is None:
            return ""
        quote = '"' if "'" in request.run else "'"
        condition = f"tags.`cfbench.run` = {quote}{request.run}{quote}"
        found = self._client.search_runs([experiment.experiment_id], condition, max_results=1)
        for run in found:
            self._client.update_run(run.info.run_id, "RUNNING")
            return str(run.info.run_id)
        return ""

    def _create_run(self, request: Request) -> str:
        from mlflow.exceptions import MlflowException

        name = _experiment(request)
        location = None if self._file is None else (self._file.parent / ARTIFACTS).as_uri()
        with suppress(MlflowException):  # it is there, or another process creates it at this moment
            self._client.create_experiment(name, artifact_location=location)
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            raise OSError(f"the experiment {name} cannot be created")
        run = self._client.create_run(
            experiment.experiment_id, start_time=self._started, tags=facts.labels(request), run_name=request.run
        )
        return str(run.info.run_id)


def _experiment(request: Request) -> str:
    return f"cfbench/{request.dataset.name}/{request.split.name}"


def _seconds(outcome: Outcome) -> float | None:
    """How long the work on a run took; None if that is not known."""
    return None if outcome.fit_seconds is None else outcome.fit_seconds + (outcome.predict_seconds or 0.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, no library logs what it does; errors are exceptions anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
