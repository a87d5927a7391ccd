"""`cfbench compare`."""

import json

from cfbench.cli import progress

SMALL = "--hidden 16 --epochs 3 --batch-size 16"


def test_compare_ranks_runs_and_shows_published_scores_in_a_table_below(terminal):
    terminal("run bias")
    terminal(f"run deepae {SMALL}")
    result = terminal("compare")
    lines = [line.split() for line in result.out.splitlines() if line.strip()]
    assert "tiny" not in lines[1]
    assert [line[0] for line in lines if line[1:2] in (["bias"], ["deepae"])] == ["1", "2"]
    assert result.out.index("Published, measured elsewhere") > result.out.index("deepae")
    assert "Oracle" in result.out
    assert "Stranger" not in result.out


def test_compare_as_json_has_the_rows_best_first(terminal):
    terminal("run bias")
    terminal(f"run deepae {SMALL}")
    data = json.loads(terminal("compare --json").out)
    assert len(data["rows"]) == 2
    assert [row["rmse"] for row in data["rows"]] == sorted(row["rmse"] for row in data["rows"])
    assert {"rmse", "mae", "fit_seconds", "parameters", "device", "seeds"} <= set(data["rows"][0])


def test_the_leaderboard_fits_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    terminal("run bias")
    terminal(f"run deepae {SMALL} --no-preset")
    result = terminal("compare")
    assert max(map(len, result.out.splitlines())) <= 80
    assert "…" not in result.out


def test_compare_without_runs_says_how_to_make_one(terminal):
    result = terminal("compare")
    assert result.status == 0
    assert (
        "no runs of tiny, split random90, in results; `cfbench run deepae --dataset tiny --split random90` makes one"
        in result.err
    )


def test_a_diverged_run_is_listed_with_its_status(terminal):
    assert terminal(f"run deepae {SMALL} --lr 1e6").status == 1
    assert "diverged" in terminal("compare").out


def test_compare_lists_the_interrupted_runs_of_its_own_split_only(terminal, monkeypatch):
    def interrupt(self, run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", interrupt)
        terminal("run bias --split 5fold-2")
    assert "interrupted: " not in terminal("compare").err
    for split in ("5fold-2", "5fold"):
        assert terminal(f"compare --split {split}").err.count("interrupted: ") == 1
