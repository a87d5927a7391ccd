"""Synthetic Netflix data: their format, their statistics, their bytes for a seed, and the `synth` command."""

import errno
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from cfbench import cli, memory
from cfbench.cli import console
from cfbench.data import readers
from cfbench.data.progress import SilentListener
from cfbench.data.readers.layout import TableLayout
from cfbench.data.synth.generator import DAYS, FIRST_DAY, draw_netflix
from cfbench.data.synth.netflix_archive import write_netflix
from cfbench.errors import ConfigError, UsageError, WriteError
from cfbench.ratings import Scale

SMALL = 0.0005
"""A scale that takes little time."""


@pytest.fixture(scope="module")
def data():
    return draw_netflix(0.004, 11, SilentListener())


@pytest.fixture
def small_archive(tmp_path):
    path = tmp_path / "small.tar.gz"
    write_netflix(path, scale=SMALL, seed=3, listener=SilentListener())
    return path


def read(path):
    """The table of ratings in an archive or folder."""
    table = TableLayout(format="netflix", max_bytes=3_000_000_000)
    return pl.concat(readers.read(path, table, Scale(low=1, high=5, step=1)))


# --- ratings and files ---


def test_the_same_seed_and_scale_give_the_same_bytes(tmp_path):
    archives = []
    for number, seed in enumerate([5, 5, 6]):
        path = tmp_path / f"{number}.tar.gz"
        write_netflix(path, scale=0.0002, seed=seed, listener=SilentListener())
        archives.append(path.read_bytes())
    assert archives[0] == archives[1] != archives[2]


def test_the_archive_is_a_valid_tar_with_the_members_of_the_original(small_archive):
    with tarfile.open(small_archive) as archive:
        names = [info.name for info in archive]
        inner = archive.extractfile("download/training_set.tar").read()
        sums = dict(
            reversed(line.split()) for line in archive.extractfile("download/MD5SUMS").read().decode().splitlines()
        )
        contents = {name: archive.extractfile(f"download/{name}").read() for name in sums}
    files = ["movie_titles.txt", "probe.txt", "qualifying.txt", "rmse.pl", "training_set.tar", "MD5SUMS"]
    assert names == ["download", *(f"download/{name}" for name in files)]
    assert sums == {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        names = [info.name for info in archive]
    assert names == ["training_set", *(f"training_set/mv_{k:07d}.txt" for k in range(1, len(names)))]
    assert len(inner) % 10_240 == 0


def test_the_counts_are_those_of_the_original_times_the_scale(data):
    assert (len(data.ids), len(data.users)) == (round(480_189 * 0.004), round(100_480_507 * 0.004))
    assert (len(data.probe), len(data.withheld_users)) == (round(1_408_395 * 0.004), round(2_817_131 * 0.004))
    assert set(np.unique(data.users)) == set(range(len(data.ids)))
    assert np.diff(data.starts).min() >= 1
    assert len(np.unique(data.ids)) == len(data.ids)
    assert data.ids.min() >= 1
    assert data.ids.max() <= 2_649_429
    assert np.diff(np.sort(data.ids)).max() > 1


def test_all_pairs_differ_and_withheld_pairs_are_not_rated(data):
    movies = np.repeat(np.arange(len(data.years)), np.diff(data.starts))
    withheld = np.repeat(np.arange(len(data.years)), np.diff(data.withheld_starts))
    pairs = np.concatenate([movies, withheld]) * 10_000_000 + np.concatenate([data.users, data.withheld_users])
    assert len(np.unique(pairs)) == len(pairs)


def test_the_qualifying_file_lists_the_withheld_pairs(tmp_path):
    data = write_netflix(tmp_path / "folder", scale=SMALL, seed=3, listener=SilentListener(), layout="folder")
    text = (tmp_path / "folder" / "qualifying.txt").read_text()
    movie, pairs = 0, []
    for line in text.splitlines():
        if line.endswith(":"):
            movie = int(line[:-1])
        else:
            user, day = line.split(",")
            pairs.append((movie, int(user), np.datetime64(day)))
    movies = np.repeat(np.arange(1, len(data.starts)), np.diff(data.withheld_starts))
    days = FIRST_DAY + data.withheld_days.astype(int)
    assert pairs == list(zip(movies.tolist(), data.ids[data.withheld_users].tolist(), days, strict=True))


def test_the_probe_has_the_latest_ratings_of_each_user(data):
    order = np.lexsort((-data.days, data.users))
    counts = np.bincount(data.users)
    fourth = np.minimum(counts, 4) - 1
    threshold = data.days[order[np.cumsum(counts) - counts + fourth]]
    rows = data.probe
    assert (data.days[rows] >= threshold[data.users[rows]]).all()
    assert np.bincount(data.users[rows], minlength=len(counts)).max() < 30


def test_activity_and_popularity_have_heavy_tails(data):
    for counts in (np.bincount(data.users), np.diff(data.starts)):
        top = np.sort(counts)[::-1]
        assert counts.mean() > 1.3 * np.median(counts)
        assert top[: len(top) // 10].sum() > 0.25 * top.sum()


def test_most_ratings_are_of_the_last_two_years(data):
    assert data.days.min() >= 0
    assert data.days.max() == DAYS - 1
    years = np.bincount((FIRST_DAY + data.days.astype(int)).astype("datetime64[Y]").astype(int) - 29, minlength=7)
    assert (np.diff(years) > 0).all()
    assert years[5:].sum() > 0.7 * years.sum()
    first = np.full(len(data.ids), DAYS)
    np.minimum.at(first, data.users, data.days)
    assert first.std() > 200  # users arrive at different times


def test_ratings_are_whole_stars_with_the_mean_and_spread_of_the_original(data):
    assert set(np.unique(data.stars)) == {1, 2, 3, 4, 5}
    assert data.stars.mean() == pytest.approx(3.604, abs=0.05)
    assert data.stars.std() == pytest.approx(1.085, abs=0.04)


def test_biases_beat_the_mean_and_low_rank_beats_biases(data):
    movies = np.repeat(np.arange(len(data.years)), np.diff(data.starts))
    stars, users = data.stars.astype(np.float64), data.users
    test = np.random.default_rng(0).random(len(stars)) < 0.1
    train = ~test
    residuals = stars - stars[train].mean()
    rmse_mean = np.sqrt((residuals[test] ** 2).mean())
    user, movie = np.zeros(len(data.ids)), np.zeros(len(data.years))
    for _ in range(4):
        movie = shrunken_means(residuals - user[users], movies, train, 5)
        user = shrunken_means(residuals - movie[movies], users, train, 5)
    residuals = residuals - user[users] - movie[movies]
    rmse_biases = np.sqrt((residuals[test] ** 2).mean())
    rmse_low_rank = np.sqrt(((residuals - predict_low_rank(residuals, users, movies, train))[test] ** 2).mean())
    assert rmse_biases < 0.93 * rmse_mean
    assert rmse_low_rank < 0.97 * rmse_biases


def shrunken_means(values, keys, rows, ridge):
    """(keys,) the mean of each key's values in these rows, shrunken to 0."""
    sums = np.bincount(keys[rows], values[rows], minlength=keys.max() + 1)
    return sums / (np.bincount(keys[rows], minlength=keys.max() + 1) + ridge)


def predict_low_rank(values, users, movies, train, rank=8, ridge=8.0):
    """(n,) predictions for all rows by alternating least squares of that rank, fitted to the training rows."""
    rng = np.random.default_rng(0)
    q = rng.normal(0, 0.1, (movies.max() + 1, rank))
    for _ in range(6):
        p = solve_ridge(values[train], users[train], q[movies[train]], users.max() + 1, ridge)
        q = solve_ridge(values[train], movies[train], p[users[train]], movies.max() + 1, ridge)
    return (p[users] * q[movies]).sum(axis=1)


def solve_ridge(values, keys, features, count, ridge):
    """(count, rank) the ridge regression of each key's values on its features."""
    order = np.argsort(keys, kind="stable")
    bounds = np.searchsorted(keys[order], np.arange(count + 1))
    weights = np.zeros((count, features.shape[1]))
    for key in np.flatnonzero(np.diff(bounds)):
        rows = order[bounds[key] : bounds[key + 1]]
        x = features[rows]
        weights[key] = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ values[rows])
    return weights


@pytest.mark.parametrize("scale", [0, 0.00005, 1.5, float("nan")])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(UsageError, match=r"have a scale from 0\.0001 to 1, got .*; choose another with --scale"):
        draw_netflix(scale, 1, SilentListener())


def test_the_smallest_archive_is_read(tmp_path):
    path = tmp_path / "smallest"
    data = write_netflix(path, scale=0.0001, seed=1, listener=SilentListener())
    assert len(read(path)) == len(data.users) == 10_048


# --- interruptions and full disks ---


@pytest.mark.parametrize("layout", ["archive", "folder"])
@pytest.mark.parametrize("when", ["drawing ratings", "writing synthetic"])
def test_an_interruption_leaves_nothing_behind(tmp_path, layout, when):
    def interrupt(what, done, total):
        if what == when and done > total / 2:
            raise KeyboardInterrupt

    listener = SilentListener()
    listener.progress = interrupt
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        write_netflix(tmp_path / "synthetic", scale=0.001, seed=1, listener=listener, layout=layout)
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == before


class NoDrawing(SilentListener):
    """A listener that fails as soon as ratings are drawn."""

    def progress(self, what, done, total):
        pytest.fail(f"{what}, though it cannot be written")


def test_a_place_that_cannot_be_written_is_refused_before_ratings_are_drawn(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"a file exists where a folder is needed|a part of that path is a file"):
        write_netflix(tmp_path / "file" / "synthetic", scale=0.001, seed=1, listener=NoDrawing())


def test_a_scale_that_needs_more_memory_than_there_is_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**9)
    message = (
        r"^a synthetic Netflix Prize of scale 1 needs about 1\.4 GB of memory, and 1\.0 GB are available here; use a"
    )
    with pytest.raises(ConfigError, match=message):
        write_netflix(tmp_path / "twin.tar.gz", scale=1, seed=0, listener=SilentListener())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_space_is_refused_before_ratings_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(WriteError, match=r"not enough disk space in .*: 954\.6 MB needed, 1\.0 MB free"):
        write_netflix(tmp_path / "synthetic", scale=1, seed=1, listener=NoDrawing())


def test_a_disk_that_fills_up_while_writing_is_reported(tmp_path, monkeypatch):
    class FullDisk:
        def compress(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zlib, "compressobj", lambda *_, **__: FullDisk())
    with pytest.raises(WriteError, match=r"cannot write .*synthetic: no space left on the disk"):
        write_netflix(tmp_path / "synthetic", scale=0.0002, seed=1, listener=SilentListener())
    assert not list(tmp_path.iterdir())


# --- the command ---


@pytest.fixture
def synth(tmp_path, monkeypatch, capsys):
    """Run a `cfbench synth netflix` command; returns its exit status and its messages."""
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path / "home"))
    console.out.cache_clear()
    console.err.cache_clear()

    def synth(*words):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["synth", "netflix", "--scale", "0.0001", *map(str, words)])
        return exit_.value.code, capsys.readouterr().err

    return synth


def test_synth_writes_an_archive_and_names_the_next_command(synth, tmp_path):
    path = tmp_path / "my data.tar.gz"
    status, err = synth("--out", path)
    assert status == 0
    assert "synthetic netflix ratings at scale 0.0001: 48 users, 825 items, 10,048 ratings, in" in err
    assert f"next: cfbench download netflix-twin --from-file '{path}'" in err
    assert len(read(path)) == 10_048


def test_synth_replaces_a_file_only_with_force(synth, tmp_path):
    path = tmp_path / "t.tar.gz"
    path.write_text("a file")
    status, err = synth("--out", path)
    assert (status, path.read_text()) == (2, "a file")
    assert f"{path} already exists; choose another path with --out, or replace it with --force" in err
    assert synth("--out", path, "--force")[0] == 0
    assert path.stat().st_size > 1000
    assert "is a folder; choose another path with --out" in synth("--out", tmp_path, "--force")[1]


@pytest.mark.slow
def test_the_benchmark_splits_again_and_finds_the_same_ratings_in_all_layouts(tmp_path):
    script = Path(__file__).parents[2] / "bench" / "netflix.py"

    def run():
        command = [sys.executable, script, tmp_path, "--scale", str(SMALL)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = run()
    (split,) = tmp_path.glob("data/splits/netflix-twin/last1-*.parts")
    before = split.stat().st_mtime_ns
    second = run()
    assert split.stat().st_mtime_ns > before
    assert "\nsynth " in first
    assert "\nsynth " not in second
    for output in (first, second):
        assert output.endswith("the three layouts give the same ratings\n")
        fingerprints = re.findall(r"^(archive|unpacked|kaggle) +([0-9a-f]{64})$", output, re.MULTILINE)
        assert len(fingerprints) == 3
        assert len({fingerprint for _, fingerprint in fingerprints}) == 1
