"""The ids of a source become codes 0, 1, 2, … by first appearance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.errors import DataError
from cfbench.ratings import Catalogue, Ratings

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from cfbench.ratings import Codes, Scale


class IdEncoder:
    """Gives codes to users and items by first appearance, block by block."""

    def __init__(self) -> None:
        self._users, self._items = _CodeTable(), _CodeTable()

    def encode(self, block: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """Return the block's columns under their names in `Ratings`, with codes instead of ids.

        `block` has the columns `user` and `item` (text or whole numbers), `rating`, and optionally `time` and
        `held_out`; no nulls.
        """
        import polars as pl

        columns: dict[str, NDArray[Any]] = {
            "users": self._users.encode(block["user"]), "items": self._items.encode(block["item"]),
            "ratings": block["rating"].cast(pl.Float32).to_numpy(),
        }  # fmt: skip
        if "time" in block.columns:
            columns["times"] = block["time"].cast(pl.Int64).to_numpy()
        if "held_out" in block.columns:
            columns["held_out"] = block["held_out"].to_numpy()
        return columns

    @property
    def n_users(self) -> int:
        """How many different users there are so far."""
        return len(self._users.ids)

    @property
    def n_items(self) -> int:
        """How many different items there are so far."""
        return len(self._items.ids)

    def catalogue(self, titles: pl.DataFrame | None) -> Catalogue:
        """Return the ids of all codes. `titles` has `item`, `title` and perhaps `genres`, or is None.

        The first row of an item counts.

        If the source does not name items by their original ids, `titles` has these in one more column, `id`. Raises
        `DataError` when an item has none.
        """
        import polars as pl

        id_as_text = pl.col("id").cast(pl.String)
        users, items = self._users.ids.select(id_as_text), self._items.ids.select(id_as_text)
        if titles is None:
            return Catalogue(users, items.with_columns(title=pl.lit(None, pl.String)))
        first = titles.with_columns(pl.col("item").cast(pl.String)).unique("item", keep="first")
        items = items.rename({"id": "item"}).join(first, on="item", how="left", maintain_order="left")
        if "id" not in titles.columns:
            return Catalogue(users, items.rename({"item": "id"}))
        nameless = items.filter(pl.col("id").is_null())
        if len(nameless):
            raise DataError(f"the table of titles has no item {nameless['item'][0]!r}; get the original file")
        return Catalogue(users, items.select("id", pl.exclude("id", "item")))


class _CodeTable:
    """Distinct ids in the order of first appearance: `ids` has the columns `id` and `code`."""

    def __init__(self) -> None:
        import polars as pl

        self.ids = pl.DataFrame(schema={"id": pl.String, "code": pl.Int32})

    def encode(self, column: pl.Series) -> Codes:
        """(n,) the code of each id; new ids get the next codes."""
        import polars as pl

        rows = pl.DataFrame({"id": column})
        if not len(self.ids):
            self.ids = self.ids.with_columns(pl.col("id").cast(column.dtype))
        new = rows.unique(maintain_order=True).join(self.ids, on="id", how="anti", maintain_order="left")
        if len(new):
            next_codes = pl.int_range(len(self.ids), len(self.ids) + len(new), dtype=pl.Int32)
            self.ids = pl.concat([self.ids, new.with_columns(code=next_codes)])
        return rows.join(self.ids, on="id", how="left", maintain_order="left")["code"].to_numpy()


def encode_ratings(columns: pl.DataFrame, titles: pl.DataFrame | None, scale: Scale) -> tuple[Ratings, Catalogue]:
    """Encode a whole table: `columns` as for `IdEncoder.encode`, `titles` as for `IdEncoder.catalogue`."""
    encoder = IdEncoder()
    encoded: dict[str, Any] = dict(encoder.encode(columns))
    ratings = Ratings(**encoded, n_users=encoder.n_users, n_items=encoder.n_items, scale=scale)
    return ratings, encoder.catalogue(titles)
