"""The figure of an experiment: what its curves are."""

import types

import numpy as np

from cfbench.contract import Epoch
from cfbench.experiments.definition import Arm
from cfbench.experiments.measures import ArmReport, SeedRun
from cfbench.report.experiment_figures import curve_matrix, value_range


def arm_with(*curves):
    """An arm whose runs have these validation curves; a curve with an infinite value belongs to a diverged run."""
    runs = []
    for curve in curves:
        status = "diverged" if np.isinf(curve).any() else "finished"
        record = types.SimpleNamespace(outcome=types.SimpleNamespace(status=status))
        epochs = [Epoch(number, len(curve), 1.0, value, 0.0) for number, value in enumerate(curve, 1)]
        runs.append(SeedRun(record, tuple(epochs)))
    return ArmReport(Arm(label="a"), "random90", True, tuple(runs), None)


def test_the_curves_of_seeds_of_different_lengths_are_one_matrix():
    matrix = curve_matrix(arm_with([3, 2, 1], [5, np.inf]), "valid")
    np.testing.assert_array_equal(matrix, [[3, 2, 1], [5, np.nan, np.nan]])


def test_the_first_epochs_and_diverged_seeds_do_not_decide_the_range():
    arm = arm_with([90, 2, 1.5, 1], [90, 3, 1.5, 1.2], [4, 50, 700, np.inf])
    low, high = value_range([arm], [curve_matrix(arm, "valid")])
    assert 0.9 < low < 1
    assert 3 < high < 3.1


def test_a_figure_of_diverged_seeds_alone_has_a_range_and_one_without_values_has_none():
    arm = arm_with([4, 5, 6, np.inf])
    low, high = value_range([arm], [curve_matrix(arm, "valid")])
    assert (low < 5, high > 6) == (True, True)
    nothing = arm_with([np.inf, np.inf])
    assert value_range([nothing], [curve_matrix(nothing, "valid")]) == (None, None)
