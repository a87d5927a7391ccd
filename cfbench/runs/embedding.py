"""The codes of a stored model: a vector for each user or each item, as the plugin's `embeddings` returns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import HasEmbeddings
from cfbench.data.exporting import check_format
from cfbench.errors import UsageError
from cfbench.files import atomic_file, write_errors
from cfbench.ratings import activity
from cfbench.runs.plugin_calls import plugin_call
from cfbench.runs.promises import check_embeddings

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.contract import Predictor, Side
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings

SIDES: tuple[Side, Side] = ("item", "user")
"""Both sides; the first one that a model has codes of is the default."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """The codes of all users or all items of a data set."""

    side: Side
    vectors: NDArray[np.float32]
    """(n, k) codes, 0 for a user or item without a training rating."""
    ratings: NDArray[np.int64]
    """(n,) the number of training ratings of each user or item."""

    @property
    def seen(self) -> NDArray[np.int64]:
        """(m,) the rows of those with a training rating."""
        return np.flatnonzero(self.ratings)


def embed(plugin: str, model: Predictor, train: Ratings, side: Side | None = None) -> Embedding:
    """Return the codes that a fitted model has of one side: of items if none is named and it has both.

    `train` are the ratings that the model learned. Raises `PluginError`, and `UsageError` if it has no such codes.
    """
    found = {name: vectors for name in SIDES if (vectors := _vectors(plugin, model, train, name)) is not None}
    if not found:
        raise UsageError(
            f"{plugin}, as this run configured it, has no codes of users or items; choose a run of an autoencoder or "
            "of a model with factors, such as deepae, als or svd"
        )
    chosen = side or next(iter(found))
    if chosen not in found:
        (other,) = found
        raise UsageError(
            f"{plugin}, as this run configured it, has codes of {other}s, not of {chosen}s; an autoencoder has these "
            f"after a run with --orientation {chosen}"
        )
    codes, count = (train.users, train.n_users) if chosen == "user" else (train.items, train.n_items)
    return Embedding(chosen, found[chosen], activity(codes, count))


def _vectors(plugin: str, model: Predictor, train: Ratings, side: Side) -> NDArray[np.float32] | None:
    if not isinstance(model, HasEmbeddings):
        return None
    with plugin_call(plugin, "embeddings"):
        return check_embeddings(model.embeddings(side), train.n_users if side == "user" else train.n_items)


def embedding_table(embedding: Embedding, dataset: Dataset) -> pl.DataFrame:
    """Return the codes with ids: the side, `title` where titles are known, `ratings`, then `code_0`, `code_1`, …"""
    import polars as pl

    catalogue = dataset.catalogue
    names = catalogue.users if embedding.side == "user" else catalogue.items
    columns: dict[str, Any] = {embedding.side: names["id"]}
    if "title" in names.columns and names["title"].count():
        columns["title"] = names["title"]
    codes = [f"code_{number}" for number in range(embedding.vectors.shape[1])]
    vectors = pl.DataFrame(embedding.vectors, schema=codes)
    return pl.DataFrame(columns | {"ratings": embedding.ratings}).hstack(vectors)


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by the ending of the file; raises `UsageError`, `WriteError`."""
    as_text = check_format(path) == "CSV"
    with write_errors(path), atomic_file(path) as unfinished:
        if as_text:
            table.write_csv(unfinished)
        else:
            table.write_parquet(unfinished)
