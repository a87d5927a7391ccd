"""The database of a study: a file in the results folder, or a server that several machines reach."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, make_url
from sqlalchemy.event import listen
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from cfbench.errors import UsageError, WriteError
from cfbench.files import make_folder
from cfbench.tuning.retry import ignore_experimental_warnings, queue_killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEARTBEAT_SECONDS = 60
"""The time between two heartbeats of a running trial."""

STALE_SECONDS = 24 * 3600
"""A trial without a heartbeat for this long counts as lost.

It is a day, since a library that holds Python's global lock during a whole fit stops the heartbeat too. cfbench notices
at once that a process of the same machine is gone.
"""


def study_url(results: Path, name: str) -> str:
    """The URL of a study's database in the results folder, which is created; raises `WriteError`."""
    folder = make_folder(results / ".studies", "--results or CFBENCH_RESULTS")
    return _sqlite_url(folder / f"{name}.db")


def study_urls(results: Path) -> list[str]:
    """The URLs of all study databases in the results folder."""
    return [_sqlite_url(file) for file in sorted((results / ".studies").glob("*.db"))]


def _sqlite_url(file: Path) -> str:
    """The URL of a database file; it escapes `?`, `#` and `%` in the path, which have a meaning in a URL."""
    return URL.create("sqlite", database=str(file.absolute())).render_as_string()


def display_url(url: str) -> str:
    """The URL as messages show it: the path of a file, or the address of a server without the password."""
    with suppress(SQLAlchemyError):
        address = make_url(url)
        if address.drivername == "sqlite" and address.database:
            return address.database
        return address.render_as_string(hide_password=True)
    return url


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn an error of the database into a `WriteError`, whose message does not contain the password."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        raise WriteError(f"the study's database {display_url(url)} fails: {str(cause).splitlines()[0]}") from error


def open_storage(url: str) -> RDBStorage:
    """Open a database; raises `UsageError` for a wrong URL, `WriteError` when the database cannot be opened."""
    address = parse_url(url).render_as_string(hide_password=False)
    with storage_errors(url):
        try:
            with ignore_experimental_warnings():
                storage = RDBStorage(
                    address, {"pool_pre_ping": True}, heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=STALE_SECONDS, heartbeat_stale_trial_callback=queue_killed,
                )  # fmt: skip
        except (ImportError, NoSuchModuleError) as error:
            raise UsageError(
                f"--storage {display_url(url)}: no driver for this kind of database is installed; "
                "expected a URL such as postgresql://me@host/studies"
            ) from error
        if storage.engine.dialect.name == "sqlite":
            listen(storage.engine, "connect", _use_write_ahead_log)
            storage.engine.dispose()  # the next connection runs the listener
    return storage


def _use_write_ahead_log(connection: Any, _: Any) -> None:
    """Let readers not wait for writers, nor writers for the disk; this is three times as fast.

    A killed process loses nothing. A power failure may lose the last trials.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def parse_url(url: str) -> URL:
    """Parse a database URL, and choose the driver psycopg for PostgreSQL; raises `UsageError`."""
    try:
        address = make_url(url)
    except SQLAlchemyError:
        raise UsageError(f"--storage {url}: expected a URL such as postgresql://me@host/studies") from None
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername == "postgresql+psycopg" and importlib.util.find_spec("psycopg") is None:
        raise UsageError(
            "--storage: PostgreSQL needs psycopg, which is not installed; pip install 'cfbench-recsys[postgres]'"
        )
    return address
