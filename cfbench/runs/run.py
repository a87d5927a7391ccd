"""Starts, resumes and finds runs.

    configure → new_request → start ─┬→ fit_model → refit_model (with --refit) → score_model → write_arrays → publish
                              resume ┘

A run ends in one of four ways. It is `finished` or `diverged` if the model could be fitted and scored, and `failed` if
the plugin raised an error; then it is published. Ctrl-C leaves it `stopped`, in a folder from which it is resumed.
"""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cfbench.errors import CfbenchError, PluginError, RecordError, WriteError
from cfbench.files import write_atomically, write_errors
from cfbench.runs import machine, registry
from cfbench.runs.arrays import RunArrays, write_arrays
from cfbench.runs.device import choose_device
from cfbench.runs.doubts import best_epoch, chosen_epoch
from cfbench.runs.fitting import FitProgress, count_parameters, fit_model, fitted_state, score_model
from cfbench.runs.job import open_job, resolve_request
from cfbench.runs.record import Doubt, Outcome, Record, read_record
from cfbench.runs.refitting import describe_refit, refit_model, watch_first_fit
from cfbench.runs.results import CHECKPOINT, REFIT_CHECKPOINT
from cfbench.runs.source import source_hash
from cfbench.runs.time_limit import TimeLimitError, time_limit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cfbench.contract import Epoch
    from cfbench.data.store import Dataset
    from cfbench.runs.fitting import Fit, Scored
    from cfbench.runs.job import Job
    from cfbench.runs.record import Request, Status
    from cfbench.runs.results import Results


CODE_CHANGED = Doubt(
    kind="its code changed while it was stopped",
    detail="the plugin's source changed before the run was resumed, so that two versions of it made these predictions",
)
TRACEBACK = "traceback.txt"
"""The file, beside the record of a failed run, that says where the plugin raised its exception."""


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
    """Ctrl-C, or the time limit, interrupted the run `run` after `epoch` epochs; it can be resumed."""

    def __init__(self, run: str, epoch: int, reason: str = "") -> None:
        super().__init__(run)
        self.run, self.epoch = run, epoch
        self.reason = reason
        """The time limit; empty for Ctrl-C."""


def start(
    request: Request, dataset: Dataset, results: Results, listener: RunListener, *, seconds: float | None = None
) -> tuple[Record, Path]:
    """Carry out a request; returns the record and the run's folder. The model may work so many `seconds`, None: any.

    Raises `InterruptedRunError`, `CfbenchError`s, and what the plugin raises.
    """
    return _start(resolve_request(request, dataset, results), listener, seconds)


def _start(job: Job, listener: RunListener, seconds: float | None) -> tuple[Record, Path]:
    with job.results.lock(job.request.run):
        return _carry_out(job, job.results.create(job.request), listener, seconds)


def resume(run: str, results: Results, listener: RunListener, *, seconds: float | None = None) -> tuple[Record, Path]:
    """Resume an interrupted run by its id or a part of it; it ends as if it had not been interrupted.

    The model may work so many `seconds` more. Raises what `start` raises.
    """
    with results.resume(run) as (request, folder):
        job = open_job(request, results)
        choose_device(
            request.plugin.name, job.plugin, job.config, request.device
        )  # the same device must still be available
        return _carry_out(job, folder, listener, seconds, _count_resumption(request, folder))


def ensure(
    request: Request, dataset: Dataset, results: Results, listener: RunListener, *, seconds: float | None = None
) -> tuple[Record, bool]:
    """Return the finished run of a request, and whether it was finished before; raises what `start` raises.

    A run that Ctrl-C stopped is resumed. So a command that makes many runs can be stopped and typed again.
    """
    job = resolve_request(request, dataset, results)
    record = _finished_run(job)
    if record is not None:
        return record, True
    stopped = _stopped_run(job)
    if stopped is not None:
        return resume(stopped, results, listener, seconds=seconds)[0], False
    return _start(job, listener, seconds)[0], False


def finished_run(request: Request, dataset: Dataset, results: Results) -> Record | None:
    """Return a finished run with the same plugin, version, source, config, seed and split.

    Raises what `resolve_request` raises.
    """
    return _finished_run(resolve_request(request, dataset, results))


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
    """Return whether both requests lead to the same predictions: the same code, config, seed and split.

    A record without a hash of the plugin's source is older than this hash, and nobody knows which code made it.
    """
    if one.refit != other.refit:
        return False
    first, second = one.plugin, other.plugin
    same_code = (first.name, first.package, first.source) == (second.name, second.package, second.source)
    same_work = (one.config, one.seed, one.split.fingerprint) == (other.config, other.seed, other.split.fingerprint)
    return same_code and same_work


@dataclass(frozen=True)
class _History:
    """What happened to a run before it was resumed."""

    resumed: int = 0
    cpu_seconds: float | None = 0.0
    """CPU time of the earlier processes; None if any of them was killed, since its time is not known."""
    doubts: tuple[Doubt, ...] = ()


def _count_resumption(request: Request, folder: Path) -> _History:
    """Count one more resumption of a run, and doubt it if the plugin has changed since; raises `WriteError`."""
    plugin, doubts = request.plugin, tuple[Doubt, ...]()
    if plugin.source and plugin.source != source_hash(registry.locate(plugin.name).module):
        doubts = (CODE_CHANGED,)
    with write_errors(folder), (folder / "resumed").open("ab") as file:
        file.write(b"\n")
        count = file.tell()
    with suppress(RecordError):
        last = read_record(folder / "record.json").outcome
        doubts = tuple(dict.fromkeys((*last.doubts, *doubts)))
        if last.resumed == count - 1:  # otherwise the last process was killed and left an older record
            return _History(count, last.fit_cpu_seconds, doubts)
    return _History(count, None, doubts)


def _carry_out(
    job: Job, folder: Path, listener: RunListener, seconds: float | None, history: _History = _History()
) -> tuple[Record, Path]:
    """Fit, score and publish; on failure publish the failure, on Ctrl-C leave a run that can be resumed."""
    job.require_same_split()  # outside the try: a change of the data must not end the run as failed
    request, results = job.request, job.results
    machine.reset_peak_memory(request.device)
    listener.begin(request.run)
    progress = FitProgress(watch_first_fit(job, listener.epoch))
    cpu = time.process_time()
    try:
        with time_limit(seconds):
            fit = final = fit_model(job, folder / CHECKPOINT, progress)
            if request.refit and fit.usable:
                final = refit_model(job, fit, folder / REFIT_CHECKPOINT, listener.epoch)
            scored = score_model(job, fit, final) if final.usable else None
            arrays = _arrays(request.plugin.name, fit, final, scored)
            outcome = _outcome(job, fit, final, scored)
    except KeyboardInterrupt as interrupt:
        reason = str(interrupt) if isinstance(interrupt, TimeLimitError) else ""
        stopped = _unscored("stopped", reason or "Ctrl-C", progress.curve, cpu_seconds=time.process_time() - cpu)
        results.mark_stopped(folder, _record(job, stopped, history))
        raise InterruptedRunError(request.run, len(progress.curve), reason) from None
    except WriteError:
        raise  # not the model's fault: the run can be resumed when there is space
    except Exception as fault:
        message = str(fault) if isinstance(fault, CfbenchError) else f"{type(fault).__name__}: {fault}"
        failed = _record(job, _unscored("failed", message, progress.curve), history)
        _publish_failure(failed, results, folder, progress.curve, fault)
        raise
    write_arrays(folder, arrays)
    return results.publish(folder, _record(job, outcome, history))


def _publish_failure(record: Record, results: Results, folder: Path, curve: Sequence[Epoch], fault: Exception) -> None:
    """Publish a failed run. If the plugin raised an exception, raise an error which says where its traceback is."""
    write_arrays(folder, RunArrays(curve))
    cause = fault.__cause__ if isinstance(fault, PluginError) else None
    if cause is not None:
        write_atomically(folder / TRACEBACK, "".join(traceback.format_exception(cause)))
    _, place = results.publish(folder, record)
    if cause is not None:
        raise type(fault)(f"{fault}; the traceback is in {place / TRACEBACK}") from cause


def _arrays(plugin: str, fit: Fit, final: Fit, scored: Scored | None) -> RunArrays:
    if scored is None:
        return RunArrays(fit.curve)
    return RunArrays(fit.curve, scored.valid, scored.test, fitted_state(plugin, final.model))


def _outcome(job: Job, fit: Fit, final: Fit, scored: Scored | None) -> Outcome:
    """Return the outcome of a model that was fitted once, or twice: then `final` is the second fit."""
    best, request = chosen_epoch(fit.curve, scored.valid_rmse if scored else None), job.request
    second = final if final is not fit else None
    worse = fit if fit.status == "diverged" else final
    return Outcome(
        status=worse.status, message=worse.message,
        rmse=scored.rmse if scored else None, mae=scored.mae if scored else None,
        valid_rmse=scored.valid_rmse if scored else best.valid_rmse if best else None,
        best_epoch=best.epoch if best else None, epochs=len(fit.curve) or None,
        parameters=count_parameters(request.plugin.name, final.model),
        fit_seconds=fit.seconds + (second.seconds if second else 0),
        fit_cpu_seconds=fit.cpu_seconds + (second.cpu_seconds if second else 0),
        refit=describe_refit(job, second) if second else None,
        predict_seconds=scored.seconds if scored else None,
        peak_memory=machine.peak_memory() if scored else None,
        peak_device_memory=machine.peak_device_memory(request.device) if scored else None,
        warning=scored.warning if scored else "", doubts=scored.doubts if scored else (),
    )  # fmt: skip


def _unscored(status: Status, message: str, curve: Sequence[Epoch], cpu_seconds: float | None = None) -> Outcome:
    """Return the outcome of a run that has not come to an end."""
    best = best_epoch(curve)
    return Outcome(
        status=status, message=message, valid_rmse=best.valid_rmse if best else None,
        best_epoch=best.epoch if best else None, epochs=len(curve) or None, fit_cpu_seconds=cpu_seconds,
    )  # fmt: skip


def _record(job: Job, outcome: Outcome, history: _History) -> Record:
    """Return the record. The machine is described last, because the fit may import more libraries."""
    cpu, earlier_cpu = outcome.fit_cpu_seconds, history.cpu_seconds
    total = None if cpu is None or earlier_cpu is None else earlier_cpu + cpu
    return Record(
        request=job.request,
        outcome=outcome.model_copy(
            update={"resumed": history.resumed, "fit_cpu_seconds": total, "doubts": history.doubts + outcome.doubts}
        ),
        machine=machine.describe_machine(job.request.device, job.plugin.needs),
    )
