"""Columns on disk: written by blocks, mapped, copied to parquet."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfbench.data import column_files
from cfbench.data.id_codes import encode_ratings
from cfbench.errors import DataError, WriteError
from cfbench.ratings import Scale

STARS = Scale(low=0, high=5)
rows = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz"), st.floats(0, 5, width=32)), min_size=1)


def frame(table, *, timed=True, marked=False):
    users, items, ratings = (list(column) for column in zip(*table, strict=True))
    made = pl.DataFrame({"user": users, "item": items, "rating": ratings})
    if timed:
        made = made.with_columns(time=pl.int_range(len(made), dtype=pl.Int64))
    return made.with_columns(held_out=pl.col("rating") > 2) if marked else made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=rows, cuts=st.lists(st.integers(0, 50)), timed=st.booleans(), marked=st.booleans())
def test_blocks_of_any_size_give_the_same_table_as_the_whole(tmp_path_factory, table, cuts, timed, marked):
    folder = tmp_path_factory.mktemp("t")
    whole = frame(table, timed=timed, marked=marked)
    bounds = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    blocks = [whole[a:b] for a, b in pairwise(bounds)]
    mapped, coder = column_files.write(blocks, folder, STARS)
    expected, catalogue = encode_ratings(whole, None, STARS)
    assert mapped.fingerprint == expected.fingerprint
    assert coder.catalogue(None).users.equals(catalogue.users)
    assert coder.catalogue(None).items.equals(catalogue.items)
    column_files.write_parquet(mapped, folder / "ratings.parquet")
    copy = pl.read_parquet(folder / "ratings.parquet", glob=False)
    assert copy["user"].to_list() == expected.users.tolist()
    assert copy["rating"].to_list() == expected.ratings.tolist()
    assert ("time" in copy.columns, "held_out" in copy.columns) == (timed, marked)


def test_mapped_columns_cannot_be_written_to(tmp_path):
    mapped, _ = column_files.write([frame([("a", "u", 1.0)])], tmp_path, STARS)
    with pytest.raises(ValueError, match="read-only"):
        mapped.ratings[0] = 5


def test_a_known_fingerprint_is_not_that_of_a_part(tmp_path):
    column_files.write([frame([("a", "u", 1.0), ("b", "u", 2.0)])], tmp_path, STARS)
    known = column_files.read(tmp_path, n_users=2, n_items=1, scale=STARS, fingerprint="f")
    assert known.fingerprint == "f"
    assert known.take(np.array([0])).fingerprint != "f"


def test_of_repeated_pairs_the_last_is_kept_in_the_order_of_the_source(tmp_path):
    table = [("a", "u", 1.0), ("b", "u", 2.0), ("a", "u", 3.0), ("a", "v", 4.0), ("b", "u", 5.0)]
    mapped, _ = column_files.write([frame(table)], tmp_path, STARS)
    kept = column_files.without_earlier(mapped, tmp_path)
    assert kept.ratings.tolist() == [3.0, 4.0, 5.0]
    again = column_files.read(tmp_path, n_users=2, n_items=2, scale=STARS)
    assert again.fingerprint == kept.fingerprint
    assert again.times.tolist() == [2, 3, 4]


def test_no_ratings_and_uneven_blocks_are_one_line(tmp_path):
    with pytest.raises(DataError, match="the source holds no ratings; get the original file"):
        column_files.write([], tmp_path, STARS)
    blocks = [frame([("a", "u", 1.0)]), frame([("b", "u", 1.0)], timed=False)]
    with pytest.raises(DataError, match="a block has the columns"):
        column_files.write(blocks, tmp_path, STARS)


@pytest.mark.parametrize("damage", ["shorter", "odd", "gone", "other codes"])
def test_columns_that_do_not_fit_together_are_one_line(tmp_path, damage):
    column_files.write([frame([("a", "u", 1.0), ("b", "v", 2.0)])], tmp_path, STARS)
    file = tmp_path / "users.bin"
    content = {"shorter": file.read_bytes()[:4], "odd": file.read_bytes()[:-1], "other codes": b"\xff" * 8}
    file.unlink() if damage == "gone" else file.write_bytes(content[damage])
    with pytest.raises(DataError, match=r"holds no readable table of ratings \(") as fault:
        column_files.read(tmp_path, n_users=2, n_items=2, scale=STARS)
    assert "\n" not in str(fault.value)


def test_a_folder_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="a part of that path is a file, not a folder"):
        column_files.write([frame([("a", "u", 1.0)])], tmp_path / "file", STARS)
