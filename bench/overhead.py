"""What the harness adds to a library: svd as a run of cfbench, and by surprise's own hands, alternately in this run.

python bench/overhead.py [DATASET]

The run takes its parts of the data, converts them, fits, predicts, checks, scores and writes its record; surprise is
given the same training and test ratings as the tuples it wants, and loads, fits and tests them.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import surprise

from cfbench.data import card, store
from cfbench.errors import CfbenchError
from cfbench.runs import run
from cfbench.runs.results import Results

if TYPE_CHECKING:
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings

ROUNDS = 5


def ours(dataset: Dataset, folder: Path) -> tuple[float, float, float]:
    """Seconds of a whole run, of those fitting, and the score."""
    began = time.perf_counter()
    setup = run.configure("svd", dataset=dataset.card.name, flags={}, preset=None, use_preset=False)
    asked = run.new_request(setup, dataset, dataset.split("random90"), seed=0)
    outcome = run.start(asked, dataset, Results(folder), run.SilentRunListener())[0].outcome
    return time.perf_counter() - began, outcome.fit_seconds or 0.0, outcome.rmse or 0.0


def theirs(train: list[Any], test: list[Any], scale: tuple[float, float]) -> tuple[float, float, float]:
    """The same of surprise alone."""
    began = time.perf_counter()
    trainset = surprise.Dataset(surprise.Reader(rating_scale=scale)).construct_trainset(train)
    fitting = time.perf_counter()
    algorithm = surprise.SVD(random_state=0).fit(trainset)
    fit_seconds = time.perf_counter() - fitting
    score = surprise.accuracy.rmse(algorithm.test(test), verbose=False)
    return time.perf_counter() - began, fit_seconds, score


def tuples(ratings: Ratings, *more: None) -> list[Any]:
    """(user, item, rating, …) of every rating."""
    rows = zip(ratings.users.tolist(), ratings.items.tolist(), ratings.ratings.tolist(), strict=True)
    return [(*row, *more) for row in rows]


def main(name: str) -> None:
    """Print the medians and the median ratio."""
    dataset = store.open_dataset(card.load(name))
    split, scale = dataset.split("random90"), dataset.ratings.scale
    train, test = tuples(split.train(dataset.ratings), None), tuples(split.test(dataset.ratings))
    with tempfile.TemporaryDirectory() as scratch:
        rounds = [(ours(dataset, Path(scratch)), theirs(train, test, (scale.low, scale.high))) for _ in range(ROUNDS)]
    for what, part in (("whole", 0), ("fit", 1)):
        pairs = [(mine[part], other[part]) for mine, other in rounds]
        mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"svd on {name}, {what:5}  cfbench {mine:6.2f} s  surprise {other:6.2f} s  ratio {ratio:5.3f}")
    print(f"RMSE {rounds[0][0][2]:.4f} and {rounds[0][1][2]:.4f}: surprise numbers items in another order")


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    try:
        main(*sys.argv[1:] or ["ml-1m"])
    except CfbenchError as fault:
        sys.exit(str(fault))
