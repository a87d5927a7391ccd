"""Frames of several libraries in, and frames out: data sets, predictions of pairs, predictions of other libraries."""

import csv
from datetime import date

import numpy as np
import polars as pl
import pytest

import cfbench
from cfbench.data import store
from cfbench.errors import CfbenchError, CountError, DataError, RowError, UnknownNameError, UsageError

ROWS = [("ann", "p", 4.5, 86400), ("bob", "q", 0.5, 86401), ("ann", "q", 3.0, 86402), ("cy", "p", 5.0, 172800)]
FRAME = pl.DataFrame(ROWS, schema=["user", "item", "rating", "time"], orient="row")


class ArrowFrame:
    """A frame that offers the Arrow C stream interface and nothing else."""

    def __init__(self, frame):
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self._frame.__arrow_c_stream__(requested_schema)


def in_pandas(frame):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(frame.to_dict(as_series=False))


@pytest.mark.parametrize("convert", [pl.DataFrame.clone, pl.DataFrame.lazy, ArrowFrame, in_pandas])
def test_every_kind_of_frame_gives_the_ratings_back(empty_terminal, convert):
    data = cfbench.from_frame(convert(FRAME), name="mine")
    assert data.ratings.rows() == [*ROWS]
    assert str(data.scale) == "0.5–5 by 0.5"
    assert cfbench.load("mine").ratings.equals(data.ratings)


def test_frames_of_pandas_with_gaps_categories_and_dates_are_read(empty_terminal):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "customer": pandas.Categorical(["ann", "bob", "ann"]), "movie": pandas.array([7, 8, 8], dtype="Int64"),
            "stars": [1.0, 2.0, 5.0], "date": pandas.to_datetime(["1970-01-02", "1970-01-03", "1970-01-02"]),
            "note": [None, "x", None],
        }
    )  # fmt: skip
    data = cfbench.from_frame(frame, name="mine")
    assert data.ratings.rows() == [("ann", "7", 1, 86400), ("bob", "8", 2, 172800), ("ann", "8", 5, 86400)]
    with pytest.raises(RowError, match="the frame, line 2: the item is empty"):
        cfbench.from_frame(frame.assign(movie=pandas.array([7, None, 8], dtype="Int64")), name="other")


def test_dates_of_a_frame_become_seconds(empty_terminal):
    frame = FRAME.with_columns(time=pl.Series([date(1970, 1, 2)] * 4))
    assert cfbench.from_frame(frame, name="mine").ratings["time"].to_list() == [86400] * 4


REFUSED = [
    ({"rating": [4.5, 0.5, float("nan"), 5.0]}, {}, ""),
    ({"rating": ["4.5", "many", "3", "5"]}, {}, ""),
    ({"user": ["ann", None, "ann", "cy"]}, {}, ""),
    ({"item": ["p", "q", "p", "p"]}, {}, ""),
    ({"rating": [3.0, 3.0, 3.0, 3.0]}, {}, ""),
    ({"rating": [1e15 + 1, 1e15 + 2, 1e15 + 1, 1e15 + 2]}, {}, ""),
    ({}, {"scale": (1, 5)}, "--scale 1:5"),
    ({}, {"scale": (5, 1)}, "--scale 5:1"),
    ({}, {"user": "customer"}, "--user customer"),
    ({}, {"part": "time"}, "--part-column time"),
]


@pytest.mark.parametrize(("columns", "options", "flags"), REFUSED)
def test_what_the_import_of_a_file_refuses_is_refused_with_the_same_line(empty_terminal, columns, options, flags):
    frame = FRAME.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    frame.write_parquet("r.parquet")
    theirs = empty_terminal(f"import r.parquet --name mine {flags}")
    assert theirs.status != 0
    with pytest.raises(CfbenchError) as raised:
        cfbench.from_frame(frame, name="mine", **options)
    assert str(raised.value) == theirs.err.removeprefix("error: ").rstrip("\n").replace("r.parquet", "the frame")


def test_names_and_other_things_are_refused(empty_terminal):
    with pytest.raises(UsageError, match="'My Data' is not a valid name for a data set"):
        cfbench.from_frame(FRAME, name="My Data")
    with pytest.raises(UsageError, match="cfbench ships a data set 'tiny'"):
        cfbench.from_frame(FRAME, name="tiny")
    with pytest.raises(UsageError, match=r"expected a frame of polars, pandas or Arrow .*, got builtins.list"):
        cfbench.from_frame(ROWS, name="mine")


def test_the_same_ratings_open_again_and_others_need_force(empty_terminal):
    first = cfbench.from_frame(FRAME, name="mine")
    stamp = (first.dataset.home / "datasets" / "mine" / "dataset.json").stat().st_mtime_ns
    cfbench.from_frame(FRAME, name="mine")
    assert (first.dataset.home / "datasets" / "mine" / "dataset.json").stat().st_mtime_ns == stamp
    others = [
        FRAME.with_columns(rating=pl.Series([4.5, 0.5, 3.5, 5.0])), FRAME.reverse(), FRAME.drop("time"),
        FRAME.with_columns(pl.col("user").replace("ann", "anna")),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(UsageError, match="there is a data set 'mine' already"):
            cfbench.from_frame(other, name="mine")
    with pytest.raises(UsageError, match="there is a data set 'mine' already"):
        cfbench.from_frame(FRAME, name="mine", scale=(0, 5))
    replaced = cfbench.from_frame(FRAME.reverse(), name="mine", force=True, scale=(0, 5, 0.5))
    assert replaced.ratings.rows() == ROWS[::-1]


def test_the_current_data_set_of_the_command_line_stays(terminal):
    cfbench.from_frame(FRAME, name="mine")
    assert store.current() == "tiny"


def test_a_column_of_parts_becomes_the_split_own_and_titles_are_kept(empty_terminal):
    frame = FRAME.with_columns(part=pl.Series(["test", "train", "train", "train"]))
    titles = pl.DataFrame({"item": ["p", "q"], "title": ["Psycho", None]})
    for _ in range(2):  # the second call opens the first data set
        data = cfbench.from_frame(frame, name="mine", part="part", titles=titles)
        assert data.split().name == "own"
        assert data.split().test.select("user", "item", "title").rows() == [("ann", "p", "Psycho")]
    with pytest.raises(UsageError, match="already"):
        cfbench.from_frame(frame, name="mine", titles=titles)


def test_bad_rows_are_skipped_and_means_taken_on_request(empty_terminal):
    frame = pl.concat([FRAME, FRAME.with_columns(rating=FRAME["rating"] - 1).head(1), FRAME.head(1).clear(1)])
    data = cfbench.from_frame(frame, name="mine", skip_bad=True, duplicates="mean")
    assert sorted(data.ratings["rating"]) == [0.5, 3, 4, 5]
    with pytest.raises(DataError):
        cfbench.from_frame(frame, name="other", skip_bad=True)


def test_a_model_predicts_what_the_command_line_predicts(terminal):
    run = cfbench.run("bias", "tiny")
    pairs = pl.DataFrame({"user": ["u1", "u3"], "item": ["i2", "Film 4, The"], "rating": [1.0, 2.0]})
    predicted = run.model.predict(pairs)
    assert predicted.drop("prediction").equals(pairs)
    lines = csv.DictReader(terminal("predict last u1,i2 u3,i4").out.splitlines())
    assert predicted["prediction"].cast(pl.Float64).round(4).to_list() == [float(line["prediction"]) for line in lines]
    renamed = in_pandas(pairs.drop("rating").rename({"user": "who", "item": "what"}))
    assert run.model.predict(renamed, user="who", item="what")["prediction"].equals(predicted["prediction"])
    assert cfbench.Run.open("last").model.predict(run.predictions)["prediction"].equals(run.predictions["prediction"])
    assert len(run.model.predict(pairs.clear())) == 0


def test_pairs_that_the_model_cannot_know_are_refused_as_on_the_command_line(terminal):
    model = cfbench.run("bias", "tiny").model
    pairs = pl.DataFrame({"user": ["u1", "u999"], "item": ["i2", "i2"]})
    with pytest.raises(UnknownNameError) as raised:
        model.predict(pairs)
    assert terminal("predict last u999,i2").err == f"error: {raised.value}\n"
    with pytest.raises(UsageError, match="the frame has no column 'user'; there are: who, item; name it with user="):
        model.predict(pairs.rename({"user": "who"}))
    with pytest.raises(UsageError, match="row 1 of the frame has no item in column 'item'; drop or fill such rows"):
        model.predict(pairs.with_columns(item=pl.Series(["i2", None])))


def test_predictions_of_another_library_join_the_board_as_from_a_file(terminal):
    data = cfbench.load("tiny")
    split = data.split()
    noise = np.random.default_rng(0).normal(size=len(split.test))
    theirs = split.test.with_columns(prediction=pl.col("rating") + noise).sample(fraction=1, shuffle=True, seed=0)
    theirs.drop("rating", "title").write_csv("theirs.csv")
    assert terminal("import-predictions theirs.csv --plugin-name from-file").status == 0
    valid = split.valid.with_columns(prediction=3.0)
    run = cfbench.import_predictions(theirs, data, name="their-model", valid=valid)
    assert run.scores.rmse == cfbench.Run.open("from-file").scores.rmse
    assert run.valid_predictions["prediction"].unique().to_list() == [3.0]
    assert cfbench.compare(data)["plugin"].to_list() == ["from-file", "their-model"]
    with pytest.raises(CountError, match="the frame has no prediction for user"):
        cfbench.import_predictions(theirs.head(3), data, name="their-model")
    with pytest.raises(UsageError, match="the frame holds the ratings of the test part of random90 themselves"):
        cfbench.import_predictions(split.test, data, name="their-model")
