"""`cfbench datasets rm`: the bytes of a data set are shown, and all of them are removed, or nothing is."""

import json
import shutil

import pytest

from cfbench.data import card, disk_use, store
from cfbench.errors import WriteError
from cfbench.files import data_home


def bytes_of(*names):
    """The bytes of all files below these folders of the data folder."""
    paths = [path for name in names for path in [data_home() / name, *(data_home() / name).rglob("*")]]
    return sum(path.stat().st_size for path in paths if path.is_file())


def files_of(name):
    """The files of a data set in the data folder, without empty ones such as locks."""
    paths = (path for path in data_home().rglob("*") if path.is_file() and path.stat().st_size)
    return [str(path) for path in paths if name in str(path.relative_to(data_home()))]


@pytest.fixture
def downloaded(terminal):
    """A terminal with a split, a run, and the download of tiny; and with an own data set."""
    (data_home() / "downloads").mkdir()
    shutil.copy(terminal.archive, data_home() / "downloads" / "tiny.zip")
    (data_home() / "downloads" / "tiny.zip.part").write_bytes(b"123")
    assert terminal("run bias").status == 0
    (terminal.folder / "a.csv").write_text("u,i,1\nv,j,2\n")
    assert terminal("import a.csv --name mine").status == 0
    return terminal


PARTS = ("datasets/tiny", "splits/tiny", "downloads")


def test_the_list_and_the_page_show_the_bytes_on_this_disk(downloaded):
    rows = {row["name"]: row["bytes"] for row in json.loads(downloaded("datasets --json").out)}
    assert rows == {"tiny": bytes_of(*PARTS), "mine": bytes_of("datasets/mine", "cards")}
    assert "kB" in downloaded("datasets").out
    assert "kB in" in downloaded("datasets").err
    assert "on this disk: ratings " in downloaded("datasets tiny").out
    page = json.loads(downloaded("datasets tiny --json").out)["bytes"]
    assert page == dict(zip(("ratings", "splits", "downloads"), map(bytes_of, PARTS), strict=True))


def test_without_a_terminal_to_ask_on_nothing_is_removed(downloaded):
    before = files_of("tiny")
    answer = downloaded("datasets rm tiny")
    assert answer.status == 2
    assert "kB: ratings " in answer.err
    assert "needs --yes" in answer.err
    assert files_of("tiny") == before
    assert store.is_ready(card.load("tiny"))


def test_everything_of_a_data_set_is_removed_and_nothing_else(downloaded):
    others = files_of("mine")
    answer = downloaded("datasets rm tiny --yes")
    assert answer.status == 0
    assert "`cfbench download tiny` gets it again" in answer.err.replace(str(downloaded.folder), "")
    assert files_of("tiny") == []
    assert list(data_home().rglob(".*")) == []
    assert files_of("mine") == others
    assert store.current() == "mine"
    assert "bias" in downloaded("runs").out
    assert downloaded("datasets rm tiny --yes").err == "tiny keeps nothing on this disk\n"
    assert downloaded("download tiny --from-file tiny.zip").status == 0


def test_the_card_of_an_own_data_set_is_removed_too(downloaded):
    answer = downloaded("datasets rm mine --yes")
    assert (answer.status, files_of("mine"), store.current()) == (0, [], None)
    assert "it was the current data set" in answer.err
    assert "mine" not in card.names()
    assert downloaded("import a.csv --name mine").status == 0


def test_a_removal_that_stopped_is_repeated(downloaded, monkeypatch):
    real_remove, calls = disk_use.remove_folder, []

    def remove(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise WriteError("the disk is gone")
        real_remove(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(disk_use, "remove_folder", remove)
        assert downloaded("datasets rm mine --yes").status == 1
    assert "not available" in downloaded("datasets mine").out
    assert downloaded("datasets rm mine --yes").status == 0
    assert files_of("mine") == []


@pytest.mark.parametrize("damage", ["a broken card", "no card"])
def test_a_data_set_without_a_card_that_can_be_read_is_listed_and_removed(downloaded, damage):
    path = data_home() / "cards" / "mine.toml"
    path.write_text("[")
    if damage == "no card":
        path.unlink()
    assert ", also of mine; `" in downloaded("datasets").err
    assert downloaded("datasets rm mine --yes").status == 0
    assert files_of("mine") == []


@pytest.mark.parametrize(
    ("line", "message"), [("nosuch --yes", "no data set 'nosuch'"), ("", "Missing argument 'NAME'")]
)
def test_a_wrong_name_is_one_line(downloaded, line, message):
    answer = downloaded(f"datasets rm {line}")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert message in answer.err
