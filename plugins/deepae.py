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
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own custom)

from cfbench import biases
from cfbench.contract import Config, Context, Plugin, State, Tunable
from cfbench.training import Cells, generator, load_weights, numpy_weights, train, validation_rmse

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.ratings import Codes, Ratings, Scale, Scores

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
        Tunable(choices=((128, 256, 256), (256, 256, 512), (512, 512, 1024), (256,), (512,), (256, 512))),
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
    noise: Annotated[float, Tunable(0, 0.5)] = Field(0.0, ge=0, lt=1, description="dropout rate on a re-fed example")
    optimizer: Literal["momentum", "adam", "adamw", "adagrad", "rmsprop"] = Field("momentum", description="step rule")
    lr: Annotated[float, Tunable(1e-4, 1e-1, log=True)] = Field(0.005, gt=0, description="learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of momentum and rmsprop")
    milestones: tuple[PositiveInt, ...] = Field(
        (24, 36, 48, 66, 72), description="epochs after which the learning rate is multiplied by gamma"
    )
    gamma: float = Field(0.5, gt=0, le=1, description="factor at each milestone")
    weight_decay: Annotated[float, Tunable(1e-7, 1e-2, log=True)] = Field(0.0, ge=0, description="L2 on all weights")
    batch_size: Annotated[PositiveInt, Tunable(choices=(32, 64, 128, 256))] = Field(128, description="examples a step")
    epochs: PositiveInt = Field(100, description="at most")
    patience: int = Field(20, ge=0, description="stop after so many epochs without a better validation; 0: never")


class Autoencoder:
    """n → hidden → n. Weights are (out, in), Xavier-uniform; biases zero. Section 2.1 of the paper."""

    def __init__(self, n: int, config: DeepAEConfig, scale: Scale, *, random: torch.Generator, device: str) -> None:
        self._act, low, high = ACTIVATIONS[config.activation]
        covers = low <= scale.low and scale.high <= high
        self._last_act = config.last_activation == "on" or (config.last_activation == "auto" and covers)
        self._dropout = config.dropout
        sizes = [n, *config.hidden]
        pairs = list(zip(sizes[1:], sizes[:-1], strict=True))  # (out, in) of each encoder layer
        encode_w = [torch.nn.init.xavier_uniform_(torch.empty(pair), generator=random) for pair in pairs]
        decode_w = [torch.nn.init.xavier_uniform_(torch.empty(pair[::-1]), generator=random) for pair in pairs[::-1]]
        self.encode_w = [_learned(w, device) for w in encode_w]
        self.encode_b = [_learned(torch.zeros(out), device) for out, _ in pairs]
        self._decode_w = [] if config.tied else [_learned(w, device) for w in decode_w]
        self.decode_b = [_learned(torch.zeros(out), device) for _, out in pairs[::-1]]

    @property
    def decode_w(self) -> list[Tensor]:
        """The decoder's weights, or the encoder's transposed when tied."""
        return self._decode_w or [w.T for w in self.encode_w[::-1]]

    def weights(self) -> dict[str, Tensor]:
        """The learned tensors by name."""
        parts = {
            "encode_w": self.encode_w, "encode_b": self.encode_b, "decode_w": self._decode_w, "decode_b": self.decode_b,
        }  # fmt: skip
        return {f"{part}/{k}": tensor for part, tensors in parts.items() for k, tensor in enumerate(tensors)}

    def __call__(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """(B, n) → (B, n). Training passes `random`, from which the code's dropout is drawn."""
        for w, b in zip(self.encode_w, self.encode_b, strict=True):
            x = self._act(F.linear(x, w, b))  # (B, h)
        if random is not None and self._dropout:
            x = drop(x, self._dropout, random)  # (B, h_k), the code
        last = len(self.decode_b) - 1
        for k, (w, b) in enumerate(zip(self.decode_w, self.decode_b, strict=True)):
            x = F.linear(x, w, b)  # (B, h), at last (B, n)
            if k < last or self._last_act:
                x = self._act(x)
        return x


def _learned(tensor: Tensor, device: str) -> Tensor:
    return tensor.to(device).requires_grad_()


def drop(x: Tensor, rate: float, random: torch.Generator) -> Tensor:
    """Zero each element with probability `rate` and scale the rest up by 1 / (1 - rate)."""
    return x * torch.empty_like(x).bernoulli_(1 - rate, generator=random).div_(1 - rate)


def optimizer(weights: list[Tensor], config: DeepAEConfig) -> torch.optim.Optimizer:
    """The step rule of that name over the weights."""
    decay = config.weight_decay
    match config.optimizer:
        case "momentum":
            return torch.optim.SGD(weights, config.lr, momentum=config.momentum, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(weights, config.lr, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(weights, config.lr, weight_decay=decay)
        case "adagrad":
            return torch.optim.Adagrad(weights, config.lr, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(weights, config.lr, momentum=config.momentum, weight_decay=decay)


def train_batch(
    net: Autoencoder,
    steps: torch.optim.Optimizer,
    cells: Cells,
    batch: Tensor,
    config: DeepAEConfig,
    random: torch.Generator,
) -> list[Tensor]:
    """One iteration (section 2.3): a step on the rated cells of `batch`, then `refeed` steps on the output.

    Returns the losses: masked mean squared error on the ratings, then that of each re-fed example.
    """
    places, columns, ratings = cells.of(batch)  # (cells,) each: the mask m of equation 1
    x = cells.spread(len(batch), places, columns, ratings)  # (B, n)
    y = net(x, random)  # (B, n)
    losses = [_step(steps, F.mse_loss(y[places, columns], ratings))]
    for _ in range(config.refeed):
        x = y.detach()  # computed before the step that followed it
        if config.noise:
            x = drop(x, config.noise, random)
        y = net(x, random)
        kept = x != 0  # relu and noise leave zeros, which the reference masks
        losses.append(_step(steps, ((y - x).square() * kept).sum() / kept.sum()))
    return losses


def _step(steps: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    steps.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    steps.step()
    return loss.detach()


class DeepAE:
    """The autoencoder over the training ratings, with biases where it has seen nothing."""

    optimizer: torch.optim.Optimizer

    def __init__(self, config: DeepAEConfig) -> None:
        self._config = config

    def fit(self, train_part: Ratings, valid: Ratings, context: Context) -> None:
        """Train with early stopping on `valid`; raises `DivergedError`."""
        config = self._config
        self._prepare(train_part, context)
        self._valid = valid
        self.optimizer = optimizer(list(self.weights().values()), config)
        milestones = np.array(config.milestones)
        train(
            self, context, epochs=config.epochs, patience=config.patience, scale=train_part.scale,
            learning_rate=lambda epoch: config.lr * config.gamma ** int((milestones < epoch).sum()),
        )  # fmt: skip

    def _prepare(self, train_part: Ratings, context: Context) -> None:
        self._train, self._device = train_part, context.device
        rows = train_part.rows(self._config.orientation)
        self._cells = Cells(rows, context.device)
        rated = np.flatnonzero(np.diff(rows.starts))
        self._rows = torch.from_numpy(rated).to(context.device)  # those with at least one rating
        self._biases = biases.fit(train_part)
        random = generator(context.seed, "weights")
        self._net = Autoencoder(rows.n_columns, self._config, train_part.scale, random=random, device=context.device)

    def weights(self) -> dict[str, Tensor]:
        """The network's tensors by name."""
        return self._net.weights()

    def epoch(self, random: torch.Generator) -> float:
        """Once through the rows in random order, the last partial batch included."""
        squares = torch.zeros((), dtype=torch.float64, device=self._device)
        order = torch.randperm(len(self._rows), generator=random, device=self._device)
        for batch in torch.split(self._rows[order], self._config.batch_size):
            loss = train_batch(self._net, self.optimizer, self._cells, batch, self._config, random)[0]
            squares += loss.double() * self._cells.count(batch)
        return math.sqrt(squares.item() / len(self._train)) if math.isfinite(squares.item()) else math.nan

    def validate(self) -> float | None:
        """RMSE over the validation ratings, clipped to the scale."""
        return validation_rmse(self.predict, self._valid)

    def predict(self, users: Codes, items: Codes) -> Scores:
        """(n,) the network's output at the pairs; the biases' where user or item has no training rating."""
        scores = self._biases.predict(users, items)
        known = ~self._train.unseen(users, items)
        rows, columns = (items, users) if self._config.orientation == "item" else (users, items)
        scores[known] = self._outputs(rows[known], columns[known])
        return scores

    @torch.inference_mode()
    def _outputs(self, rows: Codes, columns: Codes) -> Scores:
        """(n,) outputs at the cells, computed batches of rows at a time."""
        outputs = np.empty(len(rows), np.float32)
        order = np.argsort(rows, kind="stable")
        distinct, starts = np.unique(rows[order], return_index=True)
        bounds = np.append(starts, len(rows))
        size = max(1, min(1024, 2**25 // self._cells.n_columns))  # at most 128 MB of output
        for first in range(0, len(distinct), size):
            batch = distinct[first : first + size]
            asked = order[bounds[first] : bounds[first + len(batch)]]
            y = self._net(self._cells.dense(torch.from_numpy(batch).to(self._device)))  # (B, n)
            places = torch.from_numpy(np.searchsorted(batch, rows[asked])).to(self._device)
            at = torch.from_numpy(columns[asked].astype(np.int64)).to(self._device)
            outputs[asked] = y[places, at].cpu().numpy()
        return outputs

    def state(self) -> State:
        """The weights; the biases follow from the training ratings."""
        return numpy_weights(self.weights())

    def restore(self, state: State, train: Ratings, context: Context) -> None:
        """Take the weights back; raises `RecordError` when they are not of this shape."""
        self._prepare(train, context)
        load_weights(self.weights(), state)

    @property
    def parameters(self) -> int:
        """Weights and biases of the network."""
        return sum(tensor.numel() for tensor in self.weights().values())


PLUGIN = Plugin(
    title="deep autoencoder with dense re-feeding",
    paper="Kuchaiev, Ginsburg, Training Deep AutoEncoders for Collaborative Filtering, arXiv:1708.01715, 2017",
    config=DeepAEConfig,
    build=DeepAE,
    gpu=True,
    quick={"hidden": (16, 8), "dropout": 0.0, "epochs": 60, "batch_size": 16, "lr": 0.02, "patience": 0},
)
