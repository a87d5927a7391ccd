"""`cfbench diff`: what differs between two runs, and the paired test."""

import json

import pytest


def run_bias(terminal, options=""):
    """Run `bias`, and return the id of the run."""
    return json.loads(terminal(f"run bias {options} --json").out)["request"]["run"]


def test_diff_shows_what_differs_and_the_paired_test(terminal):
    first, second = run_bias(terminal), run_bias(terminal, "--user-reg 90")
    out = terminal(f"diff {first} {second}").out
    assert "config user_reg" in out
    assert "over users, for these two seeds)" in out
    assert "item_reg" not in out
    assert "data set" not in out
    data = json.loads(terminal(f"diff {first} {second} --json").out)
    assert data["differing"]["config user_reg"] == [15.0, 90.0]
    first_rmse, second_rmse = data["differing"]["rmse"]
    assert data["test"]["difference"] == pytest.approx(first_rmse - second_rmse)
    assert data["test"]["low"] < data["test"]["difference"] < data["test"]["high"]


def test_diff_of_two_splits_has_no_test_and_says_why(terminal):
    result = terminal(f"diff {run_bias(terminal)} {run_bias(terminal, '--split random80')}")
    assert result.status == 0
    assert "no paired test: the runs were scored on different test ratings" in result.err
    assert "random80" in result.out


def test_diff_counts_the_members_of_an_ensemble_in_its_cost(terminal):
    bias = run_bias(terminal)
    terminal("run ensemble")
    bias_parameters, ensemble_parameters = json.loads(terminal(f"diff {bias} last --json").out)["differing"][
        "parameters"
    ]
    assert ensemble_parameters == bias_parameters + 2


def test_diff_rounds_scores_unless_that_would_make_them_equal(terminal):
    first, second = run_bias(terminal), run_bias(terminal, "--user-reg 15.0001")
    far = run_bias(terminal, "--user-reg 900")
    scores = {}
    for other in (second, far):
        lines = terminal(f"diff {first} {other}").out.splitlines()
        scores[other] = next(line.split()[1:] for line in lines if line.startswith("rmse"))
    assert all(len(score.partition(".")[2]) == 4 for score in scores[far])
    assert scores[second][0] != scores[second][1]
    assert min(len(score.partition(".")[2]) for score in scores[second]) > 4
