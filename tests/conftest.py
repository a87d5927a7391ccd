"""Fixtures: a tiny data set with its card and archive, a terminal that runs commands, and MovieLens."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

# small tensors gain nothing from threads, and threads cost minutes on a busy machine
os.environ.setdefault("OMP_NUM_THREADS", "1")
# as in an activated environment: messages then advise commands as `cfbench`, without the path of the program
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # noqa: PTH120

import numpy as np
import pytest
from hypothesis import settings

from cfbench import cli
from cfbench.cli import console
from cfbench.data import card, store
from cfbench.data.progress import SilentListener
from cfbench.errors import FetchError
from cfbench.ratings import Ratings, Scale
from cfbench.runs import registry
from cfbench.testing import planted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

settings.register_profile("cfbench", deadline=None)  # a busy machine must not fail a test
settings.load_profile("cfbench")

CARD = """
name = "tiny"
title = "Tiny planted ratings"
homepage = "https://example.org/tiny"
citation = "nobody"
licence = "free"
terms = "Do what you like with tiny."
scale = {{ low = 1, high = 5, step = 0.5 }}
expected = {{ users = {users}, items = {items}, ratings = {ratings}, fingerprint = "{fingerprint}" }}

[[sources]]
kind = "https"
url = "https://127.0.0.1:9/tiny.zip"
bytes = {bytes}
checksum = "sha256:{sha256}"
ratings = {{ member = "tiny/ratings.csv", separator = ",", columns = {{ user = 0, item = 1, rating = 2, time = 3 }}, max_bytes = 1000000 }}
titles = {{ member = "tiny/items.csv", separator = "|", columns = {{ item = 0, title = 1, genres = 2 }}, genre_separator = ",", max_bytes = 1000000 }}

[[published]]
protocol = "random 90/10, mean of 5"
method = "Oracle"
rmse = 0.5
source = "the planted noise"

[[published]]
protocol = "another protocol"
method = "Stranger"
rmse = 0.1
source = "elsewhere"
"""  # noqa: E501 (TOML)


def tiny_table() -> Ratings:
    """Planted ratings in half stars with times. Users and items have codes in the order of their first appearance."""
    data = planted(seed=21, n_users=60, n_items=40, scale=Scale(low=1, high=5, step=0.5))
    users = np.concatenate([data.train.users, data.valid.users, data.test.users])
    items = np.concatenate([data.train.items, data.valid.items, data.test.items])
    ratings = np.concatenate([data.train.ratings, data.valid.ratings, data.test.ratings])
    users, items = _codes_by_first_appearance(users), _codes_by_first_appearance(items)
    times = 1_000_000_000 + np.arange(len(users), dtype=np.int64) * 3600
    return Ratings(users, items, ratings, users.max() + 1, items.max() + 1, data.train.scale, times)


def tiny_genre(item: int) -> str:
    """The genre of a film of tiny; the last one has none, and the first one both."""
    return {0: "Even,Odd", 38: ""}.get(item, ("Even", "Odd")[item % 2])


def _codes_by_first_appearance(codes):
    distinct, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    new_codes = np.empty(len(distinct), np.int32)
    new_codes[np.argsort(first)] = np.arange(len(distinct))
    return new_codes[inverse]


def _write_archive(archive: Path, user_id, item_id, genre) -> str:
    """Write the archive of tiny with these ids, which are functions of codes; return the text of its card."""
    table = tiny_table()
    rows = zip(table.users, table.items, table.ratings, table.times, strict=True)
    lines = (f"{user_id(u)},{item_id(i)},{r:g},{t}\n" for u, i, r, t in rows)
    titles = (f"{item_id(i)}|Film {i}, The|{genre(i)}\n" for i in range(table.n_items))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("tiny/ratings.csv", "".join(lines))
        file.writestr("tiny/items.csv", "".join(titles))
    return CARD.format(
        users=table.n_users, items=table.n_items, ratings=len(table), fingerprint=table.fingerprint,
        bytes=archive.stat().st_size, sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )  # fmt: skip


def write_tiny(folder: Path) -> Path:
    """Write `cards/tiny.toml` and `tiny.zip` into a folder, and return the path of the archive."""
    archive = folder / "tiny.zip"
    text = _write_archive(archive, "u{}".format, "i{}".format, tiny_genre)
    (folder / "cards").mkdir()
    (folder / "cards" / "tiny.toml").write_text(text, encoding="utf-8")
    return archive


@pytest.fixture(scope="session")
def tiny_files():
    """The function that writes the card and the archive of tiny into a folder."""
    return write_tiny


def write_tiny_as(folder: Path, names, first_user: int, first_item: int) -> None:
    """Write cards of these names for tiny, whose ids are numbers, and its archive among the downloads of `home`."""
    archive = folder / "home" / "downloads" / "tiny.zip"
    archive.parent.mkdir(parents=True)
    text = _write_archive(archive, lambda u: u + first_user, lambda i: i + first_item, lambda _: "Drama")
    (folder / "cards").mkdir()
    for name in names:
        (folder / "cards" / f"{name}.toml").write_text(text.replace('name = "tiny"', f'name = "{name}"'), "utf-8")


@pytest.fixture(scope="session")
def tiny_files_as():
    """The function that writes tiny into a folder under other names, with numbers as ids."""
    return write_tiny_as


@dataclass
class CommandResult:
    """The exit status of a command, and what it printed on standard output and standard error."""

    status: int
    out: str
    err: str


class Terminal:
    """Runs command lines in this process, in a fresh home with the tiny data set: `terminal("run bias")`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.archive = folder / "tiny.zip"

    def __call__(self, line: str) -> CommandResult:
        """Run a command line."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            cli.main(line.split())
        captured = self._capsys.readouterr()
        return CommandResult(exit_info.value.code, captured.out, captured.err)


@contextmanager
def _work_in(folder: Path) -> Iterator[None]:
    """Work in a folder, which becomes the home of the tiny data set."""
    write_tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "SHIPPED_FOLDER", folder / "cards")
        patch.setenv("CFBENCH_DATA", str(folder / "home"))
        patch.delenv("CFBENCH_RESULTS", raising=False)
        patch.chdir(folder)
        yield


@pytest.fixture(scope="session")
def working_in():
    """A context manager within which this process works in a folder, the home of the tiny data set."""
    return _work_in


@pytest.fixture
def empty_terminal(tmp_path, monkeypatch, capsys):
    """A terminal in an empty home. The only card is that of tiny, which is not downloaded yet."""
    write_tiny(tmp_path)
    monkeypatch.setattr(card, "SHIPPED_FOLDER", tmp_path / "cards")
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    monkeypatch.delenv("CFBENCH_RESULTS", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    for cached_console in (console.out, console.err):
        cached_console.cache_clear()
    return Terminal(tmp_path, capsys)


@pytest.fixture
def terminal(empty_terminal):
    """A terminal where tiny is downloaded and is the current data set."""
    assert empty_terminal("download tiny --from-file tiny.zip").status == 0
    return empty_terminal


@pytest.fixture
def start_cfbench():
    """A function that starts a command line in another process, with the cards of the folder `cards`."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom cfbench import cli\nfrom cfbench.data import card\n"
        "card.SHIPPED_FOLDER = Path('cards').absolute()\ncli.main(sys.argv[1:])"
    )

    def start(*arguments, python=sys.executable):
        command = [python, "-c", code, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture(scope="module")
def movielens(tmp_path_factory):
    """A function that returns a MovieLens data set by its name. It skips the test when no source can be reached."""

    def get(name):
        try:
            return store.prepare(card.load(name), listener=SilentListener())
        except FetchError as error:
            pytest.skip(f"no source can be reached: {error}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        yield get


@pytest.fixture(scope="module")
def ml_100k(movielens):
    """MovieLens 100K."""
    return movielens("ml-100k")


@pytest.fixture
def register(monkeypatch):
    """A function that adds a plugin under a name, until the end of the test."""

    def add(name, plugin):
        real_load, real_locate = registry.load, registry.locate
        monkeypatch.setattr(registry, "load", lambda other: plugin if other == name else real_load(other))
        place = registry.PluginLocation(name, "cfbench.plugins.bias")
        monkeypatch.setattr(registry, "locate", lambda other: place if other == name else real_locate(other))
        monkeypatch.setattr(registry, "names", lambda: [*registry.locations(), name])

    return add
