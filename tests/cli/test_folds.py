"""`cfbench run PLUGIN --split 5fold`: a run for each fold, and the mean of their scores."""

import json

import pytest

from cfbench.cli import progress


def test_after_ctrl_c_the_same_command_runs_only_the_folds_that_are_not_finished(terminal, monkeypatch):
    line = "run deepae --hidden 16 --epochs 3 --batch-size 16 --split 5fold"
    epochs = []

    def interrupt(self, epoch):
        epochs.append(epoch)
        if len(epochs) == 5:  # the second epoch of the second fold
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "epoch", interrupt)
        result = terminal(line)
    assert result.status == 130
    assert "stopped in 5fold-2 after epoch 2; the same command resumes it" in result.err
    resumed = terminal(line)
    assert resumed.status == 0
    assert resumed.err.count("already finished") == 1
    assert "mean of 5 folds" in resumed.out


def test_all_folds_are_run_and_their_mean_is_printed(terminal):
    result = terminal("run bias --split 5fold --json")
    data = json.loads(result.out)
    scores = [record["outcome"]["rmse"] for record in data["runs"]]
    assert data["rmse"] == pytest.approx(sum(scores) / 5)
    assert [record["request"]["split"]["name"] for record in data["runs"]] == [f"5fold-{k}" for k in range(1, 6)]
    again = terminal("run bias --split 5fold")
    assert again.out == f"bias on tiny, 5fold: test RMSE {data['rmse']:.4f}, MAE {data['mae']:.4f}, mean of 5 folds\n"
    assert again.err.count("already finished") == 5
    assert json.loads(terminal("compare --split 5fold --json").out)["rows"][0]["rmse"] == pytest.approx(data["rmse"])
