"""Float32 weights with bfloat16 copies, and the optimizer over blocks of them."""

import pytest
import torch

from cfbench.learning import precision
from cfbench.learning.precision import BlockedOptimizer, Weight, resolve

OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=0.1, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9),
}
SHAPES = [(7, 5), (3,), (40, 11), (1,)]


def some_weights(kind="fp32"):
    random = torch.Generator().manual_seed(0)
    return [Weight(torch.randn(*shape, generator=random), kind) for shape in SHAPES]


def do_steps(optimizer, weights, numbers):
    """Optimizer steps with random gradients; step k has the same gradients in every training."""
    for k in numbers:
        random = torch.Generator().manual_seed(100 + k)
        for weight in weights:
            weight.cast.grad = torch.randn(weight.cast.shape, generator=random).to(weight.cast.dtype)
        optimizer.step()


@pytest.mark.parametrize("block", [16, 50, 2**21])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_in_blocks_are_the_steps_of_one_optimizer(name, block):
    weights = some_weights()
    plain = [torch.nn.Parameter(weight.master.detach().clone()) for weight in weights]
    optimizer, whole = BlockedOptimizer((weights, OPTIMIZERS[name]), block=block), OPTIMIZERS[name](plain)
    optimizer.learning_rate = whole.param_groups[0]["lr"] = 0.02
    do_steps(optimizer, weights, range(3))
    for k in range(3):
        random = torch.Generator().manual_seed(100 + k)
        for parameter in plain:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        whole.step()
    assert optimizer.learning_rate == 0.02
    for weight, parameter in zip(weights, plain, strict=True):
        torch.testing.assert_close(weight.master.detach(), parameter.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_continues_as_if_it_had_not_stopped_with_blocks_of_any_size(name, kind):
    uninterrupted = some_weights(kind)
    do_steps(BlockedOptimizer((uninterrupted, OPTIMIZERS[name])), uninterrupted, range(4))
    first = some_weights(kind)
    optimizer = BlockedOptimizer((first, OPTIMIZERS[name]))
    do_steps(optimizer, first, range(2))
    second = some_weights(kind)
    for weight, stored in zip(second, first, strict=True):
        weight.load(stored.master)
    resumed = BlockedOptimizer((second, OPTIMIZERS[name]), block=16)
    resumed.load_state_dict(optimizer.state_dict())
    do_steps(resumed, second, range(2, 4))
    for weight, expected in zip(second, uninterrupted, strict=True):
        torch.testing.assert_close(weight.master, expected.master, rtol=1e-6, atol=1e-7)
        assert torch.equal(weight.cast, weight.master.to(weight.cast.dtype))


@pytest.mark.parametrize("key", ["9/momentum_buffer", "0", "0/momentum_buffer"])
def test_the_state_of_another_models_optimizer_is_refused(key):
    with pytest.raises(ValueError, match="is not of this model's optimizer"):
        BlockedOptimizer((some_weights(), OPTIMIZERS["momentum"])).load_state_dict({key: torch.zeros(3)})


def test_small_steps_add_up_in_float32_where_bfloat16_would_lose_them():
    weight = Weight(torch.ones(1), "bf16")
    optimizer = BlockedOptimizer(([weight], lambda masters: torch.optim.SGD(masters, 1e-4)))
    for _ in range(100):
        weight.cast.grad = torch.full((1,), -1.0, dtype=torch.bfloat16)
        optimizer.step()
    assert weight.master.item() == pytest.approx(1.01, abs=1e-5)
    assert weight.cast.item() == pytest.approx(1.01, abs=0.004)


def test_a_gradient_is_dropped_after_its_step():
    weight = Weight(torch.zeros(2, 2), "fp32")
    optimizer = BlockedOptimizer(([weight], lambda masters: torch.optim.SGD(masters, 1.0)))
    weight.add_product(torch.eye(2), torch.eye(2))
    optimizer.step()
    optimizer.step()
    assert torch.equal(weight.master.detach(), -torch.eye(2))


def test_a_gradient_is_the_sum_of_products_tensors_and_what_autograd_leaves():
    weight = Weight(torch.ones(2, 2), "fp32")
    assert weight.gradient is None
    weight.cast.sum().backward()
    assert weight.gradient.tolist() == [[1, 1], [1, 1]]
    weight.add_product(torch.eye(2), torch.eye(2))
    assert weight.gradient.tolist() == [[2, 1], [1, 2]]
    weight.add_gradient(torch.full((2, 2), 10.0))
    weight.add_product(torch.eye(2), torch.eye(2))
    assert weight.gradient.tolist() == [[13, 11], [11, 13]]
    weight.zero_grad()
    assert weight.gradient is None


def test_a_weight_is_its_copy_in_training_and_its_master_without_gradients():
    weight = Weight(torch.full((1,), 1.001), "bf16")
    assert weight.value is weight.cast
    with torch.no_grad():
        assert weight.value is weight.master


def test_precision_is_the_requested_one_or_auto_the_one_the_device_has(monkeypatch):
    assert resolve("fp32", "cuda:0") == "fp32"
    assert resolve("bf16", "cpu") == "bf16"
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(precision, "processor_has_bf16", lambda has=has: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, has=has: has)
        assert resolve("auto", "cpu") == resolve("auto", "cuda:0") == expected
        assert resolve("auto", "mps") == "fp32"


def test_each_group_of_weights_has_its_own_optimizer():
    decayed, free = (Weight(torch.ones(6), "fp32") for _ in range(2))
    optimizer = BlockedOptimizer(
        ([decayed], lambda masters: torch.optim.SGD(masters, 0.1, weight_decay=1.0)),
        ([free], lambda masters: torch.optim.SGD(masters, 0.1)),
        block=4,
    )
    for weight in (decayed, free):
        weight.cast.grad = torch.zeros(6)
    optimizer.step()
    assert torch.equal(decayed.master.detach(), torch.full((6,), 0.9))
    assert torch.equal(free.master.detach(), torch.ones(6))
