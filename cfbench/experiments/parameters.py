"""How many parameters a network has, without the data that it would learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import Context
from cfbench.errors import UsageError
from cfbench.ratings import Ratings, Scale
from cfbench.runs.plugin_calls import plugin_call

if TYPE_CHECKING:
    from cfbench.runs.setup import Setup


def count_parameters(setup: Setup, items: int) -> int:
    """Return how many parameters the network of an autoencoder over users' vectors has with so many items.

    The network is built for one user with one rating. Raises `UsageError` for another kind of model.
    """
    from cfbench.learning.autoencoder import RowModel

    one = np.zeros(1, np.int32)
    ratings = Ratings(one, one, np.ones(1, np.float32), 1, items, Scale(low=1, high=5, step=1))
    with plugin_call(setup.name, "build"):
        model = setup.plugin.build(setup.config)
    if not isinstance(model, RowModel):
        raise UsageError(f"a claim of kind exact is about autoencoders, and {setup.name} is none")
    with plugin_call(setup.name, "prepare"):
        model.prepare(ratings, Context())
    return model.parameters
