"""The reader of the Netflix Prize: every layout gives the same table, and every fault is one message."""

import gzip
import hashlib
import io
import random
import re
import shutil
import tarfile
import threading
import zipfile

import numpy as np
import polars as pl
import pytest

from cfbench.data import readers
from cfbench.data.id_codes import encode_ratings
from cfbench.data.progress import SilentListener
from cfbench.data.readers import netflix
from cfbench.data.readers.layout import TableLayout
from cfbench.data.synth.generator import FIRST_DAY
from cfbench.data.synth.netflix_archive import format_titles, write_netflix
from cfbench.errors import ArchiveError, CfbenchError, ChecksumError, RowError
from cfbench.ratings import Scale

STARS = Scale(low=1, high=5, step=1)
SCALE = 0.0005


def table(**changes):
    return TableLayout(**{"format": "netflix", "max_bytes": 3_000_000_000} | changes)


def read_blocks(path, **sizes):
    return netflix.read(path, table(), STARS, SilentListener(), **sizes)


def read(path, listener=None, scale=STARS, **changes):
    return pl.concat(list(netflix.read(path, table(**changes), scale, listener or SilentListener())))


def read_titles(path):
    return pl.concat(list(netflix.read_titles(path, table(format="netflix-titles"), None, SilentListener())))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The path of the same synthetic ratings in every layout, and the ratings as `data`."""
    folder = tmp_path_factory.mktemp("synthetic")
    paths = {}
    for layout, name in (("archive", "synthetic.tar.gz"), ("folder", "unpacked"), ("kaggle", "kaggle")):
        paths[layout] = folder / name
        data = write_netflix(paths[layout], scale=SCALE, seed=3, listener=SilentListener(), layout=layout)
    paths["kaggle zip"] = zip_folder(paths["kaggle"], folder / "kaggle.zip")
    paths["half unpacked"] = folder / "half"
    with tarfile.open(paths["archive"]) as archive:
        archive.extractall(paths["half unpacked"], filter="data")
    paths["folder zip"] = zip_folder(paths["half unpacked"], folder / "half.zip")
    paths["plain tar"] = folder / "plain.tar"
    paths["plain tar"].write_bytes(gzip.decompress(paths["archive"].read_bytes()))
    paths["both"] = folder / "both"
    shutil.copytree(paths["half unpacked"] / "download", paths["both"])
    with tarfile.open(paths["both"] / "training_set.tar") as archive:
        archive.extractall(paths["both"], filter="data")
    return paths | {"data": data}


def zip_folder(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture(scope="module")
def whole(layouts):
    """The table that the archive gives."""
    return read(layouts["archive"])


def a_tar(members, kind="w"):
    """A tar of names and contents; a TarInfo in place of a content is a member without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=kind) as archive:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return buffer.getvalue()


GOOD = [b"1:\n7,3,2005-09-06\n12,5,2005-01-02\n", b"2:\n", b"3:\n2649429,1,1999-11-11\n7,4,2004-02-29\n"]
TITLES = b"1,2003,Dinosaur Planet\n2,NULL,Am\xe9lie, the Play\n3,1994,\xdcber Alles, Part 2\n"


def mv(movies):
    return [(f"training_set/mv_{number:07d}.txt", content) for number, content in enumerate(movies, start=1)]


def nested(movies=GOOD, extra=(), inner=None):
    """The original's layout: a gzip tar with a tar inside."""
    inner = inner if inner is not None else a_tar(mv(movies))
    members = [("download/movie_titles.txt", TITLES), *extra, ("download/training_set.tar", inner)]
    return gzip.compress(a_tar(members), 1)


@pytest.fixture
def archive(tmp_path):
    """Write an archive in the original's layout."""

    def archive(*args, **kwargs):
        path = tmp_path / "nf.tar.gz"
        path.write_bytes(nested(*args, **kwargs))
        return path

    return archive


# --- layouts ---


def test_the_format_is_read_with_its_types(archive):
    frame = read(archive())
    assert frame.schema == {"user": pl.Int32, "item": pl.Int32, "rating": pl.Float32, "time": pl.Int64}
    assert frame.rows() == [
        (7, 1, 3.0, 1125964800), (12, 1, 5.0, 1104624000), (2649429, 3, 1.0, 942278400), (7, 3, 4.0, 1078012800),
    ]  # fmt: skip


def test_the_synthetic_ratings_are_read_as_they_were_drawn(layouts, whole):
    data = layouts["data"]
    assert np.array_equal(whole["user"], data.ids[data.users])
    assert np.array_equal(whole["item"], np.repeat(np.arange(1, len(data.starts)), np.diff(data.starts)))
    assert np.array_equal(whole["rating"], data.stars)
    day = FIRST_DAY + data.days.astype(int)
    assert np.array_equal(whole["time"], day.astype("datetime64[s]").astype(np.int64))
    assert np.array_equal(np.flatnonzero(whole["held_out"]), data.probe)


@pytest.mark.parametrize(
    "layout", ["folder", "kaggle", "kaggle zip", "half unpacked", "folder zip", "plain tar", "both"]
)
def test_every_layout_gives_the_same_fingerprint_and_titles(layouts, whole, layout):
    frame = read(layouts[layout])
    assert frame.equals(whole)
    assert encode_ratings(frame, None, STARS)[0].fingerprint == encode_ratings(whole, None, STARS)[0].fingerprint
    assert read_titles(layouts[layout]).equals(read_titles(layouts["archive"]))


@pytest.mark.parametrize("layout", ["archive", "kaggle", "folder"])
def test_small_batches_and_blocks_give_the_same_table(layouts, whole, layout):
    blocks = list(read_blocks(layouts[layout], block_rows=1_000, batch_bytes=4_321, chunk_bytes=4_321))
    assert len(blocks) > 30
    assert pl.concat(blocks).equals(whole)


def test_movies_come_by_their_number_whatever_the_order_of_the_archive(archive):
    ordered = read(archive())
    shuffled = read(archive(inner=a_tar([mv(GOOD)[number] for number in (2, 0, 1)])))
    assert shuffled.equals(ordered)


def test_probe_marks_its_pairs_and_no_others(archive):
    frame = read(archive(extra=[("download/probe.txt", b"1:\n12\n3:\n7\n")]))
    assert frame["held_out"].to_list() == [False, True, False, True]


def test_a_probe_behind_the_ratings_is_found(tmp_path):
    members = [("x/training_set.tar", a_tar(mv(GOOD))), ("x/probe.txt", b"1:\n7\n")]
    path = tmp_path / "nf.tar.gz"
    path.write_bytes(gzip.compress(a_tar(members)))
    assert read(path)["held_out"].to_list() == [True, False, False, False]


def test_a_last_line_without_an_end_and_crlf_are_read(archive):
    plain = read(archive())
    assert read(archive(movies=[movie.rstrip(b"\n") for movie in GOOD])).equals(plain)
    assert read(archive(movies=[movie.replace(b"\n", b"\r\n") for movie in GOOD])).equals(plain)


def test_titles_with_commas_accents_and_unknown_years_are_read_back(archive, layouts):
    assert read_titles(archive()).rows() == [
        (1, "Dinosaur Planet (2003)"), (2, "Amélie, the Play"), (3, "Über Alles, Part 2 (1994)"),
    ]  # fmt: skip
    text = format_titles(layouts["data"])
    written = [line.split(",", 2) for line in text.decode("latin-1").splitlines()]
    expected = [title if year == "NULL" else f"{title} ({year})" for _, year, title in written]
    assert read_titles(layouts["archive"])["title"].to_list() == expected
    assert len(expected) == len(layouts["data"].years)
    assert any("," in title for title in expected)
    assert any(not title.isascii() for title in expected)
    assert ",NULL," in text.decode("latin-1")


def test_progress_counts_ratings_and_is_complete_only_at_the_end(layouts):
    calls = []
    listener = SilentListener()
    listener.progress = lambda what, done, total: calls.append((what, done, total))
    frame = read(layouts["archive"], listener)
    assert {what for what, _, _ in calls} == {"reading netflix"}
    assert all(done < total for _, done, total in calls[:-1])
    assert calls[-1][1:] == (len(frame), len(frame))


def test_the_reader_is_registered_with_its_formats():
    assert readers.find_reader("netflix") is netflix.read
    assert readers.find_reader("netflix-titles") is netflix.read_titles


# --- bad lines ---

BAD_LINES = {
    b"7,3": "expected CustomerID,Rating,YYYY-MM-DD, got 2 fields",
    b"": "expected CustomerID,Rating,YYYY-MM-DD, got 1 fields",
    b"7,3,2005-09-06,": "expected CustomerID,Rating,YYYY-MM-DD, got 4 fields",
    b",3,2005-09-06": "expected a CustomerID from 1 to 9999999, got ''",
    b"x7,3,2005-09-06": "expected a CustomerID from 1 to 9999999, got 'x7'",
    b"0,3,2005-09-06": "expected a CustomerID from 1 to 9999999, got '0'",
    b"007,3,2005-09-06": "expected a CustomerID from 1 to 9999999, got '007'",
    b"-7,3,2005-09-06": "expected a CustomerID from 1 to 9999999, got '-7'",
    b"12345678,3,2005-09-06": "expected a CustomerID from 1 to 9999999, got '12345678'",
    b"7 ,3,2005-09-06": "expected a CustomerID from 1 to 9999999, got '7 '",
    b"7,,2005-09-06": "expected a rating of one digit, got ''",
    b"7,3.5,2005-09-06": "expected a rating of one digit, got '3.5'",
    b"7,x,2005-09-06": "expected a rating of one digit, got 'x'",
    b"7,:,2005-09-06": "expected a rating of one digit, got ':'",
    b"7,6,2005-09-06": "rating 6 is off the scale 1–5 by 1",
    b"7,0,2005-09-06": "rating 0 is off the scale 1–5 by 1",
    b"7,3,2005-02-29": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2005-02-29'",
    b"7,3,2005-13-01": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2005-13-01'",
    b"7,3,2005-00-01": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2005-00-01'",
    b"7,3,2005-01-00": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2005-01-00'",
    b"7,3,1899-12-31": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '1899-12-31'",
    b"7,3,2100-01-01": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2100-01-01'",
    b"7,3,2005/09/06": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2005/09/06'",
    b"7,3,05-09-06": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '05-09-06'",
    b"7,3,2005-09-06 ": "expected a day as YYYY-MM-DD, from 1900 to 2099, got '2005-09-06 '",
    b"7,3,\xff005-09-06": "expected a day as YYYY-MM-DD, from 1900 to 2099, got 'ÿ005-09-06'",
    b"3:": "a second header, expected a rating",
    b"2:": "a second header, expected a rating",
}


@pytest.mark.parametrize(("line", "fault"), BAD_LINES.items(), ids=repr)
def test_a_bad_line_is_reported_with_its_place(archive, line, fault):
    path = archive(movies=[*GOOD[:2], b"3:\n7,4,2004-02-29\n" + line + b"\n8,4,2004-02-29\n"])
    where = f"{path}!download/training_set.tar!training_set/mv_0000003.txt, line 3"
    shown = line.decode("latin-1")
    with pytest.raises(RowError) as error:
        read(path)
    assert str(error.value) == f"{where}: {fault}; the line is {shown!r}; no other bad line; get the original file"


@pytest.mark.parametrize(
    ("movie", "fault"),
    [
        (b"7,3,2005-09-06\n", "expected the header '3:'"),
        (b"4:\n7,3,2005-09-06\n", "expected the header '3:'"),
        (b"x:\n7,3,2005-09-06\n", "expected the header '3:'"),
        (b"\n3:\n", "expected the header '3:'"),
    ],
)
def test_a_movie_begins_with_its_own_header(archive, movie, fault):
    path = archive(movies=[*GOOD[:2], movie])
    with pytest.raises(RowError, match=rf"mv_0000003.txt, line 1: {re.escape(fault)}; the line is"):
        read(path)


def test_the_message_has_the_first_ten_bad_lines_and_the_number_of_all(archive):
    movies = [b"%d:\n" % n + b"7,9,2005-09-06\n" * 7 + b"8,1,2005-09-06\n" for n in (1, 2, 3)]
    with pytest.raises(RowError) as error:
        read(archive(movies=movies))
    message = str(error.value)
    assert "; 21 bad lines in all: also " in message
    assert message.count("rating 9 is off the scale 1–5 by 1") == 10
    assert "mv_0000002.txt, line 4: " in message
    assert "mv_0000002.txt, line 5: " not in message
    assert "\n" not in message


def test_a_long_bad_line_is_shortened(archive):
    with pytest.raises(RowError) as error:
        read(archive(movies=[b"1:\n" + b"x" * 500 + b"\n"]))
    assert "x" * 80 + "…'" in str(error.value)


def test_a_block_with_or_after_a_bad_line_is_not_returned(archive):
    blocks = []
    with pytest.raises(RowError):
        blocks.extend(read_blocks(archive(movies=[b"1:\nx\n", b"2:\n1,1,2001-01-01\n"]), block_rows=1))
    assert not blocks


def test_without_a_scale_every_digit_is_a_rating(archive):
    assert read(archive(movies=[b"1:\n7,9,2005-09-06\n8,0,2005-09-06\n"]), scale=None)["rating"].to_list() == [9, 0]


def kaggle(folder, texts):
    folder.mkdir()
    for number, text in enumerate(texts, start=1):
        (folder / f"combined_data_{number}.txt").write_bytes(text)
    return folder


KAGGLE = [b"1:\n7,3,2005-09-06\n8,3,2005-09-06\n", b"2:\n7,3,2005-09-06\n", b"3:\n4:\n9,1,2005-01-01\n", b"5:\n"]


@pytest.mark.parametrize(("batch_bytes", "chunk_bytes"), [(4, 20), (20, 20), (8_000_000, 8_000_000)])
@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (
            b"7,3,2005-09-06\n",
            "combined_data_2.txt, line 1: expected a header, a movie's number and a colon, before any",
        ),
        (b"2:\n7,3,2005-09-06\n0:\n", "combined_data_2.txt, line 3: expected a header, a movie's number and a colon; "),
        (b"2:\n7,3,2005-09-06\n8,3,2005-09-0\n", "combined_data_2.txt, line 3: expected a day as YYYY-MM-DD, from 19"),
        (b"2:\n7,3,2005-09-06\n8,3,2005-09-06\n8,7,2005-09-06\n", "combined_data_2.txt, line 4: rating 7 is off the"),
    ],
)
def test_a_bad_line_of_kaggles_copy_is_reported_with_its_place(tmp_path, changed, fault, batch_bytes, chunk_bytes):
    folder = kaggle(tmp_path / "k", [KAGGLE[0], changed, *KAGGLE[2:]])
    with pytest.raises(RowError, match=re.escape(fault)):
        list(read_blocks(folder, batch_bytes=batch_bytes, chunk_bytes=chunk_bytes))


@pytest.mark.parametrize(
    ("probe", "fault"),
    [
        (b"12\n", "probe.txt, line 1: expected a header, a movie's number and a colon, before any rating"),
        (b"1:\n12,\n", "probe.txt, line 2: expected a CustomerID from 1 to 9999999, got '12,'"),
        (
            b"1:\n12\n13\n",
            "probe.txt names 2 pairs, expected different pairs with one rating each, but 1 ratings belong to them",
        ),
        (
            b"1:\n12\n12\n",
            "probe.txt names 2 pairs, expected different pairs with one rating each, but 1 ratings belong to them",
        ),
    ],
)
def test_a_bad_probe_is_refused(archive, probe, fault):
    with pytest.raises(RowError, match=re.escape(fault)):
        read(archive(extra=[("download/probe.txt", probe)]))


@pytest.mark.parametrize("bad", [b"x,2003,A\n", b"9,203,A\n", b"9,2003\n", b"1,2003,Again\n", b"9,2003,\n"])
def test_a_bad_title_is_refused(tmp_path, bad):
    (tmp_path / "movie_titles.txt").write_bytes(TITLES + bad)
    with pytest.raises(RowError, match=r"movie_titles.txt, line 4: expected MovieID,Year,Title with a new MovieID"):
        read_titles(tmp_path)


# --- archives ---


def test_a_missing_file_and_a_file_that_is_not_an_archive_are_refused(tmp_path):
    with pytest.raises(ArchiveError, match=r"cannot read .*nothing: No such file or directory; check the file"):
        read(tmp_path / "nothing")
    (tmp_path / "text").write_text("no archive" * 100)
    with pytest.raises(ArchiveError, match="text is not a whole tar file"):
        read(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match=r"empty holds no Netflix ratings: expected training_set\.tar, training_set"):
        read(tmp_path / "empty")
    with pytest.raises(ArchiveError, match=r"empty has no movie_titles\.txt; get the original archive"):
        read_titles(tmp_path / "empty")


@pytest.mark.parametrize("size", [1, 20, 1000, -200_000, -10, -1])
def test_a_truncated_archive_is_refused_in_one_line(layouts, tmp_path, size):
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(layouts["archive"].read_bytes()[:size])
    with pytest.raises(ArchiveError, match=r"truncated or damaged, get the file again$") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_tar_that_ends_between_two_members_is_truncated(tmp_path):
    inner = a_tar(mv(GOOD))
    (tmp_path / "training_set.tar").write_bytes(inner[: 2 * 1024])
    with pytest.raises(ArchiveError, match=r"training_set\.tar ends without a tar's end mark"):
        read(tmp_path)
    (tmp_path / "training_set.tar").write_bytes(inner[: 2 * 1024] + bytes(512) + inner[2 * 1024 :])
    with pytest.raises(ArchiveError, match=r"training_set\.tar continues after a tar's end mark"):
        read(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(archive, kind):
    link = tarfile.TarInfo()
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(
        ArchiveError, match=r"mv_0000004.txt is not a plain file, expected one; get the original archive"
    ):
        read(archive(inner=a_tar([*mv(GOOD), ("training_set/mv_0000004.txt", link)])))
    with pytest.raises(ArchiveError, match=r"download/probe.txt is not a plain file, expected one; get the original"):
        read(archive(extra=[("download/probe.txt", link)]))


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "k.zip"
    info = zipfile.ZipInfo("combined_data_1.txt")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"combined_data_1.txt is encrypted or not a plain file"):
        read(path)


def test_missing_duplicate_and_empty_members_are_refused(archive, tmp_path):
    with pytest.raises(ArchiveError, match=r"has no mv_0000002.txt, but 1 later ones"):
        read(archive(inner=a_tar([mv(GOOD)[0], mv(GOOD)[2]])))
    with pytest.raises(ArchiveError, match=r"mv_0000001.txt is a duplicate, or its number is 0"):
        read(archive(inner=a_tar([*mv(GOOD), mv(GOOD)[0]])))
    with pytest.raises(ArchiveError, match=r"mv_0000001.txt is empty; get the original archive"):
        read(archive(movies=[b""]))
    with pytest.raises(ArchiveError, match=r"has no combined_data_4.txt; get the whole copy"):
        read(kaggle(tmp_path / "three", KAGGLE[:3]))
    with pytest.raises(ArchiveError, match=r"combined_data_1.txt is empty; get the whole copy"):
        read(kaggle(tmp_path / "none", [b"", *KAGGLE[1:]]))


def test_more_than_the_card_allows_is_refused(archive):
    with pytest.raises(ArchiveError, match=r"have more than the 5\.0 kB expected"):
        read(archive(), max_bytes=5_000)


def test_checksums_of_the_card_are_verified(archive):
    probe = b"1:\n7\n"
    good = {"probe.txt": hashlib.md5(probe).hexdigest(), "training_set.tar": hashlib.md5(a_tar(mv(GOOD))).hexdigest()}
    path = archive(extra=[("download/probe.txt", probe)])
    assert len(read(path, members={name: f"md5:{md5}" for name, md5 in good.items()})) == 4
    for name, md5 in good.items():
        wrong = f"{path}!download/{name} has the checksum md5:{md5}, expected md5:{'0' * 32}; it is truncated"
        with pytest.raises(ChecksumError, match=re.escape(wrong)):
            read(path, members={name: f"md5:{'0' * 32}"})


@pytest.mark.parametrize("unpacked", [False, True])
def test_checksums_of_the_archives_own_list_are_verified(layouts, tmp_path, unpacked):
    with tarfile.open(layouts["archive"]) as archive:
        members = [(info.name, archive.extractfile(info).read()) for info in archive if info.isfile()]
    changed = [
        (name, content.replace(b"2005-09-06", b"2005-09-07") if name.endswith(".tar") else content)
        for name, content in members
    ]
    path = tmp_path / "changed"
    if unpacked:
        path.mkdir()
        for name, content in changed:
            (path / name.rpartition("/")[2]).write_bytes(content)
    else:
        path.write_bytes(a_tar(changed))
    with pytest.raises(ChecksumError, match=r"training_set.tar has the checksum md5:\w+, expected md5:"):
        read(path)


def test_closing_a_reader_ends_its_threads(layouts):
    before = threading.active_count()
    blocks = read_blocks(layouts["archive"], block_rows=1_000, batch_bytes=4_321, chunk_bytes=4_321)
    next(blocks)
    assert threading.active_count() > before
    blocks.close()
    assert threading.active_count() == before


def attempt(path):
    """The frame and an empty message, or None and the error's message."""
    try:
        return read(path), ""
    except CfbenchError as error:
        return None, str(error)


@pytest.mark.slow
def test_a_thousand_mutations_are_read_correctly_or_refused_in_one_line(tmp_path):
    rng = random.Random(5)
    inner = a_tar(mv(GOOD))
    outer = a_tar([("d/movie_titles.txt", TITLES), ("d/probe.txt", b"1:\n7\n"), ("d/training_set.tar", inner)])
    packed, lines = gzip.compress(outer, 1, mtime=0), b"".join(GOOD)
    path = tmp_path / "m.tar.gz"
    folder = kaggle(tmp_path / "k", [b"", *KAGGLE[1:]])
    (tmp_path / "good").write_bytes(packed)
    correct, n_unharmed = read(tmp_path / "good"), 0
    for turn in range(1_200):
        source = (packed, outer, lines)[turn % 3]
        changed = bytearray(source)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(changed))
            changed[at : at + rng.randint(0, 2)] = rng.choice([b"", b"\0", b"\n", b"9", b":", b",", b"\xff"])
        (folder / "combined_data_1.txt").write_bytes(changed)
        path.write_bytes(changed)
        frame, message = attempt(folder if source is lines else path)
        assert "\n" not in message
        if frame is not None:
            assert frame.null_count().sum_horizontal().item() == 0
            assert frame["rating"].is_between(1, 5).all()
            n_unharmed += source is not lines and frame.equals(correct)
            assert source is not packed or frame.equals(correct)  # gzip's CRC finds every change
    assert n_unharmed  # a change in the padding or in a title does no harm
