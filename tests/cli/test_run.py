"""`cfbench run`: options, messages, presets, records, and how a run is stopped and resumed."""

import json

from cfbench.cli import progress
from cfbench.contract import Config, Plugin
from cfbench.plugins.bias import Bias

SMALL = "--hidden 16 --epochs 3 --batch-size 16"


def test_the_help_of_a_plugin_lists_its_flags_with_ranges_defaults_and_presets(empty_terminal):
    words = " ".join(empty_terminal("run deepae --help").out.replace("│", " ").split())
    for flag in ("--hidden", "--refeed", "--weight-decay", "--tied", "--no-tied", "--device", "--seed"):
        assert flag in words
    assert "rate on the code (≥ 0; < 1; tuned over 0–0.9; default: 0.8)" in words
    assert "selu|elu|relu" in words
    assert "Presets of deepae: " in words
    assert "paper-full" in words


def test_a_plugin_has_only_its_own_flags(empty_terminal):
    assert "--refeed" not in empty_terminal("run bias --help").out


def test_a_hyper_parameter_named_like_an_option_of_run_is_an_error(terminal, register):
    class SeedConfig(Config):
        seed: int = 0

    register("fake", Plugin("a fake", "none", SeedConfig, Bias))
    result = terminal("run fake --help")
    assert result.status == 1
    assert result.err == (
        "error: plugin 'fake' has hyper-parameters named like options of `cfbench run`: seed; rename them\n"
    )


def test_a_run_prints_what_it_runs_and_its_scores_in_one_line(terminal):
    result = terminal(f"run deepae {SMALL} --seed 4")
    assert result.status == 0
    assert "deepae on tiny, split random90 (" in result.err
    assert "preset general, seed 4, cpu" in result.err
    assert "chosen by validation RMSE" in result.out
    assert result.out.count("\n") == 1


def test_a_run_without_a_validation_part_does_not_mention_validation(terminal):
    result = terminal("run autorec --dataset tiny --split 5fold-1 --epochs 2 --hidden 4")
    assert result.status == 0
    assert "test RMSE" in result.out
    assert "validation" not in result.out


def test_a_run_as_json_is_its_record(terminal):
    record = json.loads(terminal("run bias --json").out)
    assert record["outcome"]["status"] == "finished"
    assert json.loads(terminal("show last --json").out)["outcome"] == record["outcome"]


def test_skip_finished_runs_nothing_the_second_time(terminal):
    assert "test RMSE" in terminal("run bias --skip-finished").out
    second = terminal("run bias --skip-finished")
    assert second.status == 0
    assert second.out == ""
    assert "already finished: run" in second.err


def test_skip_finished_as_json_prints_the_record_of_the_finished_run(terminal):
    first = json.loads(terminal("run bias --json").out)
    second = terminal("run bias --skip-finished --json")
    assert json.loads(second.out) == first
    assert first["request"]["run"] in second.err


def test_skip_finished_runs_another_seed(terminal):
    terminal("run bias")
    assert "test RMSE" in terminal("run bias --skip-finished --seed 1").out


def test_ctrl_c_prints_the_command_that_resumes_the_run_and_exits_with_130(terminal, monkeypatch):
    def interrupt(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "epoch", interrupt)
        result = terminal(f"run deepae {SMALL}")
    assert result.status == 130
    before, _, command = result.err.splitlines()[-1].partition("; resume it with: cfbench ")
    assert before == "stopped after epoch 2"
    assert "interrupted: " in terminal("compare").err
    resumed = terminal(command)
    assert resumed.status == 0
    assert "test RMSE" in resumed.out
    assert "interrupted: " not in terminal("compare").err
