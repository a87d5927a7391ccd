"""`cfbench compare --fail-if-worse`: has a leaderboard become worse than a stored run?"""

import json

import pytest

from cfbench.errors import UnknownNameError, UsageError
from cfbench.leaderboard.baseline import check_baseline


def check(runs, baseline, split="random90", **options):
    return check_baseline(runs.card, split, runs.results, baseline, **options)


def test_the_best_other_row_counts_and_the_run_itself_does_not(runs):
    base = runs.add(0.90, run="base", plugin="svd")
    runs.add(0.95, run="worse", plugin="knn")
    best = runs.add(0.92, run="best", plugin="als")
    checked = check(runs, base)
    assert (checked.newest.run, checked.score, checked.baseline) == (best.run, 0.92, 0.90)
    assert checked.is_worse
    assert not check(runs, best, plugins=["svd"]).is_worse


@pytest.mark.parametrize(("allowed", "worse"), [(0.0, True), (0.0199, True), (0.02, False), (0.03, False)])
def test_a_row_may_be_worse_by_what_is_allowed(runs, allowed, worse):
    base = runs.add(0.90, run="base", plugin="svd")
    runs.add(0.92, run="other", plugin="als")
    assert check(runs, base, allowed=allowed).is_worse == worse


def test_an_equal_score_is_not_worse(runs):
    base = runs.add(0.1 + 0.2, run="base", plugin="svd")
    runs.add(0.3, run="smaller", plugin="als")
    assert not check(runs, base).is_worse
    base = runs.add(0.3, run="rounded", plugin="knn")
    assert not check(runs, base, plugins=["svd"]).is_worse


def test_validation_chooses_the_best_row_and_the_newest_run_the_row_of_a_plugin(runs):
    base = runs.add(0.90, run="base", plugin="svd")
    runs.add(0.95, run="chosen", plugin="als", config={"k": 1}, valid=0.80)
    runs.add(0.85, run="lucky", plugin="als", config={"k": 2}, valid=0.90)
    assert check(runs, base).newest.run == "chosen"
    assert check(runs, base, plugins=["als"]).newest.run == "lucky"


def test_the_newest_run_of_a_plugin_counts_without_the_seed_of_the_baseline(runs):
    base = runs.add(0.90, run="base", plugin="svd", seed=0)
    for seed, rmse in ((1, 0.93), (2, 0.95)):
        runs.add(rmse, run=f"seed-{seed}", plugin="svd", seed=seed)
    checked = check(runs, base, plugins=["svd"])
    assert checked.score == pytest.approx(0.94)
    assert checked.newest.run == "seed-2"


def test_a_newest_run_without_a_score_is_worse(runs):
    base = runs.add(0.90, run="base", plugin="svd")
    runs.add(0.80, run="earlier", plugin="als", seed=0)
    runs.add(None, run="newest", plugin="als", seed=1, status="diverged")
    checked = check(runs, base, plugins=["als"], allowed=1.0)
    assert (checked.newest.run, checked.score, checked.is_worse) == ("newest", None, True)


def test_what_cannot_be_compared_is_an_error(runs):
    base = runs.add(0.90, run="base")
    with pytest.raises(UsageError, match="no other run of ml-100k, split random90, has a score that run base"):
        check(runs, base)
    with pytest.raises(UsageError, match="it cannot be compared with ml-100k, split 5fold"):
        check(runs, base, "5fold")
    with pytest.raises(UnknownNameError):
        check(runs, base, plugins=["asl"])
    runs.add(0.10, run="other-ratings", plugin="als", fingerprint="e" * 64)
    with pytest.raises(UsageError, match="no other run"):
        check(runs, base)
    failed = runs.add(None, run="failed", status="failed")
    with pytest.raises(UsageError, match="run failed is failed and has no score"):
        check(runs, failed)


def test_the_command_prints_one_line_and_its_status_says_whether_it_is_worse(tiny, terminal, monkeypatch):
    base = tiny.add_noisy("bias", 0.5)
    tiny.add_noisy("svd", 0.6)
    monkeypatch.setenv("CFBENCH_DATA", str(terminal.folder / "elsewhere"))
    worse = terminal(f"compare --fail-if-worse {base.run}")
    assert (worse.status, worse.out, worse.err.count("\n")) == (1, "", 1)
    assert f"is worse than run {base.run}, RMSE {base.outcome.rmse:.4f}" in worse.err
    fine = terminal(f"compare --fail-if-worse {base.run} --by .5 --plugin svd")
    assert (fine.status, fine.out.count("\n"), fine.err) == (0, 1, "")
    assert "allowed 0.5000" in fine.out
    data = json.loads(terminal(f"compare --fail-if-worse {base.run} --metric mae --json").out)
    assert data["worse"]
    assert data["baseline"] == base.outcome.mae


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--by .1", "a number needs --fail-if-worse RUN"),
        ("--by activity", "expected one of user-activity, item-popularity, rating"),
        ("--fail-if-worse last --by rating", "expected a number such as .001"),
        ("--fail-if-worse last --by nan", "expected a number that is not negative"),
        ("--fail-if-worse last --by=-1", "expected a number that is not negative"),
        ("--fail-if-worse last --pareto", "takes none of the options of the table"),
        ("--fail-if-worse last --metric user-rmse", "--metric rmse or mae"),
    ],
)
def test_wrong_options_are_one_line(tiny, terminal, options, message):
    tiny.add_noisy("bias", 0.5)
    result = terminal(f"compare {options}")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
