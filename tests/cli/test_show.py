"""`cfbench show`: the record, the learning curve and the errors by slice."""

import json

SMALL = "--hidden 16 --epochs 3 --batch-size 16"


def test_show_prints_the_record_and_where_each_value_comes_from(terminal):
    terminal(f"run deepae {SMALL}")
    result = terminal("show last")
    for text in ("hidden", "16 (flag)", "1 (default)", "test RMSE", "peak memory", "versions", "random90"):
        assert text in result.out


def test_show_draws_the_curve_and_the_errors_by_rating_and_activity(terminal):
    terminal("run deepae --hidden 16 --epochs 3 --batch-size 16")
    out = terminal("show last").out
    assert "RMSE by epoch: · training, • validation" in out
    assert "user's ratings" in out
    assert "█" in out
    data = json.loads(terminal("show last --json").out)
    assert len(data["curve"]) == 3
    assert sum(part["ratings"] for part in data["slices"]["rating"]) == data["request"]["split"]["report"]["test"]


def test_show_without_the_data_shows_the_record(terminal, monkeypatch):
    terminal("run bias")
    monkeypatch.setenv("CFBENCH_DATA", str(terminal.folder / "elsewhere"))
    result = terminal("show last")
    assert "test RMSE" in result.out
    assert "no errors by slice: the ratings of tiny that the run was scored on are not downloaded" in result.err
