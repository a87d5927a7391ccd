"""`cfbench embed`: the codes of a stored model in a file."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from cfbench.data import card, store

ALS = "run als --factors 3 --epochs 4"
DEEPAE = "run deepae --no-preset --hidden 8 --epochs 2 --batch-size 16"


def stored_state():
    (file,) = Path("results").glob("*/*/*/*/model.safetensors")
    return load_file(file)


def training_part():
    data = store.open_dataset(card.load("tiny"))
    return data.split("random90").train(data.ratings), data.catalogue


@pytest.mark.parametrize("file", ["codes.csv", "codes.parquet"])
def test_the_file_has_ids_titles_numbers_of_ratings_and_the_factors_of_the_model(terminal, file):
    terminal(ALS)
    result = terminal(f"embed last --out {file}")
    assert (result.status, result.out) == (0, "")
    assert f"wrote the codes of 39 items to {file}: code_0 … code_2\n" in result.err
    table = pl.read_csv(file) if file.endswith("csv") else pl.read_parquet(file)
    assert table.columns == ["item", "title", "ratings", "code_0", "code_1", "code_2"]
    train, catalogue = training_part()
    assert table["item"].to_list() == catalogue.items["id"].to_list()
    assert table["title"].to_list() == [f"Film {name[1:]}, The" for name in table["item"]]
    assert table["ratings"].to_list() == np.bincount(train.items, minlength=train.n_items).tolist()
    np.testing.assert_allclose(table.select("^code_.*$").to_numpy(), stored_state()["items"][:, :3], rtol=1e-6)


def test_the_users_of_a_model_that_has_both_are_chosen(terminal):
    terminal(ALS)
    terminal("embed last --of users --out users.csv")
    table, (train, catalogue) = pl.read_csv("users.csv"), training_part()
    assert table.columns == ["user", "ratings", "code_0", "code_1", "code_2"]
    assert table["user"].to_list() == catalogue.users["id"].to_list()
    assert table["ratings"].sum() == len(train)
    np.testing.assert_allclose(table.select("^code_.*$").to_numpy(), stored_state()["users"][:, :3], rtol=1e-6)


def test_a_refitted_model_has_learned_the_validation_ratings_too(terminal):
    terminal(f"{ALS} --refit")
    terminal("embed last --of users --out users.csv")
    data = store.open_dataset(card.load("tiny"))
    assert pl.read_csv("users.csv")["ratings"].sum() == len(data.split("random90").train_and_valid(data.ratings))


def test_an_autoencoder_has_the_codes_of_the_side_whose_rows_it_learned(terminal):
    terminal(DEEPAE)
    assert terminal("embed last --out codes.csv").status == 0
    assert pl.read_csv("codes.csv").columns == ["user", "ratings", *(f"code_{k}" for k in range(8))]
    result = terminal("embed last --of items --out codes.csv")
    message = "codes of users, not of items; an autoencoder has these after a run with --orientation item\n"
    assert (result.status, result.err) == (2, f"error: deepae, as this run configured it, has {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("embed last", "what for? give a file, as in --out codes.parquet or --plot codes.svg, or --purity"),
        ("embed last --out codes.txt", "codes.txt must end in .csv or .parquet"),
        ("embed last --out codes.csv", "bias, as this run configured it, has no codes of users or items; choose"),
        ("embed nope --out codes.csv", "no run 'nope'"),
    ],
)
def test_what_cannot_be_done_is_one_line(terminal, line, message):
    terminal("run bias")
    result = terminal(line)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not Path("codes.csv").exists()


def test_a_run_whose_model_is_not_stored_names_the_command_that_makes_it_again(terminal):
    terminal(ALS)
    (model,) = Path("results").glob("*/*/*/*/model.safetensors")
    model.unlink()
    result = terminal("embed last --out codes.csv")
    assert result.status == 1
    assert f"the model of run {model.parent.name} is not stored here" in result.err
    assert ": cfbench run als " in result.err


def by_genre_codes(seen):
    """The code of an item of tiny is the direction of its genre, and a little of its own."""
    numbers = np.array([int(name[1:]) for name in store.open_dataset(card.load("tiny")).catalogue.items["id"]])
    return np.column_stack([numbers % 2, 1 - numbers % 2, 0.01 * np.sin(numbers)])


@pytest.fixture
def by_genre(run_coded):
    """A terminal where the last run has codes that are the genres of the items."""
    return run_coded("genre", by_genre_codes)


def known_chance():
    """The mean share of other items with a genre of the item; item 0 has both genres, 38 none."""
    train, catalogue = training_part()
    numbers = {int(catalogue.items["id"][code][1:]) for code in np.flatnonzero(train.seen_items).tolist()} - {38}
    shares = [
        np.mean([0 in {one, other} or one % 2 == other % 2 for other in numbers - {one}]) for one in numbers
    ]  # fmt: skip
    return len(numbers), np.mean(shares)


def test_codes_that_are_genres_are_pure_and_chance_is_counted(by_genre):
    items, chance = known_chance()
    found = json.loads(by_genre("embed last --purity --json").out)
    assert (found["plugin"], found["items"], found["neighbours"]) == ("genre", items, 10)
    assert found["purity"] == {"value": 1, "interval": [1, 1]}
    assert found["chance"]["value"] == pytest.approx(chance)
    low, high = found["difference"]["interval"]
    assert found["difference"]["value"] == pytest.approx(1 - chance)
    assert low < 1 - chance < high
    lines = by_genre("embed last --purity").out.splitlines()
    assert lines[0] == f"genre on tiny, {items} items with a genre and a training rating:"
    assert lines[1] == " 100.0% of the 10 nearest items share a genre with an item (95 % interval 100.0% to 100.0%)"
    assert lines[2].startswith(f"{chance:7.1%} of all other items do (95 % interval ")


@pytest.mark.parametrize("file", ["codes.svg", "codes.png"])
def test_the_map_is_drawn_with_the_genres_and_says_how_it_was_made(by_genre, file):
    result = by_genre(f"embed last --plot {file}")
    assert (result.status, result.out) == (0, "")
    assert f"drew the codes of 39 items with training ratings in {file}\n" in result.err
    content = Path(file).read_bytes()
    assert b" --of items --plot codes." in content
    assert content.startswith(b"\x89PNG" if file.endswith("png") else b"<?xml")
    if file.endswith("svg"):
        assert {b"Odd (19)", b"Even (19)", b"others (1)"} <= set(
            re.findall(b"(?:Odd|Even|others) [(][0-9]+[)]", content)
        )
    by_genre(f"embed last --plot again-{file}")
    assert Path(f"again-{file}").read_bytes().replace(b"again-", b"") == content or file.endswith("png")


def test_users_are_coloured_by_their_number_of_ratings(terminal):
    terminal(ALS)
    assert terminal("embed last --of users --plot users.svg").status == 0
    assert "training ratings" in Path("users.svg").read_text()


def test_where_genres_are_not_known_a_map_has_numbers_of_ratings_and_purity_an_error(by_genre):
    path = by_genre.folder / "cards" / "tiny.toml"
    declared = path.read_text()
    path.write_text(declared.replace(", genres = 2", ""))
    by_genre("download tiny --from-file tiny.zip --again")
    result = by_genre("embed last --plot codes.svg")
    assert "the card of data set 'tiny' names no genres of its items; the colours of codes.svg are num" in result.err
    assert "training ratings" in Path("codes.svg").read_text()
    path.write_text(declared)  # as if the card had learned of genres since
    result = by_genre("embed last --purity")
    assert (result.status, len(result.err.splitlines())) == (1, 1)
    assert "was prepared without genres, as an older cfbench did; run `cfbench download tiny --again`" in result.err


@pytest.mark.parametrize(
    ("line", "missing", "message"),
    [
        ("embed last --plot codes.jpg", "", "codes.jpg must end in .png, .svg or .pdf"),
        ("embed last --purity --of users", "", "--purity is that of items, because users have no genres"),
        ("embed last --plot codes.svg", "matplotlib", "pip install 'cfbench-recsys[report]'"),
        ("embed last --plot codes.svg --method umap", "umap", "pip install umap-learn"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_one_line(by_genre, monkeypatch, line, missing, message):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    result = by_genre(line)
    assert (result.status, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert message in result.err
