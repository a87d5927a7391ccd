"""The files of the reference implementation of deepae are imported, and its predictions get its own score."""

import json
import math

import numpy as np
import pytest

from cfbench.data import card, store
from cfbench.data.parts import TEST, TRAIN, VALID

RATINGS = {
    "N3M_TRAIN/n3m.train.txt": "0\t0\t3.0\n0\t2\t5.0\n7\t0\t1.0\n7\t1\t4.0\n9\t1\t2.0\n",
    "N3M_VALID/n3m.valid.txt": "0\t1\t4.0\n",
    "N3M_TEST/n3m.test.txt": "7\t2\t5.0\n9\t0\t3.0\n9\t2\t1.0\n",
}
INFER = "7\t2\t4.2137\t5.0\n9\t2\t1.75\t1.0\n9\t0\t2.9160001\t3.0\n"
"""What infer.py writes: user, item, prediction, rating, in an order of its own."""


@pytest.fixture
def folder(empty_terminal):
    """A function that writes files into the folder `reference`."""

    def write(**files):
        for name, text in (RATINGS | files).items():
            path = empty_terminal.folder / "reference" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return empty_terminal

    return write


def rows(text):
    return [(fields[0], fields[1], float(fields[2])) for fields in map(str.split, text.splitlines())]


def parts_of(name):
    """For each part of the split `own`, its ratings under their own ids."""
    dataset = store.open_dataset(card.load(name))
    table, parts = dataset.ratings, dataset.split("own").parts
    users, items = (list(frame["id"]) for frame in (dataset.catalogue.users, dataset.catalogue.items))
    return [
        [(users[table.users[k]], items[table.items[k]], float(table.ratings[k])) for k in np.flatnonzero(parts == part)]
        for part in (TRAIN, VALID, TEST)
    ]


def compute_rmse(text):
    """The formula of compute_RMSE.py."""
    errors = [(float(line.split("\t")[2]) - float(line.split("\t")[3])) ** 2 for line in text.splitlines()]
    return math.sqrt(sum(errors) / len(errors))


@pytest.mark.parametrize("path", ["reference", "reference/N3M"])
def test_the_folders_become_the_split_own(folder, path):
    answer = folder()(f"import {path} --format deeprecommender --name n3m")
    assert answer.status == 0
    assert parts_of("n3m") == [rows(text) for text in RATINGS.values()]
    assert "split own: 5 train, 1 validation, 3 test ratings (0 cold)" in answer.err
    assert card.load("n3m").origin.endswith(path)


def test_a_part_is_every_text_of_its_folder_and_a_fourth_field_is_the_time(folder):
    with_times = {
        name: "".join(f"{line}\t1127433600\n" for line in text.splitlines()) for name, text in RATINGS.items()
    }
    terminal = folder(**with_times, **{"N3M_TRAIN/z.txt": "9\t3\t4.5\t1127520000\n", "N3M_TRAIN/notes.md": "no"})
    assert terminal("import reference --format deeprecommender --name n3m").status == 0
    assert parts_of("n3m")[0] == [*rows(RATINGS["N3M_TRAIN/n3m.train.txt"]), ("9", "3", 4.5)]
    table = store.open_dataset(card.load("n3m")).ratings
    assert table.times.max() == 1127520000
    assert str(table.scale) == "1–5 by 0.5"


def test_one_of_several_splits_is_named(folder):
    terminal = folder(**{"NF_TRAIN/a.txt": "1\t1\t1\n1\t2\t5\n", "NF_TEST/a.txt": "1\t3\t5\n"})
    answer = terminal("import reference --format deeprecommender --name n")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "reference has the splits N3M, NF; choose one, as in `cfbench import " in answer.err
    advised = answer.err.split("`")[1].removeprefix("cfbench ")
    assert terminal(advised).status == 0
    assert terminal("import reference/NF --format deeprecommender --name nf").status == 0
    assert [len(part) for part in parts_of("nf")] == [2, 0, 1]


def test_folders_may_have_the_names_of_the_parts_alone(folder):
    terminal = folder()
    for part in ("TRAIN", "VALID", "TEST"):
        (terminal.folder / "reference" / f"N3M_{part}").rename(terminal.folder / "reference" / part.lower())
    assert terminal("import reference --format deeprecommender --name n3m").status == 0
    assert [len(part) for part in parts_of("n3m")] == [5, 1, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import reference/N6M", "has no folders N6M_TRAIN and N6M_TEST; check its name"),
        ("import nothing", "no folder nothing, and . has no folders nothing_TRAIN and nothing_TEST"),
        ("import cards", "cards has no folders of ratings, expected the folders N3M_TRAIN and N3M_TEST"),
        ("import half", "half has no folder X_TEST, expected the folders"),
        ("import empty", "X_TRAIN has no file that ends in .txt, expected one or more"),
        ("import reference --wide", "leave out --test, --valid, --part-column and --wide"),
        ("import reference --test tiny.zip", "leave out --test, --valid, --part-column and --wide"),
        ("import reference --user 1", "leave out --separator, --header, --member and the names of columns"),
    ],
)
def test_an_error_is_one_line(folder, line, message):
    terminal = folder()
    for path in ("half/X_TRAIN", "empty/X_TRAIN", "empty/X_TEST"):
        (terminal.folder / path).mkdir(parents=True)
    answer = terminal(f"{line} --format deeprecommender --name n3m")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert message in answer.err


def test_a_rating_off_the_scale_of_the_training_files_is_refused(folder):
    terminal = folder(**{"N3M_TRAIN/z.txt": "1\t1\t5\n", "N3M_TEST/n3m.test.txt": "7\t2\t7\n"})
    answer = terminal("import reference --format deeprecommender --name n3m")
    assert "n3m.test.txt, line 1: rating 7 is off the scale 1–5 by 1 of reference/N3M_TRAIN/n3m.train.txt" in answer.err


def test_predictions_of_the_reference_get_the_score_of_its_own_script(folder):
    terminal = folder()
    terminal("import reference --format deeprecommender --name n3m")
    (terminal.folder / "preds.txt").write_text(INFER)
    answer = terminal("import-predictions preds.txt --plugin-name reference --json")
    assert json.loads(answer.out)["outcome"]["rmse"] == pytest.approx(compute_rmse(INFER), abs=1e-6)


def test_predictions_outside_the_scale_are_clipped_and_the_score_of_the_script_is_said(folder):
    terminal = folder()
    terminal("import reference --format deeprecommender --name n3m")
    text = INFER.replace("1.75", "0.4").replace("4.2137", "5.5")
    (terminal.folder / "preds.txt").write_text(text)
    answer = terminal("import-predictions preds.txt --plugin-name reference --json")
    assert json.loads(answer.out)["outcome"]["rmse"] == pytest.approx((3 - 2.9160001) / 3**0.5, abs=1e-6)
    said = "2 predictions are outside the scale 1–5 by 1 and are clipped to it; without that the RMSE is "
    assert f"{said}{compute_rmse(text):.4f}\n" in answer.err
