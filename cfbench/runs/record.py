"""The record of a run: a typed value, stored as JSON.

A record says which ratings, which split, which plugin and config, which seed, what came out, and on which machine. It
is written once and never changed. A reader ignores fields that it does not know: a newer cfbench may add fields, which
have defaults for older records. The schema number changes only when older readers would misunderstand a record.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cfbench import advice
from cfbench.errors import RecordError
from cfbench.runs.machine import Machine  # noqa: TC001 (pydantic reads the annotation at run time)

if TYPE_CHECKING:
    from pathlib import Path

M = TypeVar("M", bound=BaseModel)

SCHEMA = 1
Status = Literal["finished", "diverged", "stopped", "failed"]


def _folder_name(text: str) -> str:
    """Return the text if it is the name of a folder: a path in its place could lead out of the results."""
    if text in {"", ".", ".."} or any(character in text for character in "/\\\0"):
        raise ValueError(f"expected the name of a folder, got {text!r}")
    return text


def _in_utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is in UTC already."""
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a time in the years 1 to 9999") from None


def _finite_or_none(value: object) -> object:
    """Return None for NaN and the infinities: such a number is not known."""
    return None if isinstance(value, float) and not isfinite(value) else value


Name = Annotated[str, AfterValidator(_folder_name)]
Time = Annotated[datetime, AfterValidator(_in_utc)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, lt=1e15)]
Known = Annotated[Annotated[float, Field(ge=0, lt=1e15)] | None, BeforeValidator(_finite_or_none)]
"""A number that is None if it is not known."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class DatasetFacts(_Frozen):
    """Which ratings a run used."""

    name: Name
    card_version: int
    fingerprint: str
    users: int
    items: int
    ratings: int


class SplitFacts(_Frozen):
    """Which split of the ratings a run used."""

    name: Name
    protocol: str
    definition: dict[str, Any]
    fingerprint: str
    report: dict[str, int]


class PluginFacts(_Frozen):
    """Which plugin a run used."""

    name: Name
    title: str
    package: str
    source: str = ""
    """SHA-256 of the plugin's source (`cfbench.runs.source`); empty in records that are older than this field."""
    random: bool | None = None
    """Whether another seed can give other predictions; None in records that do not say it."""
    uses_times: bool = False
    """Whether the model knew the date of each rating it predicted: the plugin uses times, and the data have them."""


FEWEST_TRIALS = 10
"""A search of fewer trials does not make a config a tuned one."""


class Tuned(_Frozen):
    """How tuning found a config. The validation part chose it; `seconds` is the time of all trials together."""

    study: str
    dataset: str
    split: str
    trials: int
    seconds: Seconds
    seed: int
    valid_rmse: Known
    """The validation RMSE of the best trial."""

    @property
    def label(self) -> str:
        """`tuned (30 trials)`, or `searched (4 trials)` after fewer than `FEWEST_TRIALS`."""
        count = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        return f"{'tuned' if self.trials >= FEWEST_TRIALS else 'searched'} ({count})"


class Exposure(_Frozen):
    """How many test ratings of a run the choice of its preset, on another split, has seen."""

    preset: str
    split: str
    """The split on which the preset was chosen."""
    test: Annotated[int, Field(gt=0)]
    """Number of test ratings of the run."""
    validated: int
    """How many of them were validation ratings there: their errors ranked the trials."""
    trained: int
    """How many were training ratings there: the trials learned from them."""

    @property
    def share(self) -> float:
        """The share of the test ratings that the choice has seen."""
        return (self.validated + self.trained) / self.test


class ImportedFile(_Frozen):
    """A file of predictions that were made elsewhere."""

    name: str
    sha256: str


class ImportedFacts(_Frozen):
    """Where imported predictions came from. Such a run has no config, no model and no costs."""

    test: ImportedFile
    valid: ImportedFile | None = None


class Request(_Frozen):
    """Everything that is decided before a run starts; with the same data it determines the predictions."""

    run: Name
    started: Time
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
    exposure: Exposure | None = None
    """None if the choice of the preset has seen no test rating, and in records that are older than this field."""
    members: tuple[Name, ...] = ()
    """The full ids of the runs that the model blends; empty in records that are older than this field."""
    refit: bool = False
    """Whether the model is fitted again, to training and validation ratings, once validation has chosen the epoch."""
    measure_energy: bool = False
    """Whether the electricity of fitting is estimated."""
    imported: ImportedFacts | None = None
    """For predictions that were made elsewhere; None for a run of cfbench."""


class Refit(_Frozen):
    """The second fit of a run, to the training and the validation ratings; its model predicts the test part."""

    epochs: int | None
    """The best epoch of the first fit; None for a model without epochs."""
    ratings: int
    """Number of training and validation ratings."""
    seconds: Seconds
    """Wall time, which is part of the run's `fit_seconds`."""


class Energy(_Frozen):
    """An estimate of the electricity that fitting took, in watt hours, and of the carbon dioxide of making it."""

    wh: Known
    co2_grams: Known
    parts: dict[str, Known]
    """The watt hours of the processor, the memory, and the GPU if the model computed on one."""
    measured: tuple[str, ...]
    """What counters measured, and how."""
    guessed: tuple[str, ...]
    """What was guessed, and from what."""
    source: str
    """The program that estimated it, with its version."""


class Doubt(_Frozen):
    """Something that a reader of the scores should know before believing them."""

    kind: Literal[
        "test RMSE is implausibly low", "own validation RMSE is wrong", "its code changed while it was stopped"
    ]
    """As a leaderboard shows it."""
    detail: str
    """With the numbers."""


class Outcome(_Frozen):
    """The result of a run. Times are in seconds, memory in bytes; scores are None where there are none."""

    status: Status
    message: str = ""
    rmse: Known = None
    """On the test part, of predictions clipped to the scale."""
    mae: Known = None
    """On the test part."""
    valid_rmse: Known = None
    """Of the model's predictions of the validation part, clipped; of a `FittedOnValid` model, its own figure.

    Of the first fit, if there are two: the second fit has learned the validation ratings.
    """
    best_epoch: Count | None = None
    epochs: Count | None = None
    parameters: Count | None = None
    fit_seconds: Known = None
    fit_cpu_seconds: Known = None
    """CPU time of all processes of a resumed run; None if any of them was killed."""
    energy: Energy | None = None
    """None unless --energy requested it; None for a resumed run too, because earlier processes are not in it."""
    predict_seconds: Known = None
    peak_memory: Count | None = None
    """Largest resident size of the process up to the end of the run."""
    peak_device_memory: Count | None = None
    refit: Refit | None = None
    resumed: Count = 0
    """How often the run was resumed after an interruption."""
    warning: str = ""
    """What the validation RMSE does not beat: the constant mean, or biases. Empty if it beats both, and in records that
    are older than this field."""
    doubts: tuple[Doubt, ...] = ()
    """Empty in records that are older than this field."""


class Record(_Frozen):
    """A run."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA)] = SCHEMA
    """It is the first field, so that a record of another schema is refused for that reason and no other."""
    request: Request
    outcome: Outcome
    machine: Machine
    files: dict[str, str] = {}
    """SHA-256 of each file beside the record: damage is noticed before anything is computed from a file."""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.request.run

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before believing the scores: the warning, then the doubts, one line each."""
        lines = [self.outcome.warning, *(f"doubtful: {doubt.detail}" for doubt in self.outcome.doubts)]
        return tuple(filter(None, dict.fromkeys(lines)))

    @property
    def scored(self) -> bool:
        """Whether it has a test score."""
        return self.outcome.rmse is not None


def new_run_id(plugin: str) -> str:
    """Return a new id such as `20261124-041500-deepae-3f2a9c`: ids sort by time and name the plugin."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plugin}-{secrets.token_hex(3)}"


def read_record(path: Path) -> Record:
    """Read a `record.json`; raises `RecordError`."""
    return _read(Record, path)


def read_request(path: Path) -> Request:
    """Read a `request.json`; raises `RecordError`."""
    return _read(Request, path)


def _read(kind: type[M], path: Path) -> M:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as fault:
        raise RecordError(f"{path} {_explain(fault)}") from fault
    except OSError as fault:
        raise RecordError(f"cannot read {path}: {fault.strerror}") from fault


def _explain(fault: ValidationError) -> str:
    """Say in one line what is wrong with a record; pydantic lists the errors in the order of the fields."""
    first = fault.errors()[0]
    if first["loc"] == ("schema_version",):
        return (
            f"is a record of schema {first['input']!r}, and this cfbench reads schema {SCHEMA}; install the newest "
            f"cfbench: `{advice.pip_install('--upgrade', 'cfbench-recsys')}`"
        )
    where = ".".join(map(str, first["loc"])) or "the file"
    return f"is not a run record of schema {SCHEMA}: {where}: {first['msg']}; run the model again"
