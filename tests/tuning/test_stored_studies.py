"""`cfbench studies rm`: a study that no process works on can be removed, with all of its files."""

import json
from pathlib import Path

import pytest

from cfbench.tuning.locks import WorkerLocks

FOLDER = Path("results", ".studies")


def names(terminal, options=""):
    return [row["study"] for row in json.loads(terminal(f"studies --json {options}").out)]


def test_a_study_is_removed_with_all_of_its_files_and_the_others_stay(bowl, tune):
    for name in ("a", "a.db", "b"):
        tune(f"bowl --trials 1 --study {name}")
    answer = bowl("studies rm a --yes")
    assert answer.status == 0
    assert answer.err.startswith("removed study a (1 trial, ")
    assert names(bowl) == ["a.db", "b"]
    assert not [path for path in FOLDER.iterdir() if path.name in {"a.db", "a.db-wal", "a.db-shm", "a.db.locks"}]
    assert tune("bowl --trials 1 --study a")["trials"]["finished"] == 1


def test_the_list_has_the_size_of_each_study(bowl, tune):
    tune("bowl --trials 1 --study a")
    (row,) = json.loads(bowl("studies --json").out)
    assert row["bytes"] == sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file())
    assert f"{row['bytes'] / 1000:.1f} kB" in bowl("studies").out


def test_without_a_terminal_nothing_is_removed_unless_yes_is_given(bowl, tune):
    tune("bowl --trials 1 --study a")
    answer = bowl("studies rm a")
    assert answer.status == 2
    assert "needs --yes" in answer.err
    assert names(bowl) == ["a"]


def test_a_study_in_which_a_process_works_is_not_removed(bowl, tune, study_file, start_trial, dead_process):
    tune("bowl --trials 1 --study a")
    study = study_file("a")
    start_trial(study.open(), dead_process(study))
    start_trial(study.open(), "another-machine:17-there")
    answer = bowl("studies rm a --yes")
    assert answer.status == 1
    assert answer.err == ("error: study a is running in process 17 on another-machine; stop it with Ctrl-C first\n")
    assert names(bowl) == ["a"]


def test_a_study_whose_process_is_between_two_trials_is_not_removed(bowl, tune, study_file):
    tune("bowl --trials 1 --study a")
    with WorkerLocks.of_study("a", study_file("a").url).hold("here"):
        answer = bowl("studies rm a --yes")
    assert answer.status == 1
    assert "study a is running in process " in answer.err
    assert names(bowl) == ["a"]
    assert bowl("studies rm a --yes").status == 0
    assert not list(FOLDER.iterdir())


def test_a_study_whose_process_was_killed_is_removed(bowl, tune, study_file, start_trial, dead_process):
    tune("bowl --trials 1 --study a")
    start_trial(study_file("a").open(), dead_process(study_file("a")))
    assert bowl("studies rm a --yes").status == 0
    assert names(bowl) == []


def test_an_unknown_study_is_an_error_that_suggests_a_known_one(bowl, tune):
    tune("bowl --trials 1 --study mine")
    answer = bowl("studies rm mne --yes")
    assert answer.status == 2
    assert answer.err == "error: no study 'mne'; did you mean 'mine'?\n"


@pytest.mark.parametrize("content", [b"", b"no database, but long enough to look at" * 100], ids=["empty", "damaged"])
def test_a_damaged_study_hides_no_other_and_can_be_removed(bowl, tune, content):
    tune("bowl --trials 1 --study a")
    (FOLDER / "broken.db").write_bytes(content)
    answer = bowl("studies")
    assert answer.status == 0
    assert "bowl" in answer.out
    assert "`cfbench studies rm broken` removes the file" in answer.err
    assert bowl("studies rm broken --yes").status == 0
    assert [path.name for path in FOLDER.glob("broken*")] == []
    assert names(bowl) == ["a"]


def test_a_study_in_a_shared_database_is_removed_alone(bowl, tune):
    for name in ("a", "b"):
        tune(f"bowl --trials 1 --study {name} --storage sqlite:///shared.db")
    assert bowl("studies rm a --storage sqlite:///shared.db --yes").err == "removed study a (1 trial)\n"
    assert names(bowl, "--storage sqlite:///shared.db") == ["b"]


def test_options_before_rm_are_refused_since_they_would_be_ignored(bowl):
    answer = bowl("studies --results elsewhere rm a")
    assert answer.status == 2
    assert "write the options after the command: studies rm --results" in answer.err
