"""Columns on disk: written block by block, mapped, and copied to parquet."""

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
    columns = pl.DataFrame({"user": users, "item": items, "rating": ratings})
    if timed:
        columns = columns.with_columns(time=pl.int_range(len(columns), dtype=pl.Int64))
    return columns.with_columns(held_out=pl.col("rating") > 2) if marked else columns


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=rows, cuts=st.lists(st.integers(0, 50)), timed=st.booleans(), marked=st.booleans())
def test_blocks_of_any_size_give_the_same_ratings_as_one_block(tmp_path_factory, table, cuts, timed, marked):
    folder = tmp_path_factory.mktemp("t")
    whole = frame(table, timed=timed, marked=marked)
    bounds = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    blocks = [whole[a:b] for a, b in pairwise(bounds)]
    mapped, encoder = column_files.write(blocks, folder, STARS)
    expected, catalogue = encode_ratings(whole, None, STARS)
    assert mapped.fingerprint == expected.fingerprint
    assert encoder.catalogue(None).users.equals(catalogue.users)
    assert encoder.catalogue(None).items.equals(catalogue.items)
    column_files.write_parquet(mapped, folder / "ratings.parquet", block_rows=3)
    copy = pl.read_parquet(folder / "ratings.parquet", glob=False)
    assert copy["user"].to_list() == expected.users.tolist()
    assert copy["rating"].to_list() == expected.ratings.tolist()
    assert ("time" in copy.columns, "held_out" in copy.columns) == (timed, marked)


def test_mapped_columns_cannot_be_written_to(tmp_path):
    mapped, _ = column_files.write([frame([("a", "u", 1.0)])], tmp_path, STARS)
    with pytest.raises(ValueError, match="read-only"):
        mapped.ratings[0] = 5


def test_a_known_fingerprint_is_used_for_the_whole_and_not_for_a_part(tmp_path):
    column_files.write([frame([("a", "u", 1.0), ("b", "u", 2.0)])], tmp_path, STARS)
    known = column_files.read(tmp_path, n_users=2, n_items=1, scale=STARS, fingerprint="f")
    assert known.fingerprint == "f"
    assert known.take(np.array([0])).fingerprint != "f"


def test_the_last_rating_of_a_pair_is_kept_in_the_order_of_the_source(tmp_path):
    table = [("a", "u", 1.0), ("b", "u", 2.0), ("a", "u", 3.0), ("a", "v", 4.0), ("b", "u", 5.0)]
    mapped, _ = column_files.write([frame(table)], tmp_path, STARS)
    unique = column_files.keep_last_of_duplicates(mapped, tmp_path)
    assert unique.ratings.tolist() == [3.0, 4.0, 5.0]
    again = column_files.read(tmp_path, n_users=2, n_items=2, scale=STARS)
    assert again.fingerprint == unique.fingerprint
    assert again.times.tolist() == [2, 3, 4]


def test_a_source_without_ratings_is_refused(tmp_path):
    with pytest.raises(DataError, match="the source has no ratings; get the original file"):
        column_files.write([], tmp_path, STARS)


def test_blocks_with_different_columns_are_refused(tmp_path):
    blocks = [frame([("a", "u", 1.0)]), frame([("b", "u", 1.0)], timed=False)]
    with pytest.raises(DataError, match="a block has the columns"):
        column_files.write(blocks, tmp_path, STARS)


@pytest.mark.parametrize("damage", ["shorter", "odd", "missing", "other codes"])
def test_damaged_columns_are_refused_in_one_line(tmp_path, damage):
    column_files.write([frame([("a", "u", 1.0), ("b", "v", 2.0)])], tmp_path, STARS)
    file = tmp_path / "users.bin"
    content = {"shorter": file.read_bytes()[:4], "odd": file.read_bytes()[:-1], "other codes": b"\xff" * 8}
    file.unlink() if damage == "missing" else file.write_bytes(content[damage])
    with pytest.raises(DataError, match=r"has no readable table of ratings \(") as caught:
        column_files.read(tmp_path, n_users=2, n_items=2, scale=STARS)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="a part of that path is a file, not a folder"):
        column_files.write([frame([("a", "u", 1.0)])], tmp_path / "file", STARS)
