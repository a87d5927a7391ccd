"""The array files of a run: predictions, learning curve and model state, each verified by its checksum when read."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cfbench.errors import RecordError
from cfbench.files import write_errors
from cfbench.runs.record import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cfbench.contract import Epoch, State
    from cfbench.ratings import Scores

Part = Literal["test", "valid"]
PREDICTIONS: dict[Part, str] = {"test": "predictions.parquet", "valid": "valid_predictions.parquet"}
CURVE, STATE = "curve.parquet", "model.safetensors"
_CURVE_COLUMNS = ("epoch", "train_rmse", "valid_rmse", "seconds")


@dataclass(frozen=True, eq=False)
class RunArrays:
    """The arrays a run leaves behind; None where it has none. Predictions are clipped to the scale."""

    curve: Sequence[Epoch] = ()
    valid: Scores | None = None
    """(n,) one prediction for each validation rating, in the split's order."""
    test: Scores | None = None
    """(n,) the same for the test ratings."""
    state: State | None = None


def write_arrays(folder: Path, arrays: RunArrays) -> None:
    """Write the arrays into a run's folder; raises `WriteError`."""
    import polars as pl
    from safetensors.numpy import save_file

    with write_errors(folder):
        if arrays.curve:
            rows = [{name: getattr(epoch, name) for name in _CURVE_COLUMNS} for epoch in arrays.curve]
            pl.DataFrame(rows).write_parquet(folder / CURVE)
        if arrays.valid is not None:
            pl.DataFrame({"prediction": arrays.valid}).write_parquet(folder / PREDICTIONS["valid"])
        if arrays.test is not None:
            pl.DataFrame({"prediction": arrays.test}).write_parquet(folder / PREDICTIONS["test"])
        if arrays.state is not None:
            state = {name: np.ascontiguousarray(array) for name, array in arrays.state.items()}
            file = folder / STATE
            file.touch()
            permissions = file.stat().st_mode  # safetensors would let only the owner read the file
            save_file(state, file)
            file.chmod(permissions)


def read_predictions(folder: Path, part: Part = "test") -> Scores:
    """(n,) the predictions of a run, one for each rating of the part in the split's order; raises `RecordError`."""
    file = folder / PREDICTIONS[part]
    predictions: Scores = _read_columns(file, ("prediction",))["prediction"].to_numpy().astype(np.float32)
    if not np.isfinite(predictions).all():
        raise RecordError(f"{file} has predictions that are no finite numbers; run the model again")
    return predictions


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Read the learning curve, one row an epoch; empty for models without epochs. Raises `RecordError`."""
    if CURVE not in read_record(folder / "record.json").files:
        return []
    file = folder / CURVE
    rows = list(_read_columns(file, _CURVE_COLUMNS).iter_rows(named=True))
    for row in rows:
        numbers = [row[name] for name in _CURVE_COLUMNS if name != "valid_rmse" or row[name] is not None]
        if not all(isinstance(number, int | float) and isfinite(number) for number in numbers):
            raise RecordError(f"{file} has values that are no finite numbers; run the model again")
    return rows


def read_state(folder: Path) -> State:
    """Read a model's arrays; raises `RecordError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / STATE
    try:
        state: State = load_file(_verified(file))
    except (OSError, SafetensorError) as fault:
        raise RecordError(f"cannot read {file}: {fault}; run the model again") from fault
    return state


def _read_columns(file: Path, names: tuple[str, ...]) -> Any:
    """Read columns of numbers; raises `RecordError`."""
    import polars as pl

    try:
        table = pl.read_parquet(_verified(file), glob=False).select(names)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as fault:
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise RecordError(f"cannot read {file}: {reason}; run the model again") from fault
    for name, kind in table.schema.items():
        if not (kind.is_numeric() or kind == pl.Null):
            raise RecordError(f"{file}: column {name} holds {kind}, expected numbers; run the model again")
    return table


def _verified(file: Path) -> Path:
    """Return the file if its checksum is that of the record beside it; raises `RecordError`."""
    intact = False
    with suppress(OSError):
        intact = file_sha256(file) == read_record(file.with_name("record.json")).files.get(file.name)
    if not intact:
        raise RecordError(f"{file} is damaged or missing; run the model again")
    return file


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits; raises `OSError`."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
