"""Tuning: what is searched, what is touched, what is kept, whatever happens to a trial."""

import contextlib
import gc
import inspect
import json
import math
import sqlite3
import time
import tomllib
import warnings
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import optuna
import pytest
from pydantic import Field

from cfbench.contract import Config, DivergedError, Epoch, Plugin, Tunable
from cfbench.data import card, store
from cfbench.errors import ConfigError, RecordError, UnknownNameError, UsageError, WriteError
from cfbench.ratings import Ratings
from cfbench.runs import registry, run
from cfbench.runs.results import Results
from cfbench.tuning import database, search, space, study, workers


class BowlConfig(Config):
    """A bowl with its bottom at x = 2, y = 0.01 and shape (4, 2)."""

    x: Annotated[float, Tunable(0, 5)] = Field(4.5, ge=0, description="best at 2")
    y: Annotated[float, Tunable(1e-4, 1, log=True)] = Field(0.0, ge=0, description="best at 0.01")
    whole: Annotated[int, Tunable(0, 6, step=2)] = Field(0, description="best at 4")
    shape: Annotated[tuple[int, ...], Tunable(choices=((8,), (4, 2)))] = Field((1,), description="best at 4, 2")
    kind: Annotated[Literal["a", "b"], Tunable(choices=("a", "b"))] = Field("a", description="no matter")
    size: int = Field(7, ge=1, description="not tuned")


class Bowl:
    """Predictor the planted mean, off by how far its config is from the bottom."""

    parameters = 1

    def __init__(self, config):
        self._config = config

    def fit(self, train, valid, context):
        c = self._config
        log_y = math.log10(max(c.y, 1e-4))
        self._off = (c.x - 2) ** 2 / 5 + (log_y + 2) ** 2 / 5 + abs(c.whole - 4) / 9 + (tuple(c.shape) != (4, 2)) / 5
        self._mean = float(train.ratings.mean())

    def predict(self, pairs):
        return np.full(len(pairs), self._mean + self._off, np.float32)

    def state(self):
        return {"mean": np.array([self._mean, self._off])}

    def restore(self, state, train, context):
        self._mean, self._off = state["mean"]


class EpochsConfig(Config):
    """One number, and how the epochs go."""

    x: Annotated[float, Tunable(0, 1)] = Field(0.0, description="the smaller the better")
    epochs: int = Field(9, description="how many")


class Epochs(Bowl):
    """Reports an error of 1 + x, a little less each epoch; does at its end what a test says."""

    heard: list = []  # noqa: RUF012 (shared on purpose: all that was fitted)

    def fit(self, train, valid, context):
        epochs = []
        Epochs.heard.append(epochs)
        for k in range(1, self._config.epochs + 1):
            epochs.append(k)
            context.report(Epoch(k, self._config.epochs, 1.0, 1 + self._config.x - k / 1000, 0.0))
        self._mean, self._off = 3.0, 0.0


@pytest.fixture
def bowl(register, terminal):
    register("bowl", Plugin("a bowl", "none", BowlConfig, Bowl))
    return terminal


@pytest.fixture
def stepwise(register, terminal):
    Epochs.heard = []
    register("stepwise", Plugin("epochs", "none", EpochsConfig, Epochs))
    return terminal


def behaving(register, fit):
    """A bowl whose fit does first what a test says of its config."""

    class Behaving(Bowl):
        def fit(self, train, valid, context):
            fit(self._config, train, valid)
            super().fit(train, valid, context)

    register("bowl", Plugin("a bowl", "none", BowlConfig, Behaving))


def trials(name="bowl-tiny-random90"):
    kept = study.everything(database.in_folder(Path("results"), name))
    return kept[0].get_trials(deepcopy=False)


def told(said):
    assert said.status == 0, said.err
    return json.loads(said.out)


def begin(joined):
    """A trial under way, as one that `optimize` began."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Heartbeat of storage")
        return joined.ask()


def test_tuning_finds_the_bottom_of_a_planted_bowl_and_says_what_mattered(bowl):
    result = told(bowl("tune bowl --trials 40 --json"))
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


def test_the_first_trial_is_exactly_the_config_it_starts_from_even_outside_the_ranges(bowl):
    result = told(bowl("tune bowl --trials 2 --fix size=3 --json"))
    first = trials()[0].user_attrs
    assert first["config"] == BowlConfig(size=3).model_dump(mode="json") == result["start"]["config"]
    assert first["start"] is True
    assert trials()[0].params == {"x": 4.5, "y": 1e-4, "whole": 0, "shape": "1", "kind": "a"}


def test_a_study_starts_from_the_preset_of_the_data_set_unless_told_otherwise(bowl):
    registry.user_presets_file("bowl").parent.mkdir(parents=True)
    registry.user_presets_file("bowl").write_text("[tiny]\nx = 1.5\n[other]\nx = 0.5\n")
    for option, x, place in (
        ("", 1.5, "preset tiny"),
        ("--preset other", 0.5, "preset other"),
        ("--no-preset", 4.5, "the defaults"),
    ):
        said = bowl(f"tune bowl --trials 1 --study s{x} {option} --json")
        assert f"split random90, from {place}, searching x, y" in said.err
        result = told(said)
        assert result["start"]["config"]["x"] == result["best"]["config"]["x"] == x


def test_the_error_is_that_of_the_validation_part_clipped_to_the_scale(bowl):
    result = told(bowl("tune bowl --trials 1 --json"))
    tiny = store.open_dataset(card.load("tiny"))
    train, valid = (getattr(tiny.split("random90"), part)(tiny.ratings) for part in ("train", "valid"))
    model = Bowl(BowlConfig())
    model.fit(train, valid, None)
    prediction = min(5.0, model._mean + model._off)
    assert prediction == 5
    expected = np.sqrt(np.mean((valid.ratings.astype(float) - prediction) ** 2))
    assert result["best"]["valid_rmse"] == pytest.approx(expected, abs=1e-6)


def ratings():
    return [thing for thing in gc.get_objects() if type(thing) is Ratings]  # isinstance wakes torch's lazy objects


def test_no_test_rating_is_in_reach_of_a_model_that_looks_for_one(register, terminal, monkeypatch):
    from cfbench.data.split import Split

    tiny = store.open_dataset(card.load("tiny"))
    split = tiny.split("random90")
    known = {split.report["train"], split.report["valid"]}
    hidden = len(tiny.ratings)
    del tiny
    gc.collect()
    found, before = [], {id(thing) for thing in ratings()}

    def search(_, train, valid):
        for frame in inspect.stack():
            found.extend(len(value) for value in frame.frame.f_locals.values() if isinstance(value, Ratings))
        for part in (train, valid):
            for column in (part.users, part.items, part.ratings, part.times):
                assert len(column.base) == len(part)  # a view of a copy, not of the whole table
                assert column.base.base is None
        gc.collect()
        found.extend(len(thing) for thing in ratings() if id(thing) not in before)

    monkeypatch.setattr(Split, "test", lambda *_: pytest.fail("the test part was cut out"))
    behaving(register, search)
    assert terminal("tune bowl --trials 2").status == 0
    assert set(found) == known
    assert hidden not in found


def test_a_trial_that_fails_diverges_or_needs_too_much_memory_is_recorded_and_the_study_goes_on(register, terminal):
    faults = {1: ZeroDivisionError("oops"), 2: DivergedError("became nan", usable=True), 3: MemoryError("12 TB")}
    count = iter(range(100))

    def fail(*_):
        if fault := faults.get(next(count)):
            raise fault

    behaving(register, fail)
    result = told(terminal("tune bowl --trials 6 --json"))
    assert result["trials"] == {"finished": 3, "pruned": 2, "failed": 1}
    states = [(trial.state.name, trial.user_attrs.get("reason")) for trial in trials()[:4]]
    assert states == [
        ("COMPLETE", None), ("FAIL", "ZeroDivisionError: oops"), ("PRUNED", "DivergedError: became nan"),
        ("PRUNED", "MemoryError: 12 TB"),
    ]  # fmt: skip


def test_predictions_that_are_no_scores_fail_the_trial(register, terminal):
    class Nan(Bowl):
        def predict(self, pairs):
            return np.full(len(pairs), np.nan)

    register("bowl", Plugin("a bowl", "none", BowlConfig, Nan))
    said = terminal("tune bowl --trials 2")
    assert said.status == 1
    last = "the last one failed: PredictionError: plugin 'bowl' predicted"
    assert f"error: no trial of study bowl-tiny-random90 finished, {last}" in said.err
    assert said.err.splitlines()[-1].endswith("; mend that and begin another with --study NAME")


def test_a_study_whose_first_five_trials_all_failed_is_over_and_its_command_fails(register, terminal):
    def fail(*_):
        raise ZeroDivisionError("oops")

    behaving(register, fail)
    said = terminal("tune bowl --trials 50 --json")
    assert said.status == 1
    assert json.loads(said.out)["trials"] == {"finished": 0, "pruned": 0, "failed": 5}
    assert "finished, the last one failed: ZeroDivisionError: oops; mend that" in said.err
    assert terminal("tune bowl --trials 60").status == 1
    assert len(trials()) == 5


def test_one_trial_of_the_first_five_that_does_not_fail_keeps_a_study_going(register, terminal):
    count = iter(range(100))

    def fail(*_):
        if next(count) != 4:
            raise ZeroDivisionError("oops")

    behaving(register, fail)
    assert told(terminal("tune bowl --trials 8 --json"))["trials"] == {"finished": 1, "pruned": 0, "failed": 7}


def test_ensemble_is_not_tuned_since_a_trial_has_no_members(terminal):
    assert space.declared(registry.load("ensemble")) == {}
    said = terminal("tune ensemble")
    assert said.status == 2
    assert "nothing is left to tune" in said.err


def test_a_fit_worse_than_half_of_the_trials_ends_after_a_third_of_its_epochs_but_the_first_one_never(stepwise):
    result = told(stepwise("tune stepwise --trials 16 --fix epochs=9 --json"))
    lengths = [len(epochs) for epochs in Epochs.heard]
    assert lengths[0] == 9
    assert set(lengths) == {3, 9}
    assert result["trials"]["pruned"] == lengths.count(3) > 2
    pruned = [trial for trial in trials("stepwise-tiny-random90") if trial.state.name == "PRUNED"]
    assert {trial.user_attrs["reason"] for trial in pruned} == {"worse than half of the trials at epoch 3"}
    assert result["best"]["valid_rmse"] == pytest.approx(1 - 9 / 1000)


@pytest.fixture
def here(monkeypatch):
    """Trials with a deadline run in this process, which knows the test's plugins and its clock."""
    monkeypatch.setattr(workers, "carry_out", lambda job, _, listen: search.work(job, listen) or 0)


def test_when_time_is_up_the_fit_under_way_ends_with_its_epoch(stepwise, here, monkeypatch):
    began, real = time.time(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * (len(Epochs.heard) > 2))
    result = told(stepwise("tune stepwise --timeout 30m --json"))
    assert [len(epochs) for epochs in Epochs.heard] == [9, 9, 1]
    assert result["trials"] == {"finished": 2, "pruned": 1, "failed": 0}
    assert trials("stepwise-tiny-random90")[2].user_attrs["reason"] == "time is up at epoch 1"
    assert real() - began < 1800


def test_without_a_finished_trial_time_is_never_up(stepwise, here, monkeypatch):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * bool(Epochs.heard))
    assert told(stepwise("tune stepwise --timeout 1s --json"))["trials"]["finished"] == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--range z=0:1", "no hyper-parameter 'z'; there are: kind, shape, size, whole, x, y; in --range z=0:1"),
        ("--fix shap=1", "no hyper-parameter 'shap'; did you mean 'shape'?; in --fix shap=1"),
        ("--fix x", "--fix x: expected NAME=VALUE, such as lr=0.01"),
        ("--fix x=-1", "--x: should be greater than or equal to 0, got '-1'"),
        ("--range x=3:1", "--range x=3:1: expected LOW below HIGH"),
        ("--range x=0:1:log", "--range x=0:1:log: expected LOW below HIGH, and above 0 for log"),
        ("--range x=a:1", "--range x: should be a valid number, unable to parse string as a number, got 'a'"),
        ("--range x=-1:1", "--range x: should be greater than or equal to 0, got '-1'"),
        ("--range whole=0:1.5", "--range whole: should be a valid integer"),
        ("--range kind=1:2", "--range kind=1:2: kind is no number; give choices, such as kind=A|B"),
        ("--range kind=a", "--range kind=a: expected LOW:HIGH, LOW:HIGH:log or A|B; --fix sets one value"),
        ("--range kind=a|c", "--range kind: should be 'a' or 'b', got 'c'"),
        ("--range x=0:1 --fix x=1", "x is both in --fix and in --range; leave out one of them"),
        ("--fix x=1 --fix y=1 --fix whole=0 --fix shape=1 --fix kind=a", "nothing is left to tune: give ranges"),
        ("--timeout soon", "expected a time such as 30m, 2h or 90s, got 'soon'"),
        ("--all", "name a plugin, or give --all"),
        ("--seeds 3", "--seeds needs --then-run"),
        ("--split 5fold", "--split 5fold is all its folds, tuning needs one split with a validation part; choose"),
        ("--split 5fold@7", "--split 5fold@7 is all its folds, tuning needs one split with a validation part"),
        ("--split 5fol", "no split '5fol'; there are: last1, random80, random90; tuning needs one"),
        ("--split random9", "no split 'random9'; did you mean 'random90'?; tuning needs one split with"),
        ("--study a/b", "--study a/b: expected letters, digits and . _ - @ only"),
        ("--storage nonsense", "--storage nonsense: expected an address, such as postgresql://me@host/studies"),
        ("--storage nonsense://x", "no driver for such a database is installed here"),
    ],
)
def test_what_cannot_be_searched_is_one_line_that_says_so(option, message, bowl):
    said = bowl(f"tune bowl {option}")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1


def test_help_says_what_split_tuning_takes_and_an_address_that_is_whole_at_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = terminal("tune --help").out
    assert "postgresql://me@host/db" in said
    assert "validation" in said
    assert "all five folds" not in said


def test_ranges_given_take_the_place_of_declared_ones(bowl):
    said = bowl("tune bowl --range x=1:1.5 --range size=3:5 --range kind=a|b --range shape=4,2|1 --trials 12 --json")
    assert told(said)["trials"]["finished"] == 12
    later = [trial.user_attrs["config"] for trial in trials()[1:]]
    assert all(1 <= config["x"] <= 1.5 and 3 <= config["size"] <= 5 for config in later)
    assert {tuple(config["shape"]) for config in later} <= {(4, 2), (1,)}
    assert len({config["size"] for config in later}) > 1


def test_a_choice_of_the_start_stays_a_choice():
    plugin = Plugin("a bowl", "none", BowlConfig, Bowl)
    dimensions = space.space(plugin, BowlConfig(), [], [])
    assert dimensions["shape"].range.choices == ((1,), (8,), (4, 2))
    assert space.space(plugin, BowlConfig(shape=(8,)), [], [])["shape"].range.choices == ((8,), (4, 2))


def test_a_split_without_validation_part_is_one_line(bowl, monkeypatch):
    from cfbench.data import split

    monkeypatch.setitem(split.STANDARD_SPLITS, "bare", split.RandomHoldout(valid=0))
    said = bowl("tune bowl --split bare")
    assert said.status == 1
    assert said.err == ("error: split 'bare' of tiny has no validation part to tune on; choose another with --split\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--seed 5", "has seed 0, asked for is 5"),
        ("--split random80", "has split random90, asked for is random80"),
        ("--range x=0:1", "has range of x 0–5, asked for is 0–1"),
        ("--fix x=1", "has range of x 0–5, asked for is none"),
        ("--fix size=2", "has starting size 7, asked for is 2"),
    ],
)
def test_a_study_is_not_reopened_for_something_else(bowl, change, message):
    assert bowl("tune bowl --trials 1 --study mine").status == 0
    said = bowl(f"tune bowl --trials 2 --study mine {change}")
    assert said.status == 2
    assert said.err == f"error: study 'mine' {message}; begin another with --study NAME\n"


def test_a_study_goes_on_from_where_it_began_after_its_best_became_the_preset(bowl):
    first = told(bowl("tune bowl --trials 6 --save-preset --json"))
    assert first["improvement"] > 0
    again = told(bowl("tune bowl --trials 12 --save-preset --json"))
    assert sum(again["trials"].values()) == 12
    assert again["start"] == first["start"]
    assert again["best"]["valid_rmse"] <= first["best"]["valid_rmse"]
    assert told(bowl("tune bowl --trials 1 --study other --json"))["start"]["config"] == again["best"]["config"]


def test_a_preset_asked_for_by_name_is_where_a_study_starts_or_it_is_refused(bowl):
    assert bowl("tune bowl --trials 6 --save-preset").status == 0
    said = bowl("tune bowl --trials 7 --preset tiny")
    assert said.status == 2
    assert "error: study 'bowl-tiny-random90' has " in said.err
    assert bowl("tune bowl --trials 7 --no-preset").status == 0  # it began there


def test_a_start_the_plugin_no_longer_takes_is_one_line(bowl, register):
    assert bowl("tune bowl --trials 1 --fix size=9").status == 0

    class Narrower(BowlConfig):
        size: int = Field(7, le=8, description="nine is no longer taken")

    register("bowl", Plugin("a bowl", "none", Narrower, Bowl))
    said = bowl("tune bowl --trials 2")
    assert said.status == 2
    assert said.err == (
        "error: study 'bowl-tiny-random90' has starting size 9, asked for is 7; begin another with --study NAME\n"
    )


def test_a_value_fixed_in_a_study_is_fixed_as_long_as_it_goes_on(bowl):
    assert told(bowl("tune bowl --trials 2 --fix size=2 --json"))["best"]["config"]["size"] == 2
    assert "has fixed size, asked for is none" in bowl("tune bowl --trials 3").err
    assert "has starting size 2, asked for is 3" in bowl("tune bowl --trials 3 --fix size=3").err
    assert told(bowl("tune bowl --trials 3 --fix size=2 --json"))["best"]["config"]["size"] == 2


def test_another_version_of_the_plugins_package_is_something_else(bowl, monkeypatch):
    bowl("tune bowl --trials 1")
    place = registry.PluginLocation("bowl", "cfbench.plugins.bias", package="other 2.0")
    monkeypatch.setattr(registry, "find", lambda _: place)
    assert "has package cfbench-recsys" in bowl("tune bowl --trials 2").err


def test_other_ratings_under_the_same_name_are_something_else(bowl):
    bowl("tune bowl --trials 1")
    tiny = store.open_dataset(card.load("tiny"))
    setup = run.configure("bowl", dataset="tiny", flags={}, preset=None)
    plan = search.plan(setup, tiny, tiny.split("random90"), 0, [])
    url = database.in_folder(Path("results"), "bowl-tiny-random90")
    other = plan.model_copy(update={"fingerprint": "f" * 64})
    with pytest.raises(UsageError, match=r"has split fingerprint [0-9a-f]{12}, asked for is f{12}"):
        study.begin("bowl-tiny-random90", url, other)
    with pytest.raises(RecordError, match="split random90 of tiny changed since the study began; begin another"):
        search.work(search.Job(name="s", storage=url, plan=other, device="cpu", trials=1, deadline=None))


@pytest.fixture
def bowl_plan(bowl):
    """What a study of the bowl is about."""
    tiny = store.open_dataset(card.load("tiny"))
    return search.plan(
        run.configure("bowl", dataset="tiny", flags={}, preset=None), tiny, tiny.split("random90"), 0, []
    )


def beginning(monkeypatch, method, rival):
    """Begin a study, and have a rival begin it just as a method of the study is called."""
    real = getattr(optuna.Study, method)

    def call(*given, **named):
        monkeypatch.setattr(optuna.Study, method, real)
        rival()
        return real(*given, **named)

    monkeypatch.setattr(optuna.Study, method, call)


def test_of_two_machines_that_begin_a_study_together_one_queues_the_start(bowl_plan, monkeypatch):
    url = database.in_folder(Path("results"), "s")
    beginning(monkeypatch, "set_user_attr", lambda: study.begin("s", url, bowl_plan))
    study.begin("s", url, bowl_plan)
    assert [trial.user_attrs for trial in trials("s")] == [{"start": True}]


def test_of_two_machines_that_begin_different_studies_under_one_name_the_second_is_told(bowl_plan, monkeypatch):
    url = database.in_folder(Path("results"), "s")

    def rival():
        with pytest.raises(UsageError, match="study 's' has seed 0, asked for is 5"):
            study.begin("s", url, bowl_plan.model_copy(update={"seed": 5}))

    beginning(monkeypatch, "enqueue_trial", rival)
    study.begin("s", url, bowl_plan)
    assert len(trials("s")) == 1


def test_a_study_whose_beginning_was_killed_still_gets_its_start(bowl_plan):
    url = database.in_folder(Path("results"), "s")
    made = optuna.create_study(storage=database.open_storage(url), study_name="s")
    made.set_user_attr(study.FACTS, bowl_plan.facts())
    study.begin("s", url, bowl_plan)
    assert [trial.user_attrs for trial in trials("s")] == [{"start": True}]


def test_a_study_goes_on_to_the_number_asked_for_in_all(bowl):
    bowl("tune bowl --trials 3")
    first = [trial.params for trial in trials()]
    said = bowl("tune bowl --trials 5")
    assert "3 trials done before" in said.err
    assert [trial.params for trial in trials()][:3] == first
    assert len(trials()) == 5
    bowl("tune bowl --trials 5")
    assert len(trials()) == 5


def test_the_same_seed_tries_the_same_configs_interrupted_or_not(bowl):
    bowl("tune bowl --trials 12 --study whole")
    for count in (4, 12):
        bowl(f"tune bowl --trials {count} --study parts")
    bowl("tune bowl --trials 3 --study other --seed 1")
    whole, parts, other = ([trial.params for trial in trials(name)] for name in ("whole", "parts", "other"))
    assert whole == parts
    assert whole[1:3] != other[1:]


def interrupted(register, at):
    """Ctrl-C comes in that trial, counted from 0, and in no later one."""
    count = iter(range(100))

    def interrupt(*_):
        if next(count) == at:
            raise KeyboardInterrupt

    behaving(register, interrupt)


def test_ctrl_c_keeps_the_trials_and_tries_the_one_under_way_again(register, terminal):
    interrupted(register, at=2)
    said = terminal("tune bowl --trials 4")
    assert said.status == 130
    assert "stopped; 2 trials kept. The same command goes on" in said.err
    states = [trial.state.name for trial in trials()]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
    assert told(terminal("tune bowl --trials 4 --json"))["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    assert trials()[3].params == trials()[2].params


def test_the_trial_of_a_killed_process_is_tried_again_once(bowl):
    bowl("tune bowl --trials 2")
    url = database.in_folder(Path("results"), "bowl-tiny-random90")
    for _ in range(2):
        joined = study.join("bowl-tiny-random90", url, 0)
        lost = begin(joined)
        lost.set_user_attr("worker", study.here().rpartition(":")[0] + ":4194999")  # no such process
        lost.suggest_float("x", 0, 5)
        study.retry_stale(joined)
    assert [trial.state.name for trial in trials()] == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]
    assert trials()[3].params == trials()[2].params
    assert [trial.number for trial in study.ended(trials())] == [0, 1, 3]


def test_an_interrupted_trial_that_is_killed_later_is_tried_again(register, terminal):
    interrupted(register, at=1)
    assert terminal("tune bowl --trials 2").status == 130
    joined = study.join("bowl-tiny-random90", database.in_folder(Path("results"), "bowl-tiny-random90"), 0)
    lost = begin(joined)
    lost.set_user_attr("worker", study.here().rpartition(":")[0] + ":4194999")  # no such process
    study.retry_stale(joined)
    assert [trial.state.name for trial in trials()] == ["COMPLETE", "FAIL", "FAIL", "WAITING"]
    assert trials()[3].params == trials()[1].params
    assert [trial.number for trial in study.ended(trials())] == [0]
    assert told(terminal("tune bowl --trials 2 --json"))["trials"] == {"finished": 2, "pruned": 0, "failed": 0}


def test_a_trial_tried_again_is_not_lost_before_its_new_process_says_who_it_is(bowl):
    bowl("tune bowl --trials 1")
    joined = study.join("bowl-tiny-random90", database.in_folder(Path("results"), "bowl-tiny-random90"), 0)
    lost = begin(joined)
    lost.set_user_attr("worker", study.here().rpartition(":")[0] + ":4194999")  # no such process
    lost.set_user_attr("reason", "of the first try")
    study.retry_stale(joined)
    again = begin(joined)
    study.retry_stale(joined)
    assert trials()[again.number].state.name == "RUNNING"
    assert trials()[again.number].user_attrs == {"kills": 1}


def test_a_lost_trial_that_two_processes_see_is_queued_once(bowl, monkeypatch):
    bowl("tune bowl --trials 1")
    joined = study.join("bowl-tiny-random90", database.in_folder(Path("results"), "bowl-tiny-random90"), 0)
    lost = begin(joined)
    lost.set_user_attr("worker", study.here().rpartition(":")[0] + ":4194999")  # no such process
    real = joined.sampler.after_trial

    def after(study_, trial, state, values):  # Optuna has looked whether the trial is under way, and not ended it
        monkeypatch.setattr(joined.sampler, "after_trial", real)
        study.retry_stale(joined)

    monkeypatch.setattr(joined.sampler, "after_trial", after)
    study.retry_stale(joined)
    assert [trial.state.name for trial in trials()] == ["COMPLETE", "FAIL", "WAITING"]


def test_a_trial_under_way_elsewhere_is_left_alone(bowl):
    bowl("tune bowl --trials 2")
    joined = study.join("bowl-tiny-random90", database.in_folder(Path("results"), "bowl-tiny-random90"), 0)
    for worker in (study.here(), "another-machine:1", ""):
        trial = begin(joined)
        if worker:
            trial.set_user_attr("worker", worker)
    study.retry_stale(joined)
    assert [trial.state.name for trial in trials()][2:] == ["RUNNING"] * 3


def test_a_fit_that_keeps_pythons_lock_for_two_hours_is_not_taken_for_dead(bowl):
    bowl("tune bowl --trials 1")
    url = database.in_folder(Path("results"), "bowl-tiny-random90")
    joined = study.join("bowl-tiny-random90", url, 0)
    trial = begin(joined)
    trial.set_user_attr("worker", study.here())
    joined._storage.record_heartbeat(trial._trial_id)
    with contextlib.closing(sqlite3.connect(database.shown(url))) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-2 hours')")
    study.retry_stale(joined)
    assert trials()[1].state.name == "RUNNING"


@pytest.mark.parametrize("fault", [None, ZeroDivisionError("oops")])
def test_a_trial_that_another_process_ended_meanwhile_is_no_fault(register, terminal, fault):
    count = iter(range(100))

    def end(*_):
        if next(count) == 1:
            joined = study.join("bowl-tiny-random90", database.in_folder(Path("results"), "bowl-tiny-random90"), 0)
            joined.tell(1, state=optuna.trial.TrialState.FAIL)
            if fault:
                raise fault

    behaving(register, end)
    assert told(terminal("tune bowl --trials 4 --json"))["trials"] == {"finished": 3, "pruned": 0, "failed": 1}


def test_a_fault_of_the_database_between_trials_is_one(bowl, monkeypatch):
    def fail(*_):
        raise optuna.exceptions.StorageInternalError("the disk is gone")

    bowl("tune bowl --trials 2")
    monkeypatch.setattr(optuna.Study, "ask", fail)
    said = bowl("tune bowl --trials 3")
    assert said.status == 1
    assert "fails: the disk is gone" in said.err


def test_workers_that_begin_at_once_do_not_make_a_trial_too_many(bowl):
    bowl("tune bowl --trials 2")
    tiny = store.open_dataset(card.load("tiny"))
    setup = run.configure("bowl", dataset="tiny", flags={}, preset=None)
    plan = search.plan(setup, tiny, tiny.split("random90"), 0, [])
    url = database.in_folder(Path("results"), "bowl-tiny-random90")
    job = search.Job(name="bowl-tiny-random90", storage=url, plan=plan, device="cpu", trials=3, deadline=None)
    joined = study.join(job.name, url, 0)
    rival = begin(joined)
    assert job.taken(joined.get_trials())
    objective = search.Objective(job, *search._parts(plan), lambda: None)
    joined.optimize(objective, n_trials=1, catch=RuntimeError)
    joined.tell(rival, 1.0)
    assert [trial.number for trial in study.ended(trials())] == [0, 1, 2]
    assert len(trials()) == 4


def test_the_run_of_the_best_says_it_was_tuned_on_what_and_for_how_long(bowl):
    result = told(bowl("tune bowl --trials 4 --seed 3 --then-run --seeds 2 --json"))
    kept = Results(Path("results")).records("tiny", "random90")
    assert sorted(one.request.seed for one in kept) == [0, 1]
    asked = kept[0].request
    assert asked.config == result["best"]["config"]
    assert (asked.tuned.study, asked.tuned.trials, asked.tuned.seed) == ("bowl-tiny-random90", 4, 3)
    assert (asked.tuned.dataset, asked.tuned.split) == ("tiny", "random90")
    assert asked.tuned.valid_rmse == result["best"]["valid_rmse"]
    assert asked.tuned.seconds == pytest.approx(result["seconds"])
    assert (asked.origins["x"], asked.origins["size"]) == ("tuning", "default")
    assert kept[0].scored
    shown = bowl("show last")
    assert "4 trials in" in shown.out
    assert "(tuning)" in shown.out
    again = told(bowl("tune bowl --trials 4 --seed 3 --then-run --seeds 3 --json"))
    assert len(again["runs"]) == len(Results(Path("results")).records("tiny", "random90")) == 3


def test_a_run_of_the_best_that_ctrl_c_stopped_goes_on_with_the_same_command(stepwise, monkeypatch):
    heard = Epochs.fit

    def interrupt(self, train, valid, context):
        if any(frame.function == "_fit_and_score" for frame in inspect.stack()):
            raise KeyboardInterrupt
        heard(self, train, valid, context)

    command = "tune stepwise --trials 1 --then-run --json"
    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "fit", interrupt)
        said = stepwise(command)
    assert said.status == 130
    assert "stopped after epoch 0; the same command goes on from there" in said.err
    (stopped,) = Results(Path("results")).unfinished()
    assert [one["request"]["run"] for one in told(stepwise(command))["runs"]] == [stopped]
    assert Results(Path("results")).unfinished() == []


def test_a_run_that_was_not_tuned_does_not_hide_that_its_twin_was(bowl):
    plain = told(bowl("run bowl --json"))["request"]["run"]
    command = "tune bowl --trials 1 --then-run --json"
    (tuned,) = told(bowl(command))["runs"]
    assert tuned["request"]["run"] != plain
    assert tuned["request"]["tuned"]["study"] == "bowl-tiny-random90"
    bowl("run bowl")
    assert told(bowl(command))["runs"] == [tuned]


def test_a_saved_preset_is_what_run_uses_and_spares_those_there_were(bowl):
    file = registry.user_presets_file("bowl")
    file.parent.mkdir(parents=True)
    file.write_text('[mine]\nx = 1.25\nshape = [3, 1]\nkind = "b"\n')
    result = told(bowl("tune bowl --trials 5 --fix size=3 --save-preset --json"))
    kept = tomllib.loads(file.read_text())
    best = result["best"]["config"]
    assert kept == {"mine": {"x": 1.25, "shape": [3, 1], "kind": "b"}, "tiny": best}
    assert told(bowl("run bowl --json"))["request"]["config"] == best
    assert told(bowl("run bowl --preset mine --json"))["request"]["config"]["shape"] == [3, 1]
    assert "tiny" in registry.presets("bowl")


def test_a_saved_preset_says_how_it_was_found_and_that_of_another_split_has_to_be_asked_for(bowl):
    file = registry.user_presets_file("bowl")
    usual = told(bowl("tune bowl --trials 3 --save-preset --json"))["best"]
    said = bowl("tune bowl --trials 1 --split random80 --save-preset --json")
    other = told(said)["best"]
    assert "kept as preset tiny-random80 in" in said.err
    assert "`cfbench run bowl --preset tiny-random80` uses it there" in said.err
    lines = file.read_text().splitlines()
    for name, found in (
        ("tiny", f"bowl-tiny-random90, split random90, 3 trials, validation RMSE {usual['valid_rmse']:.4f}"),
        ("tiny-random80", f"bowl-tiny-random80, split random80, 1 trial, validation RMSE {other['valid_rmse']:.4f}"),
    ):
        assert lines[lines.index(f'["{name}"]') - 1] == f"# study {found}"
    assert told(bowl("run bowl --json"))["request"]["config"] == usual["config"]
    bowl("tune bowl --trials 4 --no-preset --save-preset")
    assert file.read_text().count("# study") == 2
    assert "4 trials" in file.read_text()


def test_ones_own_preset_wins_over_the_one_that_came_with_the_plugin(terminal):
    own = registry.user_presets_file("deepae")
    own.parent.mkdir(parents=True)
    own.write_text("[paper-full]\nlr = 0.5\n[mine]\nlr = 0.25\n")
    assert registry.presets("deepae")["paper-full"] == {"lr": 0.5}
    assert {"mine", "paper-3m"} <= set(registry.presets("deepae"))


def test_every_plugin_with_ranges_gets_the_same_budget_and_one_that_fails_is_no_hindrance(
    register, terminal, monkeypatch
):
    register("bowl", Plugin("a bowl", "none", BowlConfig, Bowl))
    register("plain", Plugin("nothing to tune", "none", Config, Bowl))
    real = registry.load

    def load(name):
        if name == "gone":
            raise UnknownNameError("plugin", name, [])
        return real(name)

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(registry, "names", lambda: ["bias", "bowl", "gone", "plain"])
    said = terminal("tune --all --trials 4 --then-run")
    assert said.status == 0
    assert "gone left out: no plugin 'gone'" in said.err
    rows = [line.split() for line in said.out.splitlines()]
    assert [row[:2] for row in rows if row and row[0] in ("bias", "bowl") and row[1] == "4"] == [
        ["bias", "4"],
        ["bowl", "4"],
    ]
    data = told(terminal("tune --all --trials 4 --json"))
    assert [row["plugin"] for row in data] == ["bias", "bowl"]
    names = [row["study"] for row in told(terminal("studies --json"))]
    assert names == ["bias-tiny-random90", "bowl-tiny-random90"]
    assert "bowl-tiny-random90" in terminal("studies").out


def test_a_plugin_whose_run_raises_anything_is_no_hindrance_to_the_others_but_ctrl_c_is(
    register, terminal, monkeypatch
):
    faults = [ZeroDivisionError("oops,\nagain")]

    def fail(_, train, valid):
        if any(frame.function == "_fit_and_score" for frame in inspect.stack()):
            raise faults[0]

    behaving(register, fail)
    monkeypatch.setattr(registry, "names", lambda: ["bowl", "bias"])
    said = terminal("tune --all --trials 2 --then-run --json")
    assert "bowl left out: ZeroDivisionError: oops, again" in said.err
    assert [row["plugin"] for row in told(said)] == ["bias"]
    faults[0] = KeyboardInterrupt()
    said = terminal("tune --all --trials 2 --then-run")
    assert said.status == 130
    assert "left out" not in said.err
    assert "bias" not in said.out


def test_the_end_is_told_with_a_command_that_runs_the_best(bowl):
    said = bowl("tune bowl --trials 6")
    lines = said.out.splitlines()
    assert lines[0].startswith("bowl on tiny, split random90: 6 trials (6 finished) in ")
    assert lines[1].startswith("best: trial ")
    assert "better than" in lines[1]
    command = next(line for line in lines if line.startswith("run it: cfbench ")).removeprefix("run it: cfbench ")
    done = told(bowl(f"{command} --json"))
    best = min(trials(), key=lambda trial: trial.value)
    assert done["request"]["config"] == best.user_attrs["config"]
    assert said.err.count("bowl trial ") == 6
    assert "\x1b" not in said.out + said.err


def test_a_postgresql_address_is_psycopgs_and_its_password_is_not_shown(monkeypatch):
    url = "postgresql://me:secret@127.0.0.1:9/studies"
    assert database._address(url).drivername == "postgresql+psycopg"
    with pytest.raises(
        WriteError, match=r"the study's storage postgresql://me:\*\*\*@127.0.0.1:9/studies fails: "
    ) as told:
        database.open_storage(url)
    assert "secret" not in str(told.value)
    monkeypatch.setattr(database.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"PostgreSQL needs psycopg, not installed here; pip install 'cfbench-recsys"):
        database.open_storage(url)


def test_too_few_trials_say_nothing_of_importance(bowl):
    assert told(bowl("tune bowl --trials 3 --json"))["importances"] == {}
    said = bowl("tune bowl --trials 3")
    assert "bowl on tiny, split random90: 3 trials (3 finished)" in said.out
    assert "whole" in said.out
    assert "%" not in said.out


def test_a_damaged_study_is_one_line(bowl):
    file = Path(database.shown(database.in_folder(Path("results"), "bowl-tiny-random90")))
    file.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    said = bowl("tune bowl --trials 1")
    assert said.status == 1
    assert "bowl-tiny-random90.db fails: file is not a database" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("folder", ["what?x", "a%3Fb", "a#b", "{x}"])
def test_a_study_is_kept_in_the_results_folder_whatever_that_is_called(bowl, folder):
    result = told(bowl(f"tune bowl --trials 1 --results {folder} --json"))
    file = Path(folder, ".studies", "bowl-tiny-random90.db")
    assert file.read_bytes().startswith(b"SQLite format 3")
    assert result["storage"] == str(file.absolute())
    assert [path.name for path in Path.cwd().iterdir() if path.is_file()] == ["tiny.zip"]
    assert [row["study"] for row in told(bowl(f"studies --results {folder} --json"))] == ["bowl-tiny-random90"]


def test_no_studies_is_said(terminal):
    assert "no studies in results; `cfbench tune deepae` begins one" in terminal("studies").err


def test_bad_assignments_raise_config_errors():
    plugin = Plugin("a bowl", "none", BowlConfig, Bowl)
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        space.assignments(plugin, ["x="], "--fix")
    assert space.assignments(plugin, ["--x=1", "shape = 4,2"], "--fix") == {"x": "1", "shape": "4,2"}


def test_the_sampler_draws_by_the_trials_number():
    spaces = {"x": optuna.distributions.FloatDistribution(0, 1)}

    def draw(seed, number):
        made = optuna.create_study(sampler=study.NumberedSampler(seed))
        made.enqueue_trial({"x": 0.5})
        trial = None
        for _ in range(number + 1):
            trial = made.ask(spaces)
        return trial.params["x"]

    assert draw(0, 3) == draw(0, 3)
    assert len({draw(0, 1), draw(0, 2), draw(1, 1)}) == 3


def test_the_sampler_tries_nothing_twice_as_long_as_there_is_something_else():
    spaces = {
        "whole": optuna.distributions.IntDistribution(1, 6),
        "kind": optuna.distributions.CategoricalDistribution(["a", "b", "c"]),
    }
    made = optuna.create_study(sampler=study.NumberedSampler(0))
    for _ in range(20):  # ten of them random, the others TPE's
        trial = made.ask(spaces)
        made.tell(trial, trial.params["whole"] + (trial.params["kind"] == "a"))
    first = [(trial.params["whole"], trial.params["kind"]) for trial in made.trials[:15]]
    assert len(set(first)) == 15
    assert len(made.trials) == 20  # two more than there are: it goes on


@pytest.mark.parametrize("name", registry.names())
def test_whatever_a_plugins_ranges_offer_its_config_takes(name):
    plugin = registry.import_plugin(name)
    dimensions = space.declared(plugin)
    made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = made.ask()
        values = {key: dimension.suggest(key, trial) for key, dimension in dimensions.items()}
        config = plugin.config.model_validate(values)
        assert {key: space._label(getattr(config, key)) for key in values} == trial.params
