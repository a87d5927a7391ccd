"""What the tests of data share: files that are imported on a terminal."""

import pytest

from cfbench.data import card, store


def stored_rows():
    """The users, items, ratings and times of the data set mine, under their own ids; a time may be None."""
    dataset = store.open_dataset(card.load("mine"))
    table, catalogue = dataset.ratings, dataset.catalogue
    users, items = catalogue.users["id"].to_list(), catalogue.items["id"].to_list()
    times = [None] * len(table) if table.times is None else table.times.tolist()
    columns = zip(table.users, table.items, table.ratings.tolist(), times, strict=True)
    return [(users[u], items[i], r, t) for u, i, r, t in columns]


@pytest.fixture
def imported_rows():
    """A function that returns the rows of the data set mine."""
    return stored_rows


@pytest.fixture
def imported(empty_terminal):
    """Write a file and import it as mine; returns its rows, or the message if the file is refused."""

    def run(content, options="", file="r.csv"):
        path = empty_terminal.folder / file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        known = "mine" in card.names()
        answer = empty_terminal(f"import {file} --name mine {options}")
        if answer.status == 0:
            return stored_rows()
        assert answer.err.startswith("error: ")
        assert answer.err.count("\n") == 1, answer.err
        assert ("mine" in card.names()) == known
        return answer.err

    return run
