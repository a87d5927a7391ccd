"""WORKERS: the processes that try a study's configs; one of them killed does not end the study."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from cfbench.errors import CfbenchError
from cfbench.tuning import database, search, study

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna import Study


GRACE = 5.0
"""Seconds after the deadline in which a fit may end by itself; then it is ended."""


def carry_out(job: search.Job, workers: int, listen: Callable[[], None]) -> int:
    """Add trials to a study until there are enough; returns how many workers were lost on the way.

    `listen` is called now and then. A fit that the deadline finds under way is given up, wherever its library is just
    then: that takes a process of its own. Raises `CfbenchError`s; on Ctrl-C everything is kept.
    """
    if workers == 1 and job.deadline is None:
        search.work(job, listen)
        return 0
    with database.faults(job.storage):
        joined = study.join(job.name, job.storage, job.plan.seed)  # once: each has connections of its own
    crew: list[subprocess.Popen[bytes]] = []
    late = False
    try:
        while len(crew) < workers:
            crew.append(_worker(job, workers))
        while not late and None in [worker.poll() for worker in crew]:  # of each: one killed is to be seen as gone
            listen()
            time.sleep(0.2)
            late = _is_late(job, joined)
        lost = sum(worker.poll() not in (None, 0) for worker in crew)  # before those that go on are ended
    except KeyboardInterrupt:
        _end(crew)
        raise
    finally:
        for worker in crew:
            worker.kill()
            worker.wait()
    with database.faults(job.storage):
        if late:
            study.give_up(joined, {worker.pid for worker in crew}, "time is up")
        study.retry_stale(joined)
    return lost


def _is_late(job: search.Job, joined: Study) -> bool:
    """Whether time is up for good, and some trial is there to show for it, or the first one has ended for nothing."""
    if job.deadline is None or time.time() < job.deadline + GRACE:
        return False
    with database.faults(job.storage):
        trials = joined.get_trials(deepcopy=False)
    first = any(trial.state == TrialState.RUNNING and "start" in trial.user_attrs for trial in trials)
    return study.best(trials) is not None or (job.over(trials) and not first)


def _worker(job: search.Job, workers: int) -> subprocess.Popen[bytes]:
    """A process of its own, with its share of the cores; its own session, so that Ctrl-C reaches it once, from here."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
    command = [sys.executable, "-m", "cfbench.tuning.workers"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, env=threads | os.environ, start_new_session=True)
    if worker.stdin:
        worker.stdin.write(job.model_dump_json().encode())
        worker.stdin.close()
    return worker


def _end(crew: list[subprocess.Popen[bytes]]) -> None:
    for worker in crew:
        worker.send_signal(signal.SIGINT)
    until = time.monotonic() + 10
    for worker in crew:
        try:
            worker.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()


def main() -> int:
    """What a worker process does: its job comes on standard input."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have begun it all with the signal ignored
    job = search.Job.model_validate_json(sys.stdin.buffer.read())
    parent = os.getppid()
    try:
        search.work(job, orphaned=lambda: os.getppid() != parent)
    except CfbenchError as fault:
        sys.stderr.write(f"error: {fault}\n")
        return fault.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
