"""The database of a study: its URL, and errors in one line without the password."""

import importlib.util
import json
from pathlib import Path

import optuna
import pytest

from cfbench.errors import UsageError, WriteError
from cfbench.tuning.database import display_url, open_storage, parse_url

POSTGRESQL = "postgresql://me:secret@127.0.0.1:9/studies"  # nothing listens there


def test_a_postgresql_url_uses_psycopg():
    assert parse_url(POSTGRESQL).drivername == "postgresql+psycopg"


def test_an_error_of_a_server_does_not_show_the_password():
    message = r"the study's database postgresql://me:\*\*\*@127.0.0.1:9/studies fails: "
    with pytest.raises(WriteError, match=message) as error:
        open_storage(POSTGRESQL)
    assert "secret" not in str(error.value)


def test_postgresql_without_psycopg_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"needs psycopg, which is not installed; pip install 'cfbench-recsys"):
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
