"""Deep autoencoder with dense re-feeding.

O. Kuchaiev and B. Ginsburg, "Training Deep AutoEncoders for Collaborative Filtering", arXiv:1708.01715, 2017.

One example is the vector x of a user's ratings over the n items. The encoder maps it to a code, n → h1 → … → hk, and
the decoder maps the code back, hk → … → h1 → n, to a rating of every item. The loss is the mean squared error over the
rated items only. The code has dropout with a high rate. After each step on x, the dense output f(x) is fed to the
network again as a new example, because a good f does not change it: f(f(x)) = f(x).

`forward` and `losses` state the model in plain torch. `Autoencoder` computes the same from sparse ratings, in the
precision that the device computes quickly; a test holds both equal, outputs and gradients.

With `orientation="item"`, one example is the vector of an item's ratings over the users, as in I-AutoRec.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias, cast

from pydantic import AfterValidator, Field, PositiveInt, ValidationInfo, field_validator

from cfbench.contract import Config, Plugin, Tunable
from cfbench.learning.lazy import F, autoencoder, dense_rows, layers, precision, torch, training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from cfbench.learning.autoencoder import CellOutputs, RowModel, TrainingRows
    from cfbench.learning.dense_rows import DenseNetwork
    from cfbench.learning.layers import Batch
    from cfbench.learning.precision import BlockedOptimizer, Weight
    from cfbench.ratings import Scale

    Function: TypeAlias = Callable[[Tensor], Tensor]


# The model in plain torch


def forward(
    x: Tensor,
    encoder: list[tuple[Tensor, Tensor]],
    decoder: list[tuple[Tensor, Tensor]],
    activation: Function,
    last_activation: Function,
    dropout: Function,
    implicit: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """f(x): (B, n) → (B, n), section 2.1. With tied weights the decoder's matrices are the encoder's, reversed.

    `implicit`, not in the paper: the weights of a column are the sum of its own and of those of the m rows in which it
    is rated, as a user's factors are in SVD++ (Koren, "Factorization Meets the Neighborhood", KDD 2008, equation 15).
    """
    for w, b in encoder:  # (n, h1), (h1,) … (h(k-1), hk), (hk,)
        x = activation(x @ w + b)  # (B, h1) … (B, hk)
    h = dropout(x)  # (B, hk), the code
    for w, b in decoder[:-1]:  # (h(k-1), hk), (h(k-1),) … (h1, h2), (h1,)
        h = activation(h @ w.T + b)  # (B, h(k-1)) … (B, h1)
    w, b = decoder[-1]  # (n, h1), (n,)
    if implicit is not None:
        sets, factors, projection = implicit  # (n, m): 1/√k at the k rated cells of a column; (m, d), (d, h1)
        w = w + sets @ factors @ projection  # (n, h1)
    return last_activation(h @ w.T + b)  # (B, n)


def losses(f: Function, x: Tensor, rated: Tensor, config: DeepAEConfig, random: torch.Generator) -> Iterator[Tensor]:
    """The losses of one iteration on x (B, n), rated where `rated` (B, n) is True. Sections 2.2 and 2.3.

    The caller does a backward pass and an optimizer step after each loss, before it takes the next one. With
    `visible_weight` below 1, not in the paper, the network learns to predict ratings more from others than from
    themselves (Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 4.2.2: emphasis on what is hidden).
    """
    scales = torch.zeros_like(x).masked_scatter(rated, dropout_scales(x[rated], config.input_dropout, random))  # (B, n)
    y = f(show_rated(x, rated) * scales.repeat_interleave(2, 1) if config.standardize else x * scales)  # (B, n)
    visible_weight = config.visible_weight if config.input_dropout else 1.0
    weights = rated * torch.where(scales > 0, visible_weight, 1.0)  # (B, n)
    yield (weights * (y - x) ** 2).sum() / weights.sum()  # equation 1, if all weights are equal
    for _ in range(config.refeed):
        x = drop(y.detach(), config.noise, random)  # (B, n): the output before the step
        y = f(show_rated(x, torch.ones_like(rated)) if config.standardize else x)  # (B, n)
        target = x != 0 if skips_zeros(config) else torch.ones_like(rated)  # (B, n)
        yield (target * (y - x) ** 2).sum() / target.sum()  # equation 2


def show_rated(x: Tensor, rated: Tensor) -> Tensor:
    """(B, 2n) the input for standardized residuals x (B, n): columns 2k and 2k + 1 are `input_pair` of column k."""
    return (input_pair(x, rated.sum(1, keepdim=True)) * rated[..., None]).flatten(1)


def input_pair(x: Tensor, count: Tensor) -> Tensor:
    """(..., 2) the two inputs for a standardized residual x in a row of `count` rated cells.

    The second shows that the cell is rated, and has weights of its own, as the implicit factors of SVD++ do. The root
    makes the inputs of short and long rows similar.
    """
    return torch.stack((2.5 * x, torch.full_like(x, 3.5)), -1) / count[..., None] ** 0.5


def skips_zeros(config: DeepAEConfig) -> bool:
    """Whether zeros are no target of re-feeding, as in the reference code: only if noise or relu produces them."""
    return config.noise > 0 or activations()[config.activation].gives_zeros


def drop(x: Tensor, rate: float, random: torch.Generator | None) -> Tensor:
    """Dropout: set each element to zero with probability `rate`, and divide the others by 1 - `rate`."""
    return x if random is None or not rate else x * dropout_scales(x, rate, random)


def dropout_scales(x: Tensor, rate: float, random: torch.Generator) -> Tensor:
    """What dropout multiplies each element of x by: 0 with probability `rate`, otherwise 1 / (1 - `rate`)."""
    if not rate:
        return torch.ones_like(x)
    kept = torch.rand(x.shape, generator=random, device=x.device) >= rate
    return kept.to(x.dtype).div_(1 - rate)


@dataclass(frozen=True)
class Activation:
    """An activation function; its outputs lie between `low` and `high`."""

    function: Function
    low: float = -math.inf
    high: float = math.inf
    gives_zeros: bool = False
    """Whether the output is exactly 0 for a whole range of inputs."""


def activations() -> dict[str, Activation]:
    """All activations by name: a function, so that importing the plugin does not load torch."""
    return {
        "selu": Activation(F.selu, low=-1.7581),
        "elu": Activation(F.elu, low=-1.0),
        "relu": Activation(F.relu, low=0.0, gives_zeros=True),
        "relu6": Activation(F.relu6, low=0.0, high=6.0, gives_zeros=True),
        "lrelu": Activation(F.leaky_relu),
        "tanh": Activation(torch.tanh, low=-1.0, high=1.0),
        "sigmoid": Activation(torch.sigmoid, low=0.0, high=1.0),
        "swish": Activation(F.silu, low=-0.2785),
        "none": Activation(identity),
    }


def identity(x: Tensor) -> Tensor:
    """No activation: the layer is linear."""
    return x


# The same model over sparse ratings


@dataclass(frozen=True)
class Layer:
    """An affine layer and its activation."""

    weights: Weight
    """(outer, inner), where outer is the side of the ratings and inner the side of the code."""
    bias: Weight
    """(inner,) in the encoder, (outer,) in the decoder."""
    activation: Function

    def encode(self, x: Batch | Tensor) -> Tensor:
        """(B, outer) → (B, inner)."""
        return self.activation(layers.linear(x, self.weights, self.bias))

    def decode(self, h: Tensor) -> Tensor:
        """(B, inner) → (B, outer)."""
        return self.activation(layers.linear_transposed(h, self.weights, self.bias))


@dataclass(frozen=True)
class Implicit:
    """The part of the last layer's weights that the sets of rows decide: S Y G (n, h1), which is never formed."""

    sets: Batch
    """S (n, m)."""
    factors: Weight
    """Y (m, d)."""
    projection: Weight
    """G (d, h1)."""

    def column_factors(self) -> Tensor:
        """S Y (n, d)."""
        return layers.matmul(self.sets, self.factors)

    def project(self, h: Tensor) -> Tensor:
        """H Gᵀ: (B, h1) → (B, d)."""
        return F.linear(h, self.projection.value)


class Autoencoder:
    """The network n → h1 → … → hk → … → h1 → n and its optimizer.

    Matrices begin as `init` says, drawn from `random`, and biases begin at zero.
    """

    def __init__(self, config: DeepAEConfig, rows: TrainingRows, random: torch.Generator, device: str) -> None:
        self._config = config
        self._weight_decay = config.weight_decay + config.relative_decay / math.sqrt(max(1, rows.n_ratings))
        activation = activations()[config.activation].function
        self._skips_zeros = skips_zeros(config)
        kind = precision.resolve(config.precision, device)

        def weight(initial: Tensor) -> Weight:
            return precision.Weight(initial.contiguous().to(device), kind)

        def matrix(outputs: int, inputs: int) -> Tensor:
            return initial_weights(config, torch.empty(outputs, inputs), random)

        n = rows.n_columns
        sizes = list(pairwise([n, *config.hidden]))  # (outer, inner) of each layer, from the ratings to the code
        inputs = [(2 * n if config.standardize else n, config.hidden[0]), *sizes[1:]]
        self.encoder = [
            Layer(weight(matrix(inner, outer).T), weight(torch.zeros(inner)), activation) for outer, inner in inputs
        ]
        self.decoder = [
            Layer(
                mirrored.weights if config.tied else weight(matrix(outer, inner)),
                weight(torch.zeros(outer)),
                activation,
            )
            for (outer, inner), mirrored in zip(sizes[::-1], self.encoder[::-1], strict=True)
        ]
        if not has_last_activation(config, rows.scale):
            self.decoder[-1] = replace(self.decoder[-1], activation=identity)
        self.implicit: Implicit | None = None
        if config.implicit_factors:
            sets = rows.column_sets()
            factors = 0.01 * torch.randn(sets.n_columns, config.implicit_factors, generator=random)
            projection = matrix(config.implicit_factors, config.hidden[0])
            self.implicit = Implicit(sets, weight(factors), weight(projection))
        self.optimizer = self._make_optimizer()
        self._refed_loss = torch.compile(self._dense_loss) if config.compile else self._dense_loss

    def weights(self) -> dict[str, Weight]:
        """All weights by name; tied matrices appear once, in the encoder."""
        parts = {
            "encode_w": [layer.weights for layer in self.encoder],
            "encode_b": [layer.bias for layer in self.encoder],
            "decode_w": [] if self._config.tied else [layer.weights for layer in self.decoder],
            "decode_b": [layer.bias for layer in self.decoder],
            "implicit": [self.implicit.factors, self.implicit.projection] if self.implicit else [],
        }
        return {f"{part}/{k}": weight for part, weights in parts.items() for k, weight in enumerate(weights)}

    def _make_optimizer(self) -> BlockedOptimizer:
        config = self._config
        biases = [] if config.decay_biases else [layer.bias for layer in (*self.encoder, *self.decoder)]
        decayed = [weight for weight in self.weights().values() if weight not in biases]
        return precision.BlockedOptimizer(
            (decayed, partial(make_optimizer, config, weight_decay=self._weight_decay)),
            (biases, partial(make_optimizer, config, weight_decay=0.0)),
        )

    def input(self, batch: Batch) -> Batch:
        """The batch as the encoder receives it."""
        if not self._config.standardize:
            return batch
        pairs = input_pair(batch.ratings, batch.starts.diff()[batch.rows])  # (cells, 2)
        columns = torch.stack((2 * batch.columns, 2 * batch.columns + 1), 1)  # (cells, 2)
        return layers.Batch(
            2 * batch.starts, batch.rows.repeat_interleave(2), columns.flatten(), pairs.flatten(),
            n_columns=2 * batch.n_columns, sparse=batch.sparse,
        )  # fmt: skip

    def dense_input(self, x: Tensor) -> Tensor:
        """(B, n) a re-fed example as the encoder receives it."""
        return show_rated(x, torch.ones_like(x)) if self._config.standardize else x

    def encode(self, x: Batch | Tensor, random: torch.Generator | None = None) -> Tensor:
        """(B, n) → (B, hk), the code. Training passes `random`, the generator of the code's dropout."""
        for layer in self.encoder:
            x = layer.encode(x)  # (B, h1) … (B, hk)
        return drop(cast("Tensor", x), self._config.dropout, random)

    def code(self, batch: Batch) -> Tensor:
        """(B, n) → (B, hk), without dropout."""
        return self.encode(self.input(batch))

    def decode(self, code: Tensor) -> Tensor:
        """(B, hk) → (B, n)."""
        return self._decode_with(code, self._column_factors())

    def _column_factors(self) -> Tensor | None:
        return self.implicit.column_factors() if self.implicit else None

    def _decode_with(self, code: Tensor, column_factors: Tensor | None) -> Tensor:
        last, h = self.decoder[-1], self._decode_hidden(code)  # (B, h1)
        y = layers.linear_transposed(h, last.weights, last.bias)  # (B, n)
        if self.implicit and column_factors is not None:
            y = y + self.implicit.project(h) @ column_factors.T
        return last.activation(y)

    def _decode_hidden(self, code: Tensor) -> Tensor:
        """(B, hk) → (B, h1), the input of the last layer."""
        for layer in self.decoder[:-1]:
            code = layer.decode(code)  # (B, h(k-1)) … (B, h1)
        return code

    def cell_outputs(self) -> CellOutputs:
        """The function that computes the output at m cells of a batch, without gradients."""
        return partial(self._outputs_at, self._column_factors())

    def _outputs_at(self, column_factors: Tensor | None, batch: Batch, rows: Tensor, columns: Tensor) -> Tensor:
        last = self.decoder[-1]
        h = self._decode_hidden(self.code(batch))  # (B, h1)
        y = layers.linear_transposed_at(h, last.weights, last.bias, rows, columns)
        if self.implicit and column_factors is not None:
            y += layers.products_at(self.implicit.project(h), column_factors, rows, columns)
        return last.activation(y)

    def dense(self) -> DenseNetwork:
        """The network as plain torch over dense rows: what the function `forward` states."""
        weights = {
            f"{part}_{kind}/{k}": weight.master
            for part, stack in (("encode", self.encoder), ("decode", self.decoder))
            for k, layer in enumerate(stack)
            for kind, weight in (("w", layer.weights), ("b", layer.bias))
        }
        if self.implicit:
            with torch.no_grad():
                weights[f"decode_w/{len(self.decoder) - 1}"] = (
                    self.decoder[-1].weights.master + self.implicit.column_factors() @ self.implicit.projection.master
                )  # (n, h1)
        return dense_rows.DenseNetwork(weights, self._dense_outputs)

    def _dense_outputs(self, weights: Mapping[str, Tensor], x: Tensor, rated: Tensor) -> Tensor:
        depth = range(len(self.encoder))
        encoder, decoder = (
            [(weights[f"{part}_w/{k}"], weights[f"{part}_b/{k}"]) for k in depth] for part in ("encode", "decode")
        )
        shown = show_rated(x, rated) if self._config.standardize else x  # (B, n) or (B, 2n)
        return forward(
            shown, encoder, decoder, self.encoder[0].activation, self.decoder[-1].activation, dropout=identity
        )

    def losses(self, batch: Batch, random: torch.Generator) -> Iterator[Tensor]:
        """The losses of one iteration, as the function `losses` states them."""
        config, last = self._config, self.decoder[-1]
        shown, weights = self.input(batch), None
        if config.input_dropout:
            scales = dropout_scales(batch.ratings, config.input_dropout, random)  # (cells,)
            weights = torch.where(scales > 0, config.visible_weight, 1.0) if config.visible_weight < 1 else None
            repeats = len(shown.ratings) // len(scales)
            shown = replace(shown, ratings=shown.ratings * scales.repeat_interleave(repeats))
        h = self._decode_hidden(self.encode(shown, random))  # (B, h1)
        at_ratings, everywhere = layers.linear_transposed_at_ratings(h, last.weights, last.bias, batch)
        if self.implicit:
            y = self.implicit.project(h) @ self.implicit.column_factors().T  # (B, n)
            at_ratings, everywhere = at_ratings + y[batch.rows, batch.columns], everywhere + y.detach()
        yield weighted_mse(last.activation(at_ratings).float(), batch.ratings, weights)  # equation 1
        if not config.refeed:
            return
        y = last.activation(everywhere)  # (B, n)
        for _ in range(config.refeed):
            x = drop(y.detach(), config.noise, random)  # (B, n)
            loss, y = self._refed_loss(self.encode(self.dense_input(x), random), x, self._column_factors())
            yield loss  # equation 2

    def _dense_loss(self, code: Tensor, x: Tensor, column_factors: Tensor | None) -> tuple[Tensor, Tensor]:
        """Equation 2 for a re-fed example x (B, n), and the output (B, n)."""
        y = self._decode_with(code, column_factors)
        return layers.mean_squared_error(y, x, skip_zeros=self._skips_zeros), y

    def train_batch(self, batch: Batch, random: torch.Generator) -> Tensor:
        """Run one iteration; return its first loss."""
        return self.train_losses(batch, random)[0]

    def train_losses(self, batch: Batch, random: torch.Generator) -> list[Tensor]:
        """Run one iteration: a step on the ratings, then `refeed` steps on outputs; return the losses."""
        results = []
        for loss in self.losses(batch, random):
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            self.optimizer.step()
            results.append(loss.detach())
        return results


def initial_weights(config: DeepAEConfig, w: Tensor, random: torch.Generator) -> Tensor:
    """Fill w (outputs, inputs) with its first values; Xavier's is that of the reference implementation.

    lecun-normal has standard deviation 1/√inputs, which keeps the variance of activations with selu (Klambauer et al.,
    "Self-Normalizing Neural Networks", NIPS 2017).
    """
    init = torch.nn.init
    match config.init:
        case "xavier-uniform":
            return init.xavier_uniform_(w, generator=random)
        case "xavier-normal":
            return init.xavier_normal_(w, generator=random)
        case "kaiming-normal":
            return init.kaiming_normal_(w, nonlinearity="relu", generator=random)
        case "lecun-normal":
            return init.kaiming_normal_(w, nonlinearity="linear", generator=random)


def weighted_mse(y: Tensor, x: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of (y - x)² over the cells (m,), weighted; 0 if all weights are."""
    if weights is None:
        return F.mse_loss(y, x)
    return (weights * (y - x).square()).sum() / weights.sum().clamp(min=1e-9)


def has_last_activation(config: DeepAEConfig, scale: Scale) -> bool:
    """Whether the activation follows the last layer too; `auto`: if its range covers that of the ratings."""
    if config.last_activation != "auto":
        return config.last_activation == "on"
    activation = activations()[config.activation]
    if config.standardize:
        return math.isinf(activation.low) and math.isinf(activation.high)
    lowest = scale.low - scale.high if config.residuals else scale.low
    return activation.low <= lowest and scale.high <= activation.high


def make_optimizer(config: DeepAEConfig, weights: list[Tensor], *, weight_decay: float) -> torch.optim.Optimizer:
    """The config's optimizer of these weights."""
    match config.optimizer:
        case "momentum":
            return torch.optim.SGD(weights, config.lr, momentum=config.momentum, weight_decay=weight_decay, fused=True)
        case "adam":
            return torch.optim.Adam(weights, config.lr, weight_decay=weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(weights, config.lr, weight_decay=weight_decay, fused=True)
        case "adagrad":
            return torch.optim.Adagrad(weights, config.lr, weight_decay=weight_decay)
        case "rmsprop":
            return torch.optim.RMSprop(weights, config.lr, momentum=config.momentum, weight_decay=weight_decay)


def learning_rate(config: DeepAEConfig, epoch: int) -> float:
    """The learning rate of an epoch (from 1)."""
    if config.schedule == "one-cycle":
        return autoencoder.one_cycle(epoch, config.epochs, config.lr)
    return config.lr * config.gamma ** sum(milestone < epoch for milestone in config.milestones)


def batch_size(config: DeepAEConfig, rows: int) -> int:
    """The number of examples per batch, if there are `rows` examples."""
    size = config.batch_size
    return max(1, math.ceil(rows * size if size < 1 else size))


def build(config: DeepAEConfig) -> RowModel:
    """The model over the rows of users or items."""
    return autoencoder.build_row_model(
        partial(Autoencoder, config), orientation=config.orientation,
        targets="standardized" if config.standardize else "residuals" if config.residuals else "ratings",
        batch_size=partial(batch_size, config),
        schedule=training.Schedule(
            config.epochs, config.patience, partial(learning_rate, config), average=config.average,
            backoffs=training.BACKOFFS[config.on_divergence],
        ),
    )  # fmt: skip


def _number_or_share(size: float) -> float:
    if size > 1 and size != int(size):
        raise ValueError("expected a whole number of examples, or a share of them below 1")
    return int(size) if size >= 1 else size


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
    init: Literal["xavier-uniform", "xavier-normal", "kaiming-normal", "lecun-normal"] = Field(
        "xavier-uniform", description="distribution of the first weights; lecun-normal is meant for selu"
    )
    tied: bool = Field(False, description="the decoder's weights are the encoder's, transposed")
    dropout: Annotated[float, Tunable(0, 0.9)] = Field(0.8, ge=0, lt=1, description="rate on the code")
    refeed: Annotated[int, Tunable(0, 2)] = Field(1, ge=0, description="dense re-feeding steps after each step")
    input_dropout: Annotated[float, Tunable(0, 0.8)] = Field(
        0.0, ge=0, lt=1, description="rate on a batch's ratings as input; the loss uses all of them"
    )
    visible_weight: Annotated[float, Tunable(0, 1)] = Field(
        1.0,
        ge=0,
        le=1,
        description="with input_dropout: weight in the loss of a rating that the input shows; one it hides has 1",
    )
    residuals: Annotated[bool, Tunable(choices=(False, True))] = Field(
        False, description="learn the ratings minus the predictions of the biases, instead of the ratings"
    )
    standardize: bool = Field(
        False, description="learn residuals divided by their standard deviation; the input shows which cells are rated"
    )
    implicit_factors: Annotated[int, Tunable(choices=(0, 32, 64))] = Field(
        0, ge=0, description="length of the factors of the set of rows in which a column is rated; 0: none"
    )
    noise: Annotated[float, Tunable(0, 0.5)] = Field(0.0, ge=0, lt=1, description="dropout rate on a re-fed example")
    optimizer: Annotated[
        Literal["momentum", "adam", "adamw", "adagrad", "rmsprop"], Tunable(choices=("momentum", "adam"))
    ] = Field("momentum", description="optimizer; momentum is SGD with momentum")
    lr: Annotated[float, Tunable(1e-4, 1e-1, log=True)] = Field(0.005, gt=0, description="learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of the optimizers momentum and rmsprop")
    schedule: Annotated[Literal["milestones", "one-cycle"], Tunable(choices=("milestones", "one-cycle"))] = Field(
        "milestones",
        description="schedule of the learning rate; one-cycle: up to lr, then down to 0 at the last epoch",
    )
    milestones: tuple[PositiveInt, ...] = Field(
        (24, 36, 48, 66, 72), description="epochs after which the learning rate is multiplied by gamma"
    )
    gamma: float = Field(0.5, gt=0, le=1, description="factor at each milestone")
    weight_decay: Annotated[float, Tunable(1e-7, 1e-2, log=True)] = Field(0.0, ge=0, description="L2 on the weights")
    relative_decay: float = Field(
        0.0, ge=0, description="L2 on the weights, times the square root of the number of training ratings; added"
    )
    decay_biases: Annotated[bool, Tunable(choices=(True, False))] = Field(
        True, description="weight decay on the layers' biases too, as in the reference implementation"
    )
    average: Annotated[int, Tunable(choices=(0, 10, 20))] = Field(
        0, ge=0, description="use the moving average of the weights over about this many epochs; 0: the weights"
    )
    batch_size: Annotated[int | float, AfterValidator(_number_or_share), Tunable(choices=(32, 64, 128, 256))] = Field(
        128, gt=0, description="examples per batch; a number below 1 is a share of all examples"
    )
    epochs: PositiveInt = Field(100, description="highest number of epochs")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="precision of products; auto: bf16 where the device computes it natively. Weights stay float32",
    )
    compile: bool = Field(
        False, description="fuse the elementwise work of re-feeding (torch.compile; needs a C++ compiler)"
    )
    patience: int = Field(20, ge=0, description="stop after this many epochs without a better validation; 0: never")
    on_divergence: Literal["backoff", "stop"] = Field(
        "backoff", description="go back to the best epoch and halve the learning rate, at most three times; or stop"
    )

    @field_validator("standardize")
    @classmethod
    def _check_standardize(cls, standardize: bool, info: ValidationInfo) -> bool:
        if standardize and info.data.get("tied"):
            raise ValueError("expected false with tied weights, because the encoder has twice as many inputs")
        return standardize

    def for_device(self, device: str) -> Self:
        """The same config with the precision resolved."""
        return self.model_copy(update={"precision": precision.resolve(self.precision, device)})


PLUGIN = Plugin(
    title="deep autoencoder with dense re-feeding",
    paper="Kuchaiev, Ginsburg, Training Deep AutoEncoders for Collaborative Filtering, arXiv:1708.01715, 2017",
    config=DeepAEConfig,
    build=build,
    gpu=True,
    fixed_epochs=True,
    default_presets={
        "netflix/3m": "paper-3m",
        "netflix/6m": "paper-6m",
        "netflix/1y": "paper-1y",
        "netflix": "paper-full",
        "*": "general",
    },
    quick={"hidden": (16, 8), "dropout": 0.3, "epochs": 30, "batch_size": 16, "lr": 0.01, "patience": 0},
)
