"""A person's own file of ratings becomes a data set like any other, or one line says why not."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfbench.data import card, importing, scales, store
from cfbench.data.progress import SilentListener
from cfbench.data.readers.table import LayoutOptions
from cfbench.errors import CfbenchError, DataError
from cfbench.ratings import Scale

ROWS = [("ann", "p", 4.5, 86400), ("bob", "q", 0.5, 86401), ("ann", "q", 3.0, 86402), ("cy", "p", 5.0, 172800)]
HEADER = ("userId", "movieId", "rating", "timestamp")


def text(separator=",", rows=ROWS, header=HEADER):
    lines = [separator.join(map(str, row)) for row in ([header, *rows] if header else rows)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("separator", [",", "\t", "::", "|", ";", " ", "   "])
def test_each_separator_is_inferred(imported, separator):
    assert imported(text(separator)) == ROWS


@pytest.mark.parametrize("separator", [",", "\t", "::"])
def test_without_a_header_the_columns_are_user_item_rating_and_time(imported, separator):
    assert imported(text(separator, header=None)) == ROWS


def test_any_separator_can_be_given(imported):
    assert imported(text("##"), "--separator ##") == ROWS


def zipped(members):
    import io

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_packed_file_gives_the_same_rows(imported, empty_terminal):
    assert imported(gzip.compress(text().encode(), mtime=0), file="r.csv.gz") == ROWS
    assert imported(zipped({"r.csv": text()}), "--force", file="r.zip") == ROWS
    assert imported(zipped({"r.csv": text(), "x": ""}), "--force --member r.csv", file="r.zip") == ROWS


def test_a_zstandard_file_gives_the_same_rows(imported, tmp_path):
    pl.LazyFrame(ROWS, schema=HEADER, orient="row").sink_csv(tmp_path / "z", compression="zstd", check_extension=False)
    assert imported((tmp_path / "z").read_bytes(), file="r.csv.zst") == ROWS


@pytest.mark.parametrize(("ending", "write"), [("parquet", "write_parquet"), ("feather", "write_ipc")])
def test_binary_tables_give_the_same_rows(imported, tmp_path, ending, write):
    frame = pl.DataFrame(ROWS, schema=HEADER, orient="row")
    getattr(frame, write)(tmp_path / "t")
    assert imported((tmp_path / "t").read_bytes(), file=f"r.{ending}") == ROWS


def test_a_binary_table_may_have_numeric_ids_and_datetimes(imported, tmp_path):
    when = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    pl.DataFrame({"user": [7, 8], "item": [1.0, 2.0], "stars": [1, 5], "date": [when, when]}).write_parquet(
        tmp_path / "t"
    )
    seconds = int(when.timestamp())
    assert imported((tmp_path / "t").read_bytes(), file="r.pq") == [("7", "1", 1, seconds), ("8", "2", 5, seconds)]


def test_columns_can_be_given_by_name_or_number(imported):
    content = "when;stars;who;what\n5;1;a;x\n6;2;b;y\n"
    expected = [("a", "x", 1, 5), ("b", "y", 2, 6)]
    assert imported(content, "--user who --item 3 --rating stars --time when") == expected


def test_quoted_fields_keep_separators_quotes_and_line_ends(imported):
    content = 'user,item,rating\n"a, b","say ""hi""",1\nc,"two\nlines",2\n'
    assert imported(content) == [("a, b", 'say "hi"', 1, None), ("c", "two\nlines", 2, None)]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1112486027", 1112486027), ("1112486027.9", 1112486027), ("1112486027123", 1112486027),
        ("2005-04-03", 1112486400), ("2005-04-03 00:00:07", 1112486407), ("2005-04-03T00:00:07Z", 1112486407),
        ("2005-04-03T02:00:07+02:00", 1112486407), ("2005-04-03 00:00:07.500", 1112486407),
        ("2005-04-03 00:01", 1112486460),
    ],
)  # fmt: skip
def test_the_format_of_times_is_inferred(imported, written, seconds):
    assert (
        imported(f"u,i,r,t\na,x,1,{written}\nb,y,2,{written}\n", "--user u --item i --rating r --time t")[0][3]
        == seconds
    )


def test_the_scale_is_inferred(imported):
    imported(text())
    assert card.load("mine").scale == Scale(low=0.5, high=5, step=0.5)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 5], Scale(low=1, high=5, step=1)), ([0, 1], Scale(low=0, high=1, step=1)),
        ([0.1, 0.3, 0.7], Scale(low=0.1, high=0.7, step=0.2)),
        ([0.123456789, 1, 3.3], Scale(low=0.123456789, high=3.3)),
        ([-10, -9.99, 10], Scale(low=-10, high=10)),
        ([0, 1e15, 1e16], Scale(low=0, high=1e16)),
    ],
)  # fmt: skip
def test_the_scale_has_the_largest_step_that_gives_all_ratings(values, scale):
    assert scales.infer_scale(np.array(values, float), "here") == scale


def test_a_given_scale_is_used(imported):
    assert imported(text(), "--scale 0:10:0.5") == ROWS
    assert card.load("mine").scale == Scale(low=0, high=10, step=0.5)


def test_duplicates_keep_the_last_rating_in_the_file_or_their_mean(imported):
    content = "user,item,rating,time\na,x,1,9\nb,x,5,2\na,x,4,3\n"
    assert imported(content, "--duplicates last") == [("b", "x", 5, 2), ("a", "x", 4, 3)]
    assert imported(content, "--duplicates mean --force") == [("b", "x", 5, 2), ("a", "x", 2.5, 9)]
    assert card.load("mine").scale.step == 0


def test_bad_rows_are_dropped_and_counted_only_with_skip_bad(imported, imported_rows, empty_terminal):
    content = "user,item,rating\na,x,1\nb,,2\nc,x,good\nd,x,3\n"
    message = imported(content)
    assert "line 3: the item is empty" in message
    assert "2 bad rows in all, on lines 3, 4" in message
    answer = empty_terminal("import r.csv --name mine --skip-bad")
    assert "dropped 2 bad rows of r.csv, on lines 3, 4" in answer.err
    assert imported_rows() == [("a", "x", 1, None), ("d", "x", 3, None)]


def test_titles_are_imported(imported, empty_terminal):
    (empty_terminal.folder / "t.csv").write_text('movieId,title\np,"Pi, the film"\nz,Other\n')
    imported(text(), "--titles t.csv")
    assert store.open_dataset(card.load("mine")).catalogue.items["title"].to_list() == ["Pi, the film", None]


def test_an_imported_data_set_is_current_and_a_model_runs_on_it(imported, empty_terminal):
    rng = np.random.default_rng(1)
    pairs = {(int(u), int(i)) for u, i in rng.integers(0, 30, (600, 2))}
    imported("".join(f"{u} {i} {1 + (u + i) % 5}\n" for u, i in sorted(pairs)))
    assert store.current() == "mine"
    assert empty_terminal("run bias --dataset mine").status == 0


def test_an_imported_data_set_is_replaced_only_with_force(imported, empty_terminal):
    imported(text())
    again = empty_terminal("import r.csv --name mine")
    assert again.status == 2
    assert "there is a data set 'mine' already" in again.err
    assert empty_terminal("import r.csv --name mine --force").status == 0


def test_the_name_of_a_shipped_data_set_is_refused(imported, empty_terminal):
    imported(text())
    answer = empty_terminal("import r.csv --name tiny --force")
    assert "cfbench ships a data set 'tiny'; choose another --name" in answer.err


def lose_folder(home):
    shutil.rmtree(home / "datasets" / "mine")


def lose_column(home):
    (home / "datasets" / "mine" / "ratings.bin").write_bytes(b"")


def lose_titles(home):
    (home / "datasets" / "mine" / "items.parquet").write_bytes(b"")


def change_version(home):
    path = home / "cards" / "mine.toml"
    path.write_text(path.read_text().replace("version = 1", "version = 2"))


@pytest.mark.parametrize("damage", [lose_folder, lose_column, lose_titles, change_version])
def test_a_damaged_imported_data_set_can_be_imported_again(imported, imported_rows, empty_terminal, damage):
    imported(text())
    damage(empty_terminal.folder / "home")
    again = f"`cfbench import FILE --name mine --force` (it was imported from {empty_terminal.folder / 'r.csv'})"
    with pytest.raises(DataError) as caught:
        _ = store.open_dataset(card.load("mine")).catalogue
    assert again in str(caught.value)
    assert "cfbench download" not in str(caught.value)
    for line in ("download mine --again", "download mine --again --from-file r.csv"):
        answer = empty_terminal(line)
        assert (answer.status, again in answer.err, "cfbench download" in answer.err) == (1, True, False)
    assert empty_terminal("import r.csv --name mine --force").status == 0
    assert imported_rows() == ROWS


def test_the_page_of_a_lost_imported_data_set_says_how_to_import_it(imported, empty_terminal):
    imported(text())
    shutil.rmtree(empty_terminal.folder / "home" / "datasets" / "mine")
    assert "get it with `cfbench import FILE --name mine --force` (it was" in empty_terminal("datasets mine").out


U = "user,item,rating,time\n"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", "", "r.csv is empty"),
        (U, "", "r.csv holds no rows below its header"),
        ("hello\nworld\n", "", "cannot detect the separator of r.csv, whose first line is 'hello'"),
        (U + "a,x,1,1\nb,x,good,1\n", "", "r.csv, line 3: expected a number for the rating, got 'good'"),
        (U + "a,x,1,1\nb,x,nan,1\n", "", "r.csv, line 3: expected a number for the rating, got 'nan'"),
        (U + "a,x,1,1\nb,x,6,1\n", "--scale 1:5:1", "r.csv, line 3: rating 6 is off the scale 1–5 by 1"),
        (U + "a,x,1,1\n ,x,2,1\n", "", "r.csv, line 3: the user is empty"),
        (U + "a,x,1,1\nb,x,2,1\nc,x,2,soon\n", "", "r.csv, line 4: expected a time as most rows have, got 'soon'"),
        (U + "a,x,1,1\nb,x,2\n", "", "r.csv, line 3: expected 4 fields, got 3"),
        (U + "a,x,1,1\na,x,2,1\n", "", "1 rows rate a pair that an earlier row rates, expected one rating per pair"),
        (U + "a,x,3,1\nb,x,3,1\n", "", "every rating of r.csv is 3, so its scale is unknown; give it with"),
        (U + "a,x,1,1\n", "--rating ratin", "no column 'ratin' for the rating; did you mean 'rating'? there are:"),
        ("a,b,c\nx,y,1\n", "", "r.csv has no column for the user: a, b, c; name it with --user"),
        ("a,x,1\nb,x,2\n", "--item 7", "no column '7' for the item; expected a number from 0 to 2"),
        (U + "a,x,1,1\n", "--user 1", "column 1 cannot be the user and something else"),
        (U.encode() + b"\xe9,x,1,1\n", "", "r.csv, line 2: byte 0xe9 is not UTF-8"),
        (U + '"a,x,1,1\n', "", "the quotes are not those of a CSV file"),
        (U + "a,x,1,1\n", "--scale 5:1", "--scale 5:1: expected low < high"),
        (U + "a,x,1,1\n", "--scale x", "--scale 'x' is no scale; expected LOW:HIGH or LOW:HIGH:STEP"),
    ],
)  # fmt: skip
def test_an_error_in_a_text_file_is_one_line(imported, content, options, message):
    assert message in imported(content, options)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ([1e15 + k for k in range(1, 6)],
         "r.csv, line 2: rating 1000000000000001.0 and 1000000000000002.0 (r.csv, line 3) are equal in float32"),
        ([1 + k * 1e-9 for k in range(5)], "r.csv, line 3: rating 1.000000001 and 1.0 (r.csv, line 2) are equal in"),
        ([1, 2, 1e39], "r.csv, line 4: rating 1e+39 is too large for float32"),
        ([16777217, 16777219], "r.csv, line 2: rating 16777217.0 is 16777216.0 in float32"),
    ],
)  # fmt: skip
def test_ratings_that_float32_cannot_tell_apart_are_refused(imported, ratings, message):
    assert message in imported("user,item,rating\n" + "".join(f"u{k},x,{r!r}\n" for k, r in enumerate(ratings)))


def test_ratings_that_differ_only_by_rounding_are_imported(imported):
    rows = imported(f"user,item,rating\na,x,{0.1 + 0.2!r}\nb,x,0.3\nc,x,5\nd,x,{10 / 3!r}\n")
    assert [row[2] for row in rows] == pytest.approx([0.3, 0.3, 5, 10 / 3], rel=1e-6)


def test_equal_ratings_are_imported_with_their_scale(imported):
    assert [row[2] for row in imported("user,item,rating\na,x,3.3\nb,x,3.3\n", "--scale 1:5")] == [
        pytest.approx(3.3), pytest.approx(3.3)
    ]  # fmt: skip


def test_the_import_says_which_column_became_what(imported, empty_terminal):
    imported("when;n;stars;who;what\n5;0;1;a;x\n6;0;2;b;y\n", "--user who --item what --rating stars --time when")
    answer = empty_terminal("import r.csv --name two --user 3 --item 4 --rating 2 --time 0")
    assert (
        "r.csv: user = column 3 (who), item = column 4 (what), rating = column 2 (stars), time = column 0 (when); not "
        "used: n\n" in answer.err
    )
    imported("7 8 1\n7 9 2\n", "--force")
    assert "user = column 0, item = column 1, rating = column 2\n" in empty_terminal("import r.csv --name three").err


@pytest.mark.parametrize(
    ("content", "file", "message"),
    [
        (gzip.compress(text().encode() * 99, mtime=0)[:-30], "r.csv.gz", "r.csv.gz stops in the middle"),
        (gzip.compress(text().encode(), mtime=0)[:-8] + bytes(8), "r.csv.gz", "cannot unpack r.csv.gz"),
        (b"no", "r.csv.zst", "r.csv.zst is not a Zstandard file"),
        (b"PK no", "r.zip", "r.zip is not a whole zip file"),
        (zipped({"a.csv": "", "b.csv": ""}), "r.zip", "r.zip has 2 members, expected one; choose with --member: a.csv"),
        (b"x", "r.xlsx", "r.xlsx: a table cannot end in '.xlsx'; expected"),
        (b"PAR1 no", "r.parquet", "cannot read r.parquet as parquet"),
        (b"no", "r.arrow", "cannot read r.arrow as arrow"),
    ],
)  # fmt: skip
def test_an_error_in_a_packed_file_is_one_line(imported, content, file, message):
    assert message in imported(content, file=file)


def test_an_encrypted_member_is_refused(imported):
    content = bytearray(zipped({"a.csv": text()}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in imported(bytes(content), file="r.zip")


def test_a_missing_file_is_refused(empty_terminal):
    assert "no file none.csv" in empty_terminal("import none.csv --name mine").err


def test_an_invalid_name_is_refused(empty_terminal):
    assert "'Mine!' is not a valid name for a data set" in empty_terminal("import none.csv --name Mine!").err


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.sets(st.tuples(st.integers(0, 99), st.integers(-99, 99)), min_size=2, max_size=30),
    separator=st.sampled_from([",", "\t", "::", "|", ";", " "]), header=st.sampled_from([HEADER, None]),
)  # fmt: skip
def test_a_written_file_is_imported_equal(tmp_path, monkeypatch, imported_rows, pairs, separator, header):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    rows = [(str(u), str(i), float(n % 2), n) for n, (u, i) in enumerate(sorted(pairs))]
    (tmp_path / "r.txt").write_text(text(separator, rows, header))
    importing.import_file(
        importing.ImportOptions(tmp_path / "r.txt", "mine", LayoutOptions(), force=True), SilentListener()
    )
    assert imported_rows() == rows


@pytest.mark.slow
def test_a_mutated_file_is_imported_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    rng, n_imported, n_refused = np.random.default_rng(5), 0, 0
    for number in range(300):
        content = bytearray(text(",;\t |"[number % 5]).encode())
        for at in rng.integers(0, len(content), 1 + number % 3):
            content[at] = rng.choice(list(b'",;\t\n\r\0 9-.:\xe9|'))
        (tmp_path / "r.csv").write_bytes(content)
        try:
            importing.import_file(importing.ImportOptions(tmp_path / "r.csv", "mine", force=True), SilentListener())
            n_imported += 1
        except CfbenchError as error:
            n_refused += "\n" not in str(error)
    assert n_imported + n_refused == 300
    assert min(n_imported, n_refused) > 20


def test_an_unclosed_quote_is_reported_with_the_line_where_it_opens(terminal):
    (terminal.folder / "r.csv").write_text('user,item,rating\na,x,1\nb,x,2\n"c,x,3\n')
    answer = terminal("import r.csv --name mine")
    assert answer.status == 1
    assert "r.csv, line 4: the quotes are not those of a CSV file" in answer.err


# --- the card ---

OLD_CARD = """name = "mine"
version = 1
title = "mine"
homepage = ""
citation = "your own data"
licence = "your own"
terms = "Your own ratings, imported from /home/ann/a \\"b\\".csv."
origin = "imported from /home/ann/a \\"b\\".csv"
sources = []
scale = { low = 0.5, high = 5.0, step = 0.5 }
expected = { users = 3, items = 2, ratings = 4, fingerprint = "ab" }
"""


def test_the_card_of_an_earlier_version_is_read_and_written_equal(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(OLD_CARD, encoding="utf-8")
    old = card.read(path)
    assert old.origin == 'imported from /home/ann/a "b".csv'
    assert (old.scale, old.expected.ratings) == (Scale(low=0.5, high=5, step=0.5), 4)
    path.write_text(card.to_toml(old), encoding="utf-8")
    assert card.read(path) == old


@given(origin=st.text(st.characters(exclude_categories=["Cs"])), low=st.floats(-1e6, 1e6), width=st.floats(0.5, 1e6))
def test_a_written_card_is_read_equal(tmp_path_factory, origin, low, width):
    new = card.Card(
        name="mine", title=origin, homepage="", citation="", licence="", terms=origin, origin=origin,
        scale=Scale(low=low, high=low + width), expected=card.Expected(users=1, fingerprint="ab"),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("cards") / "mine.toml"
    path.write_bytes(card.to_toml(new).encode())
    assert card.read(path) == new
