"""Starts, resumes and finds runs.

    configure → new_request → start ─┬→ fit_model → refit_model (with --refit) → score_model → write_arrays → publish
                              resume ┘

A run ends in one of four ways. It is `finished` or `diverged` if the model could be fitted and scored, and `failed` by
a fault of its plugin; then it is published. Ctrl-C, the time limit and every other fault leave it `stopped`, in a
folder from which it is resumed. A failed run can be resumed too, once its plugin is repaired.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from cfbench.errors import CfbenchError, RecordError, TakenRunError
from cfbench.files import write_errors
from cfbench.runs import registry
from cfbench.runs.device import choose_device
from cfbench.runs.interruption import InterruptedRunError, outer_cause
from cfbench.runs.job import open_job, resolve_request
from cfbench.runs.record import Doubt, Record, read_record
from cfbench.runs.same_run import only_process
from cfbench.runs.under_way import ProgressFile
from cfbench.runs.work import History, carry_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.contract import Epoch
    from cfbench.data.store import Dataset
    from cfbench.runs.job import Job
    from cfbench.runs.record import Request
    from cfbench.runs.results import Results


CODE_CHANGED = Doubt(
    kind="its code changed while it was stopped",
    detail="the plugin's source changed before the run was resumed, so that two versions of it made these predictions",
)


class RunListener(Protocol):
    """Receives the progress of a run."""

    def wait(self) -> None:
        """Another process makes the same run; this one waits until it ends."""

    def begin(self, run: str) -> None:
        """The run has its id and its folder."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch has finished. A resumed run reports the epochs before the interruption again."""

    def batch(self, epoch: int, finished: int, total: int) -> None:
        """So many batches of an epoch, of `total`, have finished; not every model reports them."""


class SilentRunListener:
    """Ignores the progress of a run."""

    def wait(self) -> None:
        """Do nothing."""

    def begin(self, run: str) -> None:
        """Do nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Do nothing."""

    def batch(self, epoch: int, finished: int, total: int) -> None:
        """Do nothing."""


def start(
    request: Request, dataset: Dataset, results: Results, listener: RunListener, *, seconds: float | None = None
) -> tuple[Record, Path]:
    """Carry out a request; returns the record and the run's folder. The model may work so many `seconds`, None: any.

    Raises `InterruptedRunError`, `CfbenchError`s, and what the plugin raises.
    """
    return _start(resolve_request(request, dataset, results), listener, seconds)


def _start(job: Job, listener: RunListener, seconds: float | None) -> tuple[Record, Path]:
    with job.results.lock(job.request.run):
        folder = job.results.create(job.request)
        report = _report_to_all(ProgressFile(folder), listener)
        listener.begin(job.request.run)
        return carry_out(job, folder, report, listener.batch, seconds)


def _report_to_all(file: ProgressFile, listener: RunListener) -> Callable[[Epoch], None]:
    """Return a function that passes each epoch to other processes and to the listener."""

    def report(epoch: Epoch) -> None:
        file.epoch(epoch)
        listener.epoch(epoch)

    return report


def resume(run: str, results: Results, listener: RunListener, *, seconds: float | None = None) -> tuple[Record, Path]:
    """Resume an interrupted or failed run by its id or a part of it; it ends as if it had not been interrupted.

    The model may work so many `seconds` more. Raises what `start` raises, and `InterruptedRunError` too if the plugin,
    the data or the device are not there.
    """
    with results.resume(run) as (request, folder):
        complete = results.complete_move(folder)
        if complete is not None:
            return complete
        report = _report_to_all(ProgressFile(folder), listener)
        try:
            job = open_job(request, results)
            choose_device(request.plugin.name, job.plugin, job.config, request.device)  # it must still be available
            history = _count_resumption(request, folder)
        except (CfbenchError, OSError) as fault:
            reason = str(fault) if isinstance(fault, CfbenchError) else outer_cause(fault)
            raise InterruptedRunError(request.run, None, reason, fault) from fault
        listener.begin(request.run)
        return carry_out(job, folder, report, listener.batch, seconds, history)


def start_or_resume(
    request: Request, dataset: Dataset, results: Results, listener: RunListener, *, seconds: float | None = None
) -> tuple[Record, Path]:
    """Resume the run of a request if it was interrupted, else start it; raises what `start` raises."""
    return _start_or_resume(resolve_request(request, dataset, results), listener, seconds)


def _start_or_resume(job: Job, listener: RunListener, seconds: float | None) -> tuple[Record, Path]:
    interrupted = _interrupted_run(job)
    if interrupted is not None:
        with suppress(TakenRunError):  # another process resumes it at this moment
            return resume(interrupted, job.results, listener, seconds=seconds)
    return _start(job, listener, seconds)


def ensure(
    request: Request,
    dataset: Dataset,
    results: Results,
    listener: RunListener,
    *,
    seconds: float | None = None,
    wait: bool = True,
) -> tuple[Record, bool]:
    """Return the finished run of a request, and whether it was finished before; raises what `start` raises.

    While another process makes the same run, this waits; without `wait` it raises `TakenRunError` instead. An
    interrupted run is resumed. So a command that makes many runs can be stopped and typed again.
    """
    job = resolve_request(request, dataset, results)
    record = _finished_run(job)
    if record is not None:
        return record, True
    with only_process(job.request, results, listener.wait if wait else None):
        record = _finished_run(job)  # another process may have made it meanwhile
        if record is not None:
            return record, True
        return _start_or_resume(job, listener, seconds)[0], False


def finished_run(request: Request, dataset: Dataset, results: Results) -> Record | None:
    """Return a finished run with the same plugin, version, source, config, seed and split.

    Raises what `resolve_request` raises.
    """
    return _finished_run(resolve_request(request, dataset, results))


def _finished_run(job: Job) -> Record | None:
    request = job.request
    job.results.remove_leftovers()  # nothing else does it where no run is made
    for record in reversed(job.results.records(request.dataset.name, request.split.name)):
        if record.outcome.status == "finished" and predict_the_same(record.request, request):
            return record
    return None


def interrupted_run(request: Request, dataset: Dataset, results: Results) -> str | None:
    """Return the id of the run that `start_or_resume` resumes; raises what `resolve_request` raises."""
    return _interrupted_run(resolve_request(request, dataset, results))


def _interrupted_run(job: Job) -> str | None:
    """Return the id of the same run on the same device, if there is one that was stopped or killed."""
    for request in job.results.interrupted():
        if predict_the_same(request, job.request) and request.device == job.request.device:
            return request.run
    return None


def predict_the_same(one: Request, other: Request) -> bool:
    """Return whether both requests lead to the same predictions: the same code, config, seed and split.

    A record without a hash of the plugin's source is older than this hash, and nobody knows which code made it.
    """
    first, second = one.plugin, other.plugin
    same_code = (first.package, first.source) == (second.package, second.source)
    return same_code and differ_in_code_at_most(one, other)


def differ_in_code_at_most(one: Request, other: Request) -> bool:
    """Return whether both requests have the same plugin, config, seed and split, whatever the code of the plugin."""
    first, second = ((r.plugin.name, r.config, r.seed, r.split.fingerprint, r.refit) for r in (one, other))
    return first == second


def _count_resumption(request: Request, folder: Path) -> History:
    """Count one more resumption of a run, and doubt it if the plugin has changed since; raises `WriteError`."""
    plugin, doubts = request.plugin, tuple[Doubt, ...]()
    if plugin.source and plugin.source != registry.locate(plugin.name).source:
        doubts = (CODE_CHANGED,)
    with write_errors(folder), (folder / "resumed").open("ab") as file:
        file.write(b"\n")
        count = file.tell()
    with suppress(RecordError):
        last = read_record(folder / "record.json").outcome
        doubts = tuple(dict.fromkeys((*last.doubts, *doubts)))
        if last.resumed == count - 1:  # otherwise the last process was killed and left an older record
            return History(count, last.fit_cpu_seconds, doubts)
    return History(count, None, doubts)
