"""The figure of an experiment: what its curves are."""

import types

import numpy as np

from cfbench.contract import Epoch
from cfbench.experiments.definition import Arm
from cfbench.experiments.measures import ArmReport, SeedRun
from cfbench.report.experiment_figures import curve_lines


def arm_with(*curves):
    """An arm whose runs have these validation curves; a curve with an infinite value belongs to a diverged run."""
    runs = []
    for curve in curves:
        status = "diverged" if np.isinf(curve).any() else "finished"
        record = types.SimpleNamespace(outcome=types.SimpleNamespace(status=status))
        epochs = [Epoch(number, len(curve), 1.0, value, 0.0) for number, value in enumerate(curve, 1)]
        runs.append(SeedRun(record, tuple(epochs)))
    return ArmReport(Arm(label="a"), "random90", True, tuple(runs), None)


def test_an_arm_is_a_line_with_the_seeds_that_diverged_in_its_label():
    (line,) = curve_lines([arm_with([3, 2, 1], [5, np.inf])], "valid")
    np.testing.assert_array_equal(line.curves, [[3, 2, 1], [5, np.nan, np.nan]])
    assert line.diverged.tolist() == [False, True]
    assert line.label == "a (1 of 2 diverged)"
    assert curve_lines([arm_with([3, 2, 1])], "train")[0].curves.tolist() == [[1, 1, 1]]
    assert curve_lines([arm_with()], "valid")[0].label == "a (no run yet)"
