"""The claims of an experiment, each with the rule that decides it.

    [[claims]]
    text = "The higher the dropout on the code, the lower the evaluation RMSE."
    where = "section Dropout, figure 4"     # of the paper
    origin = "paper"                        # default: paper; or reference (its public code), or ours
    kind = "order"                          # order, equal, diverges, stable or exact
    measure = "test"
    order = [["dropout .8"], ["dropout .65"], ["dropout .5"], ["dropout 0"]]

- `order`: each arm of a group has a lower value than each arm of the next group. It holds if every pair's interval says
  so (an intersection-union test: no correction is needed), and does not hold if any pair is significantly the other way
  round (Holm's correction over all pairs).
- `equal`: the difference of two arms is smaller than `margin`, whose reason `because` states. It holds if the interval
  of the difference is within ± margin, and does not hold if the interval is outside.
- `diverges`, `stable`: training of each of the arms diverges with most seeds, or with few. The interval of their share
  is compared with one half; the least clear arm decides.
- `exact`: the networks of the arms have as many parameters as published, for `items` items.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Measure: TypeAlias = Literal["test", "best", "final", "overfit", "train", "parameters"]
"""What is measured of a run.

`test`: the test RMSE of the model, which is that of the best epoch by validation.
`best`, `final`: the lowest and the last validation RMSE of the learning curve. `overfit`: final minus best.
`train`: the training RMSE of the last epoch.
`parameters`: the number of weights and biases.
"""
Group = Annotated[tuple[str, ...], Field(min_length=1)]


class _ClaimBase(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1)
    """The claim in one sentence."""
    where: str = ""
    """Where the paper or the reference implementation makes it."""
    origin: Literal["paper", "reference", "ours"] = "paper"
    """Who claims it: the paper, the behaviour of its reference implementation, or this project."""


class OrderClaim(_ClaimBase):
    """Each arm of a group has a lower value than each arm of the next group."""

    kind: Literal["order"]
    measure: Measure
    order: tuple[Group, ...] = Field(min_length=2)
    """Groups of arms, the lowest first."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs (lower, higher) of arms of adjacent groups."""
        return [pair for lower, higher in pairwise(self.order) for pair in product(lower, higher)]

    @property
    def labels(self) -> tuple[str, ...]:
        """The arms that it compares."""
        return tuple(dict.fromkeys(label for group in self.order for label in group))


class EqualClaim(_ClaimBase):
    """Two arms have nearly the same value."""

    kind: Literal["equal"]
    measure: Measure
    arms: tuple[str, str]
    margin: float = Field(gt=0)
    because: str = Field(min_length=1)
    """Why a difference below the margin counts as none."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The arms that it compares."""
        return self.arms


class DivergenceClaim(_ClaimBase):
    """Training of each of these arms diverges with most seeds, or with few."""

    kind: Literal["diverges", "stable"]
    arms: Group

    @property
    def labels(self) -> tuple[str, ...]:
        """The arms that it is about."""
        return self.arms


class ExactClaim(_ClaimBase):
    """The networks of the arms have as many parameters as published."""

    kind: Literal["exact"]
    arms: Group
    items: int = Field(gt=0)
    """The number of items of the data that the published numbers belong to."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The arms that it is about."""
        return self.arms


Claim: TypeAlias = Annotated[OrderClaim | EqualClaim | DivergenceClaim | ExactClaim, Field(discriminator="kind")]
