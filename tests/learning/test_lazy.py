"""Lazy modules, and that the command line does not load torch before a model needs it."""

import os
import subprocess
import sys

import pytest
import torch

from cfbench.learning import layers, lazy

RUN = """
import sys
from cfbench import cli
try:
    cli.main({line})
except SystemExit:
    pass
print("torch" in sys.modules)
"""


def loads_torch(line, **environment):
    """Whether torch is loaded after this command line, and what it printed to standard output and standard error."""
    process = subprocess.run(
        [sys.executable, "-c", RUN.format(line=line.split())], capture_output=True, text=True, check=True,
        env=os.environ | environment,
    )  # fmt: skip
    output, _, answer = process.stdout.strip().rpartition("\n")
    return answer == "True", output, process.stderr


@pytest.mark.parametrize("plugin", ["deepae", "autorec", "als"])
def test_help_of_a_plugin_loads_no_torch(plugin):
    loaded, output, _ = loads_torch(f"run {plugin} --help")
    assert "--epochs" in output
    assert not loaded


def test_a_mistyped_flag_is_refused_without_torch():
    loaded, _, message = loads_torch("run deepae --lrr 1")
    assert "--lrr" in message
    assert not loaded


def test_shell_completion_of_flags_loads_no_torch():
    request = {"_CFBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "cfbench run deepae --", "COMP_CWORD": "3"}
    loaded, output, _ = loads_torch("", **request)
    assert "--refeed" in output.split()
    assert not loaded


def test_a_lazy_module_has_the_attributes_of_the_module_it_stands_for():
    assert lazy.torch.zeros is torch.zeros
    assert lazy.F.selu is torch.nn.functional.selu
    assert lazy.layers.linear is layers.linear


def test_a_missing_attribute_is_reported_as_that_of_the_module():
    with pytest.raises(AttributeError, match="module 'torch' has no attribute 'zeroes'"):
        _ = lazy.torch.zeroes
