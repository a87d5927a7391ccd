"""CONTRACT: all that a plugin has to know.

A plugin is a module that exports one name, `PLUGIN`. It declares its hyper-parameters once, as a `Config`; validation,
command-line flags, help and search ranges all come from that declaration. Its model learns in `fit` and answers in
`predict`. The harness does the rest: it clips predictions to the scale, refuses NaN, times, measures memory and keeps
everything on disk. A model never meets a test rating, nor a test pair before `predict`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cfbench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic.fields import FieldInfo

    from cfbench.ratings import Codes, Pairs, Ratings, Scores

State: TypeAlias = Mapping[str, NDArray[Any]]
"""What a fitted model keeps: named arrays, and nothing else."""


class Config(BaseModel):
    """A plugin's hyper-parameters: frozen, closed, JSON there and back. Every field has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    def for_device(self, device: str) -> Self:  # noqa: ARG002 (most leave nothing open)
        """This config with what it leaves to the device decided, so that the record says what was computed."""
        return self

    def with_members(self, runs: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Self:  # noqa: ARG002 (most name none)
        """This config with the runs it names made certain: `runs` gives their full ids, for none the best."""
        return self


@dataclass(frozen=True)
class Tunable:
    """The search range of a hyper-parameter: `Annotated[float, Tunable(1e-4, 1e-1, log=True)]`.

    Numbers from `low` to `high` inclusive, on a log scale if `log`, in multiples of `step` if given; or one of
    `choices`.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return " | ".join(map(format_value, self.choices))
        return f"{self.low:g}–{self.high:g}" + (" log" if self.log else "")

    @staticmethod
    def of(field_info: FieldInfo) -> Tunable | None:
        """The range declared on a field of a Config, if any."""
        return next((mark for mark in field_info.metadata if isinstance(mark, Tunable)), None)


def format_value(value: Any) -> str:
    """A hyper-parameter's value as it is written on the command line."""
    return (",".join(map(str, value)) or "none") if isinstance(value, tuple | list) else str(value)


@dataclass(frozen=True)
class Epoch:
    """What an epoch-based model reports after each epoch (from 1)."""

    epoch: int
    epochs: int
    """How many there will be at most."""
    train_rmse: float
    """Root mean squared error over the training ratings, as met during the epoch."""
    valid_rmse: float | None
    """Over all validation ratings, clipped to the scale; None when there are none."""
    seconds: float
    """Wall time since fitting began, interruptions not counted."""


class DivergedError(Exception):
    """Training left the finite numbers or exploded.

    Not a `CfbenchError`: the harness records it as the run's outcome. A model that raises it holds its last good epoch,
    if `usable`, and can then be scored.
    """

    def __init__(self, what: str, *, usable: bool) -> None:
        super().__init__(what)
        self.usable = usable


class Predictor(Protocol):
    """A fitted model, or what speaks for one."""

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions."""


def _no_member(run: str) -> Predictor:
    raise UsageError(f"run {run!r} is asked for as a member, but no results are at hand; blend with `cfbench run`")


@dataclass
class Context:
    """What the harness lends a model while it fits or is restored."""

    seed: int = 0
    """All randomness of the run comes from this number and nothing else."""
    device: str = "cpu"
    """Where to compute, as torch writes it: `cpu`, `cuda:0`, `mps`."""
    checkpoint: Path | None = None
    """A file the model may write to, and go on from when it is there."""
    report: Callable[[Epoch], None] = field(default=lambda _: None)
    """To be called after each epoch: draws progress, keeps the curve. May raise, to end the fit."""
    member: Callable[[str], Predictor] = _no_member
    """A finished run on the same split by its id, for a model made of other models. Raises `RecordError`."""
    note: Callable[[str], None] = field(default=lambda _: None)
    """To be called with a line about what was learned; the record keeps it."""

    def rng(self, purpose: str = "") -> np.random.Generator:
        """A NumPy generator of its own for each purpose, from the run's seed."""
        return np.random.default_rng([self.seed, *purpose.encode()])


class Model(Protocol):
    """What learns and predicts."""

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:
        """Learn from `train`; `valid` may choose when to stop and may be empty. May raise `DivergedError`."""

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) finite predictions in the scale's unit, for any pair of codes, seen in training or not."""

    def state(self) -> State:
        """What `restore` needs, beside the training ratings, to predict again: arrays."""

    def restore(self, state: State, train: Ratings, context: Context) -> None:
        """Become the fitted model whose `state` this was, fitted on the same training ratings."""

    @property
    def parameters(self) -> int:
        """How many numbers the model learned."""


@runtime_checkable
class FittedOnValid(Protocol):
    """A model whose parameters are fitted to the validation ratings themselves, and which says an honest error of them.

    What it predicts of them would flatter it, and configs are chosen by that error.
    """

    valid_rmse: float | None
    """Root mean squared error over the validation ratings, each predicted by parameters that have not met it."""


@runtime_checkable
class FoldIn(Protocol):
    """A model that can also speak of a user it has not met in training, without being fitted anew."""

    def fold_in(self, items: Codes, ratings: Scores, asked: Codes) -> Scores:
        """(n,) predictions of the items `asked` (n,) for a user who gave `items` (m,) these `ratings` (m,).

        m is at least 1, no item is there twice; items without a training rating may be among both.
        """


C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Plugin(Generic[C]):
    """A model as the harness knows it: the one name, `PLUGIN`, that a plugin's module exports."""

    title: str
    """One line for tables."""
    paper: str
    """Authors, title, where, year."""
    config: type[C]
    build: Callable[[C], Model]
    gpu: bool = False
    """Whether the model can compute elsewhere than on the CPU."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Libraries beyond cfbench's own: the name to import, and what `pip install` calls it. The module must not import
    them before `build`, so that it can be listed without them."""
    quick: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters under which the conformance suite's few hundred ratings are learned in about a second."""
