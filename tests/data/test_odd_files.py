"""Odd files, names and cards: each command reads them or says in one line why not, with exit status 1 or 2."""

import gzip
import os
import shutil

import numpy as np
import pytest

from cfbench.data import card
from cfbench.errors import CardError, WriteError
from cfbench.files import data_home, write_errors

ROWS = [("user", "item", "rating"), *((f"u{k}", f"i{k % 7}", 1 + k % 5) for k in range(40))]
LINES = [",".join(map(str, row)) for row in ROWS]
TOO_LONG = "x" * 300


def refused(terminal, line, message):
    """Whether a command fails with one error line that has the message."""
    answer = terminal(line)
    errors = [text for text in answer.err.splitlines() if text.startswith("error: ")]
    assert answer.status in (1, 2), answer
    assert "Traceback" not in answer.err
    assert len(errors) == 1, answer.err
    assert message in errors[0]
    return True


@pytest.mark.parametrize(
    "content",
    ["\r".join(LINES), "\r".join(LINES[:9]) + "\r\n" + "\r\n".join(LINES[9:]), "\r".join(f'"{x}"' for x in LINES)],
    ids=["plain", "mixed", "quoted"],
)
@pytest.mark.parametrize("option", ["", "--wide", "--no-header", "--test r.csv", "--titles old.csv"])
def test_lines_that_end_in_a_carriage_return_are_refused_with_a_command(terminal, content, option):
    file = "r.csv" if "old" in option else "old.csv"
    for name, text in (("r.csv", "\n".join(LINES)), ("old.csv", content)):
        (terminal.folder / name).write_bytes(text.encode() + b"\n")
    assert refused(terminal, f"import {file} --name mine {option}", "old.csv has lines that end in a carriage return")


@pytest.mark.parametrize("name", ["old.csv", "old&new$.csv"])
def test_the_command_that_converts_such_lines_works(terminal, name):
    (terminal.folder / name).write_bytes("\r".join(LINES).encode())
    command = terminal(f"import {name} --name mine").err.split("`")[1]
    assert os.system(command) == 0
    assert terminal("import new.csv --name mine").status == 0


def test_such_lines_in_a_packed_file_are_refused(terminal):
    (terminal.folder / "old.csv.gz").write_bytes(gzip.compress("\r".join(LINES).encode()))
    assert refused(terminal, "import old.csv.gz --name mine", "unpack it and then convert it")


@pytest.mark.parametrize("width", [300_000, 1_500_000, 3_500_000])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_first_line_of_any_length_is_read_and_shown_short(terminal, width, quote):
    lines = [f"{LINES[0]},{quote}{'x' * width}{quote}", *(f"{line},1" for line in LINES[1:])]
    (terminal.folder / "r.csv").write_text("\n".join(lines))
    answer = terminal("import r.csv --name mine")
    assert answer.status == 0
    assert "mine: 40 users, 7 items, 40 ratings" in answer.err
    assert len(answer.err) < 1000


def test_a_file_that_is_one_long_line_is_refused(terminal):
    (terminal.folder / "r.csv").write_bytes(b"a," * 300_000)
    assert refused(terminal, "import r.csv --name mine", "r.csv")


@pytest.fixture
def odd_names(terminal):
    """A folder with a symbolic link to itself."""
    (terminal.folder / "loop").symlink_to("loop")
    (terminal.folder / "r.csv").write_text("\n".join(LINES))
    return terminal


@pytest.mark.parametrize(
    "line",
    [
        "import {} --name mine", "import r.csv --name mine --test {}", "import r.csv --name mine --titles {}",
        "download tiny --again --from-file {}", "export ratings --out {}/r.csv", "import-predictions run {}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["loop", TOO_LONG, "loop/r.csv", "."])
def test_a_path_that_leads_nowhere_is_one_line(odd_names, line, name):
    if name == ".":
        line = line.replace("{}/r.csv", "{}")
    assert refused(odd_names, line.format(name), "")


@pytest.mark.parametrize("line", ["datasets", "datasets tiny", "import r.csv --name mine", "download tiny", "doctor"])
def test_a_data_folder_with_too_long_a_name_is_one_line(odd_names, line, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", TOO_LONG)
    assert refused(odd_names, line, "a name in that path is too long; choose another folder with CFBENCH_DATA")


def test_a_data_folder_that_is_a_link_to_itself_is_one_line(odd_names, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", "loop")
    assert refused(odd_names, "import r.csv --name mine", "symbolic links in that path lead to each other")


def test_too_long_a_name_of_a_data_set_is_refused(odd_names):
    assert refused(odd_names, f"import r.csv --name {TOO_LONG}", "expected at most 100 lower-case letters")


@pytest.fixture
def in_odd_folder(terminal, monkeypatch):
    """A terminal in a folder whose name is no UTF-8."""
    folder = terminal.folder / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system has UTF-8 names only")
    (folder / "r.csv").write_text("\n".join(LINES))
    monkeypatch.chdir(folder)
    return terminal


def test_a_file_in_a_folder_whose_name_is_no_utf8_is_imported(in_odd_folder):
    assert in_odd_folder("import r.csv --name mine").status == 0
    assert card.load("mine").origin.endswith("caf\\xe9/r.csv")
    assert in_odd_folder("import r.csv --name mine --force").status == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_to_a_folder_whose_name_is_no_utf8_is_one_line(in_odd_folder, ending):
    assert refused(in_odd_folder, f"export ratings --out x.{ending}", "caf\\xe9/x." + ending)


def test_other_errors_name_a_path_that_is_no_utf8(in_odd_folder, tmp_path):
    with pytest.raises(WriteError, match="its name is not UTF-8; choose another folder with X"), write_errors(
        tmp_path / os.fsdecode(b"\xff"), "X"
    ):  # fmt: skip
        raise TypeError("Object does not have a .write() method")


# --- cards ---


@pytest.fixture
def broken_card(terminal):
    """The card of an imported data set, to be broken."""
    (terminal.folder / "r.csv").write_text("\n".join(LINES))
    assert terminal("import r.csv --name mine").status == 0
    return data_home() / "cards" / "mine.toml"


def become_a_folder(path):
    path.unlink()
    path.mkdir()


def become_a_link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


def become_bytes(path):
    path.write_bytes(b'name = "\xff\xfe"\0')


def become_deep(path):
    path.write_text("a = " + "[" * 5000 + "]" * 5000)


@pytest.mark.parametrize("damage", [become_a_folder, become_a_link_to_itself, become_bytes, become_deep])
def test_a_broken_card_is_one_line_and_leaves_other_data_sets(terminal, broken_card, damage):
    damage(broken_card)
    for line in ("datasets mine", "download mine", "run bias --dataset mine", "compare --dataset mine",
                 "import r.csv --name mine --force", "export ratings --dataset mine --out x.csv"):  # fmt: skip
        assert refused(terminal, line, str(broken_card))
    for line in ("datasets", "datasets --json", "doctor"):
        answer = terminal(line)
        assert (answer.status, "tiny" in answer.out) == (0, True)
        assert f"not listed: {'cannot read ' if 'cannot' in answer.err else ''}{broken_card}" in answer.err


def test_a_mutated_card_is_read_or_refused_in_one_line(tmp_path):
    path, shipped = tmp_path / "ml-100k.toml", card.SHIPPED_FOLDER / "ml-100k.toml"
    original, rng, n_read, n_refused = shipped.read_bytes(), np.random.default_rng(1), 0, 0
    for number in range(400):
        content = bytearray(original)
        for at in rng.integers(0, len(content), 1 + number % 3):
            content[at] = rng.integers(32, 127) if number % 10 else rng.integers(0, 256)
        start, end = sorted(rng.integers(0, len(content), 2))
        if number % 7 == 0:
            del content[start : min(end, start + 40)]
        path.write_bytes(content)
        try:
            card.read(path)
            n_read += 1
        except CardError as error:
            n_refused += len(str(error).splitlines()) == 1
    assert n_read + n_refused == 400
    assert min(n_read, n_refused) > 20


@pytest.mark.parametrize(
    "name", ["current", "terms/tiny", "datasets/tiny.lock", "downloads", "datasets/tiny/dataset.json"]
)
def test_a_folder_in_the_place_of_a_file_is_used_around_or_one_line(terminal, name):
    path = data_home() / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    for line in ("datasets", "run bias --dataset tiny", "download tiny --again --from-file tiny.zip"):
        answer = terminal(line)
        assert answer.status in (0, 1)
        assert "Traceback" not in answer.err
