"""Predictions that were made elsewhere: a file of users, items and predictions, for exactly the ratings of a part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.data.column_files import pair_keys
from cfbench.data.readers.bad_rows import BadRows, RowCheck, find_bad_rows
from cfbench.data.readers.table import LayoutOptions, OpenTable, TableBlock, open_source
from cfbench.data.readers.values import parse_ids
from cfbench.errors import CountError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from cfbench.data.progress import ProgressListener
    from cfbench.ratings import Catalogue, Ratings

ROLES = ("user", "item", "prediction")


@dataclass(frozen=True, eq=False)
class PredictedRatings:
    """The n ratings of a part of a split, whose predictions a file has to hold."""

    part: str
    """The name of the part and of the split, for messages."""
    ratings: Ratings
    catalogue: Catalogue
    export: str
    """The command that writes these ratings to a file, for messages."""

    def row_of_pairs(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int64]:
        """(m,) the row of each pair in the part, -1 where the part has no such pair; codes may be -1."""
        keys = pair_keys(self.ratings.users, self.ratings.items, self.ratings.n_items)
        order = np.argsort(keys)
        wanted = pair_keys(users, items, self.ratings.n_items)
        places = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
        rows: NDArray[np.int64] = order[places]
        rows[(keys[rows] != wanted) | (users < 0) | (items < 0)] = -1
        return rows

    def describe(self, row: int) -> str:
        """The user and the item of a row, with the ids of the data set."""
        users, items = self.catalogue.users["id"], self.catalogue.items["id"]
        return f"user {users[int(self.ratings.users[row])]!r} with item {items[int(self.ratings.items[row])]!r}"


def read_predictions(
    path: Path | pl.DataFrame, layout: LayoutOptions, wanted: PredictedRatings, listener: ProgressListener
) -> NDArray[np.float64]:
    """(n,) the predictions of a file or a frame, in the order of the part.

    Raises `RowError` for a row that is no prediction of a rating of the part, `CountError` when a pair has several
    predictions or none, `UsageError` when the file holds the ratings themselves, and what `open_table` raises.
    """
    opened = open_source(path, layout, ROLES, listener)
    bad = BadRows(opened.where, "give one finite prediction for each rating of the part")
    blocks = [columns for columns in _read_blocks(opened, wanted, bad, listener) if not bad]
    bad.raise_if_any()
    rows, lines, predictions = (np.concatenate([block[k] for block in blocks]) for k in range(3))
    _refuse_repeated(opened.where, wanted, rows, lines)
    _refuse_missing(opened.where, wanted, rows)
    in_order = np.empty(len(rows), np.float64)
    in_order[rows] = predictions
    if np.array_equal(in_order.astype(np.float32), wanted.ratings.ratings):
        raise UsageError(
            f"{opened.where} holds the ratings of the {wanted.part} themselves ({opened.summary}); give the column of "
            "predictions with --prediction"
        )
    listener.message(f"{opened.where}: {opened.summary}")
    return in_order


def _read_blocks(
    opened: OpenTable, wanted: PredictedRatings, bad: BadRows, listener: ProgressListener
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the part, the lines and the predictions of each block; report bad rows to `bad`."""
    import polars as pl

    for block in opened.blocks(listener):
        text = block.fields["prediction"]
        text = text.str.strip_chars() if text.dtype == pl.String else text
        predictions = text.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        users = wanted.catalogue.find_users(parse_ids(block.fields["user"]).cast(pl.String))
        items = wanted.catalogue.find_items(parse_ids(block.fields["item"]).cast(pl.String))
        rows = wanted.row_of_pairs(users, items)
        wrong = {"users": users < 0, "items": items < 0, "pairs": rows < 0, "predictions": ~np.isfinite(predictions)}
        _check(block, wanted.part, bad, **wrong)
        if block.fault:
            bad.give_up(block.fault_line, block.fault)
            return
        yield rows, block.lines.to_numpy(), predictions


def _check(block: TableBlock, part: str, bad: BadRows, **wrong: NDArray[np.bool_]) -> None:
    """Report every bad row to `bad`, each with its first fault."""
    import polars as pl

    fields = block.fields
    checks: list[RowCheck] = []
    if block.expected:
        message = f"expected {block.expected} fields, got {{}}"
        checks.append(RowCheck(fields["fields"] != block.expected, message, fields["fields"]))
    checks += [
        RowCheck(pl.Series(wrong["users"]), "the data set has no user '{}'", fields["user"]),
        RowCheck(pl.Series(wrong["items"]), "the data set has no item '{}'", fields["item"]),
        RowCheck(pl.Series(wrong["pairs"]), f"the {part} has no rating of this user for item '{{}}'", fields["item"]),
        RowCheck(pl.Series(wrong["predictions"]), "expected a finite prediction, got '{}'", fields["prediction"]),
    ]
    find_bad_rows(checks, lambda row: int(block.lines[row]), block.text, bad)


def _refuse_repeated(where: str, wanted: PredictedRatings, rows: NDArray[np.int64], lines: NDArray[np.int64]) -> None:
    """Raise `CountError` when a pair has several predictions; `rows` and `lines` (m,) are those of the file."""
    order = np.argsort(rows, kind="stable")
    repeated = order[1:][rows[order][1:] == rows[order][:-1]]
    if len(repeated):
        second = int(repeated.min())
        first = int(np.flatnonzero(rows == rows[second])[0])
        raise CountError(
            f"{where}, line {lines[second]}: {wanted.describe(int(rows[second]))} has a prediction already on line "
            f"{lines[first]} ({len(repeated):,} repeated in all); give one prediction for each rating of the part"
        )


def _refuse_missing(where: str, wanted: PredictedRatings, rows: NDArray[np.int64]) -> None:
    """Raise `CountError` when a rating of the part has no prediction."""
    has_prediction = np.zeros(len(wanted.ratings), np.bool_)
    has_prediction[rows] = True
    missing = np.flatnonzero(~has_prediction)
    if len(missing):
        raise CountError(
            f"{where} has no prediction for {wanted.describe(int(missing[0]))} ({len(missing):,} of "
            f"{len(has_prediction):,} missing), expected one for each rating of the {wanted.part}; "
            f"`{wanted.export}` lists them"
        )
