"""The numbers of `cfbench bench` that can be computed by hand, and its output."""

import json

import numpy as np
import pytest

from cfbench.plugins import deepae
from cfbench.plugins.deepae import DeepAEConfig
from cfbench.runs import speed
from cfbench.runs.speed import DeviceSpeed, SpeedTest


def test_random_ratings_have_the_shape_of_the_netflix_prize():
    ratings = speed.netflix_shaped(3000)
    per_user = np.bincount(ratings.users, minlength=3000)
    per_item = np.sort(np.bincount(ratings.items, minlength=17_768))[::-1]
    assert 150 < per_user.mean() < 230
    assert np.median(per_user) < 0.8 * per_user.mean()
    assert per_item[:1777].sum() > 0.4 * len(ratings)
    assert len(np.unique(ratings.users.astype(np.int64) * 17_768 + ratings.items)) == len(ratings)


def test_the_roofline_counts_every_product_and_every_optimizer_step():
    ratings = speed.netflix_shaped(300, 400, rated=20)
    config = DeepAEConfig(hidden=(8, 4), batch_size=10, refeed=2, precision="fp32")
    test = SpeedTest(deepae.build(config), config, ratings, "cpu")
    forward = 2 * 10 * 2 * (400 * 8 + 8 * 4)
    backward = 2 * forward - 2 * 10 * 400 * 8
    parameters = 2 * (400 * 8 + 8 * 4) + 8 + 4 + 8 + 400
    products, traffic = test.roofline(DeviceSpeed("cpu", "fp32", flops=1e9, bandwidth=1e6))
    assert products == pytest.approx(3 * (forward + backward) / 1e9)
    assert traffic == pytest.approx(3 * 20 * parameters / 1e6)
    assert test.iterations == 30


@pytest.mark.slow
def test_bench_prints_its_measurements(empty_terminal):
    command = "bench --users 256 --items 120 --rounds 1 --precision fp32"
    rows = json.loads(empty_terminal(f"{command} --json").out)
    assert [row["refeed"] for row in rows] == [0, 1]
    for row in rows:
        assert row["share_of_roofline"] == pytest.approx(
            (row["roofline_products_seconds"] + row["roofline_steps_seconds"]) / row["iteration_seconds"]
        )
    output = empty_terminal(command).out
    assert "deepae 512,512,1024, batch 128, refeed 1, fp32 on cpu" in output
    assert "of it reached" in output


@pytest.mark.slow
def test_autorec_is_timed_too(empty_terminal):
    (row,) = json.loads(empty_terminal("bench autorec --users 256 --items 120 --rounds 1 --precision fp32 --json").out)
    assert row["roofline_steps_seconds"] > 0


def test_a_plugin_that_is_not_an_autoencoder_is_refused(empty_terminal):
    result = empty_terminal("bench bias")
    assert result.status == 2
    assert "bias is not an autoencoder; cfbench bench times deepae and autorec" in result.err
