"""The conformance suite and planted data, for everyone who writes a plugin::

    from cfbench.testing import CHECKS, check

    @pytest.mark.parametrize("sentence", CHECKS)
    def test_my_plugin(sentence, tmp_path): check(PLUGIN, sentence, tmp_path)

Each check is one sentence that must be true of every plugin. For a plugin that fails it, `check` raises
`AssertionError` or `PluginError` with what was observed, or what the plugin itself raises. `cfbench check-plugin NAME`
runs all checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.runs.plugin_calls import contained
from cfbench.testing import declaration, new_users, predictions, storage
from cfbench.testing.planted import Planted, planted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.contract import Plugin

__all__ = ["CHECKS", "Planted", "check", "planted"]

CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    **declaration.CHECKS, **predictions.CHECKS, **storage.CHECKS, **new_users.CHECKS,
}  # fmt: skip
"""Sentence → check."""


def check(plugin: Plugin[Any], sentence: str, folder: Path) -> str:
    """Run one of `CHECKS` on a plugin; `folder` is an empty scratch folder.

    Returns "" if the plugin passes, or why the check does not apply. Raises `AssertionError`, `PluginError`, or what
    the plugin raises.
    """
    with contained("a call of the plugin"):
        return CHECKS[sentence](plugin, folder) or ""
