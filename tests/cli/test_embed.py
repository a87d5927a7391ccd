"""`cfbench embed`: the codes of a stored model in a file."""

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
        ("embed last", "where to? give a file that ends in .csv or .parquet"),
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
