"""The hours of an experiment on the Netflix Prize, recomputed by hand."""

import math

import pytest

from cfbench.experiments import definition
from cfbench.experiments.grid import plan_grid
from cfbench.experiments.netflix_hours import netflix_hours


def test_the_hours_are_those_of_the_products_and_of_the_memory_traffic():
    found = netflix_hours(plan_grid(definition.load("tied"), "netflix"))
    n, hidden, batch = 17_736, (128, 256, 256), 128
    weights = n * 128 + 128 * 256 + 256 * 256
    biases = sum(hidden) + 256 + 128 + n
    flops = 2 * batch * (6 * weights - n * 128)
    seconds = 0
    for parameters in (2 * weights + biases, weights + biases):  # separate weights, tied weights
        step = flops / 19.5e12 + 20 * parameters / 1.555e12
        seconds += 3 * 100 * math.ceil(311_315 / batch) * 2 * step  # seeds, epochs, batches, steps with one re-feed
    assert found.runs == 6
    assert found.hours == pytest.approx(seconds / 3600, rel=1e-6)
