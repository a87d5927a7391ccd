"""Float32 weights, and matrix products in the precision that the device computes quickly.

In bfloat16 (8 bits of precision, float32's range) products are computed from copies of the float32 weights, cast once
after each optimizer step, as in Micikevicius et al., "Mixed Precision Training", ICLR 2018. The loss needs no scaling
because bfloat16 has the range of float32 (Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training",
arXiv:1905.12322, 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Precision: TypeAlias = Literal["fp32", "bf16"]
OptimizerFactory: TypeAlias = "Callable[[list[Tensor]], torch.optim.Optimizer]"
"""Makes the optimizer of some tensors."""
Piece: TypeAlias = tuple[int, slice]
"""The index of a weight, and which of its flattened numbers."""

BLOCK = 2**21
"""This many numbers, with their gradients and the optimizer's state, fit into a processor's cache."""


def resolve(precision: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """The precision of products; `auto` is bf16 if the processor or GPU has instructions for it, not an emulation."""
    if precision != "auto":
        return precision
    kind = device.partition(":")[0]
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if kind == "cpu" and processor_has_bf16() else "fp32"


def processor_has_bf16() -> bool:
    """Whether the processor has instructions for products in bfloat16."""
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe() for probe in probes if probe is not None)


class Weight:
    """A matrix or vector of parameters: `master` in float32, and its copy `cast`, with which products are computed.

    In float32 `cast` is `master` itself. The backward pass leaves the gradient of a matrix here (`add_product`,
    `add_gradient`), in memory that is used again in every step; autograd leaves other gradients in `cast.grad`.
    """

    def __init__(self, master: Tensor, precision: Precision) -> None:
        self.master = master
        self.cast = master if precision == "fp32" else master.to(torch.bfloat16)
        self.cast.requires_grad_()
        self._buffer: Tensor | None = None
        self._buffer_in_use = False

    @property
    def value(self) -> Tensor:
        """What to compute with: `cast` in training, `master` where no gradients are recorded."""
        return self.cast if torch.is_grad_enabled() else self.master

    def add_product(self, left: Tensor, right: Tensor) -> None:
        """Add left @ right to the gradient."""
        if self._buffer is None:
            self._buffer = torch.empty_like(self.cast)
        torch.addmm(self._buffer, left, right, beta=float(self._buffer_in_use), out=self._buffer)
        self._buffer_in_use = True

    def add_gradient(self, gradient: Tensor) -> None:
        """Add a tensor of the weight's shape to the gradient."""
        if self._buffer_in_use and self._buffer is not None:
            self._buffer.add_(gradient)
        else:
            self._buffer, self._buffer_in_use = gradient, True

    @property
    def gradient(self) -> Tensor | None:
        """The sum of all gradients since the last step; None when there are none."""
        by_autograd = self.cast.grad
        if not self._buffer_in_use or self._buffer is None:
            return by_autograd
        return self._buffer if by_autograd is None else self._buffer + by_autograd

    def zero_grad(self) -> None:
        """Drop the gradient."""
        self._buffer_in_use, self.cast.grad = False, None

    @torch.no_grad()
    def load(self, values: Tensor) -> None:
        """Replace the numbers by others."""
        self.master.copy_(values)
        if self.cast is not self.master:
            self.cast.copy_(self.master)


class BlockedOptimizer:
    """Torch optimizers over float32 masters: each group of weights has its own kind, each block its own instance.

    On the CPU a block's gradients are cast to float32, its numbers changed and cast to the products' precision while
    they are in the processor's cache, so that a step reads and writes the memory once. An accelerator gains nothing
    from blocks: there a group is one block.
    """

    def __init__(self, *groups: tuple[Sequence[Weight], OptimizerFactory], block: int = BLOCK) -> None:
        self._weights = [weight for weights, _ in groups for weight in weights]
        on_cpu = all(weight.master.device.type == "cpu" for weight in self._weights)
        self._blocks: list[tuple[list[Piece], torch.optim.Optimizer]] = []
        first = 0
        for weights, make_optimizer in groups:
            sizes = [weight.master.numel() for weight in weights]
            for pieces in _split_into_blocks(first, sizes, block if on_cpu else sum(sizes)):
                masters = [_flat(self._weights[k].master)[part] for k, part in pieces]
                self._blocks.append((pieces, make_optimizer(masters)))
            first += len(weights)

    @property
    def learning_rate(self) -> float:
        """The learning rate of all groups."""
        learning_rate: float = self._blocks[0][1].param_groups[0]["lr"]
        return learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        for _, optimizer in self._blocks:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate

    @property
    def weight_decay(self) -> float:
        """The weight decay of the first group."""
        weight_decay: float = self._blocks[0][1].param_groups[0]["weight_decay"]
        return weight_decay

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights by their gradients, then drop the gradients."""
        gradients = [weight.gradient for weight in self._weights]
        for pieces, optimizer in self._blocks:
            masters = optimizer.param_groups[0]["params"]
            for (k, part), master in zip(pieces, masters, strict=True):
                gradient = gradients[k]
                master.grad = None if gradient is None else _flat(gradient)[part].float()
            optimizer.step()
            for (k, part), master in zip(pieces, masters, strict=True):
                master.grad = None
                weight = self._weights[k]
                if weight.cast is not weight.master:
                    _flat(weight.cast)[part].copy_(master)
        for weight in self._weights:
            weight.zero_grad()

    def reset(self) -> None:
        """Forget everything but the settings: momentum, moments and steps."""
        for _, optimizer in self._blocks:
            optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """The optimizers' state by `<index of the weight>/<name in torch>`, as flat tensors and numbers."""
        parts: dict[str, list[Any]] = {}
        for pieces, optimizer in self._blocks:
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    parts.setdefault(f"{pieces[index][0]}/{name}", []).append(value)
        return {key: torch.cat(values) if _is_elementwise(values[0]) else values[0] for key, values in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; raises `ValueError` when it belongs to other weights."""
        by_weight: dict[int, dict[str, Any]] = {k: {} for k in range(len(self._weights))}
        for key, value in state.items():
            k, _, name = key.partition("/")
            if not name or int(k) not in by_weight or not self._fits(int(k), value):
                raise ValueError(f"{key!r} is not of this model's optimizer")
            by_weight[int(k)][name] = value
        for pieces, optimizer in self._blocks:
            states = {
                index: {name: _part(value, part) for name, value in by_weight[k].items()}
                for index, (k, part) in enumerate(pieces)
                if by_weight[k]
            }
            optimizer.load_state_dict(optimizer.state_dict() | {"state": states})

    def _fits(self, k: int, value: Any) -> bool:
        return not _is_elementwise(value) or len(value) == self._weights[k].master.numel()


def _is_elementwise(value: Any) -> bool:
    """Whether an optimizer's state has one number for each number of the weight."""
    return isinstance(value, Tensor) and value.dim() > 0


def _part(value: Any, part: slice) -> Any:
    if not isinstance(value, Tensor):
        return value
    return (value[part] if _is_elementwise(value) else value).clone()


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().view(-1)


def _split_into_blocks(first: int, sizes: list[int], block: int) -> Iterator[list[Piece]]:
    """Group the numbers of weights of these sizes, the first one having index `first`, into blocks of `block`."""
    pieces: list[Piece] = []
    room = block
    for k, size in enumerate(sizes, first):
        start = 0
        while start < size:
            end = min(size, start + room)
            pieces.append((k, slice(start, end)))
            room -= end - start
            start = end
            if not room:
                yield pieces
                pieces, room = [], block
    if pieces:
        yield pieces
