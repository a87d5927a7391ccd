"""The workers of a study: the processes that add trials to it. The study continues when one of them is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from cfbench.errors import CfbenchError
from cfbench.tuning.database import storage_errors
from cfbench.tuning.job import WorkerJob
from cfbench.tuning.locks import WorkerLocks
from cfbench.tuning.retry import prune_trials_of, queue_again, queue_lost_trials
from cfbench.tuning.study import open_for_worker
from cfbench.tuning.trial import Objective, read_trial_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna import Study

    Worker = subprocess.Popen[bytes]

PAUSE = 0.2
"""Seconds between two looks at the study or at the worker processes."""

PR_SET_PDEATHSIG = 1
"""The number of the Linux call that chooses the signal which a process gets when its parent ends."""

SECONDS_TO_STOP = 10
"""The workers have this time after Ctrl-C to queue their trials again; then they are killed."""


def run_trials(job: WorkerJob, listen: Callable[[], None] = lambda: None) -> None:
    """Add trials to a study in this process until the job is over; Ctrl-C queues the running trial again.

    `listen` is called after each epoch and each trial; it may raise `KeyboardInterrupt`. Raises `CfbenchError`s.
    """
    objective = Objective(job, read_trial_data(job.plan), listen)
    study = open_for_worker(job.name, job.storage, job.plan.seed)
    with storage_errors(job.storage), WorkerLocks.of_study(job.name, job.storage).hold(job.command):
        while not job.is_over(trials := study.get_trials(deepcopy=False)):
            if job.has_enough(trials):  # other processes run the last trials, and may lose them
                time.sleep(PAUSE)
                queue_lost_trials(study, job.storage)
            else:
                _run_trial(study, objective)
            listen()


def _run_trial(study: Study, objective: Objective) -> None:
    """Run one trial. If another process believed that this one was gone and ended the trial, no error is raised."""
    objective.number = None
    try:
        study.optimize(objective, n_trials=1, catch=Exception)
    except KeyboardInterrupt:
        trial = _find_trial(study, objective.number)
        if trial and trial.state == TrialState.FAIL and "reason" not in trial.user_attrs:
            queue_again(study, trial)
        raise
    except Exception:
        trial = _find_trial(study, objective.number)
        if trial is None or not trial.state.is_finished():
            raise


def _find_trial(study: Study, number: int | None) -> FrozenTrial | None:
    trials = study.get_trials(deepcopy=False)
    return next((trial for trial in trials if trial.number == number), None)


def start_worker(job: WorkerJob, count: int) -> Worker:
    """Start a worker process, one of `count` that share the cores.

    It is in a separate session, so that Ctrl-C reaches it once, from the main process, and not from the terminal too.
    """
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}
    command = [sys.executable, "-m", "cfbench.tuning.workers", str(os.getpid())]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, env=threads | os.environ, start_new_session=True)
    if worker.stdin:
        worker.stdin.write(job.model_dump_json().encode())
        worker.stdin.close()
    return worker


def run_workers(
    job: WorkerJob, count: int, listen: Callable[[], None], *, start: Callable[[WorkerJob, int], Worker] = start_worker
) -> int:
    """Add trials to a study until the job is over; returns how many workers were killed or failed meanwhile.

    One worker without a deadline is this process itself. A deadline needs a worker process, since only a process can be
    killed anywhere inside a fit. `listen` is called several times a second, or after each epoch. Raises
    `CfbenchError`s; after Ctrl-C all ended trials are in the database.
    """
    if count == 1 and job.deadline is None:
        run_trials(job, listen)
        return 0
    study = open_for_worker(job.name, job.storage, job.plan.seed)  # once, since each opening makes new connections
    workers: list[Worker] = []
    must_kill = False
    try:
        for _ in range(count):
            workers.append(start(job, count))  # noqa: PERF401 (the workers that were started are killed on an error)
        while not must_kill and _any_runs(workers):
            listen()
            time.sleep(PAUSE)
            must_kill = _must_kill(job, study)
        lost = sum(worker.poll() not in (None, 0) for worker in workers)  # counted before the others are killed
    except KeyboardInterrupt:
        _interrupt(workers)
        raise
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    with storage_errors(job.storage):
        if must_kill:
            prune_trials_of(study, job.command, "time limit reached")
        queue_lost_trials(study, job.storage)
    return lost


def _any_runs(workers: list[Worker]) -> bool:
    statuses = [worker.poll() for worker in workers]  # of all, since a dead process that is not polled seems alive
    return None in statuses


def _must_kill(job: WorkerJob, study: Study) -> bool:
    if not job.is_late():
        return False
    with storage_errors(job.storage):
        return job.must_kill(study.get_trials(deepcopy=False))


def _interrupt(workers: list[Worker]) -> None:
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    deadline = time.monotonic() + SECONDS_TO_STOP
    for worker in workers:
        try:
            worker.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()


def main() -> int:
    """Run a worker process, whose job comes on standard input; returns the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started cfbench with SIGINT ignored
    parent = int(sys.argv[1])
    _die_with_parent()
    try:
        stop_without_parent = partial(_stop_without, parent)
        stop_without_parent()
        run_trials(WorkerJob.model_validate_json(sys.stdin.buffer.read()), stop_without_parent)
    except CfbenchError as error:
        sys.stderr.writelines(f"error: {line}\n" for line in str(error).splitlines())
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _die_with_parent() -> None:
    """Let Linux kill this process when the main process ends, also within a fit that reports nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop_without(parent: int) -> None:
    """Raise `KeyboardInterrupt` when the main process is gone, so that the running trial is queued again."""
    if os.getppid() != parent:
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
