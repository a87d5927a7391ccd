"""Lets one process at a time make the same run, although several were started for it at the same moment."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cfbench.errors import TakenRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cfbench.runs.record import Request
    from cfbench.runs.results import Results

PAUSE = 0.2
"""Seconds between two looks whether the other process has ended."""


@contextmanager
def only_process(request: Request, results: Results, wait: Callable[[], None] | None) -> Iterator[None]:
    """Wait until no other process makes the same run; `wait` is called once if that takes time.

    Without `wait` raises `TakenRunError` instead of waiting. The system releases the lock of a process that is killed.
    """
    name, is_announced = f"same-{_digest(request)}", False
    while True:
        with results.try_lock(name) as is_free:
            if is_free:
                yield
                return
        if wait is None:
            raise TakenRunError("another process makes the same run")
        if not is_announced:
            wait()
            is_announced = True
        time.sleep(PAUSE)


def _digest(request: Request) -> str:
    """A name for all that decides the predictions of a run."""
    plugin = request.plugin
    facts = (
        plugin.name, plugin.package, plugin.source, request.config, request.seed, request.split.fingerprint,
        request.refit,
    )  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
