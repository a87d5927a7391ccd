"""PRECISION: learned numbers in float32, products in what the device is quick in.

In bfloat16 (8 bits of precision, float32's range) products are computed from copies of the float32 numbers, cast once a
step, as in Micikevicius et al., "Mixed Precision Training", ICLR 2018; the range makes a scaled loss unnecessary
(Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", arXiv:1905.12322, 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Precision: TypeAlias = Literal["fp32", "bf16"]
Rule: TypeAlias = "Callable[[list[Tensor]], torch.optim.Optimizer]"
"""Makes the step rule of some tensors."""

BLOCK = 2**21
"""So many numbers, with their gradients and the step rule's memory, stay in a processor's cache."""


def resolve(asked: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """What products are computed in; `auto`: bf16 where the processor or GPU has instructions for it, not emulated."""
    if asked != "auto":
        return asked
    kind = device.partition(":")[0]
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if kind == "cpu" and _processor_has_bf16() else "fp32"


def _processor_has_bf16() -> bool:
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe() for probe in probes if probe is not None)


class Weight:
    """A learned matrix or vector: the float32 `master`, the `copy` products are computed with, and its gradient.

    In float32 the copy is the master. The gradient of a matrix keeps its memory from step to step.
    """

    def __init__(self, master: Tensor, kind: Precision) -> None:
        self.master = master
        self.copy = master if kind == "fp32" else master.to(torch.bfloat16)
        self.copy.requires_grad_()
        self.buffer: Tensor | None = None
        self.collected = False

    def collect(self, left: Tensor, right: Tensor) -> None:
        """Add the product of both to this step's gradient."""
        if self.buffer is None:
            self.buffer = torch.empty_like(self.copy)
        torch.addmm(self.buffer, left, right, beta=float(self.collected), out=self.buffer)
        self.collected = True

    def take(self, gradient: Tensor) -> None:
        """Add a whole matrix to this step's gradient."""
        self.buffer = self.buffer.add_(gradient) if self.collected and self.buffer is not None else gradient
        self.collected = True

    @property
    def gradient(self) -> Tensor | None:
        """What this step's backward passes left, in the copy's precision."""
        return self.buffer if self.collected else self.copy.grad

    def clear(self) -> None:
        """Forget this step's gradient."""
        self.collected, self.copy.grad = False, None

    @torch.no_grad()
    def load(self, master: Tensor) -> None:
        """Take other numbers."""
        self.master.copy_(master)
        if self.copy is not self.master:
            self.copy.copy_(self.master)


class BlockedOptimizer:
    """Torch step rules over float32 masters, each group of learned numbers under its own, block by block.

    A block's gradients are cast up, its numbers stepped and cast down while they are in the processor's cache, so that
    a step goes through memory once. An accelerator has no use for blocks: there all is one.
    """

    def __init__(self, *groups: tuple[Sequence[Weight], Rule]) -> None:
        self._learned = [each for learned, _ in groups for each in learned]
        block = BLOCK if all(each.master.device.type == "cpu" for each in self._learned) else None
        self._blocks: list[tuple[list[tuple[int, slice]], torch.optim.Optimizer]] = []
        first = 0
        for learned, rule in groups:
            for pieces in _packed(first, [each.master.numel() for each in learned], block):
                masters = [_flat(self._learned[k].master)[part] for k, part in pieces]
                self._blocks.append((pieces, rule(masters)))
            first += len(learned)

    @property
    def rate(self) -> float:
        """The learning rate."""
        rate: float = self._blocks[0][1].param_groups[0]["lr"]
        return rate

    @rate.setter
    def rate(self, rate: float) -> None:
        for _, rule in self._blocks:
            for group in rule.param_groups:
                group["lr"] = rate

    @torch.no_grad()
    def step(self) -> None:
        """Change the learned numbers by their gradients, and forget these."""
        gradients = [each.gradient for each in self._learned]
        for pieces, rule in self._blocks:
            masters = rule.param_groups[0]["params"]
            for (k, part), master in zip(pieces, masters, strict=True):
                gradient = gradients[k]
                master.grad = None if gradient is None else _flat(gradient)[part].float()
            rule.step()
            for (k, part), master in zip(pieces, masters, strict=True):
                master.grad = None
                if self._learned[k].copy is not self._learned[k].master:
                    _flat(self._learned[k].copy)[part].copy_(master)
        for each in self._learned:
            each.clear()

    def state(self) -> dict[str, Any]:
        """What the rule remembers of each learned tensor, flat tensors and numbers by name."""
        parts: dict[str, list[Any]] = {}
        for pieces, rule in self._blocks:
            for index, slots in rule.state_dict()["state"].items():
                for slot, value in slots.items():
                    parts.setdefault(f"{pieces[index][0]}/{slot}", []).append(value)
        return {name: torch.cat(values) if _each(values[0]) else values[0] for name, values in parts.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; raises `ValueError` when it is not of these tensors."""
        memory: dict[int, dict[str, Any]] = {k: {} for k in range(len(self._learned))}
        for name, value in state.items():
            k, _, slot = name.partition("/")
            if (
                not slot
                or int(k) not in memory
                or (_each(value) and len(value) != self._learned[int(k)].master.numel())
            ):
                raise ValueError(f"{name!r} is not of this model's step rule")
            memory[int(k)][slot] = value
        for pieces, rule in self._blocks:
            slots = {
                index: {slot: _part(value, part) for slot, value in memory[k].items()}
                for index, (k, part) in enumerate(pieces)
            }
            rule.load_state_dict(rule.state_dict() | {"state": {k: v for k, v in slots.items() if v}})


def _each(value: Any) -> bool:
    """Whether it is one number for each learned number."""
    return isinstance(value, Tensor) and value.dim() > 0


def _part(value: Any, part: slice) -> Any:
    if not isinstance(value, Tensor):
        return value
    return (value[part] if _each(value) else value).clone()


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().view(-1)


def _packed(first: int, sizes: list[int], block: int | None) -> Iterator[list[tuple[int, slice]]]:
    """Runs of (which tensor, from `first`; which of its numbers) of at most `block` numbers together."""
    pieces: list[tuple[int, slice]] = []
    room = block or sum(sizes)
    for k, size in enumerate(sizes, first):
        start = 0
        while start < size:
            end = min(size, start + room)
            pieces.append((k, slice(start, end)))
            room -= end - start
            start = end
            if not room:
                yield pieces
                pieces, room = [], block or sum(sizes)
    if pieces:
        yield pieces
