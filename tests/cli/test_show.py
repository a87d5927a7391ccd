"""`cfbench show`."""

SMALL = "--hidden 16 --epochs 3 --batch-size 16"


def test_show_prints_the_record_and_where_each_value_comes_from(terminal):
    terminal(f"run deepae {SMALL}")
    result = terminal("show last")
    for text in ("hidden", "16 (flag)", "1 (default)", "test RMSE", "peak memory", "versions", "random90"):
        assert text in result.out
