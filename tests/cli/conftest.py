"""A plugin whose items have planted codes, for the commands that read codes."""

import numpy as np
import pytest

from cfbench.contract import Config, Plugin


class Coded:
    """Predicts 3. The codes of items are `codes(seen)` (n, k), 0 for those that are not seen; users have none."""

    parameters = 1

    def __init__(self, codes):
        self._codes = codes

    def fit(self, train, valid, context):
        self._seen = train.seen_items.copy()

    def predict(self, pairs):
        return np.full(len(pairs), 3, np.float32)

    def state(self):
        return {"seen": self._seen}

    def restore(self, state, train, context):
        self._seen = state["seen"]

    def embeddings(self, side):
        codes = self._codes(self._seen) * self._seen[:, None]
        return codes.astype(np.float32) if side == "item" else None


@pytest.fixture
def run_coded(terminal, register):
    """A function that runs a plugin of this name with the codes of a function, and returns the terminal."""

    def run(name, codes):
        register(name, Plugin("planted codes", "none", Config, lambda _: Coded(codes), random=False))
        assert terminal(f"run {name}").status == 0
        return terminal

    return run
