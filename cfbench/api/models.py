"""The model of a run, which predicts frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cfbench.api.frames import ids_of, to_polars

if TYPE_CHECKING:
    from cfbench.runs.stored_model import StoredModel


@dataclass(frozen=True, eq=False)
class RunModel:
    """The fitted model of a run."""

    stored: StoredModel
    """The model as the rest of cfbench sees it, with its data set."""

    def predict(self, frame: Any, *, user: str = "user", item: str = "item") -> pl.DataFrame:
        """Return the frame with one more column, `prediction`, on the scale of the ratings.

        `user` and `item` name the columns of ids, as the source has them; an item may be a title. Other columns, such
        as ratings, stay, but an earlier `prediction` is replaced. Raises `UsageError` for a column that is missing or
        has gaps, and `UnknownNameError` for an id that the data set does not have, as `cfbench predict` does.

        >>> run.model.predict(pl.DataFrame({"user": ["196", "186"], "item": ["242", "302"]}))
        """
        table = to_polars(frame)
        scores = self.stored.predict(ids_of(table, user, "user"), ids_of(table, item, "item"))
        return table.with_columns(prediction=pl.Series(scores))
