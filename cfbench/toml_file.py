"""Reads TOML files that people write: cards, sweeps and experiments."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.errors import CfbenchError


def read_toml(path: Path, error: type[CfbenchError], *, expected: str = "") -> dict[str, Any]:
    """Return the table in a file; raises `error` naming the file, and what was `expected`, if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise error(f"cannot read {path}: {fault.strerror}{f'; expected {expected}' if expected else ''}") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise error(f"{path} is not TOML: {fault}") from fault
