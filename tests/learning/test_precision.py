"""Float32 masters, bfloat16 copies, and the step rule over blocks of them."""

import pytest
import torch

from cfbench.learning import precision
from cfbench.learning.precision import BlockedOptimizer, Weight, resolve

RULES = {
    "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=0.1, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9),
}
SHAPES = [(7, 5), (3,), (40, 11), (1,)]


def learned(kind="fp32"):
    random = torch.Generator().manual_seed(0)
    return [Weight(torch.randn(*shape, generator=random), kind) for shape in SHAPES]


def step(steps, tensors, times=3, start=0):
    for k in range(start, start + times):
        random = torch.Generator().manual_seed(100 + k)
        for each in tensors:
            each.copy.grad = torch.randn(each.copy.shape, generator=random).to(each.copy.dtype)
        steps.step()


@pytest.mark.parametrize("block", [16, 50, 2**21])
@pytest.mark.parametrize("name", RULES)
def test_steps_in_blocks_are_the_steps_of_the_whole(name, block, monkeypatch):
    monkeypatch.setattr(precision, "BLOCK", block)
    ours = learned()
    plain = [torch.nn.Parameter(each.master.detach().clone()) for each in ours]
    steps, rule = BlockedOptimizer((ours, RULES[name])), RULES[name](plain)
    steps.rate = rule.param_groups[0]["lr"] = 0.02
    for k in range(3):
        step(steps, ours, 1, k)
        random = torch.Generator().manual_seed(100 + k)
        for parameter in plain:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        rule.step()
    assert steps.rate == 0.02
    for each, parameter in zip(ours, plain, strict=True):
        torch.testing.assert_close(each.master.detach(), parameter.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
@pytest.mark.parametrize("name", RULES)
def test_what_a_rule_remembers_comes_back_bit_for_bit_whatever_the_blocks(name, kind, monkeypatch):
    whole = learned(kind)
    step(BlockedOptimizer((whole, RULES[name])), whole, 4)
    first = learned(kind)
    steps = BlockedOptimizer((first, RULES[name]))
    step(steps, first, 2)
    monkeypatch.setattr(precision, "BLOCK", 16)
    second = learned(kind)
    for each, before in zip(second, first, strict=True):
        each.load(before.master)
    resumed = BlockedOptimizer((second, RULES[name]))
    resumed.load_state(steps.state())
    step(resumed, second, 2, 2)
    for each, other in zip(whole, second, strict=True):
        torch.testing.assert_close(each.master, other.master, rtol=1e-6, atol=1e-7)
        assert torch.equal(other.copy.float(), other.master.to(other.copy.dtype).float())


@pytest.mark.parametrize("name", ["9/momentum_buffer", "0", "0/momentum_buffer"])
def test_another_models_memory_is_refused(name):
    with pytest.raises(ValueError, match="is not of this model's step rule"):
        BlockedOptimizer((learned(), RULES["momentum"])).load_state({name: torch.zeros(3)})


def test_small_steps_add_up_in_float32_where_bfloat16_would_lose_them():
    one = Weight(torch.ones(1), "bf16")
    steps = BlockedOptimizer(([one], lambda masters: torch.optim.SGD(masters, 1e-4)))
    for _ in range(100):
        one.copy.grad = torch.full((1,), -1.0, dtype=torch.bfloat16)
        steps.step()
    assert one.master.item() == pytest.approx(1.01, abs=1e-5)
    assert one.copy.item() == pytest.approx(1.01, abs=0.004)


def test_a_gradient_is_forgotten_after_its_step():
    one = Weight(torch.zeros(2, 2), "fp32")
    steps = BlockedOptimizer(([one], lambda masters: torch.optim.SGD(masters, 1.0)))
    one.collect(torch.eye(2), torch.eye(2))
    steps.step()
    steps.step()
    assert torch.equal(one.master.detach(), -torch.eye(2))


def test_precision_is_what_is_asked_or_what_the_device_has(monkeypatch):
    assert resolve("fp32", "cuda:0") == "fp32"
    assert resolve("bf16", "cpu") == "bf16"
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(precision, "_processor_has_bf16", lambda has=has: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, has=has: has)
        assert resolve("auto", "cpu") == resolve("auto", "cuda:0") == expected
        assert resolve("auto", "mps") == "fp32"


def test_each_group_steps_by_its_own_rule(monkeypatch):
    monkeypatch.setattr(precision, "BLOCK", 4)
    decayed, free = (Weight(torch.ones(6), "fp32") for _ in range(2))
    steps = BlockedOptimizer(
        ([decayed], lambda masters: torch.optim.SGD(masters, 0.1, weight_decay=1.0)),
        ([free], lambda masters: torch.optim.SGD(masters, 0.1)),
    )
    for each in (decayed, free):
        each.copy.grad = torch.zeros(6)
    steps.step()
    assert torch.equal(decayed.master.detach(), torch.full((6,), 0.9))
    assert torch.equal(free.master.detach(), torch.ones(6))
