"""What a model is lent for a fit, compared before and after: a model that changes it spoils the next step unnoticed.

The arrays are read-only, but NumPy cannot enforce this: `torch.from_numpy` and code in C write into them all the same,
and so does whoever takes the `base` of a view. The harness scores a model with the validation part that it lent.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cfbench.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cfbench.contract import Config, Context
    from cfbench.ratings import Ratings


@contextmanager
def unchanged(train: Ratings, valid: Ratings, context: Context, config: Config) -> Iterator[None]:
    """Raise `PluginError` if the code inside changes what it is lent; the checksums take a second a gigabyte."""
    before = _describe_loan(train, valid, context, config)
    yield
    after = _describe_loan(train, valid, context, config)
    changed = [name for name, value in after.items() if value != before[name]]
    if changed:
        raise PluginError(f"fit changed {' and '.join(changed)}, which the harness lends; change a copy")


def _describe_loan(train: Ratings, valid: Ratings, context: Context, config: Config) -> dict[str, object]:
    """Return a checksum or a copy of everything that is lent, by its name."""
    return {
        "the training ratings": _checksums(train),
        "the validation ratings": _checksums(valid),
        "context.years": None if context.years is None else _checksum(context.years),
        "context.seed": context.seed,
        "context.device": context.device,
        "context.epochs": context.epochs,
        "its config": config.model_dump_json(),
    }


def _checksums(part: Ratings) -> list[int]:
    columns = (part.users, part.items, part.ratings, part.times)
    return [_checksum(column) for column in columns if column is not None]


def _checksum(column: np.ndarray) -> int:
    return zlib.crc32(column.view(np.uint8).data) if len(column) else 0
