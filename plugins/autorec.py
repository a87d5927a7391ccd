"""AutoRec: an autoencoder of one hidden layer, trained on the observed ratings.

S. Sedhain, A. K. Menon, S. Sanner and L. Xie, "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015.

A row r (an item's ratings by the users in I-AutoRec, a user's of the items in U-AutoRec) is put together again as
h(r) = f(W · g(V r + μ) + b), equation 2. The loss is the squared error over the observed cells plus λ/2 (‖W‖² + ‖V‖²).
Several hidden layers make the paper's deep variant, (500, 250, 500). The steps are Adam's on a one-cycle learning rate
instead of the paper's resilient propagation.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own custom)

from cfbench.contract import Config, Plugin, Tunable
from cfbench.learning import precision
from cfbench.learning.autoencoder import model_of_rows, one_cycle
from cfbench.learning.layers import linear, linear_at, output_at
from cfbench.learning.precision import BlockedOptimizer, Weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.learning.autoencoder import RowModel
    from cfbench.learning.layers import Batch
    from cfbench.ratings import Scale

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
    "relu": F.relu,
    "elu": F.elu,
    "tanh": torch.tanh,
}


class AutoRecConfig(Config):
    """Hyper-parameters of `autorec`; the defaults are I-AutoRec's."""

    orientation: Annotated[Literal["item", "user"], Tunable(choices=("item", "user"))] = Field(
        "item", description="I-AutoRec: one example is an item's vector over users; or a user's over items"
    )
    hidden: Annotated[tuple[PositiveInt, ...], Tunable(choices=((300,), (500,), (1000,), (500, 250, 500)))] = Field(
        (500,), min_length=1, description="sizes of the hidden layers"
    )
    activation: Annotated[
        Literal["sigmoid", "identity", "relu", "elu", "tanh"], Tunable(choices=("sigmoid", "identity", "elu"))
    ] = Field("sigmoid", description="g, after each hidden layer; the output is linear")
    reg: Annotated[float, Tunable(1e-6, 1e-2, log=True)] = Field(
        1e-4, ge=0, description="λ of the weights, for the mean error of a batch; biases are free"
    )
    lr: Annotated[float, Tunable(1e-4, 1e-2, log=True)] = Field(0.001, gt=0, description="highest learning rate")
    batch_size: Annotated[PositiveInt, Tunable(choices=(32, 64, 128, 256))] = Field(128, description="rows a step")
    epochs: PositiveInt = Field(60, description="length of the learning rate's cycle")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the products; auto: bf16 where the device computes it natively. Weights stay float32"
    )
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better validation; 0: never")

    def for_device(self, device: str) -> Self:
        """The precision decided."""
        return self.model_copy(update={"precision": precision.resolve(self.precision, device)})


class AutoRec:
    """n → hidden → n. Matrices (wider, narrower) of the outermost layers, (in, out) between them."""

    def __init__(self, config: AutoRecConfig, n: int, scale: Scale, random: torch.Generator, device: str) -> None:
        self._act = ACTIVATIONS[config.activation]
        kind = precision.resolve(config.precision, device)
        shapes = [*pairwise([n, *config.hidden]), (n, config.hidden[-1])]
        self.weights = [
            Weight(torch.nn.init.xavier_uniform_(torch.empty(shape), generator=random).to(device), kind)
            for shape in shapes
        ]
        middle = (scale.low + scale.high) / 2  # an output begins there
        self.biases = [
            *(Weight(torch.zeros(size, device=device), kind) for size in config.hidden),
            Weight(torch.full((n,), middle, device=device), kind),
        ]
        self.steps = BlockedOptimizer(
            (self.weights, lambda masters: torch.optim.Adam(masters, config.lr, weight_decay=config.reg, fused=True)),
            (self.biases, lambda masters: torch.optim.Adam(masters, config.lr, fused=True)),
        )

    def learned(self) -> dict[str, Weight]:
        """All that is learned, by name."""
        parts = {"weights": self.weights, "biases": self.biases}
        return {f"{part}/{k}": each for part, layers in parts.items() for k, each in enumerate(layers)}

    def encode(self, batch: Batch) -> Tensor:
        """(B, n) → (B, h): g(V r + μ), layer after layer."""
        x: Batch | Tensor = batch
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = self._act(linear(x, w, b))  # (B, h)
        return cast("Tensor", x)

    def train_batch(self, batch: Batch, random: torch.Generator) -> Tensor:  # noqa: ARG002 (nothing is random here)
        """A step on the observed cells; returns their mean squared error."""
        y, _ = linear_at(self.encode(batch), self.weights[-1], self.biases[-1], batch)  # (cells,)
        loss = F.mse_loss(y.float(), batch.ratings)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.steps.step()
        return loss.detach()

    def outputs(self, batch: Batch, places: Tensor, columns: Tensor) -> Tensor:
        """(m,) the output at m cells of the batch's rows."""
        return output_at(self.encode(batch), self.weights[-1], self.biases[-1], places, columns)


def build(config: AutoRecConfig) -> RowModel:
    """The model over items' or users' rows."""
    return model_of_rows(
        partial(AutoRec, config), orientation=config.orientation, batch_size=config.batch_size, epochs=config.epochs,
        patience=config.patience, learning_rate=lambda epoch: one_cycle(epoch, config.epochs, config.lr),
    )  # fmt: skip


PLUGIN = Plugin(
    title="AutoRec, an autoencoder of one hidden layer",
    paper="Sedhain, Menon, Sanner, Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015",
    config=AutoRecConfig,
    build=build,
    gpu=True,
    quick={"hidden": (16,), "epochs": 60, "batch_size": 16, "lr": 0.02},
)
