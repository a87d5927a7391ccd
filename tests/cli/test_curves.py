"""Learning curves, drawn with characters."""

from cfbench.cli.view import curves


def test_a_curve_has_its_highest_and_lowest_value_and_every_epoch_a_column():
    epochs = [{"epoch": k, "train_rmse": 2.0 - k / 10, "valid_rmse": 2.0 - k / 20} for k in range(1, 11)]
    lines = curves.draw_curve(epochs, width=60)
    assert lines[0].split() == ["1.9500", "│•"]
    assert lines[11].split() == ["1.0000", "│", "·"]
    assert lines[11].index("·") - lines[11].index("│") == 10
    assert max(map(len, curves.draw_curve(epochs * 50, width=40))) <= 60
    flat = curves.draw_curve([{"epoch": 1, "train_rmse": 1.0, "valid_rmse": None}], width=30)
    assert "·" in flat[0]
    assert "validation" not in flat[-1]
