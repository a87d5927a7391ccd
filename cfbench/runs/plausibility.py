"""Says when a model's validation error is no better than that of predictions that need no model.

The constant mean and the biases of the training part are fitted again and compared with the stored validation
predictions, so that the warning does not depend on what the plugin reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.learning import biases
from cfbench.metrics import rmse

if TYPE_CHECKING:
    from cfbench.ratings import Ratings

FEW_RATINGS = 10_000
"""With fewer training ratings even a good model is hardly better than biases."""
SMALL_GAIN = 0.02
"""With few ratings, a lower validation RMSE than that of biases by less than this share says little."""
MANY_RATINGS = 10_000_000
"""With more training ratings biases are not fitted for a comparison, because that takes many seconds."""


def warn(train: Ratings, valid: Ratings, valid_rmse: float | None) -> str:
    """Return one line that says what the model's validation RMSE does not beat; empty if there is nothing to say."""
    if valid_rmse is None or not len(train):
        return ""
    few = f"; {len(train):,} training ratings are few for any model" if len(train) < FEW_RATINGS else ""
    found = f"validation RMSE {valid_rmse:.4f} is"
    constant = rmse(np.full(len(valid), biases.mean(train), np.float32), valid.ratings)
    if valid_rmse > constant * (1 + 1e-6):
        return f"{found} worse than that of the constant mean, {constant:.4f}{few}"
    if len(train) > MANY_RATINGS:
        return ""
    bias = rmse(valid.scale.clip(biases.fit(train).predict(valid.pairs)), valid.ratings)
    gain = 1 - valid_rmse / bias if bias else 0.0
    if gain < -1e-6:
        return f"{found} worse than that of biases alone, {bias:.4f}{few}"
    if few and 1e-6 < gain < SMALL_GAIN:
        return f"{found} only {gain:.1%} better than that of biases alone, {bias:.4f}{few}"
    return ""
