"""The rating scale of a person's own ratings: given, or inferred from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from cfbench.data.parts import TRAIN
from cfbench.errors import DataError, RowError, UsageError
from cfbench.ratings import Scale, lost_in_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cfbench.data.imported_rows import ImportedRows


def parse_scale(text: str) -> Scale:
    """Parse `1:5:0.5` or `1:5`; raises `UsageError`."""
    try:
        low, high, step = (float(part) for part in (text if text.count(":") > 1 else f"{text}:0").split(":"))
        return Scale(low=low, high=high, step=step)
    except ValidationError as error:
        raise UsageError(f"--scale {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise UsageError(f"--scale {text!r} is no scale; expected LOW:HIGH or LOW:HIGH:STEP, as in 1:5:0.5") from error


def infer_scale(ratings: NDArray[np.float64], where: str) -> Scale:
    """The scale from the lowest to the highest rating, with the largest step that gives all ratings.

    The step is a multiple of 0.0001 and at least a thousandth of the scale; else it is 0, which allows any rating in
    between. Raises `DataError` when all ratings are equal.
    """
    values = np.unique(ratings)
    if len(values) == 1:
        raise DataError(f"every rating of {where} is {values[0]:g}, so its scale is unknown; give it with --scale")
    low, high, step = float(values[0]), float(values[-1]), 0.0
    if len(values) <= 1000 and (high - low) * 10_000 < 2**53:  # float64 tells whole numbers apart up to there
        units = np.rint((values - low) * 10_000).astype(np.int64)
        divisor = int(np.gcd.reduce(units))
        is_exact = np.abs(units / 10_000 - (values - low)).max() < 1e-6
        if divisor and is_exact and units[-1] // divisor <= 1000:
            step = divisor / 10_000
    return Scale(low=low, high=high, step=step)


def infer_scale_of(rows: ImportedRows) -> Scale:
    """The scale of the ratings; where several files have the parts, that of the training part.

    Raises `RowError` when a rating of another file is off that scale: then it is unclear which scale is meant.
    """
    if len(rows.files) == 1:
        return infer_scale(rows.ratings, rows.where)
    in_training = rows.parts == TRAIN
    names = " and ".join(rows.files[number] for number in np.unique(rows.file[in_training]))
    scale = infer_scale(rows.ratings[in_training], names)
    off = np.flatnonzero(scale.invalid(rows.ratings))
    if len(off):
        row = int(off[0])
        raise RowError(
            f"{rows.place(row)}: rating {rows.ratings[row]:g} is off the scale {scale} of {names}; if all "
            "files have one scale, give it with --scale LOW:HIGH:STEP"
        )
    return scale


def refuse_lost_ratings(rows: ImportedRows) -> None:
    """Raise `RowError` for the first rating that float32 cannot hold, or cannot tell from other ratings."""
    lost = np.flatnonzero(lost_in_float32(rows.ratings))
    if not len(lost):
        return
    row = int(lost[0])
    rating = float(rows.ratings[row])
    with np.errstate(over="ignore"):
        stored = rows.ratings.astype(np.float32)
    equal = np.flatnonzero((stored == stored[row]) & (rows.ratings != rating))
    if not math.isfinite(stored[row]):
        fault = f"rating {rating!r} is too large for float32"
    elif len(equal):
        other = int(equal[0])
        fault = f"rating {rating!r} and {float(rows.ratings[other])!r} ({rows.place(other)}) are equal in float32"
    else:
        fault = f"rating {rating!r} is {float(stored[row])!r} in float32"
    raise RowError(
        f"{rows.place(row)}: {fault}, in which cfbench stores ratings; subtract a constant from all ratings, or "
        "multiply all of them by one, so that float32 can tell them apart"
    )
