"""The speed of deepae's training and evaluation, beside a textbook loop and beside the limits of this machine.

python bench/deepae.py [ROUNDS]

The textbook loop works like the public reference implementation: dense float32 batches from Python lists, a plain
PyTorch module with SGD, a mask of floats, evaluation of one user at a time. Both run alternately; the ratio is the
median over rounds.
"""

from __future__ import annotations

import platform
import statistics
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from cfbench.plugins import deepae
from cfbench.plugins.deepae import DeepAEConfig
from cfbench.runs import speed
from cfbench.runs.speed import SpeedTest

if TYPE_CHECKING:
    from cfbench.ratings import Ratings

USERS = 2048


class Textbook:
    """The loop that a person writes first."""

    def __init__(self, ratings: Ratings, config: DeepAEConfig) -> None:
        self.items, self.config = ratings.n_items, config
        rows = ratings.rows("user")
        self.lists = [
            list(zip(rows.columns[a:b].tolist(), rows.values[a:b].tolist(), strict=True))
            for a, b in pairwise(rows.starts.tolist())
        ]
        sizes = [self.items, *config.hidden]
        encoder = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SELU())]
        decoder = [part for a, b in pairwise(sizes[::-1]) for part in (nn.Linear(a, b), nn.SELU())]
        self.net = nn.Sequential(*encoder, nn.Dropout(config.dropout), *decoder)
        self.optimizer = torch.optim.SGD(self.net.parameters(), config.lr, momentum=config.momentum)

    def dense(self, users: list[int]) -> torch.Tensor:
        """(B, n) the ratings of a batch of users."""
        cells = [(row, item, rating) for row, user in enumerate(users) for item, rating in self.lists[user]]
        rows, columns, values = zip(*cells, strict=True)
        return torch.sparse_coo_tensor(
            [rows, columns], values, (len(users), self.items), check_invariants=False
        ).to_dense()

    def train(self) -> float:
        """Seconds per iteration, over one epoch."""
        order = np.random.default_rng(0).permutation(len(self.lists)).tolist()
        batches = [order[k : k + self.config.batch_size] for k in range(0, len(order), self.config.batch_size)]
        return speed.timed(lambda: [self.iteration(batch) for batch in batches]) / len(batches)

    def iteration(self, users: list[int]) -> None:
        """One step on the ratings, and one on each re-fed output."""
        self.net.train()
        x = self.dense(users)
        for _ in range(1 + self.config.refeed):
            y = self.net(x)
            mask = (x != 0).float()
            loss = nn.functional.mse_loss(y * mask, x, reduction="sum") / mask.sum()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
            x = y.detach()

    @torch.no_grad()
    def evaluate(self, sample: Ratings, users: int) -> float:
        """Seconds per user, over the first `users` users, one at a time."""
        self.net.eval()
        targets: dict[int, list[int]] = {}
        for user, item in zip(sample.users.tolist(), sample.items.tolist(), strict=True):
            targets.setdefault(user, []).append(item)
        first = list(targets.items())[:users]

        def work() -> None:
            for user, items in first:
                y = self.net(self.dense([user]))[0]
                [y[item].item() for item in items]

        return speed.timed(work) / len(first)


def compare_with_textbook(rounds: int) -> None:
    """Time training with and without re-feeding, and evaluation: deepae and the textbook alternate."""
    ratings = speed.netflix_shaped(USERS)
    sample = ratings.take(np.arange(0, len(ratings), 20))
    for refeed in (1, 0):
        config = DeepAEConfig(refeed=refeed).for_device("cpu")
        test, textbook = SpeedTest(deepae.build(config), config, ratings, "cpu"), Textbook(ratings, config)
        test.train()
        textbook.iteration(list(range(config.batch_size)))
        seconds = [(test.train(), textbook.train()) for _ in range(rounds)]
        print_row(f"iteration, refeed {refeed}, {config.precision}", seconds)
    print_row("evaluation of a user", [(test.evaluate(), textbook.evaluate(sample, 200)) for _ in range(rounds)])


def print_row(title: str, seconds: list[tuple[float, float]]) -> None:
    """Print the medians of deepae and of the textbook, and the median of their ratios."""
    deepae_seconds, textbook_seconds = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratio = statistics.median(slow / fast for fast, slow in seconds)
    print(
        f"{title:34} {deepae_seconds * 1e3:9.3f} ms   textbook {textbook_seconds * 1e3:9.3f} ms   ratio {ratio:7.1f}",
        flush=True,
    )


def compare_with_roofline(rounds: int) -> None:
    """Print an iteration beside its roofline, in both precisions."""
    ratings = speed.netflix_shaped(USERS)
    for precision in dict.fromkeys(("fp32", DeepAEConfig().for_device("cpu").precision)):
        device = speed.measure_device("cpu", precision)
        print(f"{precision}: peak {device.flops / 1e9:.0f} GFLOP/s, copy {device.bandwidth / 1e9:.1f} GB/s")
        for refeed in (1, 0):
            config = DeepAEConfig(refeed=refeed, precision=precision)
            test = SpeedTest(deepae.build(config), config, ratings, "cpu")
            test.train()
            seconds = statistics.median(test.train() for _ in range(rounds))
            products, traffic = test.roofline(device)
            print(
                f"  refeed {refeed}: iteration {seconds * 1e3:7.1f} ms; roofline {products * 1e3:6.1f} ms products + "
                f"{traffic * 1e3:5.1f} ms optimizer, {(products + traffic) / seconds:6.0%} of it reached",
                flush=True,
            )


def print_growth(rounds: int) -> None:
    """Print how the time of an epoch grows with users and with items."""
    base = None
    for users, items in ((USERS, 17_768), (2 * USERS, 17_768), (4 * USERS, 17_768), (USERS, 35_536), (USERS, 71_072)):
        ratings, config = speed.netflix_shaped(users, items), DeepAEConfig().for_device("cpu")
        test = SpeedTest(deepae.build(config), config, ratings, "cpu")
        test.train()
        seconds = statistics.median(test.train() * test.iterations for _ in range(max(1, rounds // 2)))
        base = base or seconds
        print(f"epoch of {users:5,} users, {items:6,} items {seconds:7.2f} s   ×{seconds / base:.2f}", flush=True)


def main() -> None:
    """Print all three tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    compare_with_textbook(rounds)
    compare_with_roofline(rounds)
    print_growth(rounds)


if __name__ == "__main__":
    main()
