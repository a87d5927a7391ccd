"""Sweeps: every combination runs once; a failed run stops no other, and the same command resumes after Ctrl-C."""

import json
from pathlib import Path

import numpy as np
import pytest

from cfbench.cli import progress
from cfbench.contract import Config, Plugin
from cfbench.runs import sweep
from cfbench.runs.results import Results

SWEEP = """
datasets = ["tiny"]
splits = ["random90", "5fold"]
seeds = [0, 1]
[[plugins]]
name = "bias"
overrides = [{}, { user_reg = 3.5 }]
"""
DEEPAE = """
datasets = ["tiny"]
[[plugins]]
name = "bias"
[[plugins]]
name = "deepae"
preset = false
overrides = [{ hidden = [16], epochs = 4, batch_size = 16 }]
"""


class Constant:
    """A model that predicts 3, and fails with seed 1."""

    parameters = 1

    def fit(self, train, valid, context):
        if context.seed == 1:
            raise RuntimeError("seed 1 is\nunlucky")

    def predict(self, pairs):
        return np.full(len(pairs), 3.0, np.float32)

    def state(self):
        return {"three": np.array([3.0])}


@pytest.fixture
def write(terminal):
    """Write the file of a sweep, and return the terminal."""

    def write_file(text):
        Path("s.toml").write_text(text, encoding="utf-8")
        return terminal

    return write_file


def run_ids(terminal):
    """The ids of the finished runs."""
    return sorted(path.parent.name for path in (terminal.folder / "results").glob("*/*/*/*/record.json"))


def test_a_sweep_runs_every_combination_once_and_ends_in_tables(write):
    terminal = write(SWEEP)
    result = terminal("sweep s.toml")
    assert result.status == 0
    assert len(run_ids(terminal)) == 2 * 2 * (1 + 5)
    assert "24/24 bias user_reg=3.5 on tiny, 5fold-5, no preset, seed 1: test RMSE" in result.err
    assert "split random90" in result.out
    assert "split 5fold" in result.out
    again = terminal("sweep s.toml")
    assert again.err.count("already there") == 24
    assert again.out == result.out
    assert len(run_ids(terminal)) == 24


def test_a_dry_run_lists_the_runs_and_makes_none(write):
    terminal = write(SWEEP)
    assert len(terminal("sweep s.toml --dry-run").out.splitlines()) == 24
    rows = json.loads(terminal("sweep s.toml --dry-run --json").out)
    assert rows[-1] == {
        "dataset": "tiny", "split": "5fold-5", "plugin": "bias", "seed": 1, "preset": None, "refit": False,
        "config": {"user_reg": 3.5, "item_reg": 10.0, "sweeps": 10},
    }  # fmt: skip
    assert run_ids(terminal) == []


def test_the_preset_in_use_is_shown_for_every_run_and_for_all_folds(write):
    terminal = write('datasets = ["tiny"]\n[[plugins]]\nname = "deepae"\npreset = "paper-3m"\n')
    assert terminal("sweep s.toml --dry-run").out == "deepae on tiny, random90, preset paper-3m, seed 0\n"
    assert "bias on tiny, split 5fold, no preset, seed 2, cpu" in terminal("run bias --split 5fold --seed 2").err


def test_the_help_shows_a_files_tables_as_toml_writes_them(terminal):
    assert "[[plugins]]" in terminal("sweep --help").out  # double brackets are markup too


def test_a_sweep_as_json_has_every_run_and_every_board(write):
    data = json.loads(write(SWEEP)("sweep s.toml --json").out)
    assert {row["status"] for row in data["runs"]} == {"finished"}
    assert [board["split"] for board in data["boards"]] == ["random90", "5fold"]
    assert [len(board["rows"]) for board in data["boards"]] == [2, 2]


def test_a_run_that_fails_is_recorded_and_the_others_run(write, register):
    register("constant", Plugin("c", "p", Config, lambda _: Constant()))
    terminal = write(
        'datasets = ["tiny"]\nseeds = [0, 1, 2]\n[[plugins]]\nname = "constant"\n[[plugins]]\nname = "bias"\n'
    )
    result = terminal("sweep s.toml")
    assert result.status == 1
    line = (
        "no score: constant on tiny, random90, no preset, seed 1: plugin 'constant' failed in fit: RuntimeError: seed 1"
    )
    assert line in result.err
    assert len(run_ids(terminal)) == 6
    assert "1 more seed not complete" in result.out


def test_a_split_that_cannot_be_cut_fails_only_its_own_runs(write, monkeypatch):
    from cfbench.data.store import Dataset
    from cfbench.errors import SplitError

    real = Dataset.split

    def cut(self, name):
        if name == "last1":
            raise SplitError("no times")
        return real(self, name)

    monkeypatch.setattr(Dataset, "split", cut)
    terminal = write('datasets = ["tiny"]\nsplits = ["last1", "random90"]\n[[plugins]]\nname = "bias"\n')
    result = terminal("sweep s.toml")
    assert result.status == 1
    assert "failed: no times" in result.err
    assert len(run_ids(terminal)) == 1


def test_ctrl_c_in_a_sweep_says_how_to_resume_it_and_the_same_command_does(write, monkeypatch):
    def interrupt(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    terminal = write(DEEPAE)
    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "epoch", interrupt)
        result = terminal("sweep s.toml")
    assert result.status == 130
    assert f"stopped at run 2 of 2; resume it with: cfbench sweep {terminal.folder / 's.toml'}\n" in result.err
    (stopped,) = Results(terminal.folder / "results").unfinished()
    assert terminal("sweep s.toml").status == 0
    assert stopped in run_ids(terminal)  # it was resumed, and no new run was started for it
    assert len(run_ids(terminal)) == 2


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("datasets = [", ["s.toml is not TOML: "]),
        ("datasets = " + "[" * 9999, ["s.toml is not TOML: "]),
        ("", ["s.toml: datasets: Field required", "s.toml: plugins: Field required"]),
        ('datasets = ["tiny"]\nseed = 1\n[[plugins]]\nname = "bias"', ["s.toml: seed: Extra inputs are not permitted"]),
        ('datasets = ["tiyn"]\n[[plugins]]\nname = "bias"', ["no data set 'tiyn'; did you mean 'tiny'?"]),
        ('datasets = ["tiny"]\nsplits = ["randm90"]\n[[plugins]]\nname = "bias"', ["did you mean 'random90'?"]),
        ('datasets = ["tiny"]\n[[plugins]]\nname = "bais"', ["plugin 'bais': no plugin 'bais'; did you mean 'bias'?"]),
        ('datasets = ["tiny"]\n[[plugins]]\nname = "bias"\noverrides = [{ user_rg = 1 }, { user_reg = -1 }]',
         ["plugin 'bias': no hyper-parameter 'user_rg'; did you mean 'user_reg'?"]),
        ('datasets = ["tiny"]\n[[plugins]]\nname = "deepae"\npreset = "papr"', ["plugin 'deepae': no preset 'papr'"]),
    ],
)  # fmt: skip
def test_each_error_of_a_file_is_one_line_before_anything_runs(write, text, messages):
    terminal = write(text)
    result = terminal("sweep s.toml")
    assert (result.status, result.out, run_ids(terminal)) == (2, "", [])
    assert len(result.err.splitlines()) == len(messages)
    for line, message in zip(result.err.splitlines(), messages, strict=True):
        assert message in line


def test_a_missing_file_is_named(terminal):
    assert "cannot read nowhere.toml: No such file or directory" in terminal("sweep nowhere.toml").err


def test_each_override_is_a_config_of_its_own(write):
    write(SWEEP)
    planned = sweep.plan_runs(sweep.read_sweep(Path("s.toml")))
    assert {run.setup.config.user_reg for run in planned} == {15.0, 3.5}
    assert {run.setup.origins["user_reg"] for run in planned} == {"default", "flag"}
