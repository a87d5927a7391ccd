"""Trials of killed or interrupted processes: their values run once more, and count once."""

import contextlib
import sqlite3
from pathlib import Path
from threading import Timer

import optuna
import pytest

from cfbench.tuning.database_url import display_url
from cfbench.tuning.locks import WorkerLocks, mark_of_process
from cfbench.tuning.retry import queue_lost_trials
from cfbench.tuning.study import counted_trials


@pytest.fixture
def interrupt_fit(register_bowl):
    """Ctrl-C comes in the fit of that number, counted from 0, and in no later one."""

    def interrupt(number):
        fits = iter(range(100))

        def raise_once(*_):
            if next(fits) == number:
                raise KeyboardInterrupt

        register_bowl(raise_once)

    return interrupt


def test_after_ctrl_c_the_ended_trials_stay_and_the_running_one_runs_again(interrupt_fit, terminal, tune, study_file):
    interrupt_fit(2)
    answer = terminal("tune bowl --trials 4")
    assert answer.status == 130
    assert "stopped; 2 trials recorded. The same command resumes the study" in answer.err
    assert study_file().states() == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
    assert tune("bowl --trials 4")["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    trials = study_file().trials()
    assert trials[3].params == trials[2].params


def test_the_trial_of_a_killed_process_runs_once_more_and_then_fails(bowl, study_file, start_trial, dead_process):
    bowl("tune bowl --trials 2")
    for _ in range(2):
        study = study_file().open()
        start_trial(study, dead_process(study_file())).suggest_float("x", 0, 5)
        queue_lost_trials(study, study_file().url)
    trials = study_file().trials()
    assert study_file().states() == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]
    assert trials[3].params == trials[2].params
    assert [trial.number for trial in counted_trials(trials)] == [0, 1, 3]


def test_a_trial_whose_process_was_killed_before_its_values_were_stored_tries_the_same_values(
    bowl, study_file, start_trial, dead_process
):
    bowl("tune bowl --trials 3")
    expected = study_file().trials()[1].params
    bowl("tune bowl --trials 1 --study killed")
    study = study_file("killed").open()
    start_trial(study, dead_process(study_file("killed")))
    bowl("tune bowl --trials 2 --study killed")
    assert study_file("killed").states() == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study_file("killed").trials()[2].params == expected


def test_the_trials_after_a_killed_one_try_the_values_of_a_study_without_kills(
    bowl, study_file, start_trial, dead_process
):
    bowl("tune bowl --trials 4 --study whole")
    bowl("tune bowl --trials 1 --study killed")
    study = study_file("killed").open()
    start_trial(study, dead_process(study_file("killed")))
    bowl("tune bowl --trials 4 --study killed")
    tried = {name: [t.params for t in study_file(name).trials() if t.value is not None] for name in ("whole", "killed")}
    assert len(tried["whole"]) == 4
    assert tried["killed"] == tried["whole"]


def test_an_interrupted_trial_whose_next_process_is_killed_runs_again(
    interrupt_fit, terminal, tune, study_file, start_trial, dead_process
):
    interrupt_fit(1)
    assert terminal("tune bowl --trials 2").status == 130
    study = study_file().open()
    start_trial(study, dead_process(study_file()))
    queue_lost_trials(study, study_file().url)
    trials = study_file().trials()
    assert study_file().states() == ["COMPLETE", "FAIL", "FAIL", "WAITING"]
    assert trials[3].params == trials[1].params
    assert [trial.number for trial in counted_trials(trials)] == [0]
    assert tune("bowl --trials 2")["trials"] == {"finished": 2, "pruned": 0, "failed": 0}


def test_a_trial_that_runs_again_is_not_lost_before_its_new_process_writes_its_name(
    bowl, study_file, start_trial, dead_process
):
    bowl("tune bowl --trials 1")
    study = study_file().open()
    start_trial(study, dead_process(study_file())).set_user_attr("reason", "of the first try")
    queue_lost_trials(study, study_file().url)
    again = start_trial(study)
    queue_lost_trials(study, study_file().url)
    assert study_file().trials()[again.number].state.name == "RUNNING"
    assert study_file().trials()[again.number].user_attrs == {"kills": 1}


def test_a_lost_trial_that_two_processes_notice_is_queued_once(
    bowl, study_file, start_trial, dead_process, monkeypatch
):
    bowl("tune bowl --trials 1")
    study = study_file().open()
    start_trial(study, dead_process(study_file()))
    real = study.sampler.after_trial

    def after_trial(*_):  # here Optuna has checked that the trial runs, but has not ended it yet
        monkeypatch.setattr(study.sampler, "after_trial", real)
        queue_lost_trials(study, study_file().url)

    monkeypatch.setattr(study.sampler, "after_trial", after_trial)
    queue_lost_trials(study, study_file().url)
    assert study_file().states() == ["COMPLETE", "FAIL", "WAITING"]


@pytest.mark.parametrize(
    "worker", [mark_of_process("here"), "another-machine:1-there", ""], ids=["here", "elsewhere", "unnamed"]
)
def test_a_trial_that_another_process_runs_is_not_lost(bowl, study_file, start_trial, worker):
    bowl("tune bowl --trials 1")
    study = study_file().open()
    start_trial(study, worker)
    with WorkerLocks.of_study(study_file().name, study_file().url).hold("here"):
        queue_lost_trials(study, study_file().url)
    assert study_file().states() == ["COMPLETE", "RUNNING"]


@pytest.mark.slow
def test_a_command_says_which_trial_of_another_process_it_waits_for(bowl, study_file, start_trial):
    bowl("tune bowl --trials 1")
    study = study_file().open()
    running = start_trial(study, "another-machine:17-there")
    end = Timer(3, lambda: study.tell(running, state=optuna.trial.TrialState.FAIL))
    end.start()
    answer = bowl("tune bowl --trials 2")
    end.join()
    assert answer.status == 0, answer.err
    assert answer.err.count("waiting for trial 1, which process 17 on another-machine runs; ") == 1


def test_processes_leave_no_locks_of_workers_behind(bowl, study_file, start_trial, dead_process):
    dead_process(study_file())
    assert bowl("tune bowl --trials 2").status == 0
    assert [path.name for path in Path("results", ".studies").rglob("*.lock")] == ["creation.lock"]


def test_a_fit_that_holds_pythons_global_lock_for_two_hours_is_not_lost(bowl, study_file, start_trial):
    bowl("tune bowl --trials 1")
    study = study_file().open()
    trial = start_trial(study, "another-machine:1-there")
    study._storage.record_heartbeat(trial._trial_id)
    with contextlib.closing(sqlite3.connect(display_url(study_file().url))) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-2 hours')")
    queue_lost_trials(study, study_file().url)
    assert study_file().states() == ["COMPLETE", "RUNNING"]


@pytest.mark.parametrize("error", [None, ZeroDivisionError("oops")], ids=["fit ends", "fit raises"])
def test_a_trial_that_another_process_ended_meanwhile_is_no_error(register_bowl, tune, study_file, error):
    fits = iter(range(100))

    def end_trial(*_):
        if next(fits) == 1:
            study_file().open().tell(1, state=optuna.trial.TrialState.FAIL)
            if error:
                raise error

    register_bowl(end_trial)
    assert tune("bowl --trials 4")["trials"] == {"finished": 3, "pruned": 0, "failed": 1}
