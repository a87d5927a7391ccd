"""Deep autoencoder with dense re-feeding.

O. Kuchaiev and B. Ginsburg, "Training Deep AutoEncoders for Collaborative Filtering", arXiv:1708.01715, 2017.

A user's ratings, a sparse vector x over the items, go through n → h₁ → … → h_k (the code) and back h_k → … → h₁ → n;
the output is a rating for every item. The loss is the mean squared error over the rated cells only. The code is dropped
out heavily. After each step on x, the dense output f(x) is fed back as a new example that f should leave as it is
(equations 1 and 2, section 2.3).

`orientation="item"` turns the model on its side: an item's vector over the users, as in I-AutoRec.
"""

from __future__ import annotations

import math
from dataclasses import replace
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
from cfbench.learning.layers import linear, linear_at, linear_back, mean_square, output_at
from cfbench.learning.precision import BlockedOptimizer, Weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.learning.autoencoder import RowModel
    from cfbench.learning.layers import Batch
    from cfbench.ratings import Scale

# name → function, and the open ends of its range
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float, float]] = {
    "selu": (F.selu, -1.7581, math.inf),
    "elu": (F.elu, -1.0, math.inf),
    "relu": (F.relu, 0.0, math.inf),
    "relu6": (F.relu6, 0.0, 6.0),
    "lrelu": (F.leaky_relu, -math.inf, math.inf),
    "tanh": (torch.tanh, -1.0, 1.0),
    "sigmoid": (torch.sigmoid, 0.0, 1.0),
    "swish": (F.silu, -0.2785, math.inf),
    "none": (lambda x: x, -math.inf, math.inf),
}


class DeepAEConfig(Config):
    """Hyper-parameters of `deepae`; the defaults are the paper's final model for the Netflix Prize."""

    hidden: Annotated[
        tuple[PositiveInt, ...],
        Tunable(choices=((128, 256, 256), (256, 256, 512), (512, 512, 1024), (256,), (500,), (1000,))),
    ] = Field((512, 512, 1024), min_length=1, description="sizes of the encoder's layers; the decoder mirrors them")
    orientation: Annotated[Literal["user", "item"], Tunable(choices=("user", "item"))] = Field(
        "user", description="one example is a user's vector over items, or an item's over users"
    )
    activation: Annotated[
        Literal["selu", "elu", "relu", "relu6", "lrelu", "tanh", "sigmoid", "swish", "none"],
        Tunable(choices=("selu", "elu", "lrelu", "tanh", "sigmoid")),
    ] = Field("selu", description="after each layer")
    last_activation: Literal["auto", "on", "off"] = Field(
        "auto", description="after the last layer too; auto: unless its range is narrower than the ratings'"
    )
    tied: bool = Field(False, description="the decoder's weights are the encoder's, transposed")
    dropout: Annotated[float, Tunable(0, 0.9)] = Field(0.8, ge=0, lt=1, description="rate on the code")
    refeed: Annotated[int, Tunable(0, 2)] = Field(1, ge=0, description="dense re-feeding steps after each step")
    input_dropout: Annotated[float, Tunable(0, 0.5)] = Field(
        0.0, ge=0, lt=1, description="rate on a batch's ratings as input; the loss keeps them all"
    )
    residuals: Annotated[bool, Tunable(choices=(False, True))] = Field(
        False, description="learn what the biases leave of the ratings, not the ratings"
    )
    noise: Annotated[float, Tunable(0, 0.5)] = Field(0.0, ge=0, lt=1, description="dropout rate on a re-fed example")
    optimizer: Annotated[
        Literal["momentum", "adam", "adamw", "adagrad", "rmsprop"], Tunable(choices=("momentum", "adam"))
    ] = Field("momentum", description="step rule")
    lr: Annotated[float, Tunable(1e-4, 1e-1, log=True)] = Field(0.005, gt=0, description="learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of momentum and rmsprop")
    schedule: Annotated[Literal["milestones", "one-cycle"], Tunable(choices=("milestones", "one-cycle"))] = Field(
        "milestones", description="how the learning rate goes; one-cycle: up to lr, then down to 0 at the last epoch"
    )
    milestones: tuple[PositiveInt, ...] = Field(
        (24, 36, 48, 66, 72), description="epochs after which the learning rate is multiplied by gamma"
    )
    gamma: float = Field(0.5, gt=0, le=1, description="factor at each milestone")
    weight_decay: Annotated[float, Tunable(1e-7, 1e-2, log=True)] = Field(0.0, ge=0, description="L2 on the weights")
    decay_biases: Annotated[bool, Tunable(choices=(True, False))] = Field(
        True, description="weight decay on the layers' biases too, as the reference has it"
    )
    average: Annotated[int, Tunable(choices=(0, 10, 20))] = Field(
        0, ge=0, description="keep the weights' moving average over about so many epochs; 0: the weights"
    )
    batch_size: Annotated[PositiveInt, Tunable(choices=(32, 64, 128, 256))] = Field(128, description="examples a step")
    epochs: PositiveInt = Field(100, description="at most")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the products; auto: bf16 where the device computes it natively. Weights stay float32"
    )
    compile: bool = Field(False, description="fuse re-feeding's elementwise work (torch.compile; needs a C++ compiler)")
    patience: int = Field(20, ge=0, description="stop after so many epochs without a better validation; 0: never")

    def for_device(self, device: str) -> Self:
        """The precision decided."""
        return self.model_copy(update={"precision": precision.resolve(self.precision, device)})


class Autoencoder:
    """n → hidden → n. Weights (outer, inner), Xavier-uniform; biases zero. Section 2.1 of the paper."""

    def __init__(self, config: DeepAEConfig, n: int, scale: Scale, random: torch.Generator, device: str) -> None:
        self._config = config
        self._act, low, high = ACTIVATIONS[config.activation]
        least = scale.low - scale.high if config.residuals else scale.low
        covers = low <= least and scale.high <= high
        self._last_act = config.last_activation == "on" or (config.last_activation == "auto" and covers)
        self._skip_zeros = config.noise > 0 or config.activation.startswith("relu")
        kind = precision.resolve(config.precision, device)
        self._refed = torch.compile(self._dense_loss) if config.compile else self._dense_loss

        def matrix(out: int, into: int) -> Tensor:
            return torch.nn.init.xavier_uniform_(torch.empty(out, into), generator=random)

        def learned(master: Tensor) -> Weight:
            return Weight(master.contiguous().to(device), kind)

        sizes = list(pairwise([n, *config.hidden]))  # (outer, inner) of each layer
        self.encode_w = [learned(matrix(inner, outer).T) for outer, inner in sizes]
        self.encode_b = [learned(torch.zeros(inner)) for _, inner in sizes]
        self._decode_w = [] if config.tied else [learned(matrix(outer, inner)) for outer, inner in sizes[::-1]]
        self.decode_b = [learned(torch.zeros(outer)) for outer, _ in sizes[::-1]]
        free = [] if config.decay_biases else [*self.encode_b, *self.decode_b]
        decayed = [each for each in self.learned().values() if each not in free]
        self.steps = BlockedOptimizer(
            (decayed, lambda masters: rule(masters, config, config.weight_decay)),
            (free, lambda masters: rule(masters, config, 0.0)),
        )

    @property
    def decode_w(self) -> list[Weight]:
        """The decoder's weights; when tied, the encoder's."""
        return self._decode_w or self.encode_w[::-1]

    def learned(self) -> dict[str, Weight]:
        """All that is learned, by name."""
        parts = {
            "encode_w": self.encode_w, "encode_b": self.encode_b, "decode_w": self._decode_w, "decode_b": self.decode_b,
        }  # fmt: skip
        return {f"{part}/{k}": learned for part, layers in parts.items() for k, learned in enumerate(layers)}

    def encode(self, x: Batch | Tensor, random: torch.Generator | None = None) -> Tensor:
        """(B, n) → (B, h_k), the code. Training passes `random`, from which the code's dropout is drawn."""
        for w, b in zip(self.encode_w, self.encode_b, strict=True):
            x = self._act(linear(x, w, b))  # (B, h)
        code = cast("Tensor", x)
        return drop(code, self._config.dropout, random) if random is not None and self._config.dropout else code

    def decode(self, code: Tensor) -> Tensor:
        """(B, h_k) → (B, n)."""
        return self._last(linear_back(self._widen(code), self.decode_w[-1], self.decode_b[-1]))

    def decode_at(self, code: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, h_k) → (cells,) outputs at the batch's cells, through which gradients flow, and (B, n) all of them."""
        at_cells, everywhere = linear_at(self._widen(code), self.decode_w[-1], self.decode_b[-1], batch)
        return self._last(at_cells), everywhere

    def _widen(self, code: Tensor) -> Tensor:
        for w, b in zip(self.decode_w[:-1], self.decode_b[:-1], strict=True):
            code = self._act(linear_back(code, w, b))  # (B, h)
        return code

    def _last(self, y: Tensor) -> Tensor:
        return self._act(y) if self._last_act else y

    def train_batch(self, batch: Batch, random: torch.Generator) -> Tensor:
        """The loss of the first of `train_losses`."""
        return self.train_losses(batch, random)[0]

    def train_losses(self, batch: Batch, random: torch.Generator) -> list[Tensor]:
        """One iteration (section 2.3): a step on the rated cells of the batch, then `refeed` steps on the output.

        Returns the losses: masked mean squared error on the ratings, then that of each re-fed example.
        """
        x = batch
        if self._config.input_dropout:
            x = replace(batch, ratings=drop(batch.ratings, self._config.input_dropout, random))
        y_rated, everywhere = self.decode_at(self.encode(x, random), batch)  # (cells,), (B, n)
        losses = [self._step(F.mse_loss(y_rated.float(), batch.ratings))]  # equation 1: m are the rated cells
        dense = self._last(everywhere) if self._config.refeed else everywhere  # (B, n), computed before the step
        for _ in range(self._config.refeed):
            if self._config.noise:
                dense = drop(dense, self._config.noise, random)
            loss, y = self._refed(self.encode(dense, random), dense)
            losses.append(self._step(loss))
            dense = y.detach()
        return losses

    def _dense_loss(self, code: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Equation 2 for a re-fed x (B, n), zeros skipped where the reference masks them; and the output (B, n)."""
        y = self.decode(code)
        return mean_square(y, x, skip_zeros=self._skip_zeros), y

    def _step(self, loss: Tensor) -> Tensor:
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.steps.step()
        return loss.detach()

    def outputs(self, batch: Batch, places: Tensor, columns: Tensor) -> Tensor:
        """(m,) the output at m cells of the batch's rows."""
        widened = self._widen(self.encode(batch))
        return self._last(output_at(widened, self.decode_w[-1], self.decode_b[-1], places, columns))


def drop(x: Tensor, rate: float, random: torch.Generator) -> Tensor:
    """Zero each element with probability `rate` and scale the rest up by 1 / (1 - rate)."""
    kept = torch.rand(x.shape, generator=random, device=x.device) >= rate
    return x * kept.to(x.dtype).div_(1 - rate)


def rule(masters: list[Tensor], config: DeepAEConfig, decay: float) -> torch.optim.Optimizer:
    """The config's step rule over these numbers, with this weight decay."""
    match config.optimizer:
        case "momentum":
            return torch.optim.SGD(masters, config.lr, momentum=config.momentum, weight_decay=decay, fused=True)
        case "adam":
            return torch.optim.Adam(masters, config.lr, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(masters, config.lr, weight_decay=decay, fused=True)
        case "adagrad":
            return torch.optim.Adagrad(masters, config.lr, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(masters, config.lr, momentum=config.momentum, weight_decay=decay)


def build(config: DeepAEConfig) -> RowModel:
    """The model over users' or items' rows."""
    return model_of_rows(
        partial(Autoencoder, config), orientation=config.orientation, residuals=config.residuals,
        batch_size=config.batch_size, epochs=config.epochs, patience=config.patience,
        learning_rate=partial(learning_rate, config), average=config.average,
    )  # fmt: skip


def learning_rate(config: DeepAEConfig, epoch: int) -> float:
    """That of an epoch (from 1)."""
    if config.schedule == "one-cycle":
        return one_cycle(epoch, config.epochs, config.lr)
    return config.lr * config.gamma ** sum(milestone < epoch for milestone in config.milestones)


PLUGIN = Plugin(
    title="deep autoencoder with dense re-feeding",
    paper="Kuchaiev, Ginsburg, Training Deep AutoEncoders for Collaborative Filtering, arXiv:1708.01715, 2017",
    config=DeepAEConfig,
    build=build,
    gpu=True,
    quick={"hidden": (16, 8), "dropout": 0.3, "epochs": 60, "batch_size": 16, "lr": 0.01, "patience": 0},
)
