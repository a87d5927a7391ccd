"""Fits a model and scores it: the harness cuts the data, clips predictions, refuses NaN and measures time.

The test part is cut out only after the model has been fitted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cfbench.contract import DivergedError, FittedOnValid
from cfbench.metrics import mae, rmse
from cfbench.runs import plausibility
from cfbench.runs.doubts import PartErrors, doubt_cross_fit, doubt_epoch, doubt_score
from cfbench.runs.job import make_context, model_view, training_parts
from cfbench.runs.loan import unchanged
from cfbench.runs.plugin_calls import plugin_call
from cfbench.runs.promises import check_epoch, check_parameters, check_scores, check_state, check_valid_rmse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cfbench.contract import Epoch, Model, Predictor, State
    from cfbench.ratings import Pairs, Ratings, Scores
    from cfbench.runs.job import Job
    from cfbench.runs.record import Doubt, Status


@dataclass
class FitProgress:
    """What a model reports during its fit: its learning curve so far, and notes for the record."""

    listener: Callable[[Epoch], None]
    batch: Callable[[int, int, int], None]
    """Receives an epoch and how many of its batches are finished, of how many."""
    curve: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, epoch: Epoch) -> None:
        """Append an epoch to the curve and pass it on; raises `PluginError` if it is none."""
        self.curve.append(check_epoch(epoch))
        self.listener(epoch)

    def note(self, text: str) -> None:
        """Keep a note, on one line."""
        self.notes.append(" ".join(str(text).split()))


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model, and what fitting it cost."""

    model: Model
    valid: Ratings
    """The validation part that the model received."""
    status: Status
    message: str
    usable: bool
    """Whether the model can predict: a diverged model may hold its last good epoch."""
    curve: Sequence[Epoch]
    seconds: float
    """Wall time of the fit, including that before an interruption."""
    cpu_seconds: float
    """CPU time of this process."""


def fit_model(job: Job, checkpoint: Path, progress: FitProgress) -> Fit:
    """Fit the plugin's model on the training part; divergence is a status, not an error."""
    name = job.request.plugin.name
    with plugin_call(name, "build"):
        model: Model = job.plugin.build(job.config)
    train, valid = training_parts(job.plugin, job.dataset, job.split, second_fit=job.second_fit)
    context = make_context(job)
    context.checkpoint, context.report, context.note = checkpoint, progress.report, progress.note
    context.batch = progress.batch
    status: Status = "finished"
    message, usable, stopwatch = "", True, Stopwatch()
    try:
        with plugin_call(name, "fit"), unchanged(train, valid, context, job.config), stopwatch:
            model.fit(train, valid, context)
    except DivergedError as fault:
        status, message, usable = "diverged", str(fault), fault.usable
    seconds = stopwatch.seconds
    if progress.curve:
        seconds = max(seconds, progress.curve[-1].seconds)  # a resumed fit started earlier
    message = message or "; ".join(progress.notes)
    return Fit(model, valid, status, message, usable, progress.curve, seconds, stopwatch.cpu_seconds)


class Stopwatch:
    """Measures the wall time and the CPU time of this process inside a `with` block, in seconds."""

    seconds = cpu_seconds = 0.0

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu_seconds = time.perf_counter() - self._wall, time.process_time() - self._cpu


@dataclass(frozen=True, eq=False)
class Scored:
    """A model's predictions of the held-out parts, clipped to the scale, and their errors."""

    valid: Scores | None
    """None if the split has no validation part."""
    valid_rmse: float | None
    test: Scores
    rmse: float
    mae: float
    seconds: float
    """Wall time of predicting the test part."""
    doubts: tuple[Doubt, ...]
    warning: str
    """What the validation RMSE does not beat; empty if there is nothing to say."""


def score_model(job: Job, fit: Fit, final: Fit) -> Scored:
    """Predict the validation part, then cut out the test part and predict it; raises `PredictionError`.

    If the model was fitted twice, `fit` predicts the validation part and `final`, which has learned it, the test part.
    """
    name, scale, valid = job.request.plugin.name, job.dataset.ratings.scale, fit.valid
    valid_scores = scale.clip(predict(name, fit.model, valid.pairs)) if len(valid) else None
    ratings = model_view(job.plugin, job.dataset)
    test = job.split.test(ratings)
    stopwatch = Stopwatch()
    with stopwatch:
        raw_scores = predict(name, final.model, test.pairs)
    scores = scale.clip(raw_scores)
    valid_errors = None if valid_scores is None else PartErrors.of(valid_scores, valid)
    valid_rmse, doubts = (
        (None, ()) if valid_errors is None else check_validation(name, fit.model, fit.curve, valid_errors.rmse)
    )
    return Scored(
        valid_scores, valid_rmse, scores, rmse(scores, test.ratings), mae(scores, test.ratings), stopwatch.seconds,
        (*doubts, *doubt_score(PartErrors.of(scores, test), valid_errors, scale)),
        plausibility.warn(job.split.train(ratings), valid, valid_rmse),
    )  # fmt: skip


def check_validation(
    name: str, model: Model, curve: Sequence[Epoch], valid_rmse: float
) -> tuple[float | None, tuple[Doubt, ...]]:
    """Return the validation RMSE that counts, and the doubts about what the model itself reported.

    It is `valid_rmse`, that of the predictions. Only a model that was fitted to the validation ratings reports its own.
    """
    if not isinstance(model, FittedOnValid):
        return valid_rmse, tuple(doubt_epoch(curve, valid_rmse))
    with plugin_call(name, "valid_rmse"):
        own = check_valid_rmse(model.valid_rmse)
    if own is None:
        return None, ()
    doubts = tuple(doubt_cross_fit(own, valid_rmse))
    return max(own, valid_rmse) if doubts else own, doubts


def fitted_state(name: str, model: Model) -> State:
    """Return the arrays of a fitted model; raises `PluginError`."""
    with plugin_call(name, "state"):
        return check_state(model.state())


def count_parameters(name: str, model: Model) -> int:
    """Return how many numbers a fitted model learned; raises `PluginError`."""
    with plugin_call(name, "parameters"):
        return check_parameters(model.parameters)


def predict(name: str, model: Predictor, pairs: Pairs) -> Scores:
    """(n,) a model's predictions of n pairs; raises `PredictionError` unless they are n finite float32 numbers."""
    with plugin_call(name, "predict"):
        return check_scores(model.predict(pairs), len(pairs), pairs=pairs)
