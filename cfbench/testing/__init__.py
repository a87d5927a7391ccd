"""The conformance suite and planted data, public: for everyone who writes a plugin.

    from cfbench.testing import CHECKS, check
    @pytest.mark.parametrize("sentence", CHECKS)
    def test_my_plugin(sentence, tmp_path): check(PLUGIN, sentence, tmp_path)

Each check is one sentence a plugin has to hold; a plugin that breaks it raises `AssertionError` with what was seen, or
what the plugin itself raises. `cfbench check-plugin NAME` runs them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.testing import declared, fitted, folded, kept
from cfbench.testing.planted import Planted, planted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.contract import Plugin

__all__ = ["CHECKS", "Planted", "check", "planted"]

CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    **declared.CHECKS, **fitted.CHECKS, **kept.CHECKS, **folded.CHECKS,
}  # fmt: skip
"""Sentence → check."""


def check(plugin: Plugin[Any], sentence: str, folder: Path) -> str:
    """Hold `plugin` against one of `CHECKS`; `folder` is an empty scratch folder.

    Returns why there is nothing to check, or nothing when it holds. Raises `AssertionError`, or what the plugin raises.
    """
    return CHECKS[sentence](plugin, folder) or ""
