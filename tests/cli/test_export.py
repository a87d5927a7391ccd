"""Exported files give back what was imported, and what a run predicted."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfbench.data import card, importing, store
from cfbench.data.exporting import Export, write_export
from cfbench.data.parts import PART_NAMES, TEST
from cfbench.data.progress import SilentListener
from cfbench.ratings import Scale
from cfbench.runs.results import Results


def tiny():
    return store.open_dataset(card.load("tiny"))


def ids(table, catalogue):
    users, items = catalogue.users["id"], catalogue.items["id"]
    return users.gather(table.users).to_list(), items.gather(table.items).to_list()


@pytest.mark.parametrize("file", ["r.csv", "r.parquet", "r.PQ"])
def test_ratings_are_written_with_ids_times_and_titles(terminal, file):
    answer = terminal(f"export ratings --out {file}")
    read = pl.read_csv if file.endswith("csv") else pl.read_parquet
    table, data = read(terminal.folder / file), tiny()
    assert table.columns == ["user", "item", "rating", "time", "title"]
    assert (table["user"].to_list(), table["item"].to_list()) == ids(data.ratings, data.catalogue)
    assert np.array_equal(table["rating"].to_numpy(), data.ratings.ratings)
    assert np.array_equal(table["time"].to_numpy(), data.ratings.times)
    assert table["title"][0] == f"Film {table['item'][0][1:]}, The"
    assert f"wrote {len(table):,} ratings to {file}: user, item, rating, time, title\n" in answer.err


def test_times_can_be_iso_and_titles_left_out(terminal):
    terminal("export ratings --out r.csv --times iso --no-titles")
    table = pl.read_csv(terminal.folder / "r.csv")
    assert (table.columns, table["time"][0]) == (["user", "item", "rating", "time"], "2001-09-09T01:46:40Z")
    terminal("export ratings --out r.parquet --times iso")
    moments = pl.read_parquet(terminal.folder / "r.parquet")["time"]
    assert moments.dtype == pl.Datetime(time_zone="UTC")
    assert np.array_equal(moments.dt.epoch("s").to_numpy(), tiny().ratings.times)


def test_a_split_is_written_whole_or_a_part_at_a_time(terminal):
    terminal("export split --split random80 --out s.parquet")
    table = pl.read_parquet(terminal.folder / "s.parquet")
    parts = tiny().split("random80").parts
    assert table["part"].to_list() == [PART_NAMES[part] for part in parts]
    terminal("export split --split random80 --part test --out test.parquet")
    assert pl.read_parquet(terminal.folder / "test.parquet").equals(table.filter(pl.col("part") == "test").drop("part"))


def test_predictions_are_written_beside_their_ratings(terminal):
    terminal("run bias")
    terminal("export predictions last --out p.parquet")
    table, data = pl.read_parquet(terminal.folder / "p.parquet"), tiny()
    record, _ = Results(terminal.folder / "results").find("last")
    test = data.ratings.take(data.split("random90").parts == TEST)
    assert table.columns == ["user", "item", "rating", "prediction", "time", "title"]
    assert (table["user"].to_list(), table["item"].to_list()) == ids(test, data.catalogue)
    errors = table["prediction"].cast(float).to_numpy() - test.ratings
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(record.outcome.rmse, abs=1e-6)
    terminal("export predictions last --part valid --out v.csv")
    assert len(pl.read_csv(terminal.folder / "v.csv")) == record.request.split.report["valid"]


def test_an_exported_split_is_imported_equal(terminal):
    for part in PART_NAMES:
        assert terminal(f"export split --part {part} --out {part}.csv").status == 0
    terminal("import train.csv --test test.csv --valid valid.csv --name again --scale 1:5:0.5")
    for part in PART_NAMES:
        terminal(f"export split --dataset again --part {part} --no-titles --out {part}2.csv")
        first, second = (pl.read_csv(terminal.folder / f"{part}{end}.csv") for end in ("", "2"))
        assert second.equals(first.drop("title"))


def test_ratings_that_are_in_no_part_are_left_out_and_counted(tmp_path, terminal):
    data = tiny()
    parts = np.full(len(data.ratings), 3, np.uint8)
    parts[:5] = [0, 0, 1, 2, 0]
    export = Export(data.ratings, data.catalogue, parts)
    write_export(export, tmp_path / "s.csv")
    assert pl.read_csv(tmp_path / "s.csv")["part"].to_list() == ["train", "train", "valid", "test", "train"]
    assert (export.rows, export.left_out) == (5, len(parts) - 5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export ratings", "give a file that ends in .csv or .parquet"),
        ("export ratings --out r.txt", "r.txt must end in .csv or .parquet"),
        ("export ratings --out r.csv --split random90", "ratings have no --split and no --part"),
        ("export split last --out r.csv", "split takes no run, but 'last' is given"),
        ("export predictions --out r.csv", "whose predictions? name a run"),
        ("export predictions none --out r.csv", "no run 'none'"),
        ("export predictions last --dataset tiny --out r.csv", "a run has its own data set and split"),
        ("export split --split nope --out r.csv", "no split 'nope'"),
    ],
)
def test_an_error_is_one_line_and_no_file(terminal, line, message):
    answer = terminal(line)
    assert answer.status == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not (terminal.folder / "r.csv").exists()


def test_a_run_without_predictions_of_a_part_is_one_line(terminal):
    terminal("run mean --split 5fold-1")
    answer = terminal("export predictions last --part valid --out v.csv")
    assert "has no predictions of the valid part; see `cfbench show" in answer.err


def test_a_failed_export_keeps_the_earlier_file(terminal, monkeypatch):
    terminal("export ratings --out r.csv")
    before = (terminal.folder / "r.csv").read_bytes()
    monkeypatch.setattr(pl.LazyFrame, "sink_csv", lambda self, path: (path.write_text("half"), 1 / 0))
    data = tiny()
    with pytest.raises(ZeroDivisionError):
        write_export(Export(data.ratings, data.catalogue), terminal.folder / "r.csv")
    assert (terminal.folder / "r.csv").read_bytes() == before
    assert not [path for path in terminal.folder.iterdir() if path.name.startswith(".r.csv")]


NAME = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.sets(st.tuples(NAME, NAME), min_size=3, max_size=12), values=st.lists(st.floats(-9, 9, width=32)),
    ending=st.sampled_from(["csv", "parquet"]),
)  # fmt: skip
def test_ids_and_ratings_survive_export_and_import(tmp_path, monkeypatch, pairs, values, ending):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    rows = [(user, item, values[k] if k < len(values) else float(k)) for k, (user, item) in enumerate(sorted(pairs))]
    frame = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row")
    source = tmp_path / f"r.{ending}"
    (frame.write_csv if ending == "csv" else frame.write_parquet)(source)
    options = importing.ImportOptions(source, "mine", force=True, scale=Scale(low=-9, high=100))
    data = importing.import_file(options, SilentListener())
    write_export(Export(data.ratings, data.catalogue), tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == rows
