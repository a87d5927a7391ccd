"""Libraries that only some commands need, and that an extra installs."""

from __future__ import annotations

import importlib.util

from cfbench import advice
from cfbench.errors import UsageError


def require(module: str, what: str, package: str, *, name: str | None = None) -> None:
    """Raise `UsageError` if a module is not installed that `what` needs.

    `package` is what pip installs, and `name` is what people call the library, by default as its module.
    """
    if importlib.util.find_spec(module) is None:
        install = advice.pip_install(package)
        raise UsageError(f"{what} needs {name or module}, which is not installed; install it with: {install}")
