"""Studies: they are created once, resume under the same plan only, and count each trial once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import optuna
import pytest
from pydantic import Field

from cfbench.errors import UsageError
from cfbench.runs import registry
from cfbench.tuning import database
from cfbench.tuning.database import open_storage
from cfbench.tuning.study import FACTS, open_or_create


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--seed 5", "has seed 0, but this command has 5"),
        ("--split random80", "has split random90, but this command has random80"),
        ("--range x=0:1", "has range of x 0–5, but this command has 0–1"),
        ("--fix x=1", "has range of x 0–5, but this command has none"),
        ("--fix size=2", "has starting size 7, but this command has 2"),
    ],
)
def test_a_study_does_not_resume_under_another_plan(bowl, option, message):
    assert bowl("tune bowl --trials 1 --study mine").status == 0
    answer = bowl(f"tune bowl --trials 2 --study mine {option}")
    assert answer.status == 2
    assert answer.err == f"error: study 'mine' {message}; start another study with --study NAME\n"


def test_a_study_does_not_resume_under_another_version_of_the_plugins_package(bowl, monkeypatch):
    bowl("tune bowl --trials 1")
    location = registry.PluginLocation("bowl", "cfbench.plugins.bias", package="other 2.0")
    monkeypatch.setattr(registry, "locate", lambda _: location)
    assert "has package cfbench-recsys" in bowl("tune bowl --trials 2").err


def test_a_study_does_not_resume_with_other_ratings_under_the_same_name(bowl, study_file, make_plan):
    bowl("tune bowl --trials 1")
    study = study_file()
    plan = make_plan().model_copy(update={"fingerprint": "f" * 64})
    with pytest.raises(UsageError, match=r"has split fingerprint [0-9a-f]{12}, but this command has f{12}"):
        open_or_create(study.name, study.url, plan)


def test_a_study_resumes_from_its_own_start_config_after_its_best_config_became_the_preset(bowl, tune):
    first = tune("bowl --trials 6 --save-preset")
    assert first["improvement"] > 0
    again = tune("bowl --trials 12 --save-preset")
    assert sum(again["trials"].values()) == 12
    assert again["start"] == first["start"]
    assert again["best"]["valid_rmse"] <= first["best"]["valid_rmse"]
    other = tune("bowl --trials 1 --study other")
    assert other["start"]["config"] == again["best"]["config"]


def test_a_study_that_started_from_the_defaults_refuses_a_preset_that_is_named(bowl):
    assert bowl("tune bowl --trials 6 --save-preset").status == 0
    answer = bowl("tune bowl --trials 7 --preset tiny")
    assert answer.status == 2
    assert "error: study 'bowl-tiny-random90' has " in answer.err
    assert bowl("tune bowl --trials 7 --no-preset").status == 0


def test_a_study_whose_start_config_the_plugin_no_longer_accepts_is_an_error_of_one_line(
    bowl, bowl_plugin, register_bowl
):
    assert bowl("tune bowl --trials 1 --fix size=9").status == 0

    class NarrowerConfig(bowl_plugin.config):
        size: int = Field(7, le=8, description="9 is no longer accepted")

    register_bowl(config=NarrowerConfig)
    answer = bowl("tune bowl --trials 2")
    assert answer.status == 2
    message = "has starting size 9, but this command has 7; start another study with --study NAME"
    assert answer.err == f"error: study 'bowl-tiny-random90' {message}\n"


def test_a_fixed_value_stays_fixed_when_the_study_resumes(bowl, tune):
    assert tune("bowl --trials 2 --fix size=2")["best"]["config"]["size"] == 2
    assert "has fixed size, but this command has none" in bowl("tune bowl --trials 3").err
    assert "has starting size 2, but this command has 3" in bowl("tune bowl --trials 3 --fix size=3").err
    assert tune("bowl --trials 3 --fix size=2")["best"]["config"]["size"] == 2


def open_together(study, plans):
    """Open one study under each plan at the same moment, and return what each of them raised, else None."""
    together = Barrier(len(plans))

    def open_one(plan):
        together.wait()
        try:
            open_or_create(study.name, study.url, plan)
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            return error
        return None

    with ThreadPoolExecutor(len(plans)) as pool:
        return list(pool.map(open_one, plans))


def test_processes_that_begin_the_same_study_together_queue_one_start(bowl, study_file, make_plan):
    study, plan = study_file("s"), make_plan()
    assert open_together(study, [plan] * 6) == [None] * 6
    assert [trial.user_attrs for trial in study.trials()] == [{"start": True}]


def test_of_two_processes_that_begin_different_studies_under_one_name_one_gets_an_error(bowl, study_file, make_plan):
    study, plan = study_file("s"), make_plan()
    errors = open_together(study, [plan, plan.model_copy(update={"seed": 5})])
    (error,) = [error for error in errors if error]
    assert isinstance(error, UsageError)
    assert str(error).startswith("study 's' has seed ")
    assert len(study.trials()) == 1


def test_a_process_that_keeps_a_database_locked_is_an_error_of_one_line_and_no_hang(bowl, study_file, monkeypatch):
    monkeypatch.setattr(database, "SECONDS_TO_CREATE", 0.2)
    with database.creation_lock(study_file().url):
        answer = bowl("tune bowl --trials 1")
    assert answer.status == 1
    assert answer.err.startswith("error: another process has kept ")
    assert answer.err.endswith("bowl-tiny-random90.db locked for 0.2 seconds; try again later\n")


def test_a_study_whose_creation_was_killed_still_gets_its_start(bowl, study_file, make_plan):
    study, plan = study_file("s"), make_plan()
    created = optuna.create_study(storage=open_storage(study.url), study_name="s")
    created.set_user_attr(FACTS, plan.facts())
    open_or_create("s", study.url, plan)
    assert [trial.user_attrs for trial in study.trials()] == [{"start": True}]


@pytest.mark.slow
def test_the_number_of_trials_is_the_total_of_all_commands(bowl, study_file):
    bowl("tune bowl --trials 3")
    first = [trial.params for trial in study_file().trials()]
    answer = bowl("tune bowl --trials 5")
    assert "resumes after 3 trials" in answer.err
    assert [trial.params for trial in study_file().trials()][:3] == first
    assert len(study_file().trials()) == 5
    bowl("tune bowl --trials 5")
    assert len(study_file().trials()) == 5


def test_the_same_seed_tries_the_same_configs_in_one_command_or_in_two(bowl, study_file):
    bowl("tune bowl --trials 12 --study whole")
    bowl("tune bowl --trials 4 --study parts")
    bowl("tune bowl --trials 12 --study parts")
    bowl("tune bowl --trials 3 --study other --seed 1")
    whole, parts, other = (
        [trial.params for trial in study_file(name).trials()] for name in ("whole", "parts", "other")
    )
    assert whole == parts
    assert whole[1:3] != other[1:]
