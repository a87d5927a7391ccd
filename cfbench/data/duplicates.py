"""Pairs that a person's own file rates more than once: refused, or reduced to one rating."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cfbench.data.column_files import pair_keys
from cfbench.data.parts import PART_NAMES
from cfbench.data.readers.bad_rows import MAX_LISTED, format_line_numbers
from cfbench.errors import CountError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.data.imported_rows import ImportedRows
    from cfbench.data.progress import ProgressListener

DuplicatePolicy: TypeAlias = Literal["error", "last", "mean"]
"""What to do with several ratings of a pair: refuse the file; keep the last one in the file, whatever its time; or keep
the mean rating and the latest time."""


def resolve_duplicates(rows: ImportedRows, policy: DuplicatePolicy, listener: ProgressListener) -> ImportedRows:
    """Keep one rating per pair, in the order of the file. Raises `CountError` for duplicates if `policy` is "error"."""
    keys = pair_keys(rows.users, rows.items, len(rows.catalogue.items))
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]]))
    n_duplicates = len(keys) - len(starts)
    if not n_duplicates:
        return rows
    if policy == "error":
        raise _duplicates_error(rows, np.sort(np.delete(order, starts)))
    last = order[np.append(starts[1:], len(keys)) - 1]
    if policy == "mean":
        rows = _with_means(rows, order, starts, last)
    listener.message(f"{rows.where}: {n_duplicates:,} duplicate ratings of a pair, resolved by --duplicates {policy}")
    return rows.take(np.sort(last))


def refuse_pairs_in_two_parts(rows: ImportedRows) -> None:
    """Raise `CountError` when a pair is in two parts: a model would learn a rating that it is tested on."""
    if rows.parts is None:
        return
    keys = pair_keys(rows.users, rows.items, len(rows.catalogue.items))
    order = np.argsort(keys, kind="stable")
    in_two = (keys[order][1:] == keys[order][:-1]) & (rows.parts[order][1:] != rows.parts[order][:-1])
    places = np.flatnonzero(in_two)
    if len(places):
        place = places[np.argmin(order[places + 1])]
        first, second = int(order[place]), int(order[place + 1])
        raise CountError(
            f"{rows.place(second)}: {rows.pair(second)} is in the {PART_NAMES[int(rows.parts[second])]} part, and on "
            f"{rows.place(first)} in the {PART_NAMES[int(rows.parts[first])]} part ({len(places):,} such pairs); "
            "expected each pair in one part, so remove one of the two rows"
        )


def _duplicates_error(rows: ImportedRows, duplicates: NDArray[np.int64]) -> CountError:
    first = int(duplicates[0])
    duplicates = duplicates[rows.file[duplicates] == rows.file[first]]
    lines = format_line_numbers(rows.lines[duplicates[:MAX_LISTED]].tolist(), len(duplicates))
    return CountError(
        f"{rows.file_of(first)}: {len(duplicates):,} rows rate a pair that an earlier row rates, expected one rating "
        f"per pair; on lines {lines}, the first is {rows.pair(first)}; "
        "choose with --duplicates last or --duplicates mean"
    )


def _with_means(
    rows: ImportedRows, order: NDArray[np.int64], starts: NDArray[np.int64], last: NDArray[np.int64]
) -> ImportedRows:
    """Give the last row of each pair the pair's mean rating and latest time.

    `order` sorts the rows by pair, `starts` are the positions in `order` where pairs begin, `last` are the last rows.
    """
    counts = np.diff(np.append(starts, len(order)))
    ratings = rows.ratings.copy()
    ratings[last] = np.add.reduceat(rows.ratings[order], starts) / counts
    if rows.times is None:
        return replace(rows, ratings=ratings)
    times = rows.times.copy()
    times[last] = np.maximum.reduceat(rows.times[order], starts)
    return replace(rows, ratings=ratings, times=times)
