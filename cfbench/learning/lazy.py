"""Modules that plugins share and that are imported at their first use.

`cfbench run deepae --help` imports the plugin to read its hyper-parameters, and must not wait two seconds for torch. So
a plugin that computes with torch writes

    from cfbench.learning.lazy import F, layers, precision, torch

and uses these names as if it had imported the modules themselves. The names must not be used while the plugin is being
imported: neither in a decorator, nor as a base class, nor in a table at the top of the module.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.nn import functional as F  # noqa: N812 (the usual name)

    from cfbench.learning import autoencoder, dense_rows, layers, precision, ridge, sgd, sgd_passes, training
else:

    def lazy_module(name: str) -> ModuleType:
        """Stand for the module `name`, and import it when an attribute is used for the first time.

        The attribute is stored, because an import in each use would slow training down. See PEP 562.
        """
        module = ModuleType(name)

        def load_attribute(attribute: str) -> Any:
            value = getattr(import_module(name), attribute)
            setattr(module, attribute, value)
            return value

        module.__getattr__ = load_attribute
        return module

    torch, F = lazy_module("torch"), lazy_module("torch.nn.functional")
    autoencoder, dense_rows, layers, precision, ridge, sgd, sgd_passes, training = (
        lazy_module(f"cfbench.learning.{name}")
        for name in ("autoencoder", "dense_rows", "layers", "precision", "ridge", "sgd", "sgd_passes", "training")
    )

__all__ = ["F", "autoencoder", "dense_rows", "layers", "precision", "ridge", "sgd", "sgd_passes", "torch", "training"]
