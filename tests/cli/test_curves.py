"""Learning curves, drawn with characters."""

import json
import re

import pytest

from cfbench.cli.view import curves
from cfbench.report.ranges import robust_range

AXIS = 8  # the column of the first epoch


def epochs(valid, train=None):
    return [
        {"epoch": number, "train_rmse": train[number - 1] if train else None, "valid_rmse": value}
        for number, value in enumerate(valid, 1)
    ]


def marks(lines, mark):
    """The (row, epoch) of each mark in the picture."""
    return {
        (row, column - AXIS + 1)
        for row, line in enumerate(lines[: curves.HEIGHT])
        for column, character in enumerate(line)
        if character == mark
    }


def test_every_epoch_has_a_column_and_the_labels_say_the_values_of_their_rows():
    valid = [2.0 - k / 20 for k in range(13)]
    lines = curves.draw_run(epochs(valid), 13, width=60)
    assert marks(lines, "•") == {(row, row + 1) for row in range(12)}
    assert marks(lines, "★") == {(12, 13)}
    labels = {row: float(line.split("│")[0]) for row, line in enumerate(lines[:13]) if line.split("│")[0].strip()}
    assert labels == pytest.approx({row: valid[row] for row in (0, 3, 6, 9, 12)})


def test_the_best_epoch_is_marked_where_it_is_and_named():
    valid = [1.0, 0.9, 0.8, 0.95, 0.97]
    lines = curves.draw_run(epochs(valid, train=valid), 3, width=60)
    assert marks(lines, "★") == {(12, 3)}
    assert marks(lines, "◉") == {(0, 1), (6, 2), (3, 4), (2, 5)}
    assert lines[-1].strip() == "RMSE by epoch: · training, • validation, ★ best epoch 3: 0.8000"


def test_first_epochs_far_above_the_others_do_not_flatten_the_curve():
    valid = [50.0, 4.0] + [1.0 - k / 100 for k in range(20)]
    lines = curves.draw_run(epochs(valid), 22, width=60)
    assert float(lines[0].split("│")[0]) == 1.0
    assert marks(lines, "▲") == {(0, 1), (0, 2)}
    assert "▲ above the picture: up to 50.0000" in "\n".join(lines)
    assert len({row for row, _ in marks(lines, "•") | marks(lines, "★")}) == 13


def test_a_smooth_curve_is_shown_completely():
    assert robust_range([2.0 - k / 20 for k in range(20)]) == pytest.approx((1.05, 2.0))


@pytest.mark.parametrize("width", [30, 80, 100])
def test_a_long_curve_fits_the_width_and_keeps_its_best_epoch(width):
    valid = [1.0 + abs(k - 333) / 1000 for k in range(1, 1001)]
    lines = curves.draw_run(epochs(valid), 333, width=width)
    assert max(map(len, lines[:-1])) <= width
    assert len(marks(lines, "★")) == 1
    assert {row for row, _ in marks(lines, "★")} == {12}


def test_a_curve_without_validation_or_with_one_epoch_or_with_infinite_errors_is_drawn():
    flat = curves.draw_run([{"epoch": 1, "train_rmse": 1.0, "valid_rmse": None}], None, width=30)
    assert "·" in flat[0]
    assert "validation" not in flat[-1]
    lines = curves.draw_run(epochs([1.0, float("nan"), float("inf"), 0.5]), None, width=30)
    assert marks(lines, "•") == {(0, 1), (12, 4)}
    assert curves.draw_run(epochs([float("nan")]), None, width=30) == []
    assert curves.draw_run([{"epoch": 0, "valid_rmse": "x"}, {}], None, width=30) == []


def test_several_curves_share_one_scale_of_epochs_and_of_errors():
    first = curves.Curve("one", "a", {1: 1.0, 2: 0.5}, best=2, best_mark="A")
    second = curves.Curve("two", "b", {1: 1.0, 2: 0.75, 3: 0.5, 4: 0.25}, best=4, best_mark="B")
    lines = curves.draw_curves([first, second], width=60)
    assert marks(lines, "*") == {(0, 1)}
    assert marks(lines, "A") == {(8, 2)}
    assert marks(lines, "b") == {(4, 2), (8, 3)}
    assert marks(lines, "B") == {(12, 4)}


def test_show_draws_the_curves_of_several_runs_in_one_picture(terminal):
    for seed in (0, 1):
        terminal(f"run deepae --hidden 8 --epochs 3 --batch-size 16 --seed {seed}")
    terminal("run bias")
    runs = {run["plugin"]: [] for run in json.loads(terminal("runs --json").out)}
    for run in json.loads(terminal("runs --json").out):
        runs[run["plugin"]].append(run["run"])
    (first, second), (bias,) = runs["deepae"], runs["bias"]
    page = terminal(f"show {first} {bias} {second}").out
    assert re.search(rf" a +{first} +validation ", page)
    assert re.search(rf"   +{bias} +none ", page)
    assert re.search(rf" c +{second} +validation ", page)
    assert page.count("RMSE by epoch") == 1
    data = json.loads(terminal(f"show {first} {bias} --json").out)
    assert [(run["request"]["run"], len(run["curve"])) for run in data] == [(first, 3), (bias, 0)]
    assert terminal(f"show {first} nope").status == 2
    assert "test RMSE" in terminal(f"show {first} {first}").out
