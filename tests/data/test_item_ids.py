"""The ids of items do not depend on the source: a source that names items by titles gets the original numbers."""

import json
import zipfile

import polars as pl
import pytest

from cfbench.data import card as cards
from cfbench.data import store
from cfbench.data.card import Card
from cfbench.data.checksums import checksum
from cfbench.data.progress import SilentListener
from cfbench.errors import CountError, DataError, UnknownNameError

NUMBERS = {"last": 6, "missing": [2, 5]}
TITLES = {"1": "Heat (1995)", "3": "Bug's Life, A (1998)", "4": "Twice (1990)", "6": "Twice (1990)"}
GENRES = {"1": "Crime,Drama", "3": "", "4": "War", "6": "Drama"}
RATINGS = [("u1", "3", 5), ("u2", "1", 2), ("u1", "6", 3), ("u2", "3", 1)]


def write_source(path, *, by_title):
    """An archive that names items by their numbers, or by their places in the table of titles and by no number."""
    names = {number: f"film {place}" if by_title else number for place, number in enumerate(TITLES)}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("r", "".join(f"{u}|{names[i]}|{r}\n" for u, i, r in RATINGS))
        file.writestr("t", "".join(f"{names[number]}|{title}|{GENRES[number]}\n" for number, title in TITLES.items()))
    return path


def make_card(path, numbers):
    row = {"separator": "|", "max_bytes": 100_000}
    source = {
        "kind": "https", "url": f"http://127.0.0.1:1/{path.name}", "bytes": path.stat().st_size,
        "checksum": checksum(path), "ratings": row | {"member": "r", "columns": {"user": 0, "item": 1, "rating": 2}},
        "titles": row | {"member": "t", "columns": {"item": 0, "title": 1, "genres": 2}, "genre_separator": ","},
    }  # fmt: skip
    return Card.model_validate({
        "name": "films", "title": "", "homepage": "", "citation": "", "licence": "", "terms": "",
        "scale": {"low": 1, "high": 5}, "sources": [source | ({"item_numbers": numbers} if numbers else {})],
    })  # fmt: skip


class Messages(SilentListener):
    """A listener that keeps the messages."""

    def __init__(self):
        self.lines = []

    def message(self, line):
        self.lines.append(line)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    (tmp_path / "home" / "downloads").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def mirror(home):
    """The card of a source without numbers, whose file is downloaded."""
    return make_card(write_source(home / "downloads" / "mirror.zip", by_title=True), NUMBERS)


def test_both_sources_give_the_same_ids_titles_and_fingerprint(home, tmp_path, mirror):
    path = write_source(tmp_path / "original.zip", by_title=False)
    original = store.prepare(make_card(path, None), listener=SilentListener(), from_file=path)
    expected = (original.ratings.fingerprint, original.catalogue.items.to_dicts())
    other = store.prepare(mirror, listener=SilentListener(), again=True)
    assert (other.ratings.fingerprint, other.catalogue.items.to_dicts()) == expected
    assert other.catalogue.items["id"].to_list() == ["3", "1", "6"]
    assert other.genres == original.genres == ((), ("Crime", "Drama"), ("Drama",))


def test_a_data_set_that_was_prepared_without_genres_names_the_command_that_gets_them(home, mirror):
    """The ratings, and so their fingerprint, are the same with and without genres."""
    table = mirror.sources[0].titles.model_copy(update={"columns": {"item": 0, "title": 1}})
    bare = mirror.model_copy(update={"sources": (mirror.sources[0].model_copy(update={"titles": table}),)})
    before = store.prepare(bare, listener=SilentListener())
    assert before.catalogue.genres == ((), (), ())
    with pytest.raises(DataError, match=r"^the card of data set 'films' names no genres of its items$"):
        before.genres  # noqa: B018 (it raises)
    old = store.prepare(mirror, listener=SilentListener())
    with pytest.raises(DataError, match=r"without genres, .*; run `cfbench download films --again` to get them"):
        old.genres  # noqa: B018
    new = store.prepare(mirror, listener=SilentListener(), again=True)
    assert new.genres == ((), ("Crime", "Drama"), ("Drama",))
    assert new.ratings.fingerprint == before.ratings.fingerprint


def test_an_item_is_found_by_its_id_or_by_a_title_that_only_it_has(mirror):
    catalogue = store.prepare(mirror, listener=SilentListener()).catalogue
    assert catalogue.item_codes(["6", "Bug's Life, A (1998)", "1"]).tolist() == [2, 0, 1]
    with pytest.raises(UnknownNameError, match=r"no item '5'; there are: 1, 3, 6$"):
        catalogue.item_codes(["5"])
    with pytest.raises(UnknownNameError, match=r"no item 'Heet \(1995\)'; did you mean 'Heat \(1995\)'"):
        catalogue.item_codes(["Heet (1995)"])


def test_a_title_of_two_items_names_neither(home, tmp_path):
    path = write_source(tmp_path / "original.zip", by_title=False)
    catalogue = store.prepare(make_card(path, None), listener=SilentListener(), from_file=path).catalogue
    two = type(catalogue)(catalogue.users, catalogue.items.with_columns(title=pl.lit("Twice (1990)")))
    with pytest.raises(UnknownNameError):
        two.item_codes(["Twice (1990)"])


def make_old(home, card):
    """Turn the prepared data set into what an older version wrote: the source's names, and no word about ids."""
    folder = home / "datasets" / "films"
    items = pl.DataFrame(
        {"id": ["film 1", "film 0", "film 3"], "title": [None] * 3}, schema_overrides={"title": pl.String}
    )
    items.write_parquet(folder / "items.parquet")
    manifest = json.loads((folder / "dataset.json").read_text())
    del manifest["original_ids"]
    manifest["files"]["items.parquet"] = checksum(folder / "items.parquet")
    (folder / "dataset.json").write_text(json.dumps(manifest))


def test_a_data_set_of_an_older_version_opens_and_is_renewed_with_one_line(home, mirror):
    fingerprint = store.prepare(mirror, listener=SilentListener()).ratings.fingerprint
    make_old(home, mirror)
    old = store.open_dataset(mirror)
    assert old.ratings.fingerprint == fingerprint
    with pytest.raises(
        DataError, match=r"older cfbench .* titles as item ids; run `cfbench download films --again` to"
    ):
        _ = old.catalogue
    listener = Messages()
    renewed = store.prepare(mirror, listener=listener)
    assert listener.lines[0] == "preparing films again, with the original item ids in place of titles"
    assert renewed.catalogue.items["id"].to_list() == ["3", "1", "6"]
    assert renewed.ratings.fingerprint == fingerprint
    again = Messages()
    store.prepare(mirror, listener=again)
    assert again.lines == []


def test_without_the_downloaded_file_an_older_data_set_stays_usable(home, mirror):
    store.prepare(mirror, listener=SilentListener())
    make_old(home, mirror)
    (home / "downloads" / "mirror.zip").unlink()
    assert len(store.prepare(mirror, listener=SilentListener()).ratings) == 4


@pytest.mark.parametrize("last", [5, 7])
def test_a_table_of_titles_with_other_rows_is_refused(home, last):
    path = write_source(home / "downloads" / "mirror.zip", by_title=True)
    with pytest.raises(CountError, match=r"has 4 titles, expected"):
        store.prepare(make_card(path, NUMBERS | {"last": last}), listener=SilentListener())


def test_the_numbers_of_movielens_1m_are_those_of_its_movies():
    numbers = next(source.item_numbers for source in cards.load("ml-1m").sources if source.item_numbers)
    ids = numbers.ids
    assert (len(ids), ids[0], ids[-1]) == (3883, "1", "3952")
    # the rows of movies.dat with Heat, Farinelli, Casablanca, Titanic and The Contender
    assert [ids[row] for row in (5, 239, 900, 1672, 3882)] == ["6", "242", "912", "1721", "3952"]


@pytest.mark.slow
@pytest.mark.online
def test_movielens_1m_from_the_package_index_has_the_original_numbers(movielens):
    """The numbers are those with which ratings.dat begins, and of films that every version of MovieLens has."""
    catalogue = movielens("ml-1m").catalogue
    assert catalogue.users["id"].head(2).to_list() == ["1", "2"]
    assert catalogue.items["id"].head(4).to_list() == ["1193", "661", "914", "3408"]
    title_of = dict(catalogue.items.select("id", "title").iter_rows())
    assert [title_of[number] for number in ("1", "260", "858", "1196", "1721", "2571", "2858", "3578")] == [
        "Toy Story (1995)", "Star Wars: Episode IV - A New Hope (1977)", "Godfather, The (1972)",
        "Star Wars: Episode V - The Empire Strikes Back (1980)", "Titanic (1997)", "Matrix, The (1999)",
        "American Beauty (1999)", "Gladiator (2000)",
    ]  # fmt: skip
