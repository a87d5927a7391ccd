"""Predictions that were made elsewhere are scored, ranked and compared as those of cfbench, and marked."""

import errno
import json

import numpy as np
import polars as pl
import pytest

from cfbench.runs.results import Results


@pytest.fixture
def exported(terminal):
    """The exported test part of tiny, with a column of predictions that are one off, and the terminal."""
    for part in ("test", "valid"):
        terminal(f"export split --part {part} --no-titles --out {part}.csv")
        table = pl.read_csv(terminal.folder / f"{part}.csv")
        table = table.with_columns(prediction=pl.when(pl.col("rating") > 4).then(pl.col("rating") - 1).otherwise(
            pl.col("rating") + 1
        ))  # fmt: skip
        table.write_csv(terminal.folder / f"{part}.csv")
    return terminal


def rewrite(terminal, change, file="test.csv"):
    path = terminal.folder / file
    change(pl.read_csv(path)).write_csv(path)


def last(terminal):
    return Results(terminal.folder / "results").find("last")


def test_predictions_that_nearly_are_the_test_ratings_are_marked(exported):
    rewrite(exported, lambda table: table.with_columns(prediction=pl.col("rating") * 0.99 + 0.03))
    answer = exported("import-predictions test.csv --plugin-name theirs")
    assert answer.status == 0
    assert "is below 0.1443, the error of rounding to steps of 0.5: does the model know the test ratings?" in answer.err
    assert [doubt.kind for doubt in last(exported)[0].outcome.doubts] == ["test RMSE is implausibly low"]


def test_nothing_stays_of_an_import_on_a_full_disk(exported, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        answer = exported("import-predictions test.csv --plugin-name theirs")
    assert answer.status == 1
    assert "no space left on the disk" in answer.err
    assert [path for path in (exported.folder / "results").rglob("*") if "theirs" in path.name] == []
    assert exported("import-predictions test.csv --plugin-name theirs").status == 0


def test_predictions_are_scored_in_any_order_of_rows_and_columns(exported):
    rewrite(exported, lambda table: table.sample(fraction=1, shuffle=True, seed=1).select(reversed(table.columns)))
    answer = exported("import-predictions test.csv --plugin-name theirs")
    assert "test RMSE 1.0000, MAE 1.0000" in answer.out
    record, folder = last(exported)
    assert (record.outcome.rmse, record.outcome.valid_rmse, record.outcome.fit_seconds) == (1.0, None, None)
    assert record.request.imported.test.name == "test.csv"
    stored = pl.read_parquet(folder / "predictions.parquet")["prediction"]
    exported("export predictions last --out again.csv")
    again = pl.read_csv(exported.folder / "again.csv")
    assert again["prediction"].to_list() == stored.to_list()
    assert ((again["prediction"] - again["rating"]).abs() == 1).all()


def test_a_run_exported_and_imported_again_has_the_same_score_and_no_difference(exported):
    exported("run bias")
    record, _ = Results(exported.folder / "results").find("bias")
    exported("export predictions bias --out p.parquet")
    exported("import-predictions p.parquet --plugin-name copy")
    copy, _ = Results(exported.folder / "results").find("copy")
    assert (copy.outcome.rmse, copy.outcome.mae) == (record.outcome.rmse, record.outcome.mae)
    difference = exported(f"diff {record.run} {copy.run}")
    assert "RMSE of the first minus the second: +0.0000" in difference.out
    rows = json.loads(exported("compare --json").out)["rows"]
    assert {row["plugin"]: row["imported"] for row in rows} == {"bias": False, "copy": True}
    assert next(row["interval_low"] for row in rows) == [row["interval_low"] for row in rows][1]


def test_an_imported_run_is_marked_on_the_board_and_on_its_page(exported):
    exported("import-predictions test.csv --plugin-name theirs --valid valid.csv")
    board = exported("compare").out
    assert "imported: the predictions were made elsewhere; how the model was trained is not known" in board
    row = json.loads(exported("compare --json").out)["rows"][0]
    assert (row["note"], row["config_source"], row["valid_rmse"]) == ("imported", "imported", 1.0)
    assert (row["fit_seconds"], row["predict_seconds"], row["peak_memory"], row["parameters"]) == (None,) * 4
    page = exported("show last").out
    assert "theirs (predictions made elsewhere)" in page
    assert "imported from" in page
    assert "peak memory" not in page


def test_several_seeds_of_a_name_are_one_row(exported):
    for seed in range(3):
        exported(f"import-predictions test.csv --plugin-name theirs --seed {seed}")
    rows = json.loads(exported("compare --json").out)["rows"]
    assert [row["seeds"] for row in rows] == [[0, 1, 2]]


def test_an_imported_run_with_validation_predictions_is_a_member_of_an_ensemble(exported):
    exported("import-predictions test.csv --plugin-name theirs --valid valid.csv")
    theirs, _ = last(exported)
    exported("run mean")
    answer = exported("run ensemble --json")
    assert answer.status == 0, answer.err
    assert theirs.run in json.loads(answer.out)["request"]["config"]["members"]
    rows = {row["plugin"]: row for row in json.loads(exported("compare --json --plugin ensemble").out)["rows"]}
    assert rows["ensemble"]["fit_seconds"] is None
    assert "cost unknown: 1 imported member" in rows["ensemble"]["note"]
    assert "imported: the predictions were made elsewhere" in exported("compare --plugin ensemble").out


def test_an_imported_run_has_no_model(exported):
    exported("import-predictions test.csv --plugin-name theirs")
    for line in ("predict last u1,i1", "recommend last --user u1"):
        answer = exported(line)
        assert "holds predictions that were made elsewhere, and no model; choose a run of a plugin" in answer.err
        assert (answer.status, answer.err.count("\n")) == (1, 1)


def test_predictions_off_the_scale_are_clipped_and_counted(exported):
    rewrite(exported, lambda table: table.with_columns(prediction=pl.lit(9.0)))
    answer = exported("import-predictions test.csv --plugin-name theirs")
    n = len(pl.read_csv(exported.folder / "test.csv"))
    assert f"test.csv: {n} predictions are outside the scale 1–5 by 0.5 and are clipped to it" in answer.err


def test_a_column_called_rating_may_hold_the_predictions(exported):
    rewrite(exported, lambda table: table.drop("rating", "time").rename({"prediction": "rating"}))
    assert "test RMSE 1.0000" in exported("import-predictions test.csv --plugin-name theirs").out


def set_first(column, value):
    return lambda table: table.with_columns(
        pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table[1:], "test.csv has no prediction for user 'u"),
        (lambda table: pl.concat([table, table[:1]]), "has a prediction already on line 2 (1 repeated in all)"),
        (set_first("user", "nobody"), "test.csv, line 3: the data set has no user 'nobody'"),
        (set_first("item", "nothing"), "test.csv, line 3: the data set has no item 'nothing'"),
        (set_first("prediction", float("nan")), "test.csv, line 3: expected a finite prediction, got 'NaN'"),
        (set_first("prediction", float("inf")), "test.csv, line 3: expected a finite prediction, got 'inf'"),
        (lambda table: table.drop("prediction"), "test.csv holds the ratings of the test part of random90 themselves"),
        (lambda table: table.drop("prediction", "rating"), "test.csv has no column for the prediction: user, item"),
    ],
)
def test_an_error_in_the_file_is_one_line_with_the_first_place(exported, change, message):
    rewrite(exported, change)
    answer = exported("import-predictions test.csv --plugin-name theirs")
    assert message in answer.err
    assert (answer.status in {1, 2}, answer.err.count("\n")) == (True, 1)
    assert not list((exported.folder / "results").glob("**/record.json"))


def test_a_pair_of_another_part_is_surplus(exported):
    surplus = pl.read_csv(exported.folder / "valid.csv")[:1]
    rewrite(exported, lambda table: pl.concat([table, surplus]))
    answer = exported("import-predictions test.csv --plugin-name theirs")
    line = len(pl.read_csv(exported.folder / "test.csv")) + 1
    item = surplus["item"][0]
    assert (
        f"test.csv, line {line}: the test part of random90 has no rating of this user for item '{item}'" in answer.err
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--plugin-name bias", "there is a plugin 'bias', whose runs it could be taken for"),
        ("--plugin-name A/b", "--plugin-name 'A/b' is not valid"),
        ("--plugin-name x --split 5fold-1 --valid valid.csv", "split 5fold-1 of tiny has no validation part"),
        ("--plugin-name x --split 5fold-1", "has no rating of this user for item"),
        ("--plugin-name x --prediction 9", "no column '9' for the prediction"),
    ],
)
def test_a_wrong_option_is_one_line(exported, options, message):
    answer = exported(f"import-predictions test.csv {options}")
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_many_predictions_in_any_order_are_matched_exactly():
    from cfbench.data.prediction_file import PredictedRatings
    from cfbench.ratings import Catalogue, Ratings, Scale

    rng = np.random.default_rng(1)
    keys = rng.permutation(300_000)[:100_000]
    users, items = (keys // 100).astype(np.int32), (keys % 100).astype(np.int32)
    part = Ratings(users, items, np.zeros(len(keys), np.float32), 3000, 100, Scale(low=0, high=1))
    wanted = PredictedRatings("test part", part, Catalogue(pl.DataFrame(), pl.DataFrame()), "")
    order = rng.permutation(len(keys))
    assert np.array_equal(wanted.row_of_pairs(users[order], items[order]), order)
    assert wanted.row_of_pairs(np.int32([-1, 0]), np.int32([0, -1])).tolist() == [-1, -1]
