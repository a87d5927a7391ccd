"""Cards and their files: a small file in the exact format of each data set is read by its card."""

import builtins
import struct
import zipfile
from datetime import UTC, datetime

import polars as pl
import pytest

from cfbench.data import card, readers, store
from cfbench.data.progress import SilentListener
from cfbench.data.readers.layout import TableLayout
from cfbench.errors import ArchiveError, DataError, RowError
from cfbench.leaderboard.board import published
from cfbench.ratings import Scale

MOVIES = {
    "1": "Toy Story (1995)",
    "11": "American President, The (1995)",
    "73": "Misérables, Les (1995)",
    "40697": '"Great Performances" Cats (1998)',
    "5": None,
}
RATINGS = [("1", "1", 4.0, 964982703), ("1", "73", 0.5, 964981247), ("2", "11", 5.0, 1445714835), ("30", "1", 3.5, 0)]


def lines(separator, rows, header="", end="\n"):
    """The rows as lines of text; None is an empty field."""
    text = [header] if header else []
    text += [separator.join("" if value is None else str(value) for value in row) for row in rows]
    return "".join(line + end for line in text)


def quoted(text):
    """A CSV field, in quotes where necessary."""
    return '"' + text.replace('"', '""') + '"' if text and ("," in text or '"' in text) else text


def movielens(name):
    """CSV files with a header, CRLF, and titles with commas in quotes."""
    movies = [
        (item, quoted(title), "Comedy|Drama" if title else "(no genres listed)") for item, title in MOVIES.items()
    ]
    return {
        f"{name}/README.txt": "Summary\n",
        f"{name}/ratings.csv": lines(",", RATINGS, "userId,movieId,rating,timestamp", "\r\n"),
        f"{name}/movies.csv": lines(",", movies, "movieId,title,genres", "\r\n").encode(),
    }


def ml_1m():
    stars = [(user, item, int(rating + 0.5), time) for user, item, rating, time in RATINGS]
    movies = [(item, title, "Comedy|Drama") for item, title in MOVIES.items()]
    return {"ml-1m/ratings.dat": lines("::", stars), "ml-1m/movies.dat": lines("::", movies).encode("latin-1")}


def ml_10m():
    """This data set writes whole stars without a decimal point."""
    rows = [(user, item, f"{rating:g}", time) for user, item, rating, time in RATINGS]
    movies = [(item, title, "Comedy|Drama") for item, title in MOVIES.items()]
    return {"ml-10M100K/ratings.dat": lines("::", rows), "ml-10M100K/movies.dat": lines("::", movies).encode()}


def ml_100k():
    stars = [(user, item, int(rating + 0.5), time) for user, item, rating, time in RATINGS]
    movies = [(item, title, "01-Jan-1995", "", "http://x", *"0000010010000000000") for item, title in MOVIES.items()]
    return {"ml-100k/u.data": lines("\t", stars), "ml-100k/u.item": lines("|", movies).encode("latin-1")}


BOOKS = (
    "book_id,goodreads_book_id,best_book_id,work_id,books_count,isbn,isbn13,authors,original_publication_year,"
    "original_title,title,language_code,average_rating,ratings_count,work_ratings_count,work_text_reviews_count,"
    "ratings_1,ratings_2,ratings_3,ratings_4,ratings_5,image_url,small_image_url"
)


def goodbooks():
    books = [
        (item, 2767052, 2767052, 2792775, 272, "0439023483", "9.78e+12", quoted("J.K. Rowling, Mary GrandPré"), 2008.0,
         "Original", quoted(title), "eng", 4.34, *range(8), "http://i", "http://s")
        for item, title in MOVIES.items()
    ]  # fmt: skip
    rows = [(user, item, int(rating + 0.5)) for user, item, rating, _ in RATINGS]
    return {"ratings.csv": lines(",", rows, "user_id,book_id,rating"), "books.csv": lines(",", books, BOOKS).encode()}


def filmtrust():
    rows = [(user, item, f"{min(rating, 4):g}") for user, item, rating, _ in RATINGS]
    return {"ratings.txt": lines(" ", rows), "trust.txt": "1 2 1\n", "readme.txt": "1. Item Ratings\n"}


def ciaodvd():
    days = [datetime.fromtimestamp(time, UTC).date() for *_, time in RATINGS]
    rows = [(u, i, 7, 11, int(r + 0.5), day) for (u, i, r, _), day in zip(RATINGS, days, strict=True)]
    return {"movie-ratings.txt": lines(",", rows), "trusts.txt": "1,2,1\n"}


FORMATS = {
    "ml-100k": ml_100k,
    "ml-1m": ml_1m,
    "ml-10m": ml_10m,
    **{name: (lambda name=name: movielens(name)) for name in ("ml-20m", "ml-25m", "ml-32m", "ml-latest-small")},
    "goodbooks-10k": goodbooks,
    "filmtrust": filmtrust,
    "ciaodvd": ciaodvd,
}


def pack(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def read(path, table, scale=None):
    return pl.concat(readers.read(path, table, scale, SilentListener()))


def test_every_card_of_a_delimited_file_is_tested_here():
    delimited = {name for name in card.names() if card.load(name).sources[0].ratings.format == "delimited"}
    assert delimited == set(FORMATS)


def as_read(row, known):
    """A row of RATINGS as the card's reader gives it: on the scale of the card, with its fields."""
    user, item, rating, time = row
    table = known.sources[0].ratings
    rating = min(rating if known.scale.step == 0.5 else int(rating + 0.5), known.scale.high)
    seconds = time // 86400 * 86400 if table.time == "date" else time
    return (user, item, rating, seconds)[: len(table.columns)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_in_the_format_of_the_data_set_is_read_by_its_card(tmp_path, name):
    known = card.load(name)
    source = known.sources[0]
    frame = read(pack(tmp_path / source.filename, FORMATS[name]()), source.ratings, known.scale)
    assert frame.rows() == [as_read(row, known) for row in RATINGS]
    assert list(frame.columns) == list(source.ratings.columns)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in {"filmtrust", "ciaodvd"}])
def test_titles_in_the_format_of_the_data_set_are_read_by_its_card(tmp_path, name):
    source = card.load(name).sources[0]
    frame = read(pack(tmp_path / source.filename, FORMATS[name]()), source.titles)
    assert dict(frame["item", "title"].rows()) == MOVIES
    if name == "goodbooks-10k":
        assert frame.columns == ["item", "title"]
    else:
        assert frame["genres"].to_list()[:4] == [["Comedy", "Drama"]] * 4
        assert (frame["genres"][4] is None) == ("csv" in source.titles.member)


@pytest.mark.parametrize("name", ["filmtrust", "ciaodvd"])
def test_the_later_rating_of_a_pair_counts(tmp_path, monkeypatch, name):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    known, members = card.load(name), FORMATS[name]()
    first = next(iter(members))
    members[first] += members[first].splitlines()[0].replace("4", "3", 1) + "\n"
    source = known.sources[0].model_copy(update={"checksum": ""})
    update = {"expected": card.Expected(users=3, items=3, ratings=4), "sources": (source,)}
    data = store.prepare(
        known.model_copy(update=update), listener=SilentListener(), from_file=pack(tmp_path / source.filename, members)
    )
    ratings = data.ratings
    assert len(ratings) == 4
    assert ratings.ratings[(ratings.users == 0) & (ratings.items == 0)].tolist() == [3]


@pytest.mark.parametrize(
    ("name", "users", "items", "ratings", "scale", "licence"),
    [
        ("ml-10m", 69_878, 10_677, 10_000_054, "0.5–5 by 0.5", "research use, no redistribution"),
        ("ml-20m", 138_493, 26_744, 20_000_263, "0.5–5 by 0.5", "research use, no redistribution"),
        ("ml-25m", 162_541, 59_047, 25_000_095, "0.5–5 by 0.5", "research use, no redistribution"),
        ("ml-32m", 200_948, 84_432, 32_000_204, "0.5–5 by 0.5", "research use, redistribution under the same terms"),
        ("ml-latest-small", 610, 9_724, 100_836, "0.5–5 by 0.5", "research use, redistribution under the same terms"),
        ("goodbooks-10k", 53_424, 10_000, 5_976_479, "1–5 by 1", "CC BY-SA 4.0"),
        ("filmtrust", 1_508, 2_071, 35_494, "0.5–4 by 0.5", "research use, cite the paper"),
        ("ciaodvd", 17_615, 16_121, 72_345, "1–5 by 1", "research use, cite the paper"),
        ("jester", 73_421, 100, 4_136_360, "-10–10", "research use, cite the paper"),
    ],
)
def test_a_card_has_the_known_counts_and_licence(name, users, items, ratings, scale, licence):
    known = card.load(name)
    assert (known.expected.users, known.expected.items, known.expected.ratings) == (users, items, ratings)
    assert (str(known.scale), known.licence) == (scale, licence)
    assert known.terms.strip()
    assert known.homepage.startswith("https://")


@pytest.mark.parametrize(
    ("name", "size", "checksum"),
    [
        ("ml-10m", 65_566_137, "sha256:813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862"),
        ("ml-20m", 198_702_078, "sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3"),
        ("ml-25m", 261_978_986, "sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"),
        ("ml-32m", 238_950_008, "md5:d472be332d4daa821edc399621853b57"),
        ("ml-latest-small", 978_202, "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"),
        ("goodbooks-10k", None, "sha256:261b97b56db61f3fb2ce5aadbb13704d30179fcc986c17ace665a0af9ed00731"),
        ("filmtrust", None, "sha256:de4a55cb4ae26f663d88e9ad1ba1fae2d0d6d7a7499e37dc5245bab470c2d13c"),
        ("ciaodvd", 5_814_757, "sha256:e36e06034dcf767f0f5cac120b03f262caef68cba86690e451571c13fa3236dd"),
    ],
)
def test_a_source_has_the_known_size_and_checksum(name, size, checksum):
    source = card.load(name).sources[0]
    assert (source.bytes, source.checksum) == (size, checksum)


@pytest.mark.parametrize("name", card.names())
def test_every_published_score_is_shown_with_a_split(name):
    known = card.load(name)
    shown = {score for split in known.split_names for score in published(known, known.split(split).protocol)}
    withheld = {score for score in known.published if score.protocol == "prize test set"}  # its ratings are not public
    assert set(known.published) - shown - withheld == set()


def test_ml_10m_has_its_published_scores():
    scores = {score.method: score.rmse for score in card.load("ml-10m").published}
    assert len(scores) == 17
    assert (scores["Bayesian timeSVD++ flipped"], scores["I-AutoRec (500)"]) == (0.7485, 0.782)


# --- Jester: workbooks ---

JOKES = TableLayout(format="jester", member="*.xls", max_bytes=10**7)
JOKE_SCALE = Scale(low=-10, high=10)


def record(kind, data):
    return struct.pack("<HH", kind, len(data)) + data


def workbook(rows):
    """A minimal .xls of one sheet: BIFF8 records in a compound file. Numbers, texts, and "" for an empty cell."""
    cells = b""
    for position, value in ((struct.pack("<HHH", r, c, 0), v) for r, row in enumerate(rows) for c, v in enumerate(row)):
        if isinstance(value, str):
            text = value.encode("latin-1")
            cells += record(0x0204, position + struct.pack("<HB", len(text), 0) + text) if value else b""
        else:
            cells += record(0x0203, position + struct.pack("<d", value))
    globals_, sheet = (record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0, 1997, 0, 0)) for kind in (5, 0x10))
    start, end = len(globals_) + 4 + 14 + 4, record(0x000A, b"")
    globals_ += record(0x0085, struct.pack("<IHBB", start, 0, 6, 0) + b"Sheet1") + end
    size = struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows), default=0), 0)
    return compound(globals_ + sheet + record(0x0200, size) + cells + end)


def compound(stream):
    """A compound file (OLE2) with the one stream `Workbook`."""
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    n, free, end = len(stream) // 512, 0xFFFFFFFF, 0xFFFFFFFE
    tables = next(k for k in range(1, 110) if k * 128 >= n + 1 + k)
    chain = [*range(1, n), end, end, *[0xFFFFFFFD] * tables]
    chain += [free] * (tables * 128 - len(chain))
    header = bytes.fromhex("D0CF11E0A1B11AE1") + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, tables, n, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", *range(n + 1, n + 1 + tables), *[free] * (109 - tables))
    folder = [("Root Entry", 5, 1, end, 0), ("Workbook", 2, free, 0, len(stream)), *[("", 0, free, 0, 0)] * 2]
    for name, kind, child, first, size in folder:
        text = f"{name}\0".encode("utf-16-le") if name else b""
        stream += text.ljust(64, b"\0")
        stream += struct.pack("<HBBIII16xI8x8xIII", len(text), kind, 1, free, free, child, 0, first, size, 0)
    return header + stream + struct.pack(f"<{tables * 128}I", *chain)


def jokes(*ratings):
    """A user's row: the count, then 100 cells, which are 99 where there is no rating."""
    cells = [*ratings, *[99.0] * (100 - len(ratings))]
    return [sum(cell not in {99.0, ""} for cell in cells), *cells]


def test_jester_is_read_from_the_workbooks_of_all_its_archives(tmp_path):
    first, second = workbook([jokes(-7.82, 99.0, 0.0), jokes(10, -10.0)]), workbook([jokes("", 9.5)])
    pack(tmp_path / "jester_dataset_1_2.zip", {"jester-data-2.xls": second})
    pack(tmp_path / "jester_dataset_1_1.zip", {"jester-data-1.xls": first, "readme.txt": "x"})
    known = card.load("jester")
    frame = read(tmp_path, known.sources[0].ratings, known.scale)
    assert frame.rows() == [(1, 1, -7.82), (1, 3, 0.0), (2, 1, 10.0), (2, 2, -10.0), (3, 2, 9.5)]
    assert frame.schema == {"user": pl.Int64, "item": pl.Int64, "rating": pl.Float64}


def test_a_single_archive_of_jester_is_read(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.xls": workbook([jokes(1.5)])})
    assert read(path, JOKES, JOKE_SCALE).rows() == [(1, 1, 1.5)]


@pytest.mark.parametrize(
    ("cell", "message"),
    [(11.0, "rating 11 is off the scale -10–10"), ("x", "expected a number for the rating, got 'x'")],
)
def test_an_invalid_cell_is_reported_with_its_row(tmp_path, cell, message):
    path = pack(tmp_path / "a.zip", {"a.xls": workbook([jokes(1.5), jokes(1, cell), jokes(cell)])})
    with pytest.raises(RowError) as caught:
        read(path, JOKES, JOKE_SCALE)
    text = str(caught.value)
    assert text.startswith(f"{path}!a.xls, line 2: {message}; the line is '2.0 1.0 {cell}")
    assert text.endswith("; 2 bad rows in all, on lines 2, 3; get the original files")


@pytest.mark.parametrize(("rows", "actual"), [([[1, 2.0]], "1 rows of 2"), ([], "0 rows of 0")])
def test_a_workbook_of_another_shape_is_refused(tmp_path, rows, actual):
    path = pack(tmp_path / "a.zip", {"a.xls": workbook(rows)})
    with pytest.raises(RowError, match=rf"a\.zip!a\.xls has {actual} columns, expected 101 columns"):
        read(path, JOKES)


@pytest.mark.parametrize("content", [b"no workbook", b"", workbook([jokes(1.5)])[:1000]])
def test_a_damaged_workbook_is_refused(tmp_path, content):
    with pytest.raises(ArchiveError, match=r"a\.zip!a\.xls cannot be read as a workbook \(.*\); get the original"):
        read(pack(tmp_path / "a.zip", {"a.xls": content}), JOKES)


def test_a_folder_without_workbooks_is_refused(tmp_path):
    pack(tmp_path / "a.zip", {"a.txt": "x"})
    with pytest.raises(
        ArchiveError, match=r"holds no member like '\*\.xls' \(zip files searched: 1\); get the original archives"
    ):
        read(tmp_path, JOKES)


def test_without_xlrd_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def no_xlrd(name, *rest, **more):
        if name == "xlrd":
            raise ImportError(name)
        return real_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_xlrd)
    path = pack(tmp_path / "a.zip", {"a.xls": workbook([jokes(1.5)])})
    with pytest.raises(
        DataError, match=r"needs the package xlrd, which is not installed; install it with: pip install xlrd"
    ):
        read(path, JOKES)
