"""The conformance suite over every registered plugin, and over plugins that break it."""

import pytest

from cfbench import registry
from cfbench.testing import CHECKS, check


@pytest.mark.parametrize("sentence", CHECKS)
@pytest.mark.parametrize("name", registry.names())
def test_every_plugin_conforms(name, sentence, tmp_path):
    check(registry.load(name), sentence, tmp_path)
