"""`cfbench.tune`: the study of the command line, in silence."""

import json
import logging

import optuna
import pytest

import cfbench
from cfbench.contract import Config, Plugin
from cfbench.errors import ConfigError, SplitError, UnknownNameError, UsageError
from cfbench.runs import registry

SEARCH = {"trials": 3, "ranges": {"item_reg": "1:50"}, "fixed": {"user_reg": 5}}
LINE = "tune bias --trials 3 --range item_reg=1:50 --fix user_reg=5"


@pytest.mark.filterwarnings("ignore::cfbench.errors.RunWarning")
def test_a_study_has_the_trials_of_the_command_line_and_its_best_config_is_run(terminal, capsys):
    theirs = json.loads(terminal(f"{LINE} --then-run --json --results theirs").out)
    seen = []
    logged = optuna.logging.get_verbosity()
    study = cfbench.tune("bias", "tiny", progress=seen.append, **SEARCH)
    assert capsys.readouterr() == ("", "")
    assert (optuna.logging.get_verbosity(), logging.root.manager.disable) == (logged, 0)
    assert (study.best.config, study.best.valid_rmse) == (theirs["best"]["config"], theirs["best"]["valid_rmse"])
    assert study.start_rmse == theirs["start"]["valid_rmse"]
    assert study.trials.columns == ["number", "state", "valid_rmse", "seconds", "outcome", *theirs["searched"]]
    assert study.trials["valid_rmse"].min() == study.best.valid_rmse
    assert [(trial.number, trial.valid_rmse) for trial in seen] == study.trials.select("number", "valid_rmse").rows()
    run = study.run()
    assert run.scores.rmse == theirs["runs"][0]["outcome"]["rmse"]
    assert run.record.request.tuned.trials == 3
    assert study.run().id == run.id
    assert repr(study).startswith("<TunedStudy bias-tiny-random90: 3 trials, best validation RMSE 0.")
    assert study.save_preset().name == "bias.toml"
    assert cfbench.run("bias", "tiny", preset="tiny").config == study.best.config


@pytest.mark.slow
def test_the_same_call_resumes_a_study_and_the_command_line_knows_it(terminal):
    def stop(trial):
        if trial.number == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfbench.api.trials.PAUSE", 0)
        with pytest.raises(KeyboardInterrupt):
            cfbench.tune("bias", "tiny", progress=stop, **SEARCH)
        with pytest.raises(ZeroDivisionError):
            cfbench.tune("bias", "tiny", progress=lambda _: 1 / 0, **SEARCH)
    assert "bias-tiny-random90" in terminal("studies").out
    study = cfbench.tune("bias", "tiny", **SEARCH)
    assert study.trials["state"].to_list() == ["finished"] * 3
    assert json.loads(terminal(f"{LINE} --json").out)["best"]["config"] == study.best.config


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"ranges": {"itm_reg": "1:2"}}, UnknownNameError, "no hyper-parameter 'itm_reg'"),
        ({"ranges": {"item_reg": "1"}}, ConfigError, "--range item_reg=1: expected LOW:HIGH"),
        ({"fixed": {"item_reg": "x"}}, ConfigError, "--item-reg: .* got 'x'"),
        ({"trials": 0}, UsageError, "expected trials, timeout and workers above 0, got 0, None and 1"),
        ({"split": "5fold"}, UsageError, "5fold means 5 splits"),
        ({"split": "5fold-1"}, SplitError, "no validation part"),
    ],
)
def test_bad_input_is_refused(terminal, options, kind, message):
    with pytest.raises(kind, match=message):
        cfbench.tune("bias", "tiny", **options)
    assert not list(terminal.folder.glob("results/.studies/*.db"))


def test_a_registered_plugin_is_tuned_in_this_process_only(terminal, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    cfbench.register("own", Plugin("own", "none", Config, lambda _: None))
    with pytest.raises(UsageError, match="own is registered in this process only"):
        cfbench.tune("own", "tiny", workers=2)
