"""The run of a study's best config: its record says how the config was found."""

import json
from pathlib import Path

import pytest

from cfbench.runs.results import Results

RESULTS = Results(Path("results"))


def test_the_record_of_the_run_says_on_what_and_for_how_long_it_was_tuned(bowl, tune):
    result = tune("bowl --trials 4 --seed 3 --then-run --seeds 2")
    records = RESULTS.records("tiny", "random90")
    assert sorted(record.request.seed for record in records) == [0, 1]
    assert all(record.scored for record in records)
    request = records[0].request
    assert request.config == result["best"]["config"]
    assert (request.origins["x"], request.origins["size"]) == ("tuning", "default")
    tuned = request.tuned
    assert (tuned.study, tuned.trials, tuned.seed) == ("bowl-tiny-random90", 4, 3)
    assert (tuned.dataset, tuned.split) == ("tiny", "random90")
    assert tuned.valid_rmse == result["best"]["valid_rmse"]
    assert tuned.seconds == pytest.approx(result["seconds"])
    page = bowl("show last").out
    assert "4 trials in" in page
    assert "(tuning)" in page


def test_more_seeds_later_add_the_missing_runs_only(bowl, tune):
    first = tune("bowl --trials 1 --then-run --seeds 2")["runs"]
    again = tune("bowl --trials 1 --then-run --seeds 3")["runs"]
    assert again[:2] == first
    assert len(again) == len(RESULTS.records("tiny", "random90")) == 3


def test_the_same_command_resumes_a_run_that_ctrl_c_stopped(register_bowl, terminal, tune):
    def interrupt_run(_, train, valid, context):
        if context.checkpoint is not None:  # a run has one, a trial has none
            raise KeyboardInterrupt

    register_bowl(interrupt_run)
    answer = terminal("tune bowl --trials 1 --then-run --json")
    assert answer.status == 130
    assert "stopped after epoch 0; the same command resumes the run" in answer.err
    (stopped,) = RESULTS.unfinished()
    register_bowl()
    assert [run["request"]["run"] for run in tune("bowl --trials 1 --then-run")["runs"]] == [stopped]
    assert RESULTS.unfinished() == []


def test_an_equal_run_that_was_not_tuned_does_not_replace_the_tuned_run(bowl, tune):
    not_tuned = json.loads(bowl("run bowl --json").out)["request"]["run"]
    (tuned,) = tune("bowl --trials 1 --then-run")["runs"]
    assert tuned["request"]["run"] != not_tuned
    assert tuned["request"]["tuned"]["study"] == "bowl-tiny-random90"
    bowl("run bowl")
    assert tune("bowl --trials 1 --then-run")["runs"] == [tuned]
