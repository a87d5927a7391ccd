"""A planted data set under the name of MovieLens 100K, as the documents and the examples use it."""

import hashlib
import zipfile

import pytest

from cfbench.data import card

USERS, ITEMS = 190, 235
"""The first ids, so that user 196 and item 242 exist."""


@pytest.fixture
def planted_ml_100k(tmp_path, monkeypatch, tiny_source):
    """An empty home in which `load("ml-100k", download=True)` finds planted ratings."""
    text, table = tiny_source
    rows = zip(table.users + USERS, table.items + ITEMS, table.ratings, table.times, strict=True)
    archive = tmp_path / "home" / "downloads" / "tiny.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("tiny/ratings.csv", "".join(f"{u},{i},{r:g},{t}\n" for u, i, r, t in rows))
        file.writestr("tiny/items.csv", "".join(f"{i + ITEMS}|Film {i}, The|Drama\n" for i in range(table.n_items)))
    text = text.format(
        users=table.n_users, items=table.n_items, ratings=len(table), fingerprint=table.fingerprint,
        bytes=archive.stat().st_size, sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )  # fmt: skip
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "ml-100k.toml").write_text(text.replace('name = "tiny"', 'name = "ml-100k"'), "utf-8")
    monkeypatch.setattr(card, "SHIPPED_FOLDER", tmp_path / "cards")
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    monkeypatch.delenv("CFBENCH_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
