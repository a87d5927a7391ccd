"""STORAGE: the database of a study, a file in the results folder or a server that several machines reach."""

from __future__ import annotations

import importlib.util
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import URL, make_url
from sqlalchemy.event import listen
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from cfbench.errors import UsageError, WriteError
from cfbench.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optuna import Study

HEARTBEAT, GRACE = 60, 24 * 3600
"""Seconds. A day, since a library that keeps Python's lock for a whole fit keeps the heart from beating too; that a
process of the same machine is gone is seen at once."""


def in_folder(results: Path, name: str) -> str:
    """The storage of a study kept in the results folder; raises `WriteError`."""
    folder = make_folder(results / ".studies", "--results or CFBENCH_RESULTS")
    return _of_file(folder / f"{name}.db")


def in_results(results: Path) -> list[str]:
    """The storages in a results folder."""
    return [_of_file(file) for file in sorted((results / ".studies").glob("*.db"))]


def _of_file(file: Path) -> str:
    """The address of a database in a file, whatever the file is called: `?`, `#` and `%` mean something in one."""
    return URL.create("sqlite", database=str(file.absolute())).render_as_string()


@contextmanager
def faults(url: str) -> Iterator[None]:
    """Turn a fault of the database into a `WriteError`, without the password."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as fault:
        cause = getattr(fault, "orig", None) or getattr(fault.__cause__, "orig", None) or fault
        raise WriteError(f"the study's storage {shown(url)} fails: {str(cause).splitlines()[0]}") from fault


def shown(url: str) -> str:
    """A storage's address for people: a file's path, or a server's without the password."""
    with suppress(SQLAlchemyError):
        address = make_url(url)
        if address.drivername == "sqlite" and address.database:
            return address.database
        return address.render_as_string(hide_password=True)
    return url


def open_storage(url: str) -> RDBStorage:
    """A database by its address; raises `UsageError`, and `WriteError` when it cannot be opened."""
    address = _address(url).render_as_string(hide_password=False)

    def connect() -> RDBStorage:
        return RDBStorage(
            address, {"pool_pre_ping": True}, heartbeat_interval=HEARTBEAT, grace_period=GRACE,
            heartbeat_stale_trial_callback=retry_killed,
        )  # fmt: skip

    with faults(url):
        try:
            opened: RDBStorage = quietly(connect)
        except (ImportError, NoSuchModuleError) as fault:
            raise UsageError(f"--storage {shown(url)}: no driver for such a database is installed here") from fault
        if opened.engine.dialect.name == "sqlite":
            listen(opened.engine, "connect", _in_wal)
            opened.engine.dispose()
    return opened


def retry_killed(study: Study, trial: FrozenTrial) -> None:
    """Queue the trial of a killed process once more; twice killed is given up."""
    kills = trial.user_attrs.get("kills", 0) + 1
    if kills < 2:
        retry(study, trial, kills)


def retry(study: Study, trial: FrozenTrial, kills: int | None = None) -> None:
    """Queue a trial's values once more. Its `retry_history` names the trials that it takes the place of.

    Nothing else is kept of it but whether it is the start and how often it was killed: with its worker it would look
    lost as soon as it is under way again.
    """
    kept = {key: value for key, value in trial.user_attrs.items() if key in ("start", "kills")}
    past = [*trial.system_attrs.get("retry_history", ()), trial.number]
    again = create_trial(
        state=TrialState.WAITING, params=trial.params, distributions=trial.distributions,
        user_attrs=kept if kills is None else kept | {"kills": kills},
        system_attrs=trial.system_attrs | {"failed_trial": past[0], "retry_history": past},
    )  # fmt: skip
    study.add_trial(again)


def _in_wal(connection: Any, _: Any) -> None:
    """Let readers not wait for writers, and no writer for the disk: three times as fast.

    A killed process loses nothing by it; of a power failure the last trials may not survive.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _address(url: str) -> URL:
    """A plain PostgreSQL address is psycopg's; raises `UsageError`."""
    try:
        address = make_url(url)
    except SQLAlchemyError:
        raise UsageError(f"--storage {url}: expected an address, such as postgresql://me@host/studies") from None
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername == "postgresql+psycopg" and importlib.util.find_spec("psycopg") is None:
        raise UsageError(
            "--storage: PostgreSQL needs psycopg, not installed here; pip install 'cfbench-recsys[postgres]'"
        )
    return address


def quietly(make: Any) -> Any:
    """Optuna calls its heartbeats experimental, at every use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make()
