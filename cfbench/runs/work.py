"""Carries out one run: fit, second fit, scores, record; and decides what a fault on the way makes of the run.

A fault of the plugin is published as a failed run. After Ctrl-C, and after any fault of the machine or of a file, the
run stays unfinished with its checkpoint.
"""

from __future__ import annotations

import time
import traceback
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.errors import CfbenchError, ConfigError, PluginError
from cfbench.files import write_atomically
from cfbench.runs import machine
from cfbench.runs.arrays import RunArrays, write_arrays
from cfbench.runs.doubts import best_epoch, chosen_epoch
from cfbench.runs.energy import EnergyMeter
from cfbench.runs.fitting import FitProgress, count_parameters, fit_model, fitted_state, score_model
from cfbench.runs.interruption import InterruptedRunError, interruption, outer_cause
from cfbench.runs.publication import CHECKPOINT, REFIT_CHECKPOINT
from cfbench.runs.record import Doubt, Outcome, Record
from cfbench.runs.refitting import describe_refit, refit_model, watch_first_fit
from cfbench.runs.time_limit import time_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cfbench.contract import Epoch
    from cfbench.runs.fitting import Fit, Scored
    from cfbench.runs.job import Job
    from cfbench.runs.record import Status
    from cfbench.runs.results import Results

TRACEBACK = "traceback.txt"
"""The file, beside the record of a failed run, that says where the plugin raised its exception."""


@dataclass(frozen=True)
class History:
    """What happened to a run before it was resumed."""

    resumed: int = 0
    cpu_seconds: float | None = 0.0
    """CPU time of the earlier processes; None if any of them was killed, since its time is not known."""
    doubts: tuple[Doubt, ...] = ()


def carry_out(
    job: Job,
    folder: Path,
    report: Callable[[Epoch], None],
    batch: Callable[[int, int, int], None],
    seconds: float | None,
    history: History = History(),
) -> tuple[Record, Path]:
    """Fit, score and publish. A fault of the plugin is published; after any other one, and Ctrl-C, the run stays.

    `report` and `batch` receive what the model reports.
    """
    request, results = job.request, job.results
    machine.reset_peak_memory(request.device)
    progress = FitProgress(watch_first_fit(job, report), batch)
    is_measured = request.measure_energy and not history.resumed  # earlier processes are not in the measurement
    meter = EnergyMeter(request.device) if is_measured else None
    cpu = time.process_time()

    def without_score(status: Status, message: str) -> Record:
        outcome = _unscored(status, message, progress.curve, cpu_seconds=time.process_time() - cpu)
        return _record(job, outcome, history)

    try:
        try:
            with time_limit(seconds):
                arrays, outcome = _fit_and_score(job, folder, progress, report, meter)
        except (PluginError, ConfigError) as fault:
            if not outer_cause(fault):
                _publish_failure(without_score("failed", str(fault)), results, folder, progress.curve, fault)
            raise
        write_arrays(folder, arrays)
        return results.publish(folder, _record(job, outcome, history))
    except (KeyboardInterrupt, Exception) as fault:
        if not folder.exists():
            raise  # the run is published
        stop = interruption(request.run, len(progress.curve), fault)
        with suppress(CfbenchError, OSError, MemoryError):  # a run without this record can be resumed too
            results.mark_stopped(folder, without_score("stopped", _message(stop, fault)))
        if stop is None:  # a bug of cfbench
            fault.add_note(f"run {request.run} is stopped and can be resumed")
            raise
        raise stop from stop.fault


def _message(stop: InterruptedRunError | None, fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}" if stop is None else stop.reason or "Ctrl-C"


def _fit_and_score(
    job: Job, folder: Path, progress: FitProgress, report: Callable[[Epoch], None], meter: EnergyMeter | None
) -> tuple[RunArrays, Outcome]:
    job.require_same_split()
    with meter or nullcontext():
        fit = final = fit_model(job, folder / CHECKPOINT, progress)
        if job.request.refit and fit.usable:
            final = refit_model(job, fit, folder / REFIT_CHECKPOINT, FitProgress(report, progress.batch))
    scored = score_model(job, fit, final) if final.usable else None
    outcome = _outcome(job, fit, final, scored).model_copy(update={"energy": meter.energy if meter else None})
    return _arrays(job.request.plugin.name, fit, final, scored), outcome


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


def _record(job: Job, outcome: Outcome, history: History) -> Record:
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
