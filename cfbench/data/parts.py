"""The part of each rating in a split, and random draws that are the same on every machine.

Randomness comes from `numpy.random.PCG64.random_raw`: NumPy promises that this stream never changes, and makes no such
promise for the methods of `Generator`. Each rating gets a 64-bit random key, and the ratings with the smallest keys are
drawn. Everything works block by block, so that only two arrays grow with the number of ratings: the parts, and the
keys during a draw.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cfbench.ratings import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cfbench.ratings import Codes

PartCodes: TypeAlias = NDArray[np.uint8]
"""(n,) the part of each rating: `TRAIN`, `VALID`, `TEST` or `LEFT_OUT`."""
TRAIN, VALID, TEST, LEFT_OUT = range(4)
PART_NAMES = ("train", "valid", "test")
"""The names of the parts in files of ratings, by their codes."""
BLOCK_ROWS = 4_000_000
"""Ratings per block."""


def row_blocks(n: int) -> Iterator[slice]:
    """Slices of `BLOCK_ROWS` rows that cover the rows 0 to n - 1."""
    return blocks(n, BLOCK_ROWS)


def random_keys(seed: int, purpose: str) -> np.random.PCG64:
    """A stream of 64-bit random keys; each pair of seed and purpose has a different stream."""
    words = np.frombuffer(hashlib.sha256(f"{seed} {purpose}".encode()).digest(), "<u4")
    return np.random.PCG64(np.random.SeedSequence(words.tolist()))


def move_random(parts: PartCodes, source: int, target: int, fraction: float, *, seed: int, purpose: str) -> None:
    """Move round(fraction·count) random ratings of the `count` ratings in part `source` to part `target`, in place."""
    count = int(np.count_nonzero(parts == source))
    remaining = round(fraction * count)
    if not remaining:
        return
    keys = random_keys(seed, purpose).random_raw(count)
    keys.partition(remaining - 1)
    largest = keys[remaining - 1]
    del keys
    stream = random_keys(seed, purpose)  # the same keys again, block by block
    for rows in row_blocks(len(parts)):
        candidates = np.flatnonzero(parts[rows] == source)
        drawn = candidates[stream.random_raw(len(candidates)) <= largest][:remaining]
        parts[rows][drawn] = target
        remaining -= len(drawn)


def seen_in_part(codes: Codes, count: int, parts: PartCodes, part: int) -> NDArray[np.bool_]:
    """(count,) True for each user or item with a rating in the part."""
    seen = np.zeros(count, np.bool_)
    for rows in row_blocks(len(parts)):
        seen[codes[rows][parts[rows] == part]] = True
    return seen
