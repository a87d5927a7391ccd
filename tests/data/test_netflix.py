"""The Netflix Prize's format: every layout gives the same table, every fault is told, and the twin is what it says."""

import errno
import gzip
import hashlib
import io
import random
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cfbench import cli
from cfbench.cli import console
from cfbench.data import readers
from cfbench.data.card import TableLayout
from cfbench.data.readers import netflix, netflix_files
from cfbench.data.synth import netflix_archive as synth_module
from cfbench.data.synth.generator import DAYS, FIRST_DAY, draw
from cfbench.data.synth.netflix_archive import titles, write_netflix
from cfbench.data.transfer import SilentListener
from cfbench.errors import ArchiveError, CfbenchError, ChecksumError, RowError, UsageError, WriteError
from cfbench.ratings import Scale, code

STARS = Scale(low=1, high=5, step=1)
SCALE = 0.0005


def table(**changes):
    return TableLayout(**{"format": "netflix", "max_bytes": 3_000_000_000} | changes)


def read(path, listener=None, scale=STARS, **changes):
    return pl.concat(list(netflix.read(path, table(**changes), scale, listener or SilentListener())))


def read_titles(path):
    return pl.concat(list(netflix.read_titles(path, table(format="netflix-titles"), None, SilentListener())))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The same twin in every layout."""
    folder = tmp_path_factory.mktemp("twin")
    made = {}
    for layout, name in (("archive", "twin.tar.gz"), ("folder", "unpacked"), ("kaggle", "kaggle")):
        made[layout] = folder / name
        made["twin"] = write_netflix(made[layout], scale=SCALE, seed=3, listener=SilentListener(), layout=layout)
    made["kaggle zip"] = zipped(made["kaggle"], folder / "kaggle.zip")
    made["half unpacked"] = folder / "half"
    with tarfile.open(made["archive"]) as archive:
        archive.extractall(made["half unpacked"], filter="data")
    made["folder zip"] = zipped(made["half unpacked"], folder / "half.zip")
    made["plain tar"] = folder / "plain.tar"
    made["plain tar"].write_bytes(gzip.decompress(made["archive"].read_bytes()))
    made["both"] = folder / "both"
    shutil.copytree(made["half unpacked"] / "download", made["both"])
    with tarfile.open(made["both"] / "training_set.tar") as archive:
        archive.extractall(made["both"], filter="data")
    return made


def zipped(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture(scope="module")
def whole(layouts):
    """The twin's table as the archive gives it."""
    return read(layouts["archive"])


def a_tar(members, kind="w"):
    """A tar of names and contents; a content that is a TarInfo is a member without any."""
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
    """The original's form: a gzip tar with a tar in it."""
    inner = inner if inner is not None else a_tar(mv(movies))
    members = [("download/movie_titles.txt", TITLES), *extra, ("download/training_set.tar", inner)]
    return gzip.compress(a_tar(members), 1)


@pytest.fixture
def archive(tmp_path):
    """Write an archive of the original's form."""

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


def test_what_is_read_is_what_was_drawn(layouts, whole):
    twin = layouts["twin"]
    assert np.array_equal(whole["user"], twin.ids[twin.users])
    assert np.array_equal(whole["item"], np.repeat(np.arange(1, len(twin.starts)), np.diff(twin.starts)))
    assert np.array_equal(whole["rating"], twin.stars)
    day = FIRST_DAY + twin.days.astype(int)
    assert np.array_equal(whole["time"], day.astype("datetime64[s]").astype(np.int64))
    assert np.array_equal(np.flatnonzero(whole["held_out"]), twin.probe)


@pytest.mark.parametrize(
    "layout", ["folder", "kaggle", "kaggle zip", "half unpacked", "folder zip", "plain tar", "both"]
)
def test_every_layout_gives_the_same_fingerprint_and_titles(layouts, whole, layout):
    frame = read(layouts[layout])
    assert frame.equals(whole)
    assert code(frame, None, STARS)[0].fingerprint == code(whole, None, STARS)[0].fingerprint
    assert read_titles(layouts[layout]).equals(read_titles(layouts["archive"]))


@pytest.mark.parametrize("layout", ["archive", "kaggle", "folder"])
def test_small_texts_and_blocks_change_nothing(layouts, whole, layout, monkeypatch):
    for module in (netflix, netflix_files):
        monkeypatch.setattr(module, "TEXT", 4_321)
    monkeypatch.setattr(netflix, "_BLOCK", 1_000)
    blocks = list(netflix.read(layouts[layout], table(), STARS, SilentListener()))
    assert len(blocks) > 30
    assert pl.concat(blocks).equals(whole)


def test_movies_come_by_their_number_whatever_the_order_of_the_archive(archive):
    ordered = read(archive())
    shuffled = read(archive(inner=a_tar([mv(GOOD)[k] for k in (2, 0, 1)])))
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
    text, twin = titles(layouts["twin"]), layouts["twin"]
    written = [line.split(",", 2) for line in text.decode("latin-1").splitlines()]
    expected = [title if year == "NULL" else f"{title} ({year})" for _, year, title in written]
    assert read_titles(layouts["archive"])["title"].to_list() == expected
    assert len(expected) == len(twin.years)
    assert any("," in title for title in expected)
    assert any(not title.isascii() for title in expected)
    assert ",NULL," in text.decode("latin-1")


def test_progress_is_told_in_ratings_and_ends_at_the_end(layouts):
    told = []
    listener = SilentListener()
    listener.progress = lambda what, done, total: told.append((what, done, total))
    frame = read(layouts["archive"], listener)
    assert {what for what, _, _ in told} == {"reading netflix"}
    assert all(done < total for _, done, total in told[:-1])
    assert told[-1][1:] == (len(frame), len(frame))


def test_the_reader_is_named_in_the_registry_of_formats():
    assert readers.READERS["netflix"] is netflix.read
    assert readers.READERS["netflix-titles"] is netflix.read_titles


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
def test_a_bad_line_is_told_with_its_place(archive, line, fault):
    path = archive(movies=[*GOOD[:2], b"3:\n7,4,2004-02-29\n" + line + b"\n8,4,2004-02-29\n"])
    where = f"{path}!download/training_set.tar!training_set/mv_0000003.txt, line 3"
    shown = line.decode("latin-1")
    with pytest.raises(RowError) as told:
        read(path)
    assert str(told.value) == f"{where}: {fault}; the line is {shown!r}; no other bad line; get the original file"


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


def test_the_first_ten_bad_lines_and_their_count_are_told(archive):
    movies = [b"%d:\n" % n + b"7,9,2005-09-06\n" * 7 + b"8,1,2005-09-06\n" for n in (1, 2, 3)]
    with pytest.raises(RowError) as told:
        read(archive(movies=movies))
    message = str(told.value)
    assert "; 21 bad lines in all: also " in message
    assert message.count("rating 9 is off the scale 1–5 by 1") == 10
    assert "mv_0000002.txt, line 4: " in message
    assert "mv_0000002.txt, line 5: " not in message
    assert "\n" not in message


def test_a_long_bad_line_is_cut(archive):
    with pytest.raises(RowError) as told:
        read(archive(movies=[b"1:\n" + b"x" * 500 + b"\n"]))
    assert "x" * 80 + "…'" in str(told.value)


def test_no_block_is_given_from_a_bad_line_on(archive, monkeypatch):
    monkeypatch.setattr(netflix, "_BLOCK", 1)
    given = []
    with pytest.raises(RowError):
        given.extend(
            netflix.read(archive(movies=[b"1:\nx\n", b"2:\n1,1,2001-01-01\n"]), table(), STARS, SilentListener())
        )
    assert not given


def test_without_a_scale_every_digit_is_a_rating(archive):
    assert read(archive(movies=[b"1:\n7,9,2005-09-06\n8,0,2005-09-06\n"]), scale=None)["rating"].to_list() == [9, 0]


def kaggle(folder, texts):
    folder.mkdir()
    for number, text in enumerate(texts, start=1):
        (folder / f"combined_data_{number}.txt").write_bytes(text)
    return folder


KAGGLE = [b"1:\n7,3,2005-09-06\n8,3,2005-09-06\n", b"2:\n7,3,2005-09-06\n", b"3:\n4:\n9,1,2005-01-01\n", b"5:\n"]


@pytest.mark.parametrize("text", [4, 20, 8_000_000])
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
def test_a_bad_line_of_kaggles_copy_is_told_with_its_place(tmp_path, monkeypatch, changed, fault, text):
    monkeypatch.setattr(netflix, "TEXT", text)
    monkeypatch.setattr(netflix_files, "TEXT", max(text, 20))
    with pytest.raises(RowError, match=re.escape(fault)):
        read(kaggle(tmp_path / "k", [KAGGLE[0], changed, *KAGGLE[2:]]))


@pytest.mark.parametrize(
    ("probe", "fault"),
    [
        (b"12\n", "probe.txt, line 1: expected a header, a movie's number and a colon, before any rating"),
        (b"1:\n12,\n", "probe.txt, line 2: expected a CustomerID from 1 to 9999999, got '12,'"),
        (
            b"1:\n12\n13\n",
            "probe.txt names 2 pairs, expected each once and with a rating, but 1 ratings have theirs there",
        ),
        (
            b"1:\n12\n12\n",
            "probe.txt names 2 pairs, expected each once and with a rating, but 1 ratings have theirs there",
        ),
    ],
)
def test_a_bad_probe_is_told(archive, probe, fault):
    with pytest.raises(RowError, match=re.escape(fault)):
        read(archive(extra=[("download/probe.txt", probe)]))


@pytest.mark.parametrize("bad", [b"x,2003,A\n", b"9,203,A\n", b"9,2003\n", b"1,2003,Again\n", b"9,2003,\n"])
def test_a_bad_title_is_told(tmp_path, bad):
    (tmp_path / "movie_titles.txt").write_bytes(TITLES + bad)
    with pytest.raises(RowError, match=r"movie_titles.txt, line 4: expected MovieID,Year,Title of a movie not named"):
        read_titles(tmp_path)


# --- archives ---


def test_a_missing_file_and_one_that_is_no_archive_are_told(tmp_path):
    with pytest.raises(ArchiveError, match=r"cannot read .*nothing: No such file or directory; check the file"):
        read(tmp_path / "nothing")
    (tmp_path / "text").write_text("no archive" * 100)
    with pytest.raises(ArchiveError, match="text is no whole tar file"):
        read(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match=r"empty holds no Netflix ratings: expected training_set\.tar, training_set"):
        read(tmp_path / "empty")
    with pytest.raises(ArchiveError, match=r"empty has no movie_titles\.txt; get the original archive"):
        read_titles(tmp_path / "empty")


@pytest.mark.parametrize("kept", [1, 20, 1000, -200_000, -10, -1])
def test_a_truncated_archive_is_one_line(layouts, tmp_path, kept):
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(layouts["archive"].read_bytes()[:kept])
    with pytest.raises(ArchiveError, match=r"truncated or damaged, get the file again$") as told:
        read(path)
    assert "\n" not in str(told.value)


def test_a_tar_that_ends_between_two_members_is_truncated(tmp_path):
    inner = a_tar(mv(GOOD))
    (tmp_path / "training_set.tar").write_bytes(inner[: 2 * 1024])
    with pytest.raises(ArchiveError, match=r"training_set\.tar stops without a tar's end mark"):
        read(tmp_path)
    (tmp_path / "training_set.tar").write_bytes(inner[: 2 * 1024] + bytes(512) + inner[2 * 1024 :])
    with pytest.raises(ArchiveError, match=r"training_set\.tar goes on after a tar's end mark"):
        read(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(archive, kind):
    link = tarfile.TarInfo()
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(ArchiveError, match=r"mv_0000004.txt is no plain file, expected one; get the original archive"):
        read(archive(inner=a_tar([*mv(GOOD), ("training_set/mv_0000004.txt", link)])))
    with pytest.raises(ArchiveError, match=r"download/probe.txt is no plain file, expected one; get the original"):
        read(archive(extra=[("download/probe.txt", link)]))


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "k.zip"
    info = zipfile.ZipInfo("combined_data_1.txt")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"combined_data_1.txt is no plain file or encrypted"):
        read(path)


def test_missing_repeated_and_empty_members_are_told(archive, tmp_path):
    with pytest.raises(ArchiveError, match=r"has no mv_0000002.txt, but 1 later ones"):
        read(archive(inner=a_tar([mv(GOOD)[0], mv(GOOD)[2]])))
    with pytest.raises(ArchiveError, match=r"mv_0000001.txt is there twice, or its number is 0"):
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


def test_checksums_of_the_card_are_held_to(archive):
    probe = b"1:\n7\n"
    good = {"probe.txt": hashlib.md5(probe).hexdigest(), "training_set.tar": hashlib.md5(a_tar(mv(GOOD))).hexdigest()}
    path = archive(extra=[("download/probe.txt", probe)])
    assert len(read(path, members={name: f"md5:{md5}" for name, md5 in good.items()})) == 4
    for name, md5 in good.items():
        wrong = f"{path}!download/{name} has the checksum md5:{md5}, expected md5:{'0' * 32}; it is truncated"
        with pytest.raises(ChecksumError, match=re.escape(wrong)):
            read(path, members={name: f"md5:{'0' * 32}"})


@pytest.mark.parametrize("unpacked", [False, True])
def test_checksums_of_the_archives_own_list_are_held_to(layouts, tmp_path, unpacked):
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


def test_closing_a_reader_ends_its_threads(layouts, monkeypatch):
    monkeypatch.setattr(netflix, "_BLOCK", 1_000)
    for module in (netflix, netflix_files):
        monkeypatch.setattr(module, "TEXT", 4_321)
    before = threading.active_count()
    blocks = netflix.read(layouts["archive"], table(), STARS, SilentListener())
    next(blocks)
    assert threading.active_count() > before
    blocks.close()
    assert threading.active_count() == before


def attempt(path):
    """The frame, or why there is none."""
    try:
        return read(path), ""
    except CfbenchError as fault:
        return None, str(fault)


def test_a_thousand_mutations_read_right_or_fail_in_one_line(tmp_path):
    draw_one = random.Random(5)
    inner = a_tar(mv(GOOD))
    outer = a_tar([("d/movie_titles.txt", TITLES), ("d/probe.txt", b"1:\n7\n"), ("d/training_set.tar", inner)])
    packed, lines = gzip.compress(outer, 1, mtime=0), b"".join(GOOD)
    path = tmp_path / "m.tar.gz"
    folder = kaggle(tmp_path / "k", [b"", *KAGGLE[1:]])
    (tmp_path / "good").write_bytes(packed)
    right, untouched = read(tmp_path / "good"), 0
    for turn in range(1_200):
        source = (packed, outer, lines)[turn % 3]
        changed = bytearray(source)
        for _ in range(draw_one.randint(1, 3)):
            at = draw_one.randrange(len(changed))
            changed[at : at + draw_one.randint(0, 2)] = draw_one.choice([b"", b"\0", b"\n", b"9", b":", b",", b"\xff"])
        (folder / "combined_data_1.txt").write_bytes(changed)
        path.write_bytes(changed)
        frame, message = attempt(folder if source is lines else path)
        assert "\n" not in message
        if frame is not None:
            assert frame.null_count().sum_horizontal().item() == 0
            assert frame["rating"].is_between(1, 5).all()
            untouched += source is not lines and frame.equals(right)
            assert source is not packed or frame.equals(right)  # gzip's CRC saw to it
    assert untouched  # a change in the padding or a title harms nothing


# --- the twin ---


@pytest.fixture(scope="module")
def twin():
    return draw(0.004, 11, SilentListener())


def test_the_same_seed_and_scale_give_the_same_bytes(tmp_path):
    sums = [hashlib.sha256(_written(tmp_path / f"{k}.tar.gz", seed)).hexdigest() for k, seed in enumerate([5, 5, 6])]
    assert sums[0] == sums[1] != sums[2]


def _written(path, seed):
    write_netflix(path, scale=0.0002, seed=seed, listener=SilentListener())
    return path.read_bytes()


def test_the_archive_is_a_sound_tar_with_the_originals_members(layouts):
    with tarfile.open(layouts["archive"]) as archive:
        names = [info.name for info in archive]
        inner = archive.extractfile("download/training_set.tar").read()
        sums = dict(
            reversed(line.split()) for line in archive.extractfile("download/MD5SUMS").read().decode().splitlines()
        )
        found = {name: archive.extractfile(f"download/{name}").read() for name in sums}
    files = ["movie_titles.txt", "probe.txt", "qualifying.txt", "rmse.pl", "training_set.tar", "MD5SUMS"]
    assert names == ["download", *(f"download/{name}" for name in files)]
    assert sums == {name: hashlib.md5(content).hexdigest() for name, content in found.items()}
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        names = [info.name for info in archive]
    assert names == ["training_set", *(f"training_set/mv_{k:07d}.txt" for k in range(1, len(names)))]
    assert len(inner) % 10_240 == 0


def test_the_counts_are_the_originals_times_the_scale(twin):
    assert (len(twin.ids), len(twin.users)) == (round(480_189 * 0.004), round(100_480_507 * 0.004))
    assert (len(twin.probe), len(twin.withheld_users)) == (round(1_408_395 * 0.004), round(2_817_131 * 0.004))
    assert set(np.unique(twin.users)) == set(range(len(twin.ids)))
    assert np.diff(twin.starts).min() >= 1
    assert len(np.unique(twin.ids)) == len(twin.ids)
    assert twin.ids.min() >= 1
    assert twin.ids.max() <= 2_649_429
    assert np.diff(np.sort(twin.ids)).max() > 1


def test_no_pair_is_there_twice_nor_both_given_and_withheld(twin):
    movies = np.repeat(np.arange(len(twin.years)), np.diff(twin.starts))
    withheld = np.repeat(np.arange(len(twin.years)), np.diff(twin.withheld_starts))
    pairs = np.concatenate([movies, withheld]) * 10_000_000 + np.concatenate([twin.users, twin.withheld_users])
    assert len(np.unique(pairs)) == len(pairs)


def test_the_qualifying_file_lists_what_is_withheld(layouts):
    twin = layouts["twin"]
    text = (layouts["folder"] / "qualifying.txt").read_text()
    movie, found = 0, []
    for line in text.splitlines():
        if line.endswith(":"):
            movie = int(line[:-1])
        else:
            user, day = line.split(",")
            found.append((movie, int(user), np.datetime64(day)))
    movies = np.repeat(np.arange(1, len(twin.starts)), np.diff(twin.withheld_starts))
    days = FIRST_DAY + twin.withheld_days.astype(int)
    assert found == list(zip(movies.tolist(), twin.ids[twin.withheld_users].tolist(), days, strict=True))


def test_the_probe_is_of_each_users_latest_ratings(twin):
    order = np.lexsort((-twin.days, twin.users))
    counts = np.bincount(twin.users)
    fourth = np.minimum(counts, 4) - 1
    threshold = twin.days[order[np.cumsum(counts) - counts + fourth]]
    rows = twin.probe
    assert (twin.days[rows] >= threshold[twin.users[rows]]).all()
    assert np.bincount(twin.users[rows], minlength=len(counts)).max() < 30


def test_activity_and_popularity_have_heavy_tails(twin):
    for counts in (np.bincount(twin.users), np.diff(twin.starts)):
        top = np.sort(counts)[::-1]
        assert counts.mean() > 1.3 * np.median(counts)
        assert top[: len(top) // 10].sum() > 0.25 * top.sum()


def test_dates_grow_and_most_are_of_the_last_two_years(twin):
    assert twin.days.min() >= 0
    assert twin.days.max() == DAYS - 1
    years = np.bincount((FIRST_DAY + twin.days.astype(int)).astype("datetime64[Y]").astype(int) - 29, minlength=7)
    assert (np.diff(years) > 0).all()
    assert years[5:].sum() > 0.7 * years.sum()
    first = np.full(len(twin.ids), DAYS)
    np.minimum.at(first, twin.users, twin.days)
    assert first.std() > 200  # users come at different times


def test_ratings_are_whole_stars_with_the_originals_mean_and_spread(twin):
    assert set(np.unique(twin.stars)) == {1, 2, 3, 4, 5}
    assert twin.stars.mean() == pytest.approx(3.604, abs=0.05)
    assert twin.stars.std() == pytest.approx(1.085, abs=0.04)


def test_biases_beat_the_mean_and_low_rank_beats_biases(twin):
    movies = np.repeat(np.arange(len(twin.years)), np.diff(twin.starts))
    stars, users = twin.stars.astype(np.float64), twin.users
    test = np.random.default_rng(0).random(len(stars)) < 0.1
    train = ~test
    rest = stars - stars[train].mean()
    of_mean = np.sqrt((rest[test] ** 2).mean())
    user, movie = np.zeros(len(twin.ids)), np.zeros(len(twin.years))
    for _ in range(4):
        movie = _shrunken(rest - user[users], movies, train, 5)
        user = _shrunken(rest - movie[movies], users, train, 5)
    rest = rest - user[users] - movie[movies]
    of_biases = np.sqrt((rest[test] ** 2).mean())
    of_rank = np.sqrt(((rest - _factors(rest, users, movies, train))[test] ** 2).mean())
    assert of_biases < 0.93 * of_mean
    assert of_rank < 0.97 * of_biases


def _shrunken(values, keys, rows, ridge):
    sums = np.bincount(keys[rows], values[rows], minlength=keys.max() + 1)
    return sums / (np.bincount(keys[rows], minlength=keys.max() + 1) + ridge)


def _factors(values, users, movies, train, rank=8, ridge=8.0):
    """(n,) what alternating least squares of that rank, fitted to the training rows, say of every row."""
    rng = np.random.default_rng(0)
    q = rng.normal(0, 0.1, (movies.max() + 1, rank))
    for _ in range(6):
        p = _solved(values[train], users[train], q[movies[train]], users.max() + 1, ridge)
        q = _solved(values[train], movies[train], p[users[train]], movies.max() + 1, ridge)
    return (p[users] * q[movies]).sum(axis=1)


def _solved(values, keys, features, count, ridge):
    order = np.argsort(keys, kind="stable")
    bounds = np.searchsorted(keys[order], np.arange(count + 1))
    found = np.zeros((count, features.shape[1]))
    for key in np.flatnonzero(np.diff(bounds)):
        rows = order[bounds[key] : bounds[key + 1]]
        x = features[rows]
        found[key] = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ values[rows])
    return found


@pytest.mark.parametrize("scale", [0, 0.00005, 1.5, float("nan")])
def test_a_scale_that_cannot_be_is_told(scale):
    with pytest.raises(UsageError, match=r"a twin has a scale from 0\.0001 to 1, got .*; choose another with --scale"):
        draw(scale, 1, SilentListener())


def test_the_smallest_twin_is_read(tmp_path):
    path = tmp_path / "smallest"
    twin = write_netflix(path, scale=0.0001, seed=1, listener=SilentListener())
    assert len(read(path)) == len(twin.users) == 10_048


@pytest.mark.parametrize("layout", ["archive", "folder"])
@pytest.mark.parametrize("when", ["drawing ratings", "writing twin"])
def test_an_interrupted_twin_leaves_nothing_behind(tmp_path, layout, when):
    def interrupt(what, done, total):
        if what == when and done > total / 2:
            raise KeyboardInterrupt

    listener = SilentListener()
    listener.progress = interrupt
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        write_netflix(tmp_path / "twin", scale=0.001, seed=1, listener=listener, layout=layout)
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == before


def test_a_twin_that_cannot_be_written_is_told_before_it_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(synth_module, "draw", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"a file stands where a folder is needed|a part of that path is a file"):
        write_netflix(tmp_path / "file" / "twin", scale=0.001, seed=1, listener=SilentListener())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**6))
    with pytest.raises(WriteError, match=r"not enough disk space in .*: 954\.6 MB needed, 1\.0 MB free"):
        write_netflix(tmp_path / "twin", scale=1, seed=1, listener=SilentListener())


def test_a_disk_that_fills_up_while_writing_is_told(tmp_path, monkeypatch):
    class Full:
        def compress(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(synth_module.zlib, "compressobj", lambda *_, **__: Full())
    with pytest.raises(WriteError, match=r"cannot write .*twin: no space left on the disk"):
        write_netflix(tmp_path / "twin", scale=0.0002, seed=1, listener=SilentListener())
    assert not list(tmp_path.iterdir())


# --- the command ---


@pytest.fixture
def synth(tmp_path, monkeypatch, capsys):
    """Type a `cfbench synth netflix` command."""
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    console.out.cache_clear()
    console.err.cache_clear()

    def synth(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(["synth", "netflix", "--scale", "0.0001", *map(str, words)])
        return ended.value.code, capsys.readouterr().err

    return synth


def test_synth_writes_an_archive_and_says_what_is_next(synth, tmp_path):
    path = tmp_path / "my twin.tar.gz"
    status, err = synth("--out", path)
    assert status == 0
    assert "a twin of netflix at scale 0.0001: 48 users, 825 items, 10,048 ratings, in" in err
    assert f"next: cfbench download netflix-twin --from-file '{path}'" in err
    assert len(read(path)) == 10_048


def test_synth_replaces_nothing_unless_forced(synth, tmp_path):
    path = tmp_path / "t.tar.gz"
    path.write_text("mine")
    status, err = synth("--out", path)
    assert (status, path.read_text()) == (2, "mine")
    assert f"{path} already exists; choose another path with --out, or replace it with --force" in err
    assert synth("--out", path, "--force")[0] == 0
    assert path.stat().st_size > 1000
    assert "is a folder; choose another path with --out" in synth("--out", tmp_path, "--force")[1]


@pytest.mark.slow
def test_the_benchmark_cuts_anew_what_was_cut_before_and_finds_the_layouts_the_same(tmp_path):
    script = Path(__file__).parents[2] / "bench" / "netflix.py"

    def run():
        command = [sys.executable, script, tmp_path, "--scale", str(SCALE)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = run()
    (kept,) = tmp_path.glob("data/splits/netflix-twin/last1-*.parts")
    old = kept.stat().st_mtime_ns
    again = run()
    assert kept.stat().st_mtime_ns > old
    assert ("synth" in first, "\nsynth" in again) == (True, False)
    for said in (first, again):
        assert said.endswith("the three layouts give the same ratings\n")
        fingerprints = re.findall(r"^(archive|unpacked|kaggle) +([0-9a-f]{64})$", said, re.MULTILINE)
        assert len({found for _, found in fingerprints}) == 1
        assert len(fingerprints) == 3
