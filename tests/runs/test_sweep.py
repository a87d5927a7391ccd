"""Many runs in one go: sweeps, folds, what is skipped, what fails, what is gone on with."""

import json
from pathlib import Path

import numpy as np
import pytest

from cfbench.cli import console
from cfbench.cli.view import curves
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
    """A model that answers 3, and fails under seed 1."""

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
    def to(text):
        Path("s.toml").write_text(text, encoding="utf-8")
        return terminal

    return to


def kept(terminal):
    return sorted(path.parent.name for path in (terminal.folder / "results").glob("*/*/*/*/record.json"))


def test_a_sweep_runs_every_combination_once_and_ends_in_tables(write):
    terminal = write(SWEEP)
    said = terminal("sweep s.toml")
    assert said.status == 0
    assert len(kept(terminal)) == 2 * 2 * (1 + 5)
    assert "24/24 bias user_reg=3.5 on tiny, 5fold-5, no preset, seed 1: test RMSE" in said.err
    assert "split random90" in said.out
    assert "split 5fold" in said.out
    again = terminal("sweep s.toml")
    assert again.err.count("already there") == 24
    assert again.out == said.out
    assert len(kept(terminal)) == 24


def test_a_dry_run_lists_the_runs_and_makes_none(write):
    terminal = write(SWEEP)
    assert len(terminal("sweep s.toml --dry-run").out.splitlines()) == 24
    rows = json.loads(terminal("sweep s.toml --dry-run --json").out)
    assert rows[-1] == {
        "dataset": "tiny", "split": "5fold-5", "plugin": "bias", "seed": 1, "preset": None,
        "config": {"user_reg": 3.5, "item_reg": 10.0, "sweeps": 10},
    }  # fmt: skip
    assert kept(terminal) == []


def test_the_preset_in_use_is_said_of_every_run_and_of_all_folds(write):
    terminal = write('datasets = ["tiny"]\n[[plugins]]\nname = "deepae"\npreset = "paper-3m"\n')
    assert terminal("sweep s.toml --dry-run").out == "deepae on tiny, random90, preset paper-3m, seed 0\n"
    assert "bias on tiny, split 5fold, no preset, seed 2, cpu" in terminal("run bias --split 5fold --seed 2").err


def test_the_help_shows_a_files_tables_as_toml_writes_them(terminal):
    assert "[[plugins]]" in terminal("sweep --help").out  # double brackets are markup too


def test_a_sweep_as_json_has_every_run_and_every_board(write):
    told = json.loads(write(SWEEP)("sweep s.toml --json").out)
    assert {row["status"] for row in told["runs"]} == {"finished"}
    assert [board["split"] for board in told["boards"]] == ["random90", "5fold"]
    assert [len(board["rows"]) for board in told["boards"]] == [2, 2]


def test_a_run_that_fails_is_recorded_and_the_others_are_made(write, register):
    register("constant", Plugin("c", "p", Config, lambda _: Constant()))
    terminal = write(
        'datasets = ["tiny"]\nseeds = [0, 1, 2]\n[[plugins]]\nname = "constant"\n[[plugins]]\nname = "bias"\n'
    )
    said = terminal("sweep s.toml")
    assert said.status == 1
    assert "no score: constant on tiny, random90, no preset, seed 1: RuntimeError: seed 1 is unlucky" in said.err
    assert len(kept(terminal)) == 6
    assert "1 more seed not complete" in said.out


def test_a_split_that_cannot_be_cut_fails_its_runs_alone(write, monkeypatch):
    from cfbench.data.store import Dataset
    from cfbench.errors import SplitError

    real = Dataset.split

    def cut(self, name):
        if name == "last1":
            raise SplitError("no times")
        return real(self, name)

    monkeypatch.setattr(Dataset, "split", cut)
    terminal = write('datasets = ["tiny"]\nsplits = ["last1", "random90"]\n[[plugins]]\nname = "bias"\n')
    said = terminal("sweep s.toml")
    assert said.status == 1
    assert "failed: no times" in said.err
    assert len(kept(terminal)) == 1


def test_ctrl_c_in_a_sweep_says_how_to_go_on_and_the_same_command_does(write, monkeypatch):
    def interrupt(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    terminal = write(DEEPAE)
    with monkeypatch.context() as patch:
        patch.setattr(console.RunProgress, "epoch", interrupt)
        said = terminal("sweep s.toml")
    assert said.status == 130
    assert "stopped at run 2 of 2; resume it with: cfbench sweep s.toml" in said.err
    (waiting,) = Results(terminal.folder / "results").unfinished()
    assert terminal("sweep s.toml").status == 0
    assert waiting in kept(terminal)  # gone on with, not begun anew
    assert len(kept(terminal)) == 2


def test_ctrl_c_between_folds_keeps_what_is_done(terminal, monkeypatch):
    line = "run deepae --hidden 16 --epochs 3 --batch-size 16 --split 5fold"
    met = []

    def interrupt(self, epoch):
        met.append(epoch)
        if len(met) == 5:  # the second epoch of the second fold
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(console.RunProgress, "epoch", interrupt)
        said = terminal(line)
    assert said.status == 130
    assert "stopped in 5fold-2 after epoch 2; the same command resumes it" in said.err
    whole = terminal(line)
    assert whole.status == 0
    assert whole.err.count("already finished") == 1
    assert "mean of 5 folds" in whole.out


def test_all_folds_are_run_and_their_mean_is_told(terminal):
    said = terminal("run bias --split 5fold --json")
    told = json.loads(said.out)
    each = [record["outcome"]["rmse"] for record in told["runs"]]
    assert told["rmse"] == pytest.approx(sum(each) / 5)
    assert [record["request"]["split"]["name"] for record in told["runs"]] == [f"5fold-{k}" for k in range(1, 6)]
    again = terminal("run bias --split 5fold")
    assert again.out == f"bias on tiny, 5fold: test RMSE {told['rmse']:.4f}, MAE {told['mae']:.4f}, mean of 5 folds\n"
    assert again.err.count("already finished") == 5
    assert json.loads(terminal("compare --split 5fold --json").out)["rows"][0]["rmse"] == pytest.approx(told["rmse"])


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("datasets = [", ["s.toml is not TOML: "]),
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
def test_a_wrong_file_is_told_line_by_line_before_anything_is_run(write, text, messages):
    terminal = write(text)
    said = terminal("sweep s.toml")
    assert (said.status, said.out, kept(terminal)) == (2, "", [])
    assert len(said.err.splitlines()) == len(messages)
    for line, message in zip(said.err.splitlines(), messages, strict=True):
        assert message in line


def test_a_file_that_is_not_there_is_named(terminal):
    assert "cannot read nowhere.toml: No such file or directory" in terminal("sweep nowhere.toml").err


def test_each_override_is_a_config_of_its_own(write):
    write(SWEEP)
    planned = sweep.plan_runs(sweep.read_sweep(Path("s.toml")))
    assert {one.setup.config.user_reg for one in planned} == {15.0, 3.5}
    assert {one.setup.origins["user_reg"] for one in planned} == {"default", "flag"}


# ---- looking at runs


def test_show_draws_the_curve_and_the_errors_by_rating_and_activity(terminal):
    terminal("run deepae --hidden 16 --epochs 3 --batch-size 16")
    said = terminal("show last").out
    assert "RMSE by epoch: · training, • validation" in said
    assert "user's ratings" in said
    assert "█" in said
    told = json.loads(terminal("show last --json").out)
    assert len(told["curve"]) == 3
    assert sum(part["ratings"] for part in told["slices"]["rating"]) == told["request"]["split"]["report"]["test"]


def test_show_without_the_data_shows_the_record(terminal, monkeypatch):
    terminal("run bias")
    monkeypatch.setenv("CFBENCH_DATA", str(terminal.folder / "elsewhere"))
    said = terminal("show last")
    assert "test RMSE" in said.out
    assert "no errors by slice: the ratings of tiny that the run was scored on are not downloaded" in said.err


def test_a_curve_has_its_highest_and_lowest_value_and_every_epoch_a_column():
    epochs = [{"epoch": k, "train_rmse": 2.0 - k / 10, "valid_rmse": 2.0 - k / 20} for k in range(1, 11)]
    lines = curves.draw_curve(epochs, width=60)
    assert lines[0].split() == ["1.9500", "│•"]
    assert lines[11].split() == ["1.0000", "│", "·"]
    assert lines[11].index("·") - lines[11].index("│") == 10
    assert max(map(len, curves.draw_curve(epochs * 50, width=40))) <= 60
    flat = curves.draw_curve([{"epoch": 1, "train_rmse": 1.0, "valid_rmse": None}], width=30)
    assert "·" in flat[0]
    assert "validation" not in flat[-1]


def test_diff_shows_what_differs_and_the_paired_test(terminal):
    terminal("run bias")
    terminal("run bias --user-reg 90")
    first, second = kept(terminal) if "15.0" in terminal(f"show {kept(terminal)[0]}").out else kept(terminal)[::-1]
    said = terminal(f"diff {first} {second}").out
    assert "config user_reg" in said
    assert "item_reg" not in said
    assert "data set" not in said
    told = json.loads(terminal(f"diff {first} {second} --json").out)
    assert told["differing"]["config user_reg"] == [15.0, 90.0]
    one, two = told["differing"]["rmse"]
    assert told["test"]["difference"] == pytest.approx(one - two)
    assert told["test"]["low"] < told["test"]["difference"] < told["test"]["high"]


def test_diff_of_two_splits_has_no_test_and_says_why(terminal):
    terminal("run bias")
    terminal("run bias --split random80")
    said = terminal("diff {} {}".format(*kept(terminal)))
    assert said.status == 0
    assert "no paired test: the runs were scored on different test ratings" in said.err
    assert "random80" in said.out
