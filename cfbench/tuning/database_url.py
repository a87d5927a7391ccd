"""The URL of a study's database. It may hold a password, which no message and no file shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from cfbench.errors import UsageError, WriteError
from cfbench.files import make_folder
from cfbench.libraries import require

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = "expected a URL such as postgresql://me@host/studies"
HIDDEN = "***"


def study_url(results: Path, name: str) -> str:
    """The URL of a study's database in the results folder, which is created; raises `WriteError`."""
    folder = make_folder(results / ".studies", "--results or CFBENCH_RESULTS")
    return _sqlite_url(folder / f"{name}.db")


def study_urls(results: Path) -> list[str]:
    """The URLs of all study databases in the results folder."""
    return [_sqlite_url(file) for file in sorted((results / ".studies").glob("*.db"))]


def _sqlite_url(file: Path) -> str:
    """The URL of a database file; it escapes `?`, `#` and `%` in the path, which have a meaning in a URL."""
    path = str(file.absolute())
    try:
        return URL.create("sqlite", database=path).render_as_string()
    except UnicodeEncodeError as error:
        raise WriteError(
            f"the database of a study cannot be at {path!r}, which is not UTF-8; choose another folder with --results"
        ) from error


def parse_url(url: str) -> URL:
    """Parse a database URL, and choose the driver psycopg for PostgreSQL; raises `UsageError`."""
    address = _read_url(url)
    if address is None:
        raise UsageError(f"--storage {display_url(url)}: {EXPECTED}")
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise UsageError(f"--storage {display_url(url)} names no file; expected a URL such as sqlite:////me/studies.db")
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername == "postgresql+psycopg":
        require("psycopg", "--storage: PostgreSQL", "cfbench-recsys[postgres]")
    return address


def _read_url(url: str) -> URL | None:
    """The parts of a URL; None if it cannot be read, or if a part of the password is in another part."""
    try:
        address = make_url(url)
    except (SQLAlchemyError, ValueError):
        return None
    misplaced = "@" in f"{address.host or ''}{'' if address.drivername == 'sqlite' else address.database or ''}"
    return None if misplaced else address


def display_url(url: str) -> str:
    """The URL as messages show it: the path of a file, or the address of a server without its secrets."""
    address = _read_url(url)
    if address is None:
        is_harmless = not set(url) & set("@:?=&")
        return url if is_harmless else "(not shown, since it may hold a password)"
    if address.drivername == "sqlite" and address.database:
        return address.database
    return address.set(query={}).render_as_string(hide_password=True)


def typed_url(url: str) -> str:
    """The URL for a command that a message shows: without its password, which PGPASSWORD or a file can give."""
    address = _read_url(url)
    if address is None or not _secrets(url):
        return url
    query = {key: value for key, value in address.query.items() if "password" not in key}
    bare = URL.create(address.drivername, address.username, None, address.host, address.port, address.database, query)
    return bare.render_as_string()


def without_secrets(text: str, url: str) -> str:
    """The text of an error of the database at `url`, with `***` for each secret of the URL."""
    for secret in _secrets(url):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(url: str) -> list[str]:
    """The passwords in a URL; PostgreSQL takes them from its query too."""
    address = _read_url(url)
    if address is None:
        return []
    values = [str(address.password or ""), *(str(value) for key, value in address.query.items() if "password" in key)]
    return [value for value in values if value]
