"""The database of a study: a file in the results folder, or a server that several machines reach."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from optuna import logging as optuna_logging
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from sqlalchemy.event import listen
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from cfbench.errors import CfbenchError, RecordError, UsageError, WriteError
from cfbench.tuning.database_url import EXPECTED, display_url, parse_url, without_secrets
from cfbench.tuning.locks import locks_folder
from cfbench.tuning.retry import ignore_experimental_warnings, queue_killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

HEARTBEAT_SECONDS = 60
"""The time between two heartbeats of a running trial."""

STALE_SECONDS = 24 * 3600
"""A trial without a heartbeat for this long counts as lost.

It is a day, since a library that holds Python's global lock during a whole fit stops the heartbeat too. Where
processes share locks, cfbench notices at once that one is gone.
"""

SECONDS_TO_CONNECT = 20
SECONDS_TO_WRITE = 60
SECONDS_TO_CREATE = 30

ADVISORY_KEY = 0xCFBE7C4
"""The number of our lock on a PostgreSQL server."""


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn an error of the database into a `WriteError`, whose message does not contain the password.

    What Optuna raises because it does not understand its rows becomes a `RecordError`. Optuna logs nothing meanwhile.
    """
    try:
        with _without_logs():
            yield
    except CfbenchError:
        raise
    except (SQLAlchemyError, StorageInternalError, UnicodeError) as error:  # the last is of a host's name
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        reason = without_secrets((str(cause).splitlines() or [type(cause).__name__])[0], url)
        raise WriteError(f"the study's database {display_url(url)} fails: {reason}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, AssertionError) as error:
        reason = without_secrets(" ".join(f"{type(error).__name__}: {error}".split())[:200], url)
        raise RecordError(
            f"the study's database {display_url(url)} cannot be read ({reason}); restore a copy of it, or start "
            "another study with --study NAME"
        ) from error


@contextmanager
def _without_logs() -> Iterator[None]:
    """Silence Optuna: the records of the trials say what it would log."""
    before = optuna_logging.get_verbosity()
    optuna_logging.set_verbosity(optuna_logging.CRITICAL)
    try:
        yield
    finally:
        optuna_logging.set_verbosity(before)


def open_storage(url: str) -> RDBStorage:
    """Open a database; raises `UsageError` for a wrong URL, `WriteError` when the database cannot be opened."""
    address = parse_url(url)
    with storage_errors(url):
        try:
            with creation_lock(url), ignore_experimental_warnings():
                storage = RDBStorage(
                    address.render_as_string(hide_password=False), _engine_options(address),
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=STALE_SECONDS,
                    heartbeat_stale_trial_callback=queue_killed,
                )  # fmt: skip
                if storage.engine.dialect.name == "sqlite":
                    listen(storage.engine, "connect", _use_write_ahead_log)
                    storage.engine.dispose()  # the next connection runs the listener
                    storage.engine.connect().close()  # in the lock, since only one process can change the mode
        except (ImportError, NoSuchModuleError) as error:
            raise UsageError(
                f"--storage {display_url(url)}: no driver for this kind of database is installed; {EXPECTED}"
            ) from error
    return storage


@contextmanager
def creation_lock(url: str) -> Iterator[None]:
    """Let one process at a time create tables and studies in a database; raises `WriteError` after half a minute.

    Optuna does not: two processes that begin together end in an error or queue the start config twice. Databases other
    than SQLite and PostgreSQL get no lock.
    """
    address = parse_url(url)
    if address.get_backend_name() == "postgresql":
        with create_engine(address, poolclass=NullPool, **_engine_options(address)).begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{SECONDS_TO_CREATE}s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_KEY})"))
            yield
        return
    lock = FileLock(locks_folder(url) / "creation.lock") if address.get_backend_name() == "sqlite" else None
    if lock is not None and Path(lock.lock_file).parent.parent.is_dir():  # else the database itself fails
        try:
            lock.acquire(timeout=SECONDS_TO_CREATE)
        except Timeout:
            raise WriteError(
                f"another process has kept {display_url(url)} locked for {SECONDS_TO_CREATE} seconds; try again later"
            ) from None
        except (OSError, NotImplementedError):
            lock = None  # this file system has no locks; the constraints of the database remain
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


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
