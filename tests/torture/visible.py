"""What is visible in a folder in which commands ran: data sets, runs and trials, which are checked to be whole."""

import json
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

from cfbench.data.card import NEW_CARD
from cfbench.data.checksums import checksum
from cfbench.runs.arrays import file_sha256


def data_sets(work: Path):
    """The visible data sets, whose files are whole and which have their card: (name, fingerprint)."""
    found = set()
    for folder in work.glob("home/datasets/[!.]*/"):
        manifest = json.loads((folder / "dataset.json").read_text())
        for name, expected in manifest["files"].items():
            assert checksum(folder / name) == expected, f"{folder / name} is damaged"
        found.add((folder.name, manifest["fingerprint"]))
    # an import that was killed left its card beside the ratings; the next reader of cards moves it to the others
    moved = {file.parent.name: file for file in work.glob(f"home/datasets/[!.]*/{NEW_CARD}")}
    for name, card in ({file.stem: file for file in work.glob("home/cards/*.toml")} | moved).items():
        expected = tomllib.loads(card.read_text())["expected"]["fingerprint"]
        assert (name, expected) in found, f"{card} is the card of other ratings"
    return frozenset(found)


def runs(work: Path):
    """The published runs, whose files are whole: (plugin, config, predictions)."""
    found = set()
    for file in work.glob("results/*/*/*/*/record.json"):
        record = json.loads(file.read_text())
        assert record["outcome"]["status"] == "finished", f"run {file.parent.name} is {record['outcome']}"
        for name, sha256 in record["files"].items():
            assert file_sha256(file.parent / name) == sha256, f"{file.parent / name} is damaged"
        assert {path.name for path in file.parent.iterdir()} == {*record["files"], "record.json"}, file.parent
        request = record["request"]
        config = json.dumps(request["config"], sort_keys=True)
        found.add((request["plugin"]["name"], config, record["files"]["predictions.parquet"]))
    return frozenset(found)


def trials(work: Path):
    """The complete trials of each study: (study, parameters, validation RMSE)."""
    found = set()
    for file in work.glob("results/.studies/*.db"):
        with closing(sqlite3.connect(file)) as connection:
            try:
                rows = connection.execute(
                    "SELECT v.value FROM trials t JOIN trial_values v USING (trial_id) WHERE state = 'COMPLETE'"
                ).fetchall()
            except sqlite3.OperationalError:
                rows = []  # it has no tables yet
        found |= {(file.stem, value) for (value,) in rows}
    return frozenset(found)


def exports(work: Path):
    """The files that a command wrote for its user: (name, checksum)."""
    return frozenset((path.name, checksum(path)) for path in work.glob("out*"))
