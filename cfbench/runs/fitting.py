"""Fits a model and scores it: the harness cuts the data, clips predictions, refuses NaN and measures time.

The test part is cut out only after the model has been fitted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import DivergedError, FittedOnValid
from cfbench.errors import PredictionError
from cfbench.metrics import mae, rmse
from cfbench.runs.job import make_context, model_view, training_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cfbench.contract import Epoch, Model, Predictor
    from cfbench.ratings import Pairs, Ratings, Scores
    from cfbench.runs.job import Job
    from cfbench.runs.record import Status


@dataclass
class FitProgress:
    """What a model reports during its fit: its learning curve so far, and notes for the record."""

    listener: Callable[[Epoch], None]
    curve: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, epoch: Epoch) -> None:
        """Append an epoch to the curve and pass it on."""
        self.curve.append(epoch)
        self.listener(epoch)


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
    model: Model = job.plugin.build(job.config)
    train, valid = training_parts(job.plugin, job.dataset, job.split, second_fit=job.second_fit)
    context = make_context(job)
    context.checkpoint, context.report, context.note = checkpoint, progress.report, progress.notes.append
    status: Status = "finished"
    message, usable = "", True
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        model.fit(train, valid, context)
    except DivergedError as fault:
        status, message, usable = "diverged", str(fault), fault.usable
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    if progress.curve:
        seconds = max(seconds, progress.curve[-1].seconds)  # a resumed fit started earlier
    message = message or "; ".join(progress.notes)
    return Fit(model, valid, status, message, usable, progress.curve, seconds, cpu_seconds)


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


def score_model(job: Job, fit: Fit, final: Fit) -> Scored:
    """Predict the validation part, then cut out the test part and predict it; raises `PredictionError`.

    If the model was fitted twice, `fit` predicts the validation part and `final`, which has learned it, the test part.
    """
    name, scale, valid = job.request.plugin.name, job.dataset.ratings.scale, fit.valid
    valid_scores = scale.clip(predict(name, fit.model, valid.pairs)) if len(valid) else None
    test = job.split.test(model_view(job.plugin, job.dataset))
    wall = time.perf_counter()
    scores = scale.clip(predict(name, final.model, test.pairs))
    seconds = time.perf_counter() - wall
    valid_rmse = None if valid_scores is None else _valid_rmse(fit, valid_scores)
    return Scored(valid_scores, valid_rmse, scores, rmse(scores, test.ratings), mae(scores, test.ratings), seconds)


def _valid_rmse(fit: Fit, predictions: Scores) -> float | None:
    """Return the validation RMSE: that of the chosen epoch, or, without epochs, that of the predictions."""
    if isinstance(fit.model, FittedOnValid):
        return fit.model.valid_rmse
    best = best_epoch(fit.curve)
    return rmse(predictions, fit.valid.ratings) if best is None or best.valid_rmse is None else best.valid_rmse


def best_epoch(curve: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch with the lowest validation RMSE; without a validation part the last one."""
    validated = [epoch for epoch in curve if epoch.valid_rmse is not None]
    return min(validated, key=lambda epoch: epoch.valid_rmse or 0.0, default=curve[-1] if curve else None)


def predict(name: str, model: Predictor, pairs: Pairs) -> Scores:
    """(n,) a model's predictions of n pairs; raises `PredictionError` unless they are n finite numbers."""
    scores = np.asarray(model.predict(pairs))
    if scores.shape != (len(pairs),):
        raise PredictionError(f"plugin {name!r} predicted an array of shape {scores.shape}, expected ({len(pairs)},)")
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        first = f"the first for user code {pairs.users[wrong[0]]}, item code {pairs.items[wrong[0]]}"
        raise PredictionError(
            f"plugin {name!r} predicted {len(wrong)} of {len(scores)} scores as NaN or infinite, {first}"
        )
    return scores.astype(np.float32, copy=False)
