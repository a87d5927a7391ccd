"""AutoRec: an autoencoder of one hidden layer, trained on the observed ratings.

S. Sedhain, A. K. Menon, S. Sanner and L. Xie, "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015.

A row r is an item's ratings by the users (I-AutoRec) or a user's ratings of the items (U-AutoRec). Its reconstruction
is h(r) = f(W · g(V r + μ) + b), equation 2. The loss is the squared error over the observed cells plus
λ/2 (‖W‖² + ‖V‖²). Several hidden layers give the paper's deep variant, (500, 250, 500). The optimizer is Adam with a
one-cycle learning rate; the paper uses resilient propagation.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self, cast

from pydantic import Field, PositiveInt

from cfbench.contract import Config, Plugin, Tunable
from cfbench.learning.lazy import F, autoencoder, dense_rows, layers, precision, torch, training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from cfbench.learning.autoencoder import CellOutputs, RowModel, TrainingRows
    from cfbench.learning.dense_rows import DenseNetwork
    from cfbench.learning.layers import Batch
    from cfbench.learning.precision import Weight


def activations() -> dict[str, Callable[[Tensor], Tensor]]:
    """All activations by name: a function, so that importing the plugin does not load torch."""
    return {
        "sigmoid": torch.sigmoid, "identity": lambda x: x, "relu": F.relu, "elu": F.elu, "tanh": torch.tanh,
    }  # fmt: skip


class AutoRec:
    """The network n → hidden → n and its optimizer.

    The matrices are V (n, h) and W (n, h), and (inputs, outputs) between hidden layers. They begin Xavier-uniform, the
    hidden biases zero, and the output bias in the middle of the scale.
    """

    def __init__(self, config: AutoRecConfig, rows: TrainingRows, random: torch.Generator, device: str) -> None:
        self._activation = activations()[config.activation]
        kind = precision.resolve(config.precision, device)

        def weight(initial: Tensor) -> Weight:
            return precision.Weight(initial.to(device), kind)

        shapes = [*pairwise([rows.n_columns, *config.hidden]), (rows.n_columns, config.hidden[-1])]
        self._matrices = [
            weight(torch.nn.init.xavier_uniform_(torch.empty(shape), generator=random)) for shape in shapes
        ]
        middle = (rows.scale.low + rows.scale.high) / 2
        self._biases = [
            *(weight(torch.zeros(size)) for size in config.hidden),
            weight(torch.full((rows.n_columns,), middle)),
        ]
        adam = partial(torch.optim.Adam, lr=config.lr, fused=True)
        self.optimizer = precision.BlockedOptimizer(
            (self._matrices, partial(adam, weight_decay=config.reg)), (self._biases, adam)
        )

    def weights(self) -> dict[str, Weight]:
        """All weights by name."""
        parts = {"weights": self._matrices, "biases": self._biases}
        return {f"{part}/{k}": weight for part, weights in parts.items() for k, weight in enumerate(weights)}

    def code(self, batch: Batch) -> Tensor:
        """(B, n) → (B, h): g(V r + μ), layer after layer."""
        x: Batch | Tensor = batch
        for w, b in zip(self._matrices[:-1], self._biases[:-1], strict=True):
            x = self._activation(layers.linear(x, w, b))  # (B, h)
        return cast("Tensor", x)

    def train_batch(self, batch: Batch, random: torch.Generator) -> Tensor:  # noqa: ARG002 (nothing is random here)
        """Do a step on the observed cells; return their mean squared error before it."""
        w, b = self._matrices[-1], self._biases[-1]
        y, _ = layers.linear_transposed_at_ratings(self.code(batch), w, b, batch)  # (cells,)
        loss = F.mse_loss(y.float(), batch.ratings)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        self.optimizer.step()
        return loss.detach()

    def cell_outputs(self) -> CellOutputs:
        """The function that computes the output at m cells of a batch, without gradients."""
        return self._outputs_at

    def _outputs_at(self, batch: Batch, rows: Tensor, columns: Tensor) -> Tensor:
        w, b = self._matrices[-1], self._biases[-1]
        return layers.linear_transposed_at(self.code(batch), w, b, rows, columns)

    def dense(self) -> DenseNetwork:
        """The network as plain torch over dense rows."""
        weights = {name: weight.master for name, weight in self.weights().items()}
        return dense_rows.DenseNetwork(weights, self._dense_outputs)

    def _dense_outputs(self, weights: Mapping[str, Tensor], x: Tensor, _: Tensor) -> Tensor:
        last = len(self._matrices) - 1
        for k in range(last):
            x = self._activation(x @ weights[f"weights/{k}"] + weights[f"biases/{k}"])  # (B, h)
        return x @ weights[f"weights/{last}"].T + weights[f"biases/{last}"]  # (B, n)


def build(config: AutoRecConfig) -> RowModel:
    """The model over the rows of items or users."""
    return autoencoder.build_row_model(
        partial(AutoRec, config), orientation=config.orientation,
        batch_size=lambda _: config.batch_size,
        schedule=training.Schedule(
            config.epochs, config.patience, lambda epoch: autoencoder.one_cycle(epoch, config.epochs, config.lr),
            backoffs=training.BACKOFFS[config.on_divergence],
        ),
    )  # fmt: skip


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
        1e-4, ge=0, description="λ of the matrices, relative to the mean error of a batch; biases have none"
    )
    lr: Annotated[float, Tunable(1e-4, 1e-2, log=True)] = Field(0.001, gt=0, description="highest learning rate")
    batch_size: Annotated[PositiveInt, Tunable(choices=(32, 64, 128, 256))] = Field(128, description="rows per batch")
    epochs: PositiveInt = Field(60, description="length of the learning rate's cycle")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="precision of products; auto: bf16 where the device computes it natively. Weights stay float32",
    )
    patience: int = Field(0, ge=0, description="stop after this many epochs without a better validation; 0: never")
    on_divergence: Literal["backoff", "stop"] = Field(
        "backoff", description="go back to the best epoch and halve the learning rate, at most three times; or stop"
    )

    def for_device(self, device: str) -> Self:
        """The same config with the precision resolved."""
        return self.model_copy(update={"precision": precision.resolve(self.precision, device)})


PLUGIN = Plugin(
    title="AutoRec, an autoencoder of one hidden layer",
    paper="Sedhain, Menon, Sanner, Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015",
    config=AutoRecConfig,
    build=build,
    gpu=True,
    fixed_epochs=True,
    quick={"hidden": (16,), "epochs": 60, "batch_size": 16, "lr": 0.02},
)
