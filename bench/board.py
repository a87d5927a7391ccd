"""What the leaderboard costs over a thousand stored runs: ratios of two ways, measured alternately in this run.

python bench/board.py

Seconds are the processor's.
"""

from __future__ import annotations

import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfbench.data import card, store
from cfbench.data.importing import ImportOptions, import_file
from cfbench.data.readers.table import LayoutOptions
from cfbench.leaderboard.intervals import UserSums, intervals
from cfbench.metrics import mae, rmse
from cfbench.runs import record
from cfbench.runs.arrays import RunArrays, write_arrays
from cfbench.runs.machine import describe_machine
from cfbench.runs.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.data.store import Dataset

ROUNDS = 5
PLUGINS, CONFIGS, SEEDS = 10, 20, 5  # a thousand runs
COMMAND = "from cfbench.cli import main; main({!r})"


class Silence:
    """Watches an import."""

    def say(self, line: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, child processes included: what wall time is on an idle machine."""
    began = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - began


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object], other: str) -> None:
    """Print the medians of both and the median of their ratios, from alternating rounds."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    mine, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(theirs_s / ours_s for ours_s, theirs_s in pairs)
    print(f"{what:44} {mine:8.3f} s   {other:34} {second:8.3f} s   ratio {ratio:7.2f}")


def ratings(folder: Path) -> Dataset:
    """As many ratings as MovieLens 100K has, by users of very different activity."""
    rng = np.random.default_rng(0)
    users, items = rng.lognormal(0, 1, 943), rng.lognormal(0, 1.2, 1682)
    draws = [rng.choice(len(w), 400_000, p=w / w.sum()) for w in (users, items)]
    pairs = rng.permutation(np.unique(np.stack(draws, axis=1), axis=0))[:100_000]
    file = folder / "ratings.csv"
    lines = (f"u{u},i{i},{rng.integers(1, 6)}\n" for u, i in pairs)
    file.write_text("user,item,rating\n" + "".join(lines), encoding="utf-8")
    import_file(
        ImportOptions(file, "board", LayoutOptions("", None, "", {}), None, "error", False, None, False), Silence()
    )
    return store.open_dataset(card.load("board"))


def fill(root: Path, data: Dataset) -> None:
    """Keep a thousand runs of made-up models: noise around the truth."""
    cut, table = data.split("random90"), data.ratings
    test, kept = cut.test(table), Results(root)
    rng, machine = np.random.default_rng(1), describe_machine()
    definition = cut.definition.model_dump(mode="json", exclude={"protocol", "expected"})
    for at in range(PLUGINS * CONFIGS * SEEDS):
        plugin, config, seed = at // (CONFIGS * SEEDS), at // SEEDS % CONFIGS, at % SEEDS
        predictions = (test.ratings + rng.normal(0, 0.9 + config / 100, len(test))).clip(1, 5).astype(np.float32)
        asked = record.Request(
            run=f"20260101-{at:06d}-model{plugin}-{secrets.token_hex(2)}",
            started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=at),
            plugin=record.PluginFacts(name=f"model{plugin}", title="made up", package="bench"),
            dataset=record.DatasetFacts(name="board", card_version=1, fingerprint=table.fingerprint,
                                        users=table.n_users, items=table.n_items, ratings=len(table)),
            split=record.SplitFacts(name="random90", protocol=cut.definition.protocol, definition=definition,
                                    fingerprint=cut.fingerprint, report=cut.report),
            preset=None, config={"factors": config, "lr": 0.01, "epochs": 50}, origins={"factors": "flag"}, seed=seed,
            device="cpu",
        )  # fmt: skip
        folder = kept.create(asked)
        write_arrays(folder, RunArrays(test=predictions))
        scores = {"rmse": rmse(predictions, test.ratings), "mae": mae(predictions, test.ratings)}
        outcome = record.Outcome(status="finished", valid_rmse=1 + config / 100, fit_seconds=at / 10, **scores)
        kept.publish(folder, record.Record(request=asked, outcome=outcome, machine=machine))


def boards(root: Path) -> None:
    """`cfbench compare` in a process of its own, against reading the records as plain JSON in one."""
    plain = (
        "import json, pathlib; import polars; "
        f"[json.loads(p.read_bytes()) for p in pathlib.Path({str(root)!r}).glob('*/*/*/*/record.json')]"
    )

    def run(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    line = ["compare", "--dataset", "board", "--results", str(root)]
    for what, more in (("", []), (" --all-runs", ["--all-runs"]), (" --by rating", ["--by", "rating"])):
        ours = run(COMMAND.format([*line, *more]))
        compare(f"cfbench compare{what}, 1,000 runs", ours, run(plain), "json.loads of every record")


def bootstrap() -> None:
    """Intervals of ten scores over 943 users, against SciPy's bootstrap of each."""
    from scipy import stats

    rng = np.random.default_rng(0)
    counts = np.ceil(rng.lognormal(2, 1, (943, 1)))
    scores = [UserSums(rng.chisquare(counts), counts, root=True) for _ in range(10)]

    def theirs() -> None:
        for score in scores:
            stats.bootstrap(
                (score.sums[:, 0], score.counts[:, 0]), lambda s, n, axis: np.sqrt(s.sum(axis) / n.sum(axis)),
                paired=True, vectorized=True, n_resamples=2000, rng=0,
            )  # fmt: skip

    compare("intervals of 10 scores, 2,000 draws", lambda: intervals(scores), theirs, "scipy.stats.bootstrap, 10 times")


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["CFBENCH_DATA"] = str(Path(scratch) / "data")
        fill(Path(scratch) / "results", ratings(Path(scratch)))
        boards(Path(scratch) / "results")
    bootstrap()
