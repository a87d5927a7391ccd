"""The database of a study: its URL, and errors in one line without the password."""

import gc
import importlib.util
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from cfbench.errors import UsageError, WriteError
from cfbench.tuning.database import open_storage, storage_errors
from cfbench.tuning.database_url import display_url, parse_url, study_url, typed_url

POSTGRESQL = "postgresql://me:secret@127.0.0.1:9/studies"  # nothing listens there


def test_a_postgresql_url_uses_psycopg():
    assert parse_url(POSTGRESQL).drivername == "postgresql+psycopg"


def test_an_error_of_a_server_does_not_show_the_password():
    message = r"the study's database postgresql://me:\*\*\*@127.0.0.1:9/studies fails: "
    with pytest.raises(WriteError, match=message) as error:
        open_storage(POSTGRESQL)
    assert "secret" not in str(error.value)


SECRET_URLS = [
    "postgresql://me:hunter2@127.0.0.1:9/studies",
    "postgresql://me:hunter2@host:port/studies",
    "postgresql:/me:hunter2@host/studies",
    "postgres//me:hunter2@host",
    "postgresql://me:1@hunter2@host/studies",
    "postgresql://me/hunter2@host/studies",
    "postgresql://127.0.0.1:9/studies?user=me&password=hunter2",
    "postgresql://127.0.0.1:9/studies?sslpassword=hunter2&nonsense=1",
    "postgresql://me:hunter2@a..b/studies",
    "postgresql://me:hunter2@127.0.0.1:99999/studies",
    "mysql://me:hunter2@host/studies",
    "nonsense://me:hunter2@host/studies",
    "sqlite://me:hunter2@host/studies",
    "me:hunter2@host",
]


@pytest.mark.parametrize("command", ["studies", "studies rm mine --yes", "tune bowl --trials 1"])
def test_a_database_that_cannot_be_opened_is_an_error_of_one_line_without_the_password(bowl, command):
    for url in SECRET_URLS:
        answer = bowl(f"{command} --storage {url}")
        assert answer.status in {1, 2}, url
        assert answer.err.startswith("error: ")
        assert answer.err.count("\n") == 1
        assert "hunter2" not in answer.out + answer.err


def test_an_error_of_a_driver_that_repeats_the_password_is_shown_without_it():
    with pytest.raises(WriteError) as error, storage_errors("postgresql://me:hunter2@host/studies"):
        raise optuna.exceptions.StorageInternalError("cannot log in as me with hunter2")
    assert (
        str(error.value) == "the study's database postgresql://me:***@host/studies fails: cannot log in as me with ***"
    )


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_that_is_in_memory_only_is_refused(bowl, url):
    answer = bowl(f"studies --storage {url}")
    assert answer.status == 2
    assert "names no file; expected a URL such as sqlite:////me/studies.db" in answer.err


def test_a_command_that_a_message_shows_has_no_password_and_is_unchanged_otherwise():
    assert typed_url("postgresql://me:hunter2@host/db?password=hunter2&a=b") == "postgresql://me@host/db?a=b"
    assert typed_url("postgresql://me@host/db?a=b") == "postgresql://me@host/db?a=b"
    assert typed_url("sqlite:////tmp/x.db") == "sqlite:////tmp/x.db"


def test_postgresql_without_psycopg_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"psycopg, which is not installed; install it with: pip install 'cfbench-rec"):
        open_storage(POSTGRESQL)


def test_a_damaged_database_is_an_error_of_one_line(bowl, study_file):
    Path(display_url(study_file().url)).write_bytes(b"this is not a database, but it is long enough to look at" * 100)
    answer = bowl("tune bowl --trials 1")
    assert answer.status == 1
    assert "bowl-tiny-random90.db fails: file is not a database" in answer.err
    assert answer.err.count("\n") == 1


def test_an_error_of_the_database_between_two_trials_is_reported(bowl, monkeypatch):
    def fail(*_):
        raise optuna.exceptions.StorageInternalError("the disk is gone")

    bowl("tune bowl --trials 2")
    monkeypatch.setattr(optuna.Study, "ask", fail)
    answer = bowl("tune bowl --trials 3")
    assert answer.status == 1
    assert "fails: the disk is gone" in answer.err


@pytest.mark.parametrize("folder", ["what?x", "a%3Fb", "a#b", "{x}"])
def test_the_results_folder_may_have_any_name(bowl, tune, folder):
    result = tune(f"bowl --trials 1 --results {folder}")
    file = Path(folder, ".studies", "bowl-tiny-random90.db")
    assert file.read_bytes().startswith(b"SQLite format 3")
    assert result["storage"] == str(file.absolute())
    assert [path.name for path in Path.cwd().iterdir() if path.is_file()] == ["tiny.zip"]
    rows = json.loads(bowl(f"studies --results {folder} --json").out)
    assert [row["study"] for row in rows] == ["bowl-tiny-random90"]


def test_a_database_in_a_folder_that_is_not_utf8_is_a_one_line_error(tmp_path):
    with pytest.raises(WriteError, match=r"cannot be at '.*\\udcff/\.studies/x\.db', which is not UTF-8"):
        study_url(tmp_path / "\udcff", "x")


DAMAGES = [
    "UPDATE study_directions SET direction = 1",
    "UPDATE study_user_attributes SET value_json = '{}'",
    "UPDATE trials SET datetime_start = 'a/b'",
]


@pytest.mark.slow
def test_a_damaged_study_is_one_line(terminal):
    assert terminal("tune bias --trials 1").status == 0
    gc.collect()  # Optuna's connections would write later
    (file,) = Path("results/.studies").glob("*.db")
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    intact = file.read_bytes()
    for damage in DAMAGES:
        with closing(sqlite3.connect(file)) as database:
            database.execute(damage)
            database.commit()
        result = terminal("studies")
        assert (damage, result.status, result.out) == (damage, 0, "")
        assert re.fullmatch(r"not listed \(.* kB\): the study's database \S+ cannot be read .*\n", result.err)
        result = terminal("tune bias --trials 1")
        assert result.status in {1, 2}
        assert result.err.splitlines()[-1].startswith("error: ")
        gc.collect()
        file.write_bytes(intact)
