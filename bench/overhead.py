"""The time that cfbench adds to a library: a run of the plugin svd, compared with the same fit by surprise alone.

python bench/overhead.py [DATASET]

A run of cfbench cuts the data, converts them, fits, predicts, checks, scores and writes its record. Surprise gets the
same training and test ratings as the tuples that it needs; it loads, fits and tests them. The two alternate.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import surprise

from cfbench.data import card, store
from cfbench.errors import CfbenchError
from cfbench.runs import run
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

if TYPE_CHECKING:
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings

ROUNDS = 5


@dataclass(frozen=True)
class Measurement:
    """Wall time of a whole run and of its fit, in seconds, and the test RMSE."""

    run_seconds: float
    fit_seconds: float
    rmse: float


def measure_cfbench(dataset: Dataset, folder: Path) -> Measurement:
    """Run the plugin svd."""
    start = time.perf_counter()
    setup = configure("svd", dataset=dataset.card.name, flags={}, preset=None, use_preset=False)
    request = new_request(setup, dataset, dataset.split("random90"), seed=0)
    outcome = run.start(request, dataset, Results(folder), run.SilentRunListener())[0].outcome
    return Measurement(time.perf_counter() - start, outcome.fit_seconds or 0.0, outcome.rmse or 0.0)


def measure_surprise(train: list[Any], test: list[Any], scale: tuple[float, float]) -> Measurement:
    """Load, fit and test with surprise."""
    start = time.perf_counter()
    trainset = surprise.Dataset(surprise.Reader(rating_scale=scale)).construct_trainset(train)
    fit_start = time.perf_counter()
    algorithm = surprise.SVD(random_state=0).fit(trainset)
    fit_seconds = time.perf_counter() - fit_start
    rmse = surprise.accuracy.rmse(algorithm.test(test), verbose=False)
    return Measurement(time.perf_counter() - start, fit_seconds, rmse)


def to_tuples(ratings: Ratings) -> list[tuple[int, int, float]]:
    """(user, item, rating) of every rating."""
    return list(zip(ratings.users.tolist(), ratings.items.tolist(), ratings.ratings.tolist(), strict=True))


def print_ratio(label: str, cfbench_seconds: list[float], surprise_seconds: list[float]) -> None:
    """Print the median times and the median ratio."""
    ratio = statistics.median(a / b for a, b in zip(cfbench_seconds, surprise_seconds, strict=True))
    print(
        f"{label}  cfbench {statistics.median(cfbench_seconds):6.2f} s  "
        f"surprise {statistics.median(surprise_seconds):6.2f} s  ratio {ratio:5.3f}"
    )


def main(name: str) -> None:
    """Measure both in every round, and print medians."""
    dataset = store.open_dataset(card.load(name))
    split, scale = dataset.split("random90"), dataset.ratings.scale
    train = [(*row, None) for row in to_tuples(split.train(dataset.ratings))]  # surprise expects a timestamp here
    test = to_tuples(split.test(dataset.ratings))
    of_cfbench: list[Measurement] = []
    of_surprise: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            of_cfbench.append(measure_cfbench(dataset, Path(folder)))
            of_surprise.append(measure_surprise(train, test, (scale.low, scale.high)))
    print_ratio(f"svd on {name}, run", [m.run_seconds for m in of_cfbench], [m.run_seconds for m in of_surprise])
    print_ratio(f"svd on {name}, fit", [m.fit_seconds for m in of_cfbench], [m.fit_seconds for m in of_surprise])
    print(
        f"RMSE {of_cfbench[0].rmse:.4f} and {of_surprise[0].rmse:.4f}: they differ because surprise numbers items in "
        "another order"
    )


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    try:
        main(*sys.argv[1:] or ["ml-1m"])
    except CfbenchError as error:
        sys.exit(str(error))
