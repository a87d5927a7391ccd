"""The drawings of a leaderboard: what they show when there are many models."""

import re

from cfbench.report.board_figures import CostPoint, draw_costs


def test_the_front_is_labelled_first_and_labels_without_room_are_left_out():
    points = [CostPoint(f"model-{n}", 10, 0.9, on_front=n == 0) for n in range(60)]
    drawing = draw_costs([*points, CostPoint("constant", 0.0, 9.0, on_front=True)], "RMSE", "cost")
    assert ">model-0</text>" in drawing
    assert len(re.findall(r">model-\d+</text>", drawing)) <= 8  # one on each side of the place that all points share
    assert drawing.count("<title>") == 61
    assert "<title>constant: RMSE 9.0000, fit 0.0 s</title>" in drawing  # far above, and without a fit
    assert draw_costs([], "RMSE", "cost") == ""
