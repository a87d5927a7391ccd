"""Stored runs to rank, with scores alone or with predictions on the tiny data set; and made-up users."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import polars as pl
import pytest

from cfbench import metrics
from cfbench.data import card, store
from cfbench.leaderboard.board import build_board
from cfbench.leaderboard.estimates import PartSums, estimate
from cfbench.leaderboard.ranking import rank_rows
from cfbench.runs.arrays import RunArrays, write_arrays
from cfbench.runs.machine import Machine
from cfbench.runs.record import DatasetFacts, Outcome, PluginFacts, Record, Request, SplitFacts
from cfbench.runs.results import Results

CLOCK = count()
FINGERPRINT = "f" * 64


def make_record(rmse, *, run, split="random90", fingerprint=FINGERPRINT, status="finished", plugin="bias", seed=0,
                config=None, valid=None, seconds=1.0, dataset="ml-100k", tuned=None, package="p",
                source="", report=None, uses_times=False, random=None, origins=None, refit=False):  # fmt: skip
    """A record that starts a second after the one made before; its MAE is its RMSE."""
    request = Request(
        run=run, started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(CLOCK)),
        plugin=PluginFacts(
            name=plugin, title="t", package=package, source=source, random=random, uses_times=uses_times
        ),
        dataset=DatasetFacts(name=dataset, card_version=1, fingerprint="d", users=1, items=1, ratings=1),
        split=SplitFacts(name=split, protocol="", definition={}, fingerprint=fingerprint, report=report or {}),
        preset=None, config=config or {}, origins=origins or {}, seed=seed, device="cpu", tuned=tuned, refit=refit,
    )  # fmt: skip
    machine = Machine(system="s", processor="p", cores=1, threads=None, python="3", libraries={})
    outcome = Outcome(status=status, rmse=rmse, mae=rmse, valid_rmse=valid, fit_seconds=seconds, parameters=7)
    return Record(request=request, outcome=outcome, machine=machine)


class ScoredRuns:
    """Stored runs on MovieLens 100K, with scores and without predictions; the data set is not downloaded."""

    def __init__(self, root):
        self.card, self.results = card.load("ml-100k"), Results(root)

    def add(self, rmse, *, run, **facts):
        """Store one run; its id is `run`."""
        record = make_record(rmse, run=run, **facts)
        self.results.publish(self.results.create(record.request), record)
        return record

    def add_configs(self, *scores):
        """Store the runs a, b, c, …, each with a config of its own."""
        for rmse, name in zip(scores, "abcdef", strict=False):
            self.add(rmse, run=name, config={"k": name})

    def board(self, split="random90", *, all_runs=True, plugins=()):
        """The leaderboard of the runs whose split has the expected fingerprint."""
        fingerprints = dict.fromkeys(self.card.expand_split(split), FINGERPRINT)
        return build_board(self.card, split, self.results, fingerprints, all_runs=all_runs, plugins=plugins)

    def rank(self, **options):
        """The ranked rows of the leaderboard, without the data set."""
        return rank_rows(self.board(), self.results, None, **options)


@pytest.fixture
def runs(tmp_path):
    """No runs yet, in an empty results folder."""
    return ScoredRuns(tmp_path / "results")


class TinyRuns:
    """Stored runs with predictions on the tiny data set."""

    def __init__(self, root):
        self.card, self.results = card.load("tiny"), Results(root)
        self.dataset = store.open_dataset(self.card)

    def test_part(self, split="random90"):
        """The test ratings of a split."""
        return self.dataset.split(split).test(self.dataset.ratings)

    def add(self, plugin, predictions, *, split="random90", **facts):
        """Store a run with these predictions, and with the scores they have."""
        test, predictions = self.test_part(split), np.asarray(predictions, np.float32)
        rmse, mae = metrics.rmse(predictions, test.ratings), metrics.mae(predictions, test.ratings)
        record = self.record(rmse, plugin=plugin, split=split, **facts)
        record = record.model_copy(update={"outcome": record.outcome.model_copy(update={"mae": mae})})
        return self.store(record, predictions)

    def add_noisy(self, plugin, noise, *, seed=0, split="random90", **facts):
        """Store a run whose predictions are the ratings with normal noise of this standard deviation."""
        test = self.test_part(split)
        errors = noise * np.random.default_rng([seed, len(plugin)]).normal(size=len(test))
        return self.add(plugin, test.ratings + errors, split=split, seed=seed, **facts)

    def record(self, rmse, *, plugin, split="random90", **facts):
        """A record of a run on the tiny data set."""
        fingerprint = self.dataset.split(split).fingerprint
        return make_record(rmse, run=f"{plugin}-{next(CLOCK)}", plugin=plugin, split=split, fingerprint=fingerprint,
                           dataset="tiny", **facts)  # fmt: skip

    def store(self, record, predictions=None):
        """Store a record, with its predictions when it has any."""
        folder = self.results.create(record.request)
        if predictions is not None:
            write_arrays(folder, RunArrays(test=predictions))
        self.results.publish(folder, record)
        return record

    def predictions(self, record):
        """The predictions as they are on disk, in float64."""
        file = self.results.place(record.request) / "predictions.parquet"
        return pl.read_parquet(file)["prediction"].to_numpy().astype(np.float64)

    def rank(self, split="random90", **options):
        """The ranked rows of the leaderboard of all configs."""
        fingerprints = {name: self.dataset.split(name).fingerprint for name in self.card.expand_split(split)}
        board = build_board(self.card, split, self.results, fingerprints, all_runs=True)
        return rank_rows(board, self.results, self.dataset, **options)


@pytest.fixture
def tiny(terminal):
    """No runs yet on the tiny data set, in the results folder of the terminal."""
    return TinyRuns(terminal.folder / "results")


def estimate_users(sums, counts, *, root=True):
    """The estimate of a row whose seeds have these sums: (users,) or (seeds, users)."""
    counts = np.asarray(counts, np.float64)
    parts = [PartSums(row, counts, counts, row.sum(), counts.sum(), root) for row in np.atleast_2d(sums)]
    return estimate([[{"user": part}] for part in parts])


@dataclass
class World:
    """Users with the numbers of their ratings and the levels of their errors."""

    rng: np.random.Generator
    counts: np.ndarray
    levels: np.ndarray

    def model(self, *, seeds=1, users_differ=0.1, seeds_differ=0.0, seed_sd=0.0, factor=1.0):
        """A model whose squared errors are `factor` times those of the others on average.

        `users_differ` and `seeds_differ` are the variances of a factor that the model, and each of its seeds, has for
        each user; `seed_sd` is the spread of the logarithm of a factor that each seed has for all users.
        """
        own = factor * self._draw(users_differ)
        sums = [
            self.rng.chisquare(self.counts) * self.levels * own * self._draw(seeds_differ)
            * np.exp(seed_sd * self.rng.normal())
            for _ in range(seeds)
        ]  # fmt: skip
        return estimate_users(np.stack(sums), self.counts)

    def _draw(self, variance):
        """(users,) factors with the mean 1."""
        return self.rng.gamma(1 / variance, variance, len(self.counts)) if variance else 1.0


def draw_world(rng, users=300, sigma=0.8):
    """A world of other users each time."""
    return World(rng, np.ceil(rng.lognormal(2, sigma, users)), rng.gamma(2, 0.5, users))


@pytest.fixture
def make_estimate():
    """A function that makes an estimate of sums and counts of users."""
    return estimate_users


@pytest.fixture
def make_world():
    """A function that draws users whose models' true scores are known.

    The users differ in how many ratings they have (log-normal with the spread `sigma`, as in the data sets of the
    field) and in how large their errors are; the errors of one user share a scale. The mean squared error over all
    possible users is 1.
    """
    return draw_world
