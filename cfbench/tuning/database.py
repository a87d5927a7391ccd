"""The database of a study: a file in the results folder, or a server that several machines reach."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.event import listen
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from cfbench.errors import UsageError, WriteError
from cfbench.tuning.database_url import EXPECTED, display_url, parse_url, without_secrets
from cfbench.tuning.retry import ignore_experimental_warnings, queue_killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

HEARTBEAT_SECONDS = 60
"""The time between two heartbeats of a running trial."""

STALE_SECONDS = 24 * 3600
"""A trial without a heartbeat for this long counts as lost.

It is a day, since a library that holds Python's global lock during a whole fit stops the heartbeat too. cfbench notices
at once that a process of the same machine is gone.
"""

SECONDS_TO_CONNECT = 20
SECONDS_TO_WRITE = 60


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn an error of the database into a `WriteError`, whose message does not contain the password."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, UnicodeError) as error:  # the last is of a host's name
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        reason = without_secrets((str(cause).splitlines() or [type(cause).__name__])[0], url)
        raise WriteError(f"the study's database {display_url(url)} fails: {reason}") from error


def open_storage(url: str) -> RDBStorage:
    """Open a database; raises `UsageError` for a wrong URL, `WriteError` when the database cannot be opened."""
    address = parse_url(url)
    with storage_errors(url):
        try:
            with ignore_experimental_warnings():
                storage = RDBStorage(
                    address.render_as_string(hide_password=False), _engine_options(address),
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=STALE_SECONDS,
                    heartbeat_stale_trial_callback=queue_killed,
                )  # fmt: skip
        except (ImportError, NoSuchModuleError) as error:
            raise UsageError(
                f"--storage {display_url(url)}: no driver for this kind of database is installed; {EXPECTED}"
            ) from error
        if storage.engine.dialect.name == "sqlite":
            listen(storage.engine, "connect", _use_write_ahead_log)
            storage.engine.dispose()  # the next connection runs the listener
    return storage


def _engine_options(address: URL) -> dict[str, Any]:
    """How to connect: a process waits so many seconds for a server, and for other processes that write to a file."""
    defaults = {"sqlite": {"timeout": SECONDS_TO_WRITE}, "postgresql": {"connect_timeout": SECONDS_TO_CONNECT}}
    chosen = defaults.get(address.get_backend_name(), {})
    return {"pool_pre_ping": True, "connect_args": {k: v for k, v in chosen.items() if k not in address.query}}


def _use_write_ahead_log(connection: Any, _: Any) -> None:
    """Let readers not wait for writers, nor writers for the disk; this is three times as fast.

    A killed process loses nothing. A power failure may lose the last trials.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
