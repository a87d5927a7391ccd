"""The speed of svdpp against surprise's SVD++: the same ratings, rank, epochs, learning rate and penalties in one run.

python bench/svdpp.py [DATASET [EPOCHS]]

Both do the same updates. Surprise changes each implicit factor of a user at each of the user's ratings, svdpp once per
user. The first pass of svdpp on a machine compiles it; a short fit before the measurement does that here.
"""

from __future__ import annotations

import platform
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import Context
from cfbench.data import card, store
from cfbench.errors import CfbenchError
from cfbench.metrics import rmse
from cfbench.runs import registry
from cfbench.testing import planted

if TYPE_CHECKING:
    from cfbench.ratings import Ratings

FACTORS, LR, REG = 20, 0.007, 0.02  # surprise's defaults


def measure(name: str, parts: tuple[Ratings, Ratings], **config: float) -> tuple[float, float]:
    """Seconds of a fit, and its test RMSE."""
    train, test = parts
    plugin = registry.load(name)
    model = plugin.build(plugin.config(factors=FACTORS, init_std=0.1, implicit_reg=REG, **config))
    start = time.perf_counter()
    model.fit(train, train.take(np.arange(0)), Context())
    seconds = time.perf_counter() - start
    return seconds, rmse(test.scale.clip(model.predict(test.pairs)), test.ratings)


def main(name: str, epochs: int) -> None:
    """Measure both, and print the ratio."""
    dataset = store.open_dataset(card.load(name))
    split = dataset.split("random90")
    parts = split.train(dataset.ratings).without_times(), split.test(dataset.ratings).without_times()
    rates, penalties = ("lr", "bias_lr", "implicit_lr"), ("bias_reg", "user_reg", "item_reg")
    config = dict.fromkeys(rates, LR) | dict.fromkeys(penalties, REG) | {"decay": 1}
    small = planted()
    measure("svdpp", (small.train, small.test), epochs=1, **config)
    ours, error = measure("svdpp", parts, epochs=epochs, **config)
    theirs, their_error = measure("surprise-svdpp", parts, epochs=epochs, lr=LR, reg=REG)
    print(
        f"{name}, {FACTORS} factors, {epochs} epochs:  svdpp {ours:.2f} s, RMSE {error:.4f}   "
        f"surprise {theirs:.2f} s, RMSE {their_error:.4f}   ratio {theirs / ours:.0f}"
    )


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    try:
        main(sys.argv[1] if sys.argv[1:] else "ml-1m", int(sys.argv[2]) if sys.argv[2:] else 10)
    except CfbenchError as error:
        sys.exit(str(error))
