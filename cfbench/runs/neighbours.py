"""The nearest neighbours of users or items: those with the largest cosine of their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cfbench.ratings import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = 2**24
"""The most cosines that are computed at once: 64 megabytes."""


def nearest(
    vectors: NDArray[np.float32], rows: NDArray[np.integer], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows (m, k) of the nearest other vectors of each of these `rows` (m,), nearest first, and their cosines.

    `vectors` (n, k'); k is at most n - 1. Of equal cosines the lower row comes first. The cosine with a vector of
    length 0 is 0.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    found, cosines = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
    for block in blocks(len(rows), max(1, CELLS // len(vectors))):
        table = units[rows[block]] @ units.T  # (B, n)
        table[np.arange(len(table)), rows[block]] = -np.inf  # not its own neighbour
        found[block] = np.stack([_largest(line, k) for line in table])
        cosines[block] = np.take_along_axis(table, found[block], 1)
    return found, np.clip(cosines, -1, 1)


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(k,) the positions of the largest values, in descending order; of equal values the lower position first."""
    smallest = np.partition(values, -k)[-k]
    candidates = np.flatnonzero(values >= smallest)
    return candidates[np.argsort(-values[candidates], kind="stable")[:k]]
