"""A planted data set under the name of MovieLens 100K, as the documents and the examples use it."""

import pytest

from cfbench.data import card

USERS, ITEMS = 190, 235
"""The first ids, so that user 196 and item 242 exist."""


@pytest.fixture
def planted_ml_100k(tmp_path, monkeypatch, tiny_files_as):
    """An empty home in which `load("ml-100k", download=True)` finds planted ratings."""
    tiny_files_as(tmp_path, ["ml-100k"], USERS, ITEMS)
    monkeypatch.setattr(card, "SHIPPED_FOLDER", tmp_path / "cards")
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    monkeypatch.delenv("CFBENCH_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
