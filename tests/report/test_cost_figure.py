"""Score against cost: what the drawing shows when there are many models."""

import re

from cfbench.leaderboard.intervals import Interval
from cfbench.report.cost_figure import CostPoint, draw_costs
from cfbench.report.inline_svg import inline


def test_the_front_is_labelled_first_and_labels_without_room_are_left_out():
    points = [CostPoint(f"model-{n}", 10, 0.9, on_front=n == 0) for n in range(60)]
    drawing = inline(draw_costs([*points, CostPoint("constant", 0.0, 9.0, on_front=True)], "RMSE"), "cost")
    assert ">model-0</text>" in drawing
    assert len(re.findall(r">model-\d+</text>", drawing)) <= 8  # one on each side of the place that all points share
    assert drawing.count("<title>") == 61
    assert "<title>constant: RMSE 9.0000, fit 0.0 s</title>" in drawing  # far above, and without a fit
    assert draw_costs([], "RMSE") is None
    assert inline(None, "cost") == ""


def test_labels_are_inside_the_drawing_also_at_its_edge():
    points = [CostPoint("a-very-long-name", 10.0**n, 1 - n / 10, True, Interval(0.1, 0.9)) for n in (0, 4)]
    drawing = inline(draw_costs(points, "RMSE"), "cost", 3.33)
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawing)[1])
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*>a-very', drawing)]
    assert len(places) == 2
    assert all(0 <= x <= width - 16 * 9 * 0.5 for x in places)
