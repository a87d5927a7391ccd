"""One trial: which config it has, which ratings it reaches, how it is scored, and what ends it early."""

import gc
import inspect
import time
from dataclasses import replace

import numpy as np
import pytest

from cfbench.contract import DivergedError
from cfbench.data import card, store
from cfbench.data.split import Split
from cfbench.errors import MemoryLimitError, RecordError
from cfbench.metrics import rmse
from cfbench.ratings import Ratings
from cfbench.runs import registry
from cfbench.tuning.study import counted_trials, open_or_create
from cfbench.tuning.trial import Objective, read_trial_data
from cfbench.tuning.workers import run_trials


def test_the_first_trial_has_the_start_config_even_outside_the_ranges(bowl, bowl_plugin, tune, study_file):
    result = tune("bowl --trials 2 --fix size=3")
    first = study_file().trials()[0]
    start = bowl_plugin.config(size=3).model_dump(mode="json")
    assert first.user_attrs["config"] == result["start"]["config"] == start
    assert first.user_attrs["start"] is True
    assert first.params == {"x": 4.5, "y": 1e-4, "whole": 0, "shape": "1", "kind": "a"}


def test_the_error_is_that_of_the_validation_part_clipped_to_the_scale(bowl, bowl_plugin, tune):
    tiny = store.open_dataset(card.load("tiny"))
    split = tiny.split("random90")
    valid = split.valid(tiny.ratings)
    model = bowl_plugin.build(bowl_plugin.config())
    model.fit(split.train(tiny.ratings), valid, None)
    assert model.prediction > 5
    expected = np.sqrt(np.mean((valid.ratings.astype(float) - 5) ** 2))
    assert tune("bowl --trials 1")["best"]["valid_rmse"] == pytest.approx(expected, abs=1e-6)


def ratings_in_memory():
    return [thing for thing in gc.get_objects() if type(thing) is Ratings]  # isinstance wakes torch's lazy objects


def test_a_model_that_searches_the_memory_finds_no_test_rating(register_bowl, terminal, monkeypatch):
    tiny = store.open_dataset(card.load("tiny"))
    report, all_ratings = tiny.split("random90").report, len(tiny.ratings)
    del tiny
    gc.collect()
    sizes, before = [], {id(thing) for thing in ratings_in_memory()}

    def search(_, train, valid, context):
        for frame in inspect.stack():
            sizes.extend(len(value) for value in frame.frame.f_locals.values() if isinstance(value, Ratings))
        for part in (train, valid):
            assert part.times is None
            for column in (part.users, part.items, part.ratings):
                assert len(column.base) == len(part)  # a view of a copy, not of the whole table
                assert column.base.base is None
        gc.collect()
        sizes.extend(len(thing) for thing in ratings_in_memory() if id(thing) not in before)

    monkeypatch.setattr(Split, "test", lambda *_: pytest.fail("the test part was cut out"))
    register_bowl(search)
    assert terminal("tune bowl --trials 2").status == 0
    assert set(sizes) == {report["train"], report["valid"]}
    assert all_ratings not in sizes


@pytest.mark.parametrize("declared", [False, True])
def test_a_trial_gives_times_and_titles_to_a_plugin_that_declares_them(declared, register_bowl, register, terminal):
    received = []

    def look(config, train, valid, context):
        received.extend([train.times, valid.times, context.titles, context.years])

    def predict(model, pairs):
        received.append(pairs.times)
        return np.full(len(pairs), 3, np.float32)

    register_bowl(look, predict)
    register("bowl", replace(registry.load("bowl"), uses_times=declared, uses_titles=declared))
    assert terminal("tune bowl --trials 1").status == 0
    assert {value is not None for value in received} == {declared}


def test_a_split_that_has_changed_since_the_study_started_is_an_error(bowl, make_plan):
    plan = make_plan().model_copy(update={"fingerprint": "f" * 64})
    with pytest.raises(RecordError, match="split random90 of tiny has changed since the study started; start another"):
        read_trial_data(plan)


def test_the_study_continues_after_a_trial_that_fails_diverges_or_needs_too_much_memory(
    register_bowl, tune, study_file
):
    errors = {1: ZeroDivisionError("oops"), 2: DivergedError("became nan", usable=True), 3: MemoryError("12 TB"),
              4: MemoryLimitError("13 TB")}  # fmt: skip
    fits = iter(range(100))

    def fail(*_):
        error = errors.get(next(fits))
        if error:
            raise error

    register_bowl(fail)
    assert tune("bowl --trials 6")["trials"] == {"finished": 2, "pruned": 3, "failed": 1}
    outcomes = [(trial.state.name, trial.user_attrs.get("reason")) for trial in study_file().trials()[:5]]
    assert outcomes == [
        ("COMPLETE", None), ("FAIL", "ZeroDivisionError: oops"), ("PRUNED", "DivergedError: became nan"),
        ("PRUNED", "MemoryError: 12 TB"), ("PRUNED", "MemoryLimitError: 13 TB"),
    ]  # fmt: skip


def test_predictions_that_are_not_finite_fail_the_trial(register_bowl, terminal):
    register_bowl(predict=lambda _, pairs: np.full(len(pairs), np.nan, np.float32))
    answer = terminal("tune bowl --trials 2")
    assert answer.status == 1
    reason = "the last one failed: PredictionError: plugin 'bowl': "
    assert f"error: no trial of study bowl-tiny-random90 finished, {reason}" in answer.err
    assert answer.err.splitlines()[-1].endswith("; correct the cause, then start another study with --study NAME")


def test_a_fit_worse_than_half_of_the_trials_stops_after_a_third_of_its_epochs_but_the_first_fit_does_not(
    stepwise_lengths, tune, study_file
):
    result = tune("stepwise --trials 16 --fix epochs=9")
    assert stepwise_lengths[0] == 9
    assert set(stepwise_lengths) == {3, 9}
    assert result["trials"]["pruned"] == stepwise_lengths.count(3) > 2
    pruned = [trial for trial in study_file("stepwise-tiny-random90").trials() if trial.state.name == "PRUNED"]
    assert {trial.user_attrs["reason"] for trial in pruned} == {"worse than half of the trials at epoch 3"}
    tiny = store.open_dataset(card.load("tiny"))
    train, valid = (getattr(tiny.split("random90"), part)(tiny.ratings).ratings for part in ("train", "valid"))
    predictions = np.full_like(valid, train.mean() + result["best"]["config"]["x"] + 0.01 / 9)
    assert result["best"]["valid_rmse"] == pytest.approx(rmse(predictions, valid))


@pytest.fixture
def run_with_deadline(stepwise_lengths, study_file, make_job, monkeypatch):
    """Run trials with a deadline that passes when the fit of that number, counted from 0, has started."""

    def run(fit):
        real = time.time
        study = study_file("stepwise")
        job = make_job(study, "stepwise", deadline=real() + 1800)
        open_or_create(study.name, study.url, job.plan)
        monkeypatch.setattr(time, "time", lambda: real() + 3600 * (len(stepwise_lengths) > fit))
        run_trials(job)
        return study.trials()

    return run


def test_after_the_deadline_the_running_fit_stops_at_the_end_of_its_epoch(run_with_deadline, stepwise_lengths):
    trials = run_with_deadline(2)
    assert stepwise_lengths == [9, 9, 1]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert trials[2].user_attrs["reason"] == "time limit reached at epoch 1"


def test_the_first_trial_finishes_after_the_deadline(run_with_deadline, stepwise_lengths):
    trials = run_with_deadline(0)
    assert stepwise_lengths == [9]
    assert [trial.state.name for trial in trials] == ["COMPLETE"]


def test_workers_that_start_together_do_not_add_a_trial_too_many(bowl, study_file, make_job, start_trial):
    bowl("tune bowl --trials 2")
    job = make_job(study_file(), trials=3)
    study = study_file().open()
    other_workers_trial = start_trial(study)
    assert job.has_enough(study.get_trials())
    objective = Objective(job, read_trial_data(job.plan), lambda: None)
    study.optimize(objective, n_trials=1, catch=RuntimeError)
    study.tell(other_workers_trial, 1.0)
    trials = study_file().trials()
    assert [trial.number for trial in counted_trials(trials)] == [0, 1, 2]
    assert len(trials) == 4
