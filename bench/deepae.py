"""Training and evaluating deepae, against a textbook loop and against this machine's own limits.

python bench/deepae.py [ROUNDS]

The textbook loop does what the public reference implementation does: dense float32 batches from Python lists, a plain
PyTorch module with SGD, a mask of floats, evaluation one user at a time. Both are run alternately, and the ratio is the
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
    """The loop a person writes first."""

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
        self.steps = torch.optim.SGD(self.net.parameters(), config.lr, momentum=config.momentum)

    def dense(self, users: list[int]) -> torch.Tensor:
        """(B, n) a batch of users' ratings."""
        cells = [(row, item, rating) for row, user in enumerate(users) for item, rating in self.lists[user]]
        rows, columns, values = zip(*cells, strict=True)
        return torch.sparse_coo_tensor(
            [rows, columns], values, (len(users), self.items), check_invariants=False
        ).to_dense()

    def train(self) -> float:
        """Seconds of an iteration, over one epoch."""
        order = np.random.default_rng(0).permutation(len(self.lists)).tolist()
        batches = [order[k : k + self.config.batch_size] for k in range(0, len(order), self.config.batch_size)]
        return speed.timed(lambda: [self.iteration(batch) for batch in batches]) / len(batches)

    def iteration(self, users: list[int]) -> None:
        """A step on the ratings, and one on each re-fed output."""
        self.net.train()
        x = self.dense(users)
        for _ in range(1 + self.config.refeed):
            y = self.net(x)
            mask = (x != 0).float()
            loss = nn.functional.mse_loss(y * mask, x, reduction="sum") / mask.sum()
            self.steps.zero_grad()
            loss.backward()
            self.steps.step()
            loss.item()
            x = y.detach()

    @torch.no_grad()
    def evaluate(self, asked: Ratings, users: int) -> float:
        """Seconds a user, over some users, one at a time."""
        self.net.eval()
        targets: dict[int, list[int]] = {}
        for user, item in zip(asked.users.tolist(), asked.items.tolist(), strict=True):
            targets.setdefault(user, []).append(item)
        some = list(targets.items())[:users]

        def work() -> None:
            for user, items in some:
                y = self.net(self.dense([user]))[0]
                [y[item].item() for item in items]

        return speed.timed(work) / len(some)


def against_the_textbook(rounds: int) -> None:
    """Training with and without re-feeding, and evaluation: ours and the textbook's in turn."""
    ratings = speed.netflix_shaped(USERS)
    asked = ratings.take(np.arange(0, len(ratings), 20))
    for refeed in (1, 0):
        config = DeepAEConfig(refeed=refeed).for_device("cpu")
        ours, theirs = SpeedTest(deepae.build(config), config, ratings, "cpu"), Textbook(ratings, config)
        ours.train()
        theirs.iteration(list(range(config.batch_size)))
        row(f"iteration, refeed {refeed}, {config.precision}", [(ours.train(), theirs.train()) for _ in range(rounds)])
    row("evaluation of a user", [(ours.evaluate(), theirs.evaluate(asked, 200)) for _ in range(rounds)])


def row(what: str, pairs: list[tuple[float, float]]) -> None:
    """Medians of both, and of their ratios."""
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    print(f"{what:34} {mine * 1e3:9.3f} ms   textbook {other * 1e3:9.3f} ms   ratio {ratio:7.1f}", flush=True)


def against_the_machine(rounds: int) -> None:
    """An iteration beside its roofline, in both precisions."""
    ratings = speed.netflix_shaped(USERS)
    for precision in dict.fromkeys(("fp32", DeepAEConfig().for_device("cpu").precision)):
        device = speed.machine("cpu", precision)
        print(f"{precision}: peak {device.flops / 1e9:.0f} GFLOP/s, copy {device.bandwidth / 1e9:.1f} GB/s")
        for refeed in (1, 0):
            config = DeepAEConfig(refeed=refeed, precision=precision)
            ours = SpeedTest(deepae.build(config), config, ratings, "cpu")
            ours.train()
            seconds = statistics.median(ours.train() for _ in range(rounds))
            products, steps = ours.roofline(device)
            print(
                f"  refeed {refeed}: iteration {seconds * 1e3:7.1f} ms; roofline {products * 1e3:6.1f} ms products + "
                f"{steps * 1e3:5.1f} ms steps, {(products + steps) / seconds:6.0%} of it reached",
                flush=True,
            )


def growth(rounds: int) -> None:
    """How an epoch grows with users, and with items."""
    base = None
    for users, items in ((USERS, 17_768), (2 * USERS, 17_768), (4 * USERS, 17_768), (USERS, 35_536), (USERS, 71_072)):
        ratings, config = speed.netflix_shaped(users, items), DeepAEConfig().for_device("cpu")
        ours = SpeedTest(deepae.build(config), config, ratings, "cpu")
        ours.train()
        seconds = statistics.median(ours.train() * ours.iterations for _ in range(max(1, rounds // 2)))
        base = base or seconds
        print(f"epoch of {users:5,} users, {items:6,} items {seconds:7.2f} s   ×{seconds / base:.2f}", flush=True)


def main() -> None:
    """All of it."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    against_the_textbook(rounds)
    against_the_machine(rounds)
    growth(rounds)


if __name__ == "__main__":
    main()
