"""RUN RECORD: what a run was, on disk, immutable.

    <results>/<dataset>/<split>/<plugin>/<run-id>/
        record.json            the whole truth about the run
        predictions.parquet    one prediction a test rating, in the split's order
        valid_predictions.parquet   the same of the validation ratings, where the split has any
        curve.parquet          one row an epoch, for models that have epochs
        model.safetensors      the model's state, to predict again
    <results>/.unfinished/<run-id>/
        request.json           a run under way or interrupted: what was asked for
        checkpoint.safetensors where to go on from
        record.json            how far it came, when it was stopped by Ctrl-C
        resumed                a line for each time it was gone on with

A run is written in `.unfinished` and moved to its place by one rename when it is complete. Who is at it holds a lock
beside its folder, so that it is gone on with by one process at a time. Ratings are not copied: most
licences forbid passing them on, and the split's fingerprint says exactly which they are.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cfbench.errors import RecordError, UnknownNameError
from cfbench.files import (
    atomic_folder,
    is_locked,
    publish_folder,
    remove_leftovers,
    try_lock,
    write_atomically,
    write_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cfbench.contract import Epoch, State
    from cfbench.ratings import Scores

T = TypeVar("T", bound=BaseModel)

SCHEMA = 1
_UNDER_WAY = ("request.json", "checkpoint.safetensors", "resumed")
LIBRARIES = ("cfbench-recsys", "torch", "numpy", "polars")
IF_IMPORTED = {"scipy": "scipy", "surprise": "scikit-surprise", "implicit": "implicit", "myfm": "myfm"}
Status = Literal["finished", "diverged", "stopped", "failed"]
Part = Literal["test", "valid"]
PREDICTIONS: dict[Part, str] = {"test": "predictions.parquet", "valid": "valid_predictions.parquet"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class DatasetFacts(_Frozen):
    """Which ratings."""

    name: str
    card_version: int
    fingerprint: str
    users: int
    items: int
    ratings: int


class SplitFacts(_Frozen):
    """Which cut of them."""

    name: str
    protocol: str
    definition: dict[str, Any]
    fingerprint: str
    report: dict[str, int]


class PluginFacts(_Frozen):
    """Which model."""

    name: str
    title: str
    package: str


class Tuned(_Frozen):
    """How a config was found. It was chosen by the validation part; `seconds` is what all trials took together."""

    study: str
    dataset: str
    split: str
    trials: int
    seconds: float
    seed: int
    valid_rmse: float | None
    """The best."""


class Request(_Frozen):
    """All that is decided before a run begins; with the same data it determines the predictions."""

    run: str
    started: datetime
    plugin: PluginFacts
    dataset: DatasetFacts
    split: SplitFacts
    preset: str | None
    config: dict[str, Any]
    origins: dict[str, str]
    """Where each value of the config came from: default, preset, flag or tuning."""
    seed: int
    device: str
    tuned: Tuned | None = None


class Outcome(_Frozen):
    """What came of it. Times in seconds, memory in bytes; scores on the test part, None where there are none."""

    status: Status
    message: str = ""
    rmse: float | None = None
    mae: float | None = None
    valid_rmse: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    parameters: int | None = None
    fit_seconds: float | None = None
    fit_cpu_seconds: float | None = None
    """Of all processes of a run that was gone on with; None when one of them was killed, for it is not known then."""
    predict_seconds: float | None = None
    peak_memory: int | None = None
    """Largest resident size of the process up to the end of the run."""
    peak_device_memory: int | None = None
    resumed: int = 0
    """How often the run was gone on with after an interruption."""


class Machine(_Frozen):
    """Where, and with what."""

    system: str
    processor: str
    cores: int
    threads: int | None
    python: str
    libraries: dict[str, str]
    accelerator: str | None = None


class Record(_Frozen):
    """A run."""

    schema_version: int = SCHEMA
    request: Request
    outcome: Outcome
    machine: Machine
    files: dict[str, str] = {}
    """SHA-256 of each file beside the record, so that damage is noticed before it is computed with."""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.request.run

    @property
    def scored(self) -> bool:
        """Whether it has a test score."""
        return self.outcome.rmse is not None


def new_id(plugin: str) -> str:
    """`20261124-041500-deepae-3f2a`: sorts by time, tells the model."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plugin}-{secrets.token_hex(2)}"


def this_machine(accelerator: str | None, threads: int | None, needs: Iterable[str] = ()) -> Machine:
    """The machine the process runs on, with the versions of what a plugin `needs` to import and what was imported."""
    used = [package for module, package in IF_IMPORTED.items() if module in sys.modules]
    used += [package for module in needs for package in packages_distributions().get(module, ())]
    versions = {}
    for name in (*LIBRARIES, *used):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return Machine(
        system=platform.platform(), processor=_processor(), cores=os.cpu_count() or 1, threads=threads,
        python=platform.python_version(), libraries=versions, accelerator=accelerator,
    )  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@dataclass(frozen=True)
class Results:
    """A folder of runs."""

    root: Path

    def begin(self, request: Request) -> Path:
        """Make the hidden folder of a run, with its request; raises `WriteError`."""
        folder = self._unfinished / request.run
        with atomic_folder(folder, "--results or CFBENCH_RESULTS") as hidden:
            (hidden / "request.json").write_text(request.model_dump_json(indent=1), encoding="utf-8")
        return folder

    @contextmanager
    def held(self, run: str) -> Iterator[None]:
        """Keep a run from other processes as long as this one is at it; raises `RecordError` when another is."""
        with try_lock(self._unfinished / run) as mine:
            if not mine:
                raise RecordError(f"run {run} is under way in another process; once that has stopped, go on with it")
            yield

    @contextmanager
    def resume(self, run: str) -> Iterator[tuple[Request, Path]]:
        """Hold an interrupted run, by a part of its id: request, folder. Raises `UnknownNameError`, `RecordError`."""
        begun = self._begun()
        if run not in begun and run in map(_id, self._ended()):
            raise RecordError(f"run {run!r} is finished; `cfbench show {run}` shows it")
        folder = self._unfinished / _the_one(run, begun, "interrupted run")
        with self.held(folder.name):
            remove_leftovers(folder)  # of a checkpoint that was being written
            yield _validated(Request, folder / "request.json"), folder

    def stop(self, folder: Path, record: Record) -> None:
        """Say in an unfinished run's folder how far it came."""
        write_atomically(folder / "record.json", record.model_dump_json(indent=1) + "\n")

    def unfinished(self) -> list[str]:
        """Ids of the runs that were begun and not ended, and that nobody is at, oldest first."""
        return [run for run in self._begun() if not is_locked(self._unfinished / run)]

    def interrupted(self) -> list[Request]:
        """What the unfinished runs were asked for; those that cannot be read or have ended since are passed over."""
        requests = []
        for run in self.unfinished():
            with suppress(RecordError):
                requests.append(_validated(Request, self._unfinished / run / "request.json"))
        return requests

    def is_stopped(self, run: str) -> bool:
        """Whether an unfinished run was stopped by Ctrl-C, not killed."""
        return (self._unfinished / run / "record.json").exists()

    def finish(self, folder: Path, record: Record) -> tuple[Record, Path]:
        """Complete the record, write it into the run's folder and move that to its place, in one rename."""
        request = record.request
        with write_errors(self.root, "--results or CFBENCH_RESULTS"):
            kept = (file for file in sorted(folder.iterdir()) if file.name not in {*_UNDER_WAY, "record.json"})
            files = {file.name: _sha256(file) for file in kept}
            complete = record.model_copy(update={"files": files})
            write_atomically(folder / "record.json", complete.model_dump_json(indent=1) + "\n")
            publish_folder(folder, self.place(request))
            for name in _UNDER_WAY:  # not before: a run killed up to here can be gone on with
                (self.place(request) / name).unlink(missing_ok=True)
        return complete, self.place(request)

    def place(self, request: Request) -> Path:
        """Where a run is kept once it has ended."""
        return self.root / request.dataset.name / request.split.name / request.plugin.name / request.run

    def records(self, dataset: str, split: str) -> list[Record]:
        """The runs of a data set and split, oldest first; raises `RecordError` when one cannot be read."""
        return [read(path) for path in sorted(self.root.glob(f"{dataset}/{split}/*/*/record.json"), key=_id)]

    def find(self, run: str) -> tuple[Record, Path]:
        """A run, ended or stopped, by a part of its id or as `last` ended; raises `UnknownNameError`, `RecordError`."""
        ended = self._ended()
        places = {path.parent.name: path for path in [*ended, *self._unfinished.glob("*/record.json")]}
        name = ended[-1].parent.name if run == "last" and ended else run
        path = places[_the_one(name, list(places), "run")]
        return read(path), path.parent

    def _begun(self) -> list[str]:
        return sorted(path.parent.name for path in self._unfinished.glob("*/request.json"))

    def _ended(self) -> list[Path]:
        return sorted(self.root.glob("*/*/*/*/record.json"), key=_id)

    @property
    def _unfinished(self) -> Path:
        return self.root / ".unfinished"


def _id(path: Path) -> str:
    return path.parent.name


def _the_one(run: str, known: list[str], kind: str) -> str:
    matches = [run] if run in known else [name for name in known if run in name]
    if len(matches) != 1:
        advice = "the name is not unique; give more of it" if matches else ""
        raise UnknownNameError(kind, run, matches or known, advice=advice)
    return matches[0]


def read(path: Path) -> Record:
    """Read a record.json; raises `RecordError`."""
    return _validated(Record, path)


def _validated(kind: type[T], path: Path) -> T:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as fault:
        wrong = fault.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or "the file"
        raise RecordError(
            f"{path} is not a run record of schema {SCHEMA}: {where}: {wrong['msg']}; remove its folder"
        ) from fault
    except OSError as fault:
        raise RecordError(f"cannot read {path}: {fault.strerror}") from fault


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _whole(file: Path) -> Path:
    """The file, when it is as it was written; raises `RecordError`."""
    whole = False
    with suppress(OSError):
        whole = _sha256(file) == read(file.with_name("record.json")).files.get(file.name)
    if not whole:
        raise RecordError(f"{file} is damaged or missing; the run has to be made anew")
    return file


def write_predictions(folder: Path, predictions: Scores, part: Part = "test") -> None:
    """Keep a part's predictions, clipped to the scale; raises `WriteError`."""
    import polars as pl

    with write_errors(folder):
        pl.DataFrame({"prediction": predictions}).write_parquet(folder / PREDICTIONS[part])


def read_predictions(folder: Path, part: Part = "test") -> Scores:
    """(n,) the predictions of a run, one a rating of the part in the split's order; raises `RecordError`."""
    return np.asarray(_parquet(folder / PREDICTIONS[part])["prediction"].to_numpy(), np.float32)


def write_curve(folder: Path, curve: list[Epoch]) -> None:
    """Keep the learning curve, if there is one; raises `WriteError`."""
    import polars as pl

    if curve:
        columns = ("epoch", "train_rmse", "valid_rmse", "seconds")
        rows = [{name: getattr(e, name) for name in columns} for e in curve]
        with write_errors(folder):
            pl.DataFrame(rows).write_parquet(folder / "curve.parquet")


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """The learning curve, a row an epoch; empty for models without epochs. Raises `RecordError`."""
    file = folder / "curve.parquet"
    return list(_parquet(file).iter_rows(named=True)) if file.name in read(folder / "record.json").files else []


def _parquet(file: Path) -> Any:
    import polars as pl

    try:
        return pl.read_parquet(_whole(file), glob=False)
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise RecordError(f"cannot read {file}: {str(fault).splitlines()[0]}; the run has to be made anew") from fault


def write_state(folder: Path, state: State) -> None:
    """Keep a model's arrays; raises `WriteError`."""
    from safetensors.numpy import save_file

    with write_errors(folder):
        save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, folder / "model.safetensors")


def read_state(folder: Path) -> State:
    """A model's arrays; raises `RecordError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / "model.safetensors"
    try:
        state: State = load_file(_whole(file))
    except (OSError, SafetensorError) as fault:
        raise RecordError(f"cannot read {file}: {fault}; the run has to be made anew") from fault
    return state
