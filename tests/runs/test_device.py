"""The device of a plugin. These tests watch every operator that torch calls, since they must not need Apple's GPU."""

import re
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from cfbench.contract import Context
from cfbench.runs import registry
from cfbench.runs.device import ChosenDevice, choose_device, explain_failure
from cfbench.testing import planted

GPU_PLUGINS = [name for name in registry.names() if registry.import_plugin(name).gpu]
SMALL = {"als": {}, "autorec": {"hidden": (16,)}, "deepae": {"hidden": (16, 8)}}
CONFIGS = [
    *((name, {}) for name in GPU_PLUGINS),
    *(("deepae", {"optimizer": each}) for each in ("adam", "adamw", "adagrad", "rmsprop")),
    ("deepae", {"tied": True, "input_dropout": 0.5, "noise": 0.2, "residuals": True, "average": 2}),
    ("deepae", {"activation": "relu", "orientation": "item", "refeed": 0}),
]


class Operators(TorchDispatchMode):
    """Records the operators that torch calls; refuses float64, as MPS does, and the operators in `refused`."""

    def __init__(self, refused=()):
        super().__init__()
        self.called, self._refused = set(), set(refused)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").partition(".")[0]
        self.called.add(name)
        if name in self._refused:
            raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented for the MPS device")
        out = func(*args, **(kwargs or {}))
        if any(isinstance(t, torch.Tensor) and t.dtype == torch.float64 for t in tree_iter((args, kwargs, out))):
            raise TypeError(f"aten::{name}: Cannot convert a MPS Tensor to float64 dtype")
        return out


@cache
def mps_operators():
    """The operators of this torch that have a kernel for MPS, or that consist of other operators."""
    path = files("torchgen") / "packaged" / "ATen" / "native" / "native_functions.yaml"
    supported = set()
    for function in path.read_text(encoding="utf-8").split("\n- func: ")[1:]:  # as YAML it takes 8 s to read
        keys = re.findall(r"\w+", " ".join(re.findall(r"^    ([\w, ]+):", function, re.MULTILINE)))
        is_composite = not keys and "structured_delegate" not in function
        if is_composite or "MPS" in keys or any(key.startswith("Composite") for key in keys):
            supported.add(re.match(r"\w+", function)[0])
    assert {"_fused_sgd_", "_embedding_bag", "addmm"} <= supported
    assert not {"_fused_adagrad_", "_fused_dropout"} & supported
    return supported


def fit_and_use(name, overrides, data):
    plugin = registry.load(name)
    config = plugin.config(**{"epochs": 3, **SMALL.get(name, {}), **overrides}).for_device("mps")
    model = plugin.build(config)
    model.fit(data.train, data.valid, Context(seed=1))
    model.predict(data.test.pairs)
    if hasattr(model, "fold_in"):
        model.fold_in(np.array([0, 3], np.int32), np.array([4, 2], np.float32), np.arange(5, dtype=np.int32))
    plugin.build(config).restore(model.state(), data.train, Context(seed=1))


@pytest.mark.parametrize(("name", "overrides"), CONFIGS)
@pytest.mark.parametrize("density", [0.05, 0.5])
def test_a_model_makes_no_float64_tensor_and_needs_no_operator_that_the_trial_does_not_try(name, overrides, density):
    with Operators() as used:
        fit_and_use(name, overrides, planted(seed=3, n_users=120, n_items=90, density=density))
    assert len(used.called) > 20
    plugin = registry.load(name)
    with Operators() as tried:
        assert explain_failure(plugin, plugin.config(**SMALL.get(name, {}), **overrides), "cpu") == ""
    assert used.called - tried.called <= mps_operators()


def test_a_float64_tensor_and_a_missing_operator_are_noticed():
    plugin = registry.load("deepae")
    with Operators({"_embedding_bag"}):
        fault = explain_failure(plugin, plugin.config(), "cpu")
    assert fault == (
        "NotImplementedError: The operator 'aten::_embedding_bag' is not currently implemented for the MPS device"
    )
    with Operators(), pytest.raises(TypeError, match="float64"):
        torch.ones(2).double()


def test_auto_takes_the_cpu_and_says_why_if_the_model_fails_on_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)  # torch then fails: there is no such GPU here
    plugin = registry.load("als")
    chosen = choose_device("als", plugin, plugin.config(), "auto")
    assert chosen.name == "cpu"
    assert chosen.note.startswith("als computes on the CPU, because it fails on mps: ")
    assert "\n" not in chosen.note
    assert choose_device("als", plugin, plugin.config(), "mps") == ChosenDevice("mps")  # the user's own choice
    assert choose_device("bias", registry.load("bias"), None, "auto") == ChosenDevice("cpu")


def test_a_model_that_diverges_in_the_trial_fails_it(register):
    plugin = registry.load("deepae")
    fault = explain_failure(plugin, plugin.config(lr=1e30), "cpu")
    assert "Error" in fault


def test_run_says_that_it_computes_on_the_cpu(terminal, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    result = terminal("run als --epochs 2")
    assert result.status == 0
    assert result.err.count("als computes on the CPU, because it fails on mps: ") == 1
    assert terminal("run als --epochs 2 --device cpu").err.count("fails on mps") == 0
