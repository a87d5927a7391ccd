"""Learning curves: what their mean, their band and their range are."""

import re
from importlib.resources import files

import numpy as np

from cfbench.report.curve_figure import CurveLine, curve_matrix, draw_curves, value_range
from cfbench.report.inline_svg import PAGE, inline


def line_of(*curves):
    """A model whose seeds have these curves; a curve with an infinite value diverged."""
    matrix = curve_matrix([dict(enumerate(curve, 1)) for curve in curves])
    return CurveLine("a", 1, matrix, np.array([np.isinf(curve).any() for curve in curves]))


def test_the_curves_of_seeds_of_different_lengths_are_one_matrix():
    np.testing.assert_array_equal(line_of([3, 2, 1], [5, np.inf]).curves, [[3, 2, 1], [5, np.nan, np.nan]])
    np.testing.assert_array_equal(curve_matrix([{1: 4.0, 3: None}]), [[4, np.nan, np.nan]])


def test_the_mean_is_that_of_epochs_which_all_seeds_have():
    assert line_of([3, 2, 1], [5, 4]).shared.tolist() == [0, 1]
    assert line_of([3, 2, 1], [5, np.inf]).shared.tolist() == [0, 1, 2]  # a diverged seed has a line of its own
    assert line_of([np.inf]).shared.tolist() == []


def test_the_first_epochs_and_diverged_seeds_do_not_decide_the_range():
    low, high = value_range([line_of([90, 2, 1.5, 1], [90, 3, 1.5, 1.2], [4, 50, 700, np.inf])])
    assert 0.9 < low < 1
    assert 3 < high < 3.1


def test_the_best_epoch_is_in_the_range_even_if_it_is_the_first():
    low, _ = value_range([line_of([0.5, 2, 2, 2, 2, 2, 2, 2])])
    assert low < 0.5


def test_a_figure_of_diverged_seeds_alone_has_a_range_and_one_without_values_is_none():
    low, high = value_range([line_of([4, 5, 6, np.inf])])
    assert (low < 5, high > 6) == (True, True)
    assert value_range([line_of([np.inf, np.inf])]) is None
    assert draw_curves([line_of([np.inf, np.inf])]) is None
    assert draw_curves([]) is None


def test_one_epoch_and_a_diverged_seed_can_be_drawn():
    drawing = inline(draw_curves([line_of([1.0]), line_of([2.0, np.inf], [1.5, 1.2])]), "curve")
    assert "<title>a: best epoch 1, validation RMSE 1.0000</title>" in drawing
    assert "<title>a: best epoch 2, validation RMSE 1.2000</title>" in drawing


def test_the_legend_of_a_page_has_the_dashes_of_its_lines():
    style = files("cfbench.report").joinpath("templates/style.css").read_text("utf-8")
    rules = dict(re.findall(r"\.line-(\d+) {[^}]*stroke-dasharray: ([\d. ]+);", style))
    for series in range(1, 2 * len(PAGE.series) + 1):
        assert rules.get(str(series), "") == " ".join(f"{length:g}" for length in PAGE.style(series).dashes)
