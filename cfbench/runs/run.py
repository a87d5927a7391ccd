"""One run: configure a plugin, fit it, score it, record it.

    configure → new_request → start ─┬→ fit_model → score_model → write_arrays → publish
                              resume ┘

The harness, not the plugin, cuts the data, clips predictions to the scale, refuses NaN, and measures time and memory.
The test part is cut out only after the model has been fitted.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cfbench.contract import Config, Context, DivergedError, Epoch, FittedOnValid, Model, Plugin, Predictor
from cfbench.data import card, store
from cfbench.errors import DeviceError, PredictionError, RecordError, UsageError, WriteError
from cfbench.files import write_errors
from cfbench.metrics import mae, rmse
from cfbench.runs import machine, members, registry
from cfbench.runs.arrays import RunArrays, read_state, write_arrays
from cfbench.runs.record import (
    DatasetFacts,
    Outcome,
    PluginFacts,
    Record,
    Request,
    SplitFacts,
    Status,
    new_run_id,
    read_record,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.ratings import Pairs, Ratings, Scores
    from cfbench.runs.results import Results


class RunListener(Protocol):
    """Receives the progress of a run."""

    def begin(self, run: str) -> None:
        """The run has its id and its folder."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch has finished. A resumed run reports the epochs before the interruption again."""


class SilentRunListener:
    """Ignores the progress of a run."""

    def begin(self, run: str) -> None:
        """Do nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Do nothing."""


class InterruptedRunError(Exception):
    """Ctrl-C interrupted the run `run` after `epoch` epochs; it can be resumed."""

    def __init__(self, run: str, epoch: int) -> None:
        super().__init__(run)
        self.run, self.epoch = run, epoch


@dataclass(frozen=True)
class Setup:
    """A plugin with its config and device, before any data are loaded."""

    name: str
    plugin: Plugin[Any]
    config: Config
    preset: str | None
    origins: dict[str, str]
    """Where each value of the config came from: default, preset, flag or tuning."""
    device: str


def configure(
    name: str,
    *,
    dataset: str,
    flags: dict[str, str | bool],
    preset: str | None,
    use_preset: bool = True,
    device: str = "auto",
) -> Setup:
    """Resolve what a command line says about the model; raises `UsageError`s and `DeviceError`."""
    plugin = registry.load(name)
    if preset is not None and not use_preset:
        raise UsageError(f"--preset {preset} and --no-preset contradict each other; leave out one of them")
    preset_name, values = registry.preset(name, preset, dataset) if use_preset else (None, {})
    config, origins = registry.configure(plugin, values, flags)
    resolved = resolve_device(name, plugin, device)
    return Setup(name, plugin, config.for_device(resolved), preset_name, origins, resolved)


def resolve_device(name: str, plugin: Plugin[Any], device: str) -> str:
    """Return the device a plugin computes on, for `auto` the best one; raises `DeviceError`."""
    if plugin.gpu:
        from cfbench.learning import training

        return training.resolve_device(device)
    if device not in ("auto", "cpu"):
        raise DeviceError(f"{name} computes on the CPU only, but --device is {device!r}; leave out --device")
    return "cpu"


def new_request(setup: Setup, dataset: Dataset, split: Split, seed: int) -> Request:
    """Return a new run's request: everything that is decided before the run starts."""
    plugin, ratings = setup.plugin, dataset.ratings
    return Request(
        run=new_run_id(setup.name),
        started=datetime.now(UTC),
        plugin=PluginFacts(
            name=setup.name, title=plugin.title, package=registry.locate(setup.name).package,
            uses_times=plugin.uses_times and ratings.times is not None,
        ),
        dataset=DatasetFacts(
            name=dataset.card.name, card_version=dataset.card.version, fingerprint=ratings.fingerprint,
            users=ratings.n_users, items=ratings.n_items, ratings=len(ratings),
        ),
        split=SplitFacts(
            name=split.name, protocol=split.definition.protocol, report=split.report, fingerprint=split.fingerprint,
            definition=split.definition.model_dump(mode="json", exclude={"protocol", "expected"}),
        ),
        preset=setup.preset, config=setup.config.model_dump(mode="json"), origins=setup.origins, seed=seed,
        device=setup.device,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Job:
    """A request with everything it needs, resolved once."""

    request: Request
    """Its config names members of an ensemble by their full ids."""
    plugin: Plugin[Any]
    config: Config
    dataset: Dataset
    results: Results

    @property
    def split(self) -> Split:
        """The split; raises `RecordError` if it is no longer the one that was requested."""
        return requested_split(self.request, self.dataset)


def resolve(request: Request, dataset: Dataset, results: Results) -> Job:
    """Load the plugin and resolve the runs that the config names; raises `RecordError`, `UsageError`, `PluginError`."""
    plugin = registry.load(request.plugin.name)
    config: Config = plugin.config.model_validate(request.config)
    config = config.with_members(partial(members.choose, request, results))
    request = request.model_copy(update={"config": config.model_dump(mode="json")})
    return Job(request, plugin, config, dataset, results)


def start(request: Request, dataset: Dataset, results: Results, listener: RunListener) -> tuple[Record, Path]:
    """Carry out a request; returns the record and the run's folder.

    Raises `InterruptedRunError`, `CfbenchError`s, and what the plugin raises.
    """
    return _start(resolve(request, dataset, results), listener)


def _start(job: Job, listener: RunListener) -> tuple[Record, Path]:
    with job.results.lock(job.request.run):
        return _carry_out(job, job.results.create(job.request), listener)


def resume(run: str, results: Results, listener: RunListener) -> tuple[Record, Path]:
    """Resume an interrupted run by its id or a part of it; it ends as if it had not been interrupted.

    Raises what `start` raises.
    """
    with results.resume(run) as (request, folder):
        plugin = registry.load(request.plugin.name)
        resolve_device(request.plugin.name, plugin, request.device)  # the same device must still be available
        dataset = store.open_dataset(card.load(request.dataset.name))
        job = Job(request, plugin, plugin.config.model_validate(request.config), dataset, results)
        return _carry_out(job, folder, listener, _count_resumption(folder))


def ensure(request: Request, dataset: Dataset, results: Results, listener: RunListener) -> tuple[Record, bool]:
    """Return the finished run of a request, and whether it was finished before; raises what `start` raises.

    A run that Ctrl-C stopped is resumed. So a command that makes many runs can be stopped and typed again.
    """
    job = resolve(request, dataset, results)
    record = _finished_run(job)
    if record is not None:
        return record, True
    stopped = _stopped_run(job)
    if stopped is not None:
        return resume(stopped, results, listener)[0], False
    return _start(job, listener)[0], False


def finished_run(request: Request, dataset: Dataset, results: Results) -> Record | None:
    """Return a finished run with the same plugin, version, config, seed and split; raises what `resolve` raises."""
    return _finished_run(resolve(request, dataset, results))


def _finished_run(job: Job) -> Record | None:
    request = job.request
    for record in reversed(job.results.records(request.dataset.name, request.split.name)):
        if record.outcome.status == "finished" and _predict_the_same(record.request, request):
            return record
    return None


def _stopped_run(job: Job) -> str | None:
    """Return the id of the same run if Ctrl-C stopped it. A killed run is resumed by `--resume` only."""
    for request in job.results.interrupted():
        if _predict_the_same(request, job.request) and job.results.is_stopped(request.run):
            return request.run
    return None


def _predict_the_same(one: Request, other: Request) -> bool:
    """Return whether both requests lead to the same predictions."""
    return (one.plugin.name, one.plugin.package, one.config, one.seed, one.split.fingerprint) == (
        other.plugin.name, other.plugin.package, other.config, other.seed, other.split.fingerprint,
    )  # fmt: skip


@dataclass(frozen=True)
class _History:
    """What happened to a resumed run before."""

    resumed: int = 0
    cpu_seconds: float | None = 0.0
    """CPU time of the earlier processes; None if any of them was killed, since its time is not known."""


def _count_resumption(folder: Path) -> _History:
    """Count one more resumption of a run; raises `WriteError`."""
    with write_errors(folder), (folder / "resumed").open("ab") as file:
        file.write(b"\n")
        count = file.tell()
    with suppress(RecordError):
        last = read_record(folder / "record.json").outcome
        if last.resumed == count - 1:  # otherwise the last process was killed and left an older record
            return _History(count, last.fit_cpu_seconds)
    return _History(count, None)


@dataclass
class _Progress:
    """The learning curve of a run, reported to its listener as it grows."""

    listener: RunListener
    curve: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, epoch: Epoch) -> None:
        self.curve.append(epoch)
        self.listener.epoch(epoch)


def _carry_out(
    job: Job, folder: Path, listener: RunListener, history: _History = _History()
) -> tuple[Record, Path]:  # fmt: skip
    """Fit, score and publish; on failure publish the failure, on Ctrl-C leave a run that can be resumed."""
    request, results = job.request, job.results
    split = job.split
    machine.reset_peak_memory(request.device)
    listener.begin(request.run)
    progress = _Progress(listener)
    cpu = time.process_time()

    try:
        fit = fit_model(job, split, folder / "checkpoint.safetensors", progress)
        scores = score_model(job, split, fit) if fit.usable else None
        arrays = _arrays(fit, scores)
        outcome = _outcome(fit, scores, request.device)
    except KeyboardInterrupt:
        stopped = _unscored("stopped", "Ctrl-C", progress.curve, cpu_seconds=time.process_time() - cpu)
        results.mark_stopped(folder, _record(job, stopped, history))
        raise InterruptedRunError(request.run, len(progress.curve)) from None
    except WriteError:
        raise  # not the model's fault: the run can be resumed when there is space
    except Exception as fault:
        failed = _unscored("failed", f"{type(fault).__name__}: {fault}", progress.curve)
        write_arrays(folder, RunArrays(progress.curve))
        results.publish(folder, _record(job, failed, history))
        raise
    write_arrays(folder, arrays)
    return results.publish(folder, _record(job, outcome, history))


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model, and what fitting it cost."""

    model: Model
    status: Status
    message: str
    usable: bool
    """Whether the model can predict: a diverged model may hold its last good epoch."""
    curve: Sequence[Epoch]
    seconds: float
    """Wall time of the fit, including that before an interruption."""
    cpu_seconds: float
    """CPU time of this process."""


def fit_model(job: Job, split: Split, checkpoint: Path, progress: _Progress) -> Fit:
    """Fit the plugin's model on the training part; divergence is a status, not an error."""
    model: Model = job.plugin.build(job.config)
    train, valid = training_parts(job.plugin, job.dataset, split)
    context = _context(job, split)
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
    return Fit(model, status, message, usable, progress.curve, seconds, cpu_seconds)


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


def score_model(job: Job, split: Split, fit: Fit) -> Scored:
    """Predict the validation part, then cut out the test part and predict it; raises `PredictionError`."""
    ratings, scale, name = model_view(job.plugin, job.dataset), job.dataset.ratings.scale, job.request.plugin.name
    valid = split.valid(ratings)
    valid_scores = scale.clip(predict(name, fit.model, valid.pairs)) if len(valid) else None
    test = split.test(ratings)
    wall = time.perf_counter()
    scores = scale.clip(predict(name, fit.model, test.pairs))
    seconds = time.perf_counter() - wall
    valid_rmse = None if valid_scores is None else _valid_rmse(fit, valid_scores, valid)
    return Scored(valid_scores, valid_rmse, scores, rmse(scores, test.ratings), mae(scores, test.ratings), seconds)


def _valid_rmse(fit: Fit, predictions: Scores, valid: Ratings) -> float | None:
    """Return the validation RMSE: that of the chosen epoch, or, without epochs, that of the predictions."""
    if isinstance(fit.model, FittedOnValid):
        return fit.model.valid_rmse
    best = best_epoch(fit.curve)
    return rmse(predictions, valid.ratings) if best is None or best.valid_rmse is None else best.valid_rmse


def best_epoch(curve: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch with the lowest validation RMSE; without a validation part the last one."""
    validated = [epoch for epoch in curve if epoch.valid_rmse is not None]
    return min(validated, key=lambda epoch: epoch.valid_rmse or 0.0, default=curve[-1] if curve else None)


def _arrays(fit: Fit, scores: Scored | None) -> RunArrays:
    if scores is None:
        return RunArrays(fit.curve)
    return RunArrays(fit.curve, scores.valid, scores.test, fit.model.state())


def _outcome(fit: Fit, scores: Scored | None, device: str) -> Outcome:
    """Return the outcome of a fitted model."""
    best = best_epoch(fit.curve)
    return Outcome(
        status=fit.status, message=fit.message,
        rmse=scores.rmse if scores else None, mae=scores.mae if scores else None,
        valid_rmse=scores.valid_rmse if scores else best.valid_rmse if best else None,
        best_epoch=best.epoch if best else None, epochs=len(fit.curve) or None, parameters=fit.model.parameters,
        fit_seconds=fit.seconds, fit_cpu_seconds=fit.cpu_seconds, predict_seconds=scores.seconds if scores else None,
        peak_memory=machine.peak_memory() if scores else None,
        peak_device_memory=machine.peak_device_memory(device) if scores else None,
    )  # fmt: skip


def _unscored(status: Status, message: str, curve: Sequence[Epoch], cpu_seconds: float | None = None) -> Outcome:
    """Return the outcome of a run that has not come to an end."""
    best = best_epoch(curve)
    return Outcome(
        status=status, message=message, valid_rmse=best.valid_rmse if best else None,
        best_epoch=best.epoch if best else None, epochs=len(curve) or None, fit_cpu_seconds=cpu_seconds,
    )  # fmt: skip


def _record(job: Job, outcome: Outcome, history: _History) -> Record:
    """Return the record; only after the fit is it known which libraries the run imported."""
    own, before = outcome.fit_cpu_seconds, history.cpu_seconds
    total = None if own is None or before is None else before + own
    return Record(
        request=job.request,
        outcome=outcome.model_copy(update={"resumed": history.resumed, "fit_cpu_seconds": total}),
        machine=machine.describe_machine(job.request.device, job.plugin.needs),
    )


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


def reopen(record: Record, folder: Path, results: Results, device: str) -> tuple[Model, Dataset]:
    """Return the fitted model of a finished run, and its data set; raises `RecordError` if the data have changed."""
    request = record.request
    plugin = registry.load(request.plugin.name)
    dataset = store.open_dataset(card.load(request.dataset.name))
    job = Job(request, plugin, plugin.config.model_validate(request.config), dataset, results)
    split = job.split
    model: Model = plugin.build(job.config)
    context = _context(job, split)
    context.device = resolve_device(request.plugin.name, plugin, device)
    model.restore(read_state(folder), training_parts(plugin, dataset, split)[0], context)
    return model, dataset


def training_parts(plugin: Plugin[Any], dataset: Dataset, split: Split) -> tuple[Ratings, Ratings]:
    """Return the training and the validation part as the plugin's model sees them: the test part stays out."""
    ratings = model_view(plugin, dataset)
    return split.train(ratings), split.valid(ratings)


def model_view(plugin: Plugin[Any], dataset: Dataset) -> Ratings:
    """Return the ratings with the columns a plugin's model may see: times only if the plugin declares `uses_times`."""
    return dataset.ratings if plugin.uses_times else dataset.ratings.without_times()


def _context(job: Job, split: Split) -> Context:
    """Return what the harness lends the model; the caller adds where to report."""
    context = Context(job.request.seed, job.request.device, member=_member_lender(job, split))
    if job.plugin.uses_titles:
        context.titles, context.years = job.dataset.catalogue.titles, job.dataset.catalogue.years
    return context


def _member_lender(job: Job, split: Split) -> Callable[[str], Predictor]:
    parts = members.HeldOutParts(split, job.dataset.ratings)

    def reopen_member(record: Record, folder: Path) -> Predictor:
        return reopen(record, folder, job.results, "auto")[0]

    return partial(members.lend, job.request, job.results, parts, reopen_member)


def requested_split(request: Request, dataset: Dataset) -> Split:
    """Return the split of a request; raises `RecordError` if it has changed since."""
    split = dataset.split(request.split.name)
    if split.fingerprint != request.split.fingerprint:
        raise RecordError(
            f"run {request.run} used split {request.split.name} with fingerprint {request.split.fingerprint[:12]}, but "
            f"its fingerprint is now {split.fingerprint[:12]}: the data or the split's definition have changed; run "
            f"the model again: `cfbench run {request.plugin.name} --dataset {request.dataset.name}`"
        )
    return split
