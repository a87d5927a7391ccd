"""The parts of a person's own files become a split that equals them exactly."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfbench.data import card, importing, store
from cfbench.data.exporting import Export, write_export
from cfbench.data.parts import PART_NAMES, TEST, TRAIN, VALID
from cfbench.data.progress import SilentListener
from cfbench.data.readers.table import LayoutOptions
from cfbench.ratings import Scale
from cfbench.runs.sweep import Sweep, SweepPlugin, plan_runs

HEADER = "user,item,rating\n"
TRAIN_ROWS = "a,x,1\nb,y,5\na,y,3\nb,x,2\n"
TEST_ROWS = "c,x,4\na,z,5\n"


def parts_of(name="mine"):
    """For each part of the split `own`, its ratings under their own ids, in the order of the data set."""
    dataset = store.open_dataset(card.load(name))
    table, split = dataset.ratings, dataset.split("own")
    users, items = dataset.catalogue.users["id"], dataset.catalogue.items["id"]
    rows = [
        (users[int(u)], items[int(i)], float(r))
        for u, i, r in zip(table.users, table.items, table.ratings, strict=True)
    ]
    return [
        [row for row, part in zip(rows, split.parts, strict=True) if part == wanted] for wanted in (TRAIN, VALID, TEST)
    ]


def parse(rows):
    return [(u, i, float(r)) for u, i, r in (line.split(",") for line in rows.splitlines())]


@pytest.fixture
def importing_files(empty_terminal):
    """Write train.csv, test.csv and more, and import them; returns the result of the command."""

    def run(options="--test test.csv", **files):
        contents = {"train": HEADER + TRAIN_ROWS, "test": HEADER + TEST_ROWS} | files
        for name, content in contents.items():
            (empty_terminal.folder / f"{name}.csv").write_text(content)
        return empty_terminal(f"import train.csv --name mine {options}")

    return run


def test_files_become_the_split_own(importing_files):
    answer = importing_files("--test test.csv --valid valid.csv", valid=HEADER + "b,z,4\n")
    fingerprint = store.open_dataset(card.load("mine")).split("own").fingerprint
    message = f"split own: 4 train, 1 validation, 2 test ratings (2 cold), fingerprint {fingerprint[:12]}"
    assert message in answer.err
    assert parts_of() == [parse(TRAIN_ROWS), [("b", "z", 4.0)], parse(TEST_ROWS)]


def test_a_column_becomes_the_split_own(importing_files):
    train = "who,what,stars,set\na,x,1,train\nc,x,4,test\nb,y,5, Train\nb,z,2,valid\na,y,3,train\n"
    columns = "--user who --item what --rating stars --part-column set"
    assert importing_files(columns, train=train).status == 0
    assert parts_of() == [
        [("a", "x", 1.0), ("b", "y", 5.0), ("a", "y", 3.0)], [("b", "z", 2.0)], [("c", "x", 4.0)]
    ]  # fmt: skip


def test_the_own_split_is_the_default_of_its_data_set(importing_files, empty_terminal):
    importing_files()
    assert "split own (4 train, 0 validation, 2 test ratings, 2 of them cold)" in empty_terminal("run bias").err
    assert "split own" in empty_terminal("compare").out
    assert "split random80 " in empty_terminal("run mean --split random80").err
    assert "test: the ratings that you imported as the test part" in empty_terminal("datasets mine").out
    assert "own is not drawn at random, so it has no seed" in empty_terminal("run bias --split own@7").err


def test_the_own_split_has_one_fingerprint(importing_files):
    importing_files()
    first = store.open_dataset(card.load("mine")).split("own").fingerprint
    importing_files("--test test.csv --force")
    assert store.open_dataset(card.load("mine")).split("own").fingerprint == first
    importing_files("--test test.csv --force", test=HEADER + TEST_ROWS.replace("4", "3"))
    assert store.open_dataset(card.load("mine")).split("own").fingerprint != first


PUBLISHED = """
[[published]]
protocol = "as in Smith 2020"
method = "Smith"
rmse = 0.9
source = "Smith, 2020"
"""


def test_what_a_person_wrote_into_the_card_stays_with_force(importing_files, empty_terminal):
    importing_files()
    path = empty_terminal.folder / "home" / "cards" / "mine.toml"
    text = path.read_text().replace('protocol = ""', 'protocol = "as in Smith 2020"')
    path.write_text(text.replace('title = "mine"', 'title = "Smith\'s ratings"') + PUBLISHED)
    empty_terminal("run bias")
    importing_files("--test test.csv --force", test=HEADER + TEST_ROWS + "b,z,3\n")
    again = card.load("mine")
    assert again.title == "Smith's ratings"
    assert again.splits["own"].protocol == "as in Smith 2020"
    assert again.splits["own"].test == 3
    assert "Smith, 2020" in empty_terminal("compare").out
    assert "mine no longer has the split own" in importing_files("--force").err
    assert card.load("mine").default_split == "random90"


def test_a_mistake_in_an_edited_card_is_one_line_and_leaves_other_data_sets(importing_files, empty_terminal):
    importing_files()
    path = empty_terminal.folder / "home" / "cards" / "mine.toml"
    path.write_text(path.read_text().replace("protocol = ", "protocl = "))
    listing = empty_terminal("datasets")
    assert (listing.status, "tiny" in listing.out, listing.err.count("\n")) == (0, True, 2)  # and the size of all
    assert f"not listed: {path}: " in listing.err
    answer = importing_files("--test test.csv --force")
    assert answer.err.startswith(f"error: {path}: ")
    assert answer.err.endswith("Extra inputs are not permitted\n")


def test_a_sweep_without_splits_takes_the_own_split(importing_files, empty_terminal):
    importing_files()
    empty_terminal("download tiny --from-file tiny.zip")
    sweep = Sweep(datasets=["mine", "tiny"], plugins=[SweepPlugin(name="bias")])
    assert [(run.dataset, run.split) for run in plan_runs(sweep)] == [("mine", "own"), ("tiny", "random90")]


def test_a_pair_in_one_file_may_be_repeated_by_choice(importing_files):
    train = HEADER + TRAIN_ROWS + "a,x,5\n"
    assert "train.csv: 1 rows rate a pair that an earlier row rates" in importing_files(train=train).err
    importing_files("--test test.csv --duplicates last", train=train)
    assert parts_of() == [[*parse(TRAIN_ROWS)[1:], ("a", "x", 5.0)], [], parse(TEST_ROWS)]


@pytest.mark.parametrize(
    ("options", "files", "message"),
    [
        ("--test test.csv", {"test": HEADER + TEST_ROWS + "b,y,4\n"},
         "test.csv, line 4: user 'b' with item 'y' is in the test part, and on train.csv, line 3 in the train part"),
        ("--test test.csv", {"test": HEADER + TEST_ROWS + "b,y,9\n"},
         "test.csv, line 4: user 'b' with item 'y' is in the test part"),
        ("--test test.csv", {"test": HEADER + "c,x,8\n"},
         "test.csv, line 2: rating 8 is off the scale 1–5 by 1 of train.csv; if all files have one scale, give it"),
        ("--test test.csv", {"test": HEADER + "c,x,4.5\n"}, "test.csv, line 2: rating 4.5 is off the scale 1–5 by 1"),
        ("--test test.csv --scale 1:5:1", {"test": HEADER + "c,x,8\n"}, "test.csv, line 2: rating 8 is off the scale"),
        ("--test test.csv", {"test": "user,item,rating,time\nc,x,4,7\n"},
         "test.csv has times and train.csv has none, expected the same columns in each file"),
        ("--test test.csv", {"test": "user,thing,rating\nc,x,4\n"}, "test.csv has no column for the item: user, thing"),
        ("--test test.csv", {"test": ""}, "test.csv is empty"),
        ("--test test.csv", {"test": HEADER}, "test.csv holds no rows below its header"),
        ("--test none.csv", {}, "no file none.csv"),
        ("--valid test.csv", {}, "--valid needs --test"),
        ("--part-column set", {"train": "user,item,rating,set\na,x,1,train\nb,x,2,train\n"},
         "train.csv has no rating in the test part, expected one or more"),
        ("--part-column set", {"train": "user,item,rating,set\na,x,1,train\nb,x,2,dev\n"},
         "train.csv, line 3: expected train, valid or test for the part, got 'dev'"),
        ("--part-column set --test test.csv", {}, "--part-column and --test both say which part a rating is in"),
    ],
)  # fmt: skip
def test_an_error_in_the_parts_is_one_line(importing_files, options, files, message):
    answer = importing_files(options, **files)
    assert answer.status in {1, 2}
    assert answer.err.count("\n") == 1
    assert message in answer.err
    assert "mine" not in card.names()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=6, max_size=40), seed=st.integers(0, 99),
    by_column=st.booleans(),
)  # fmt: skip
def test_the_split_equals_the_parts_of_the_files(tmp_path, monkeypatch, pairs, seed, by_column):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    rng = np.random.default_rng(seed)
    shuffled = [sorted(pairs)[k] for k in rng.permutation(len(pairs))]
    rows = [(f"u{u}", f"i{i}", float(1 + (u + i) % 5)) for u, i in shuffled]
    names = np.array(["train", "valid", "test", *rng.choice(["train", "valid", "test"], len(rows) - 3)])
    frame = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row").with_columns(part=pl.Series(names))
    parts = {name: frame.filter(pl.col("part") == name).drop("part") for name in PART_NAMES}
    options = importing.ImportOptions(tmp_path / "train.csv", "mine", force=True, scale=Scale(low=1, high=5))
    if by_column:
        frame.write_csv(tmp_path / "train.csv")
        options = replace(options, layout=LayoutOptions(columns={"part": "part"}))
    else:
        for name in PART_NAMES:
            parts[name].write_csv(tmp_path / f"{name}.csv")
        options = replace(options, test=tmp_path / "test.csv", valid=tmp_path / "valid.csv")
    data = importing.import_file(options, SilentListener())
    assert parts_of() == [parts[name].rows() for name in PART_NAMES]
    codes = data.split("own").parts
    for code, name in enumerate(PART_NAMES):  # the export gives the files back, byte for byte
        parts[name].write_csv(tmp_path / "expected.csv")
        write_export(Export(data.ratings, data.catalogue, codes, code), tmp_path / "exported.csv")
        assert (tmp_path / "exported.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
