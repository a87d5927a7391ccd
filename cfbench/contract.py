"""The contract between cfbench and a plugin: everything a plugin's author has to know.

A plugin is a module that exports one name, `PLUGIN`. It declares its hyper-parameters once, as a `Config`; validation,
command-line flags, help and search ranges all come from that declaration. Its model learns in `fit` and predicts in
`predict`. The harness does the rest: it clips predictions to the scale, refuses NaN, measures time and memory, and
stores everything. A model never receives a test rating, nor a test pair before `predict`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cfbench import advice
from cfbench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from pydantic.fields import FieldInfo

    from cfbench.ratings import Codes, Pairs, Ratings, Scores

State: TypeAlias = Mapping[str, NDArray[Any]]
"""The state of a fitted model: named arrays, and nothing else."""
Side: TypeAlias = Literal["user", "item"]
"""One of the two sides of a rating."""


class Config(BaseModel):
    """A plugin's hyper-parameters: frozen, no extra fields, the same after JSON. Every field has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    def for_device(self, device: str) -> Self:  # noqa: ARG002 (most configs do not depend on the device)
        """Return the config with values resolved that depend on the device: a record then says what was computed."""
        return self

    def with_members(self, resolve: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Self:  # noqa: ARG002
        """Return the config with full run ids, for a model that blends other runs.

        `resolve` returns the full ids of the runs it is given; given none, it returns the best runs.
        """
        return self


@dataclass(frozen=True)
class Tunable:
    """The search range of a hyper-parameter: `Annotated[float, Tunable(1e-4, 1e-1, log=True)]`.

    Either numbers from `low` to `high` inclusive, on a log scale if `log`, in multiples of `step` if given; or one of
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
        """Return the range declared on a field of a Config, if any."""
        return next((mark for mark in field_info.metadata if isinstance(mark, Tunable)), None)


def format_value(value: Any) -> str:
    """Return a hyper-parameter's value as the command line writes it: a tuple as `64,32`, an empty one as `none`."""
    return (",".join(map(str, value)) or "none") if isinstance(value, tuple | list) else str(value)


@dataclass(frozen=True)
class Epoch:
    """The report of a model after an epoch. Epochs count from 1."""

    epoch: int
    epochs: int
    """The largest number of epochs the fit may have."""
    train_rmse: float
    """Root mean squared error over the training ratings during the epoch."""
    valid_rmse: float | None
    """Over all validation ratings, of predictions clipped to the scale; None if there are no validation ratings."""
    seconds: float
    """Wall time since the fit started, without interruptions."""


class DivergedError(Exception):
    """Training produced values that are not finite, or exploded.

    It is not a `CfbenchError`: the harness records it as the run's outcome. If `usable`, the model holds its last good
    epoch and can be scored.
    """

    def __init__(self, message: str, *, usable: bool) -> None:
        super().__init__(message)
        self.usable = usable


class Predictor(Protocol):
    """Predicts ratings: a fitted model, or the stored predictions of one."""

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions of n pairs."""


def _no_member(run: str) -> Predictor:
    raise UsageError(
        f"the model needs run {run!r} as a member, but there are no results; use `{advice.command('run')}`"
    )


@dataclass
class Context:
    """What the harness gives a model while the model is fitted or restored."""

    seed: int = 0
    """All randomness of the run comes from this number and nothing else."""
    device: str = "cpu"
    """The device to compute on, in torch's notation: `cpu`, `cuda:0`, `mps`."""
    checkpoint: Path | None = None
    """A file to which the model may write its state, and from which it resumes if the file exists."""
    report: Callable[[Epoch], None] = field(default=lambda _: None)
    """The model calls it after each epoch; it draws progress and stores the curve. It may raise, to end the fit.

    A resumed fit reports the epochs before the interruption again, so that the curve is complete.
    """
    batch: Callable[[int, int, int], None] = field(default=lambda *_: None)
    """The model may call it within a long epoch, which then has a bar: `batch(epoch, finished, of)` of its batches."""
    member: Callable[[str], Predictor] = _no_member
    """Returns a finished run on the same split by its id, for a model that blends others. Raises `RecordError`."""
    note: Callable[[str], None] = field(default=lambda _: None)
    """The model calls it with a line about what it learned; the record stores the line."""
    epochs: int | None = None
    """Fit exactly this many epochs and keep the last one; `fit` then gets no validation ratings. None: as configured.

    Only a plugin that declares `fixed_epochs` receives it.
    """
    titles: tuple[str, ...] | None = None
    """(n_items,) the title of each item, empty where it is unknown; None unless the plugin declares `uses_titles`."""
    years: NDArray[np.int16] | None = None
    """(n_items,) the release year of each item, 0 where it is unknown; None if `titles` is None."""

    def rng(self, purpose: str = "") -> np.random.Generator:
        """Return a NumPy generator made from the run's seed and a purpose: each purpose has its own random stream."""
        return np.random.default_rng([self.seed, *purpose.encode()])


class Model(Protocol):
    """A model that learns and predicts."""

    def fit(self, train: Ratings, valid: Ratings, context: Context) -> None:
        """Learn from `train`; `valid` may choose the epoch, and may be empty. May raise `DivergedError`.

        `train.times` and `valid.times` are None unless the plugin declares `uses_times` and the data have times.
        """

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) finite predictions in the scale's unit, for any users and items, whether training had them or not.

        `pairs.times` are the dates of the ratings to predict if the plugin declares `uses_times` and the dates are
        known, otherwise None: a model that uses times also predicts without them.
        """

    def state(self) -> State:
        """Return the arrays that `restore` needs, in addition to the training ratings, to predict again."""

    def restore(self, state: State, train: Ratings, context: Context) -> None:
        """Become the fitted model of this `state`, which was fitted on the same training ratings."""

    @property
    def parameters(self) -> int:
        """How many numbers the model learned."""


@runtime_checkable
class FittedOnValid(Protocol):
    """A model that fits parameters to the validation ratings and therefore reports their error itself.

    Its predictions of these ratings look better than they are, and tuning chooses configs by that error. So the model
    computes an error of predictions that did not use the rating they predict, for example by cross-fitting.
    """

    valid_rmse: float | None
    """Root mean squared error over the validation ratings, each predicted by a model that was not fitted to it."""


@runtime_checkable
class FoldIn(Protocol):
    """A model that can predict for a user who was not in training, without being fitted again."""

    def fold_in(self, items: Codes, ratings: Scores, targets: Codes) -> Scores:
        """(n,) predictions of the items `targets` (n,) for a user who gave `items` (m,) these `ratings` (m,).

        m is at least 1, no item occurs twice in `items`, and either array may hold items without a training rating.
        """


@runtime_checkable
class HasEmbeddings(Protocol):
    """A model that describes each user, each item or both by a vector: the code of an autoencoder, or factors.

    Vectors of similar users or items have a large cosine.
    """

    def embeddings(self, side: Side) -> NDArray[np.float32] | None:
        """(n, k) a finite vector for each user or each item; None if the model has no vectors of this side.

        The vector of a user or item without a training rating is 0.
        """


@runtime_checkable
class RowNetwork(Protocol):
    """A model that is a network over rows of ratings, so that it can leave cfbench as one torch module."""

    @property
    def row_kind(self) -> Literal["user", "item"]:
        """Whose ratings a row holds: a user's over the items, or an item's over the users."""

    def module(self) -> torch.nn.Module:
        """The fitted model on the CPU, with all it needs to predict: its buffers and parameters.

        `forward(ratings, rated)` returns predictions (B, n) on the scale from float32 ratings (B, n) and the boolean
        mask (B, n) of the cells that are rated. Where a row is an item's, the codes of the items (B,) come third.
        """


C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Plugin(Generic[C]):
    """A model as the harness knows it. A plugin's module exports one, under the name `PLUGIN`."""

    title: str
    """One line for tables."""
    paper: str
    """Authors, title, venue, year."""
    config: type[C]
    build: Callable[[C], Model]
    gpu: bool = False
    """Whether the model can compute on other devices than the CPU."""
    random: bool = True
    """Whether another seed can give other predictions. If it cannot, one run says all; the leaderboard marks a score of
    one seed of any other plugin."""
    uses_times: bool = False
    """Whether the model uses the times of ratings, in training and of the pairs to predict. Only then does it receive
    them, and a leaderboard says that the model knew the dates."""
    uses_titles: bool = False
    """Whether the model uses item titles and years: `Context.titles` and `Context.years`."""
    fixed_epochs: bool = False
    """Whether `fit` obeys `Context.epochs`. A model that reports epochs needs this for `cfbench run --refit`."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Libraries beyond cfbench's own: the name to import → the name for `pip install`. The module must not import them
    before `build`, so that cfbench can list the plugin without them."""
    default_presets: Mapping[str, str] = field(default_factory=dict)
    """The preset of a data set for which no preset is named: `DATASET/SPLIT`, `DATASET` or `*` → preset. The first of
    the three that is there counts."""
    quick: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters with which the conformance suite's few hundred ratings are learned in about a second."""
