"""The cost of the leaderboard over a thousand stored runs, as ratios to another way, measured alternately.

python bench/board.py

Seconds are processor time.
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
from cfbench.data.progress import SilentListener
from cfbench.leaderboard.estimates import PartSums, estimate
from cfbench.leaderboard.intervals import interval
from cfbench.metrics import mae, rmse
from cfbench.runs import record
from cfbench.runs.arrays import RunArrays, write_arrays
from cfbench.runs.machine import describe_machine
from cfbench.runs.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings

ROUNDS = 5
PLUGINS, CONFIGS, SEEDS = 10, 20, 5  # a thousand runs
COMMAND = "from cfbench.cli import main; main({!r})"


def processor_seconds(function: Callable[[], object]) -> float:
    """The processor time of one call and its child processes: the wall time on an idle machine."""
    start = sum(os.times()[:4])
    function()
    return sum(os.times()[:4]) - start


def compare(title: str, ours: Callable[[], object], other: Callable[[], object], other_title: str) -> None:
    """Print the medians of both functions and the median of their ratios, from alternating rounds."""
    pairs = [(processor_seconds(ours), processor_seconds(other)) for _ in range(ROUNDS)]
    our_median, other_median = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(other_seconds / our_seconds for our_seconds, other_seconds in pairs)
    print(f"{title:44} {our_median:8.3f} s   {other_title:34} {other_median:8.3f} s   ratio {ratio:7.2f}")


def import_ratings(folder: Path) -> Dataset:
    """Import as many ratings as MovieLens 100K has, by users of very different activity."""
    rng = np.random.default_rng(0)
    users, items = rng.lognormal(0, 1, 943), rng.lognormal(0, 1.2, 1682)
    draws = [rng.choice(len(w), 400_000, p=w / w.sum()) for w in (users, items)]
    pairs = rng.permutation(np.unique(np.stack(draws, axis=1), axis=0))[:100_000]
    file = folder / "ratings.csv"
    lines = (f"u{u},i{i},{rng.integers(1, 6)}\n" for u, i in pairs)
    file.write_text("user,item,rating\n" + "".join(lines), encoding="utf-8")
    import_file(ImportOptions(file, "board"), SilentListener())
    return store.open_dataset(card.load("board"))


def store_runs(root: Path, dataset: Dataset, number: int = PLUGINS * CONFIGS * SEEDS) -> None:
    """Store the runs of invented models, whose predictions are the ratings with noise."""
    split, ratings = dataset.split("random90"), dataset.ratings
    test, results = split.test(ratings), Results(root)
    rng, machine = np.random.default_rng(1), describe_machine()
    for index in range(number):
        config = index // SEEDS % CONFIGS
        predictions = (test.ratings + rng.normal(0, 0.9 + config / 100, len(test))).clip(1, 5).astype(np.float32)
        request = make_request(index, ratings, split)
        folder = results.create(request)
        write_arrays(folder, RunArrays(test=predictions))
        scores = {"rmse": rmse(predictions, test.ratings), "mae": mae(predictions, test.ratings)}
        outcome = record.Outcome(status="finished", valid_rmse=1 + config / 100, fit_seconds=index / 10, **scores)
        results.publish(folder, record.Record(request=request, outcome=outcome, machine=machine))


def make_request(index: int, ratings: Ratings, split: Split) -> record.Request:
    """The request of one run: seeds change first, then configs, then plugins."""
    plugin, config, seed = index // (CONFIGS * SEEDS), index // SEEDS % CONFIGS, index % SEEDS
    definition = split.definition.model_dump(mode="json", exclude={"protocol", "expected"})
    return record.Request(
        run=f"20260101-{index:06d}-model{plugin}-{secrets.token_hex(2)}",
        started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=index),
        plugin=record.PluginFacts(name=f"model{plugin}", title="made up", package="bench"),
        dataset=record.DatasetFacts(name="board", card_version=1, fingerprint=ratings.fingerprint,
                                    users=ratings.n_users, items=ratings.n_items, ratings=len(ratings)),
        split=record.SplitFacts(name="random90", protocol=split.definition.protocol, definition=definition,
                                fingerprint=split.fingerprint, report=split.report),
        preset=None, config={"factors": config, "lr": 0.01, "epochs": 50}, origins={"factors": "flag"}, seed=seed,
        device="cpu",
    )  # fmt: skip


def compare_boards(root: Path) -> None:
    """Compare `cfbench compare` with reading the records as plain JSON, each in its own process."""
    read_plain = (
        "import json, pathlib; import polars; "
        f"[json.loads(p.read_bytes()) for p in pathlib.Path({str(root)!r}).glob('*/*/*/*/record.json')]"
    )

    def in_process(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    for options in ([], ["--all-runs"], ["--by", "rating"]):
        ours = in_process(COMMAND.format(["compare", "--dataset", "board", "--results", str(root), *options]))
        title = " ".join(["cfbench compare", *options])
        compare(f"{title}, 1,000 runs", ours, in_process(read_plain), "json.loads of every record")


def compare_intervals() -> None:
    """Compare the intervals of ten scores over 943 users with SciPy's bootstrap of each score."""
    from scipy import stats

    rng = np.random.default_rng(0)
    counts = np.ceil(rng.lognormal(2, 1, 943))
    sums = [rng.chisquare(counts) for _ in range(10)]
    parts = [PartSums(of_model, counts, counts, of_model.sum(), counts.sum(), root=True) for of_model in sums]

    def bootstrap_with_scipy() -> None:
        for of_model in sums:
            stats.bootstrap(
                (of_model, counts), lambda s, n, axis: np.sqrt(s.sum(axis) / n.sum(axis)),
                paired=True, vectorized=True, n_resamples=2000, rng=0,
            )  # fmt: skip

    def by_jackknife() -> None:
        for _ in range(10):  # processor time is measured in hundredths of a second
            for part in parts:
                interval(estimate([[{"user": part}]]))

    compare("intervals of 10 scores, 10 times", by_jackknife, bootstrap_with_scipy, "scipy.stats.bootstrap, once each")


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["CFBENCH_DATA"] = str(Path(scratch) / "data")
        store_runs(Path(scratch) / "results", import_ratings(Path(scratch)))
        compare_boards(Path(scratch) / "results")
    compare_intervals()
