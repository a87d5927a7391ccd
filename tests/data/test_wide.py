"""A matrix of users and items becomes ratings, and a matrix is never mistaken for a list of ratings."""

import gzip

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfbench.data import importing
from cfbench.data.progress import SilentListener
from cfbench.data.readers.wide import MatrixOptions


@pytest.fixture
def matrix(imported):
    """Import a matrix; returns its ratings, which have no times, or the message if it is refused."""

    def run(content, options="", file="m.csv"):
        answer = imported(content, options, file)
        return answer if isinstance(answer, str) else [row[:3] for row in answer]

    return run


def jester(rng, n_users, n_jokes=100):
    """A matrix in the layout of Jester, and its ratings: a count, then a rating for each joke, 99 for none."""
    ratings = np.round(rng.uniform(-10, 10, (n_users, n_jokes)), 2)
    ratings[rng.random(ratings.shape) < 0.4] = 99
    ratings[:, 0] = np.round(rng.uniform(-10, 10, n_users), 2)
    counts = (ratings != 99).sum(axis=1)
    text = (
        "\n".join(",".join([str(n), *(f"{r:g}" for r in row)]) for n, row in zip(counts, ratings, strict=True)) + "\n"
    )
    expected = [
        (str(u + 1), str(j + 1), float(np.float32(r))) for u, row in enumerate(ratings) for j, r in enumerate(row)
        if r != 99
    ]  # fmt: skip
    return text, expected


def test_the_layout_of_jester_is_read(matrix):
    text, expected = jester(np.random.default_rng(3), 65)
    assert matrix(text, "--wide --missing 99 --ignore 0") == expected
    assert matrix(gzip.compress(text.encode()), "--wide --missing 99.00 --ignore 0 --force", "m.csv.gz") == expected


def test_a_wide_file_without_a_header_is_refused_with_a_hint(matrix):
    text, _ = jester(np.random.default_rng(3), 65)
    message = matrix(text)
    assert "m.csv has 101 columns and no header, expected at most 8" in message
    assert "add --wide (and --missing 99 if 99 means no rating)" in message


def test_a_wide_file_with_given_columns_is_a_list_of_ratings(matrix):
    content = "".join(f"u{u},x,x,x,x,x,x,x,i{u % 3},{u % 5}\n" for u in range(9))
    assert matrix(content, "--user 0 --item 8 --rating 9")[4] == ("u4", "i1", 4.0)


def test_a_wide_file_with_a_header_that_names_no_user_gets_the_hint(matrix):
    header = ",".join(f"joke{n}" for n in range(12))
    assert "or --wide if each row is a user and each column an item" in matrix(f"{header}\n{'1,' * 11}2\n")


def test_a_header_names_the_items_and_a_column_the_users(matrix):
    content = "name,n,3,2\nann,2,1,5\nbob,1,,4\n"
    expected = [("ann", "3", 1.0), ("ann", "2", 5.0), ("bob", "2", 4.0)]
    assert matrix(content, "--wide --user name --ignore n") == expected
    assert matrix(content, "--wide --header --user 0 --ignore 1 --force") == expected


def test_a_parquet_matrix_may_have_nan_for_missing(matrix, tmp_path):
    pl.DataFrame({"who": [7, 8], "p": [1.0, float("nan")], "q": [None, 2.5]}).write_parquet(tmp_path / "m")
    assert matrix((tmp_path / "m").read_bytes(), "--wide --user who", "m.pq") == [("7", "p", 1.0), ("8", "q", 2.5)]


def test_the_import_says_which_columns_became_what(matrix, empty_terminal):
    matrix("name,n,p,q\nann,2,1,5\nbob,1,,4\n", "--wide --user name --ignore n")
    answer = empty_terminal("import m.csv --name two --wide --user 0 --ignore 1")
    assert (
        "m.csv: each row is a user (named in column 0), and 2 of 4 columns, from column 2 to 3, are items (named in "
        "the header); an empty cell has no rating" in answer.err
    )


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("1,2,3\n4,x,6\n", "--wide", "m.csv, line 2: expected a number for the rating, got 'x'; the line is '4,x,6'"),
        ("1,2,3\n4,5\n", "--wide", "m.csv, line 2: expected 3 fields, got 2; the line is '4,5'; no other bad row"),
        ("1,2,3\n4,5,6,7\n", "--wide", "m.csv, line 2: expected 3 fields, got 4"),
        ("1,2,3\n4,99,6\n", "--wide --scale 1:6", "m.csv, line 2: rating 99 is off the scale 1–6"),
        ("p,p,q\n4,5,6\n", "--wide", "two items have the same name in the header"),
        ("1,2,3\n4,5,6\n", "--wide --ignore 7", "m.csv has no column '7'"),
        ("1,2,3\n4,5,6\n", "--wide --item 1", "--wide has no column for the item"),
        ("1,2,3\n4,5,6\n", "--wide --part-column 1", "--wide cannot be used with --test or --part-column"),
        ("1,2,3\n4,5,6\n", "--missing 99", "--missing and --ignore describe a matrix; add --wide"),
    ],
)
def test_an_error_in_a_matrix_is_one_line(matrix, content, options, message):
    assert message in matrix(content, options)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), users=st.integers(2, 9), items=st.integers(2, 12))
def test_a_matrix_gives_the_ratings_of_its_cells(tmp_path, monkeypatch, imported_rows, seed, users, items):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    text, expected = jester(np.random.default_rng(seed), users, items)
    (tmp_path / "m.csv").write_text(text)
    options = importing.ImportOptions(tmp_path / "m.csv", "mine", force=True, matrix=MatrixOptions("99", ("0",)))
    importing.import_file(options, SilentListener())
    assert [row[:3] for row in imported_rows()] == expected
