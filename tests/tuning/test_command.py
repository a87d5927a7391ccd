"""`cfbench tune` and `cfbench studies`: options, messages, what is printed, and exit statuses."""

import json
import time

import pytest

from cfbench.cli import console
from cfbench.cli.tune.progress import StudyProgress
from cfbench.contract import Config, Plugin
from cfbench.data import split_definitions
from cfbench.errors import UnknownNameError
from cfbench.runs import registry
from cfbench.tuning import workers


def test_tuning_finds_the_bottom_of_a_planted_bowl_and_which_hyper_parameters_matter(bowl, tune):
    result = tune("bowl --trials 40 --seed 1")
    config = result["best"]["config"]
    assert config["shape"] == [4, 2]
    assert config["whole"] == 4
    assert config["x"] == pytest.approx(2, abs=0.7)
    assert 0.001 < config["y"] < 0.1
    assert config["size"] == 7
    assert result["trials"] == {"finished": 40, "pruned": 0, "failed": 0}
    assert result["improvement"] == result["start"]["valid_rmse"] - result["best"]["valid_rmse"] > 0.3
    assert sum(result["importances"].values()) == pytest.approx(1)
    assert result["importances"]["kind"] < result["importances"]["x"]


def test_the_json_of_a_study_has_the_keys_that_scripts_read(bowl, tune):
    result = tune("bowl --trials 1 --save-preset")
    assert list(result) == [
        "study", "storage", "plugin", "dataset", "split", "seed", "trials", "seconds", "start", "best", "improvement",
        "searched", "importances", "last", "edges", "preset", "runs",
    ]  # fmt: skip
    assert list(result["start"]) == ["valid_rmse", "config"]
    assert list(result["best"]) == ["trial", "valid_rmse", "config"]


@pytest.mark.parametrize(
    ("option", "x", "origin"),
    [("", 1.5, "preset tiny"), ("--preset other", 0.5, "preset other"), ("--no-preset", 4.5, "the defaults")],
)
def test_a_study_starts_from_the_preset_of_the_data_set_unless_an_option_says_otherwise(bowl, option, x, origin):
    registry.user_presets_file("bowl").parent.mkdir(parents=True)
    registry.user_presets_file("bowl").write_text("[tiny]\nx = 1.5\n[other]\nx = 0.5\n")
    answer = bowl(f"tune bowl --trials 1 {option} --json")
    assert f"split random90, starts from {origin}, searches x, y" in answer.err
    result = json.loads(answer.out)
    assert result["start"]["config"]["x"] == result["best"]["config"]["x"] == x


def test_ranges_of_the_command_line_replace_those_of_the_plugin(bowl, tune, study_file):
    result = tune("bowl --range x=1:1.5 --range size=3:5 --range kind=a|b --range shape=4,2|1 --trials 12")
    assert result["trials"]["finished"] == 12
    configs = [trial.user_attrs["config"] for trial in study_file().trials()[1:]]
    assert all(1 <= config["x"] <= 1.5 and 3 <= config["size"] <= 5 for config in configs)
    assert {tuple(config["shape"]) for config in configs} <= {(4, 2), (1,)}
    assert len({config["size"] for config in configs}) > 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--range z=0:1", "no hyper-parameter 'z'; there are: kind, shape, size, whole, x, y; in --range z=0:1"),
        ("--fix shap=1", "no hyper-parameter 'shap'; did you mean 'shape'?; in --fix shap=1"),
        ("--fix x", "--fix x: expected NAME=VALUE, such as lr=0.01"),
        ("--fix x=-1", "--x: should be greater than or equal to 0, got '-1'"),
        ("--range x=3:1", "--range x=3:1: expected LOW below HIGH"),
        ("--range x=0:1:log", "--range x=0:1:log: expected LOW below HIGH, and LOW above 0 for log"),
        ("--range x=a:1", "--range x: should be a valid number, unable to parse string as a number, got 'a'"),
        ("--range x=-1:1", "--range x: should be greater than or equal to 0, got '-1'"),
        ("--range whole=0:1.5", "--range whole: should be a valid integer"),
        ("--range kind=1:2", "--range kind=1:2: kind is not a number; give choices, such as kind=A|B"),
        ("--range kind=a", "--range kind=a: expected LOW:HIGH, LOW:HIGH:log or A|B; --fix sets one value"),
        ("--range kind=a|c", "--range kind: should be 'a' or 'b', got 'c'"),
        ("--range x=0:1 --fix x=1", "x is both in --fix and in --range; remove one of them"),
        ("--fix x=1 --fix y=1 --fix whole=0 --fix shape=1 --fix kind=a", "no hyper-parameter is left to search; give"),
        ("--timeout soon", "expected a time such as 30m, 2h or 90s, got 'soon'"),
        ("--all", "name a plugin, or give --all"),
        ("--seeds 3", "--seeds needs --then-run"),
        ("--split 5fold", "--split 5fold names several folds, but tuning needs one split with a validation part; cho"),
        ("--split 5fold@7", "--split 5fold@7 names several folds, but tuning needs one split with a validation part"),
        ("--split 5fol", "no split '5fol'; there are: last1, random80, random90, time90; tuning needs one"),
        ("--split random9", "no split 'random9'; did you mean 'random90'?; tuning needs one split with"),
        ("--study a/b", "--study a/b: expected letters, digits and . _ - @ only"),
        ("--storage nonsense", "--storage nonsense: expected a URL such as postgresql://me@host/studies"),
        ("--storage nonsense://x", "no driver for this kind of database is installed"),
    ],
)
def test_a_wrong_option_is_an_error_of_one_line(option, message, bowl):
    answer = bowl(f"tune bowl {option}")
    assert answer.status == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_a_split_without_a_validation_part_is_an_error_of_one_line(bowl, monkeypatch):
    monkeypatch.setitem(split_definitions.STANDARD_SPLITS, "bare", split_definitions.RandomHoldout(valid=0))
    answer = bowl("tune bowl --split bare")
    assert answer.status == 1
    expected = "error: split 'bare' of tiny has no validation part to tune on; choose another with --split\n"
    assert answer.err == expected


def test_a_plugin_without_ranges_is_an_error(terminal):
    answer = terminal("tune ensemble")
    assert answer.status == 2
    assert "no hyper-parameter is left to search" in answer.err


def test_help_fits_80_columns_and_says_which_split_tuning_needs(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = terminal("tune --help").out
    assert "postgresql://me@host/db" in text
    assert "validation" in text
    assert "all five folds" not in text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400)], ids=str)
def test_a_timeout_sets_the_deadline_of_the_workers(bowl, monkeypatch, text, seconds):
    jobs = []
    monkeypatch.setattr(workers, "run_workers", lambda job, *_: jobs.append(job) or 0)
    assert bowl(f"tune bowl --timeout {text}").status == 1
    assert jobs[0].deadline - time.time() == pytest.approx(seconds, abs=10)
    assert jobs[0].trials is None


def test_a_study_whose_first_five_trials_failed_stops_and_the_exit_status_is_1(register_bowl, terminal, study_file):
    def fail(*_):
        raise ZeroDivisionError("oops")

    register_bowl(fail)
    answer = terminal("tune bowl --trials 50 --json")
    assert answer.status == 1
    assert json.loads(answer.out)["trials"] == {"finished": 0, "pruned": 0, "failed": 5}
    assert "finished, the last one failed: ZeroDivisionError: oops; correct the cause" in answer.err
    assert terminal("tune bowl --trials 60").status == 1
    assert len(study_file().trials()) == 5


def test_a_study_continues_when_one_of_its_first_five_trials_finished(register_bowl, tune):
    fits = iter(range(100))

    def fail(*_):
        if next(fits) != 4:
            raise ZeroDivisionError("oops")

    register_bowl(fail)
    assert tune("bowl --trials 8")["trials"] == {"finished": 1, "pruned": 0, "failed": 7}


def test_the_result_ends_with_a_command_that_runs_the_best_config(bowl, study_file):
    answer = bowl("tune bowl --trials 6")
    lines = answer.out.splitlines()
    assert lines[0].startswith("bowl on tiny, split random90: 6 trials (6 finished) in ")
    assert lines[1].startswith("best: trial ")
    assert "better than" in lines[1]
    command = next(line for line in lines if line.startswith("run it: cfbench ")).removeprefix("run it: cfbench ")
    record = json.loads(bowl(f"{command} --json").out)
    best = min(study_file().trials(), key=lambda trial: trial.value)
    assert record["request"]["config"] == best.user_attrs["config"]
    assert answer.err.count("bowl trial ") == 6
    assert "\x1b" not in answer.out + answer.err


@pytest.mark.slow
def test_a_terminal_shows_a_table_of_the_last_trials(bowl, study_file, make_job, monkeypatch, capsys):
    bowl("tune bowl --trials 12")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.err.cache_clear()
    with StudyProgress(make_job(study_file(), trials=20), study_file().open(), 1) as progress:
        progress()
    console.err.cache_clear()
    text = capsys.readouterr().err
    best = min(study_file().trials(), key=lambda trial: trial.value)
    assert f"bowl on tiny: 12 of 20 trials, best {best.value:.4f} in trial {best.number}, about " in text
    assert "validation RMSE" in text
    for number in range(2, 12):
        assert f"{study_file().trials()[number].value:.4f}" in text
    assert "start config" not in text


def test_importances_need_more_than_three_trials(bowl, tune):
    assert tune("bowl --trials 3")["importances"] == {}
    answer = bowl("tune bowl --trials 3")
    assert "bowl on tiny, split random90: 3 trials (3 finished)" in answer.out
    assert "whole" in answer.out
    assert "%" not in answer.out


@pytest.fixture
def some_plugins(register_bowl, register, terminal, monkeypatch):
    """Let --all find plugins with ranges, one without, and one that cannot be loaded."""
    register_bowl()
    register("plain", Plugin("nothing to tune", "none", Config, lambda _: None))
    real = registry.load

    def load(name):
        if name == "gone":
            raise UnknownNameError("plugin", name, [])
        return real(name)

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(registry, "names", lambda: ["bias", "bowl", "gone", "plain"])


@pytest.mark.slow
def test_all_tunes_each_plugin_with_ranges_and_skips_one_that_fails(some_plugins, terminal, tune):
    answer = terminal("tune --all --trials 4 --then-run")
    assert answer.status == 0
    assert "gone is skipped: no plugin 'gone'" in answer.err
    rows = [line.split() for line in answer.out.splitlines()]
    table = [row[:2] for row in rows if row and row[0] in ("bias", "bowl") and row[1] == "4"]
    assert table == [["bias", "4"], ["bowl", "4"]]
    assert [row["plugin"] for row in tune("--all --trials 4")] == ["bias", "bowl"]


def test_studies_lists_the_studies_of_the_results_folder(some_plugins, terminal, tune):
    tune("--all --trials 1")
    (bias, bowl) = json.loads(terminal("studies --json").out)
    assert list(bowl) == ["study", "plugin", "dataset", "split", "trials", "seconds", "valid_rmse", "bytes"]
    assert [row["study"] for row in (bias, bowl)] == ["bias-tiny-random90", "bowl-tiny-random90"]
    assert (bowl["plugin"], bowl["dataset"], bowl["split"], bowl["trials"]) == ("bowl", "tiny", "random90", 1)
    assert "bowl-tiny-random90" in terminal("studies").out
    named = terminal("studies --columns best,study").out
    assert f"{bowl['valid_rmse']:.4f}   bowl-tiny-random90" in named
    assert "plugin" not in named


def test_studies_says_when_there_are_none(terminal):
    assert "no studies in results; `cfbench tune deepae` starts one" in terminal("studies").err


@pytest.fixture
def raise_in_run(register_bowl, terminal, monkeypatch):
    """Let the run of the best config of `bowl` raise, and not its trials; --all finds `bowl`, then `bias`."""

    def register_error(error):
        def raise_error(_, train, valid, context):
            if context.checkpoint is not None:  # a run has one, a trial has none
                raise error

        register_bowl(raise_error)
        monkeypatch.setattr(registry, "names", lambda: ["bowl", "bias"])

    return register_error


def test_all_continues_when_the_run_of_a_plugin_raises_any_error(raise_in_run, terminal):
    raise_in_run(ZeroDivisionError("oops,\nagain"))
    answer = terminal("tune --all --trials 2 --then-run --json")
    assert answer.status == 0
    assert "bowl is skipped: plugin 'bowl' failed in fit: ZeroDivisionError: oops, again" in answer.err
    assert [row["plugin"] for row in json.loads(answer.out)] == ["bias"]


def test_all_stops_at_ctrl_c(raise_in_run, terminal):
    raise_in_run(KeyboardInterrupt())
    answer = terminal("tune --all --trials 2 --then-run")
    assert answer.status == 130
    assert "skipped" not in answer.err
    assert "bias" not in answer.out
