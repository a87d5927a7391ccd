"""Experiments from the command line, on planted ratings: the planted verdicts, and runs that stop and continue."""

import json
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from cfbench.cli import progress
from cfbench.contract import Config, Plugin
from cfbench.data import card, store
from cfbench.experiments import definition
from cfbench.runs.results import Results
from cfbench.runs.same_run import only_process
from cfbench.runs.setup import configure, new_request

PLANTED = """
name = "planted"
title = "What is known of planted ratings"
setup = "Biases, the mean, and a small network."
panels = [{ curve = "train" }, { measure = "test" }]
[[claims]]
text = "Biases are better than the mean."
kind = "order"
measure = "test"
order = [["biases"], ["mean"]]
[[claims]]
text = "The mean is better than biases."
kind = "order"
measure = "test"
order = [["mean"], ["biases"]]
[[claims]]
text = "A little more regularization changes nothing."
kind = "equal"
measure = "test"
arms = ["biases", "biases, 10.01"]
margin = 0.01
because = "it is far below the noise"
[[claims]]
text = "A huge learning rate diverges."
kind = "diverges"
arms = ["huge rate"]
[[claims]]
text = "A small learning rate is stable."
kind = "stable"
arms = ["network"]
[[claims]]
text = "Training at a small learning rate ends lower than at a huge one."
kind = "order"
measure = "train"
order = [["network"], ["huge rate"]]
[[claims]]
text = "The network has its 115 parameters."
kind = "exact"
arms = ["network"]
items = 20
[common.deepae]
hidden = [4]
epochs = 2
batch_size = 16
dropout = 0.0
refeed = 0
patience = 0
on_divergence = "stop"
[[arms]]
label = "biases"
plugin = "bias"
overrides = { user_reg = 10 }
published = [{ measure = "test", value = 0.5, source = "a figure", approximate = true }]
[[arms]]
label = "biases, 10.01"
plugin = "bias"
overrides = { user_reg = 10.01 }
[[arms]]
label = "mean"
plugin = "mean"
[[arms]]
label = "network"
overrides = { lr = 0.001 }
published = [{ measure = "parameters", value = 184, source = "counted" }]
[[arms]]
label = "huge rate"
overrides = { lr = 1e6 }
[scales.tiny]
seeds = 6
"""
VERDICTS = ["holds", "does not hold", "holds", "holds", "holds", "holds", "holds"]


@pytest.fixture
def planted(terminal):
    """The terminal, where planted.toml is there."""
    Path("planted.toml").write_text(PLANTED.replace("115 parameters", "184 parameters"), encoding="utf-8")
    return terminal


def finished(terminal):
    return sorted(path.parent.name for path in (terminal.folder / "results").glob("*/*/*/*/record.json"))


def verdicts(text):
    [report] = json.loads(text)
    return [verdict["verdict"] for verdict in report["splits"][0]["verdicts"]]


def test_planted_ratings_give_the_planted_verdicts(planted):
    result = planted("experiment run planted.toml --dataset tiny --json")
    assert result.status == 0
    assert verdicts(result.out) == VERDICTS
    assert "planted on tiny: 30 runs, 0 of them already there; the others take about" in result.err
    assert "planted 30/30 'huge rate' on tiny, random90, seed 5: test RMSE – , fitted" in result.err.replace(
        "–,", "– ,"
    )
    runs = finished(planted)
    again = planted("experiment run planted.toml --dataset tiny --json")
    assert again.out == result.out
    assert "30 of them already there" in again.err  # also those that diverged
    assert finished(planted) == runs
    text = planted("experiment report planted.toml").out
    assert [line.split(":")[0].lower() for line in text.splitlines() if line.split(":")[0].isupper()] == VERDICTS
    assert "≈ 0.5" in text
    page = planted("experiment report planted.toml --format md").out
    assert page.startswith("# The paper, tested")
    assert "- **does not hold**: The mean is better than biases.\n  - mean − biases: +" in page
    assert "    cfbench experiment run planted --dataset tiny\n" in page


def test_a_page_shows_the_figures_which_are_the_same_when_they_are_drawn_again(planted):
    planted("experiment run planted.toml --dataset tiny --seeds 2 --quiet")
    line = "experiment report planted.toml --dataset tiny --format md --out pages/page.md --figures pages/figures"
    assert planted(line).err.splitlines() == ["drew 1 figures in pages/figures", "wrote pages/page.md"]
    assert "![What is known of planted ratings, tiny](figures/planted-tiny.svg)" in Path("pages/page.md").read_text()
    drawing, picture = Path("pages/figures/planted-tiny.svg"), Path("pages/figures/planted-tiny.png")
    first = drawing.read_bytes()
    for text in ("huge rate (2 of 2 diverged)", "network", "biases, 10.01", "training RMSE", "the paper's test RMSE"):
        assert text in first.decode(), text
    command = "cfbench experiment report planted.toml --dataset tiny --figures pages/figures"
    assert f"<dc:description>{command}</dc:description>" in first.decode()
    assert command.encode() in picture.read_bytes()
    assert planted(line).status == 0
    assert drawing.read_bytes() == first


def test_a_page_in_a_file_is_one_of_markdown(planted):
    result = planted("experiment report planted.toml --out page.md")
    assert (result.status, "add --format md" in result.err) == (2, True)


def test_runs_of_other_code_do_not_count_and_the_report_says_so(planted):
    planted("experiment run planted.toml --dataset tiny --seeds 1 --quiet")
    for path in (planted.folder / "results").glob("*/*/bias/*/record.json"):
        record = json.loads(path.read_text())
        record["request"]["plugin"]["source"] = "0" * 64
        path.write_text(json.dumps(record))
    out = planted("experiment report planted.toml").out
    assert "3 of 30 runs of planted on tiny, 6 seeds (2 of the others were made by other code of their plugin" in out


def test_a_report_has_the_seeds_that_all_arms_have(planted):
    Path("planted.toml").write_text(Path("planted.toml").read_text().replace("seeds = 6", "seeds = 1"))
    planted("experiment run planted.toml --dataset tiny --quiet")
    planted("run bias --user-reg 10 --seed 1")  # an arm, as another experiment may run it
    assert "5 of 5 runs of planted on tiny, 1 seed" in planted("experiment report planted.toml").out
    planted("experiment run planted.toml --dataset tiny --seeds 2 --quiet")
    assert "10 of 10 runs of planted on tiny, 2 seeds" in planted("experiment report planted.toml").out


def test_a_dry_run_lists_the_runs_and_makes_none(planted):
    lines = planted("experiment run planted.toml --dataset tiny --seeds 2 --dry-run").out.splitlines()
    assert lines[0] == "planted: 'biases' on tiny, random90, seed 0"
    assert len(lines) == 10
    rows = json.loads(planted("experiment run planted.toml --dataset tiny --seeds 1 --dry-run --json").out)
    assert rows[3]["config"]["hidden"] == [4]
    assert finished(planted) == []


def test_ctrl_c_ends_with_a_report_and_the_command_that_continues(planted, monkeypatch):
    original = progress.RunProgress.begin

    def stop_at_the_network(self, run):
        if "deepae" in run:
            raise KeyboardInterrupt
        original(self, run)

    with monkeypatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", stop_at_the_network)
        result = planted("experiment run planted.toml --dataset tiny --seeds 2")
    assert result.status == 130
    assert f"resume it with: cfbench experiment run {planted.folder / 'planted.toml'} --dataset tiny" in result.err
    assert "3 of 10 runs of planted on tiny, 2 seeds; the others: cfbench experiment run /" in result.out
    assert planted("experiment run planted.toml --dataset tiny --seeds 2").status == 0
    assert len(finished(planted)) == 10


def test_no_run_starts_after_the_budget(planted, monkeypatch):
    monkeypatch.setattr("cfbench.cli.experiment.run.GridWork.is_over", property(lambda _: len(finished(planted)) >= 2))
    result = planted("experiment run planted.toml --dataset tiny --budget 1h")
    assert result.status == 0
    assert "the budget is used: 28 of 30 runs of planted are missing; go on with: cfbench experiment run" in result.err
    assert "UNDECIDED: Biases are better than the mean.\n    mean: not run yet" in result.out


def test_a_failed_run_is_told_and_the_others_are_made(planted, register):
    class Broken:
        parameters = 1

        def fit(self, train, valid, context):
            raise RuntimeError("broken")

    register("broken", Plugin("b", "p", Config, lambda _: Broken()))
    Path("planted.toml").write_text(PLANTED.replace('plugin = "mean"', 'plugin = "broken"'), encoding="utf-8")
    result = planted("experiment run planted.toml --dataset tiny --seeds 2")
    assert result.status == 1
    assert "failed: broken on tiny, random90, no preset, seed 1" in result.err
    assert "8 of 10 runs" in result.out


def test_the_list_and_each_experiment_are_shown(terminal):
    listed = terminal("experiment list")
    assert listed.status == 0
    for name in definition.names():
        assert name in listed.out
        shown = terminal(f"experiment show {name}")
        assert shown.status == 0
        assert all(claim.text in shown.out.replace("\n", " ") for claim in definition.load(name).claims)
    assert [row["experiment"] for row in json.loads(terminal("experiment list --json").out)] == definition.names()
    assert json.loads(terminal("experiment show depth --json").out)["title"] == "Going deeper"


def test_the_current_data_set_is_reported_if_the_experiment_names_none_that_is_downloaded(terminal):
    own = PLANTED.replace("[scales.tiny]", '[scales."*"]')
    Path("own.toml").write_text(own, encoding="utf-8")
    assert "0 of 30 runs of planted on tiny, 6 seeds" in terminal("experiment report own.toml").out


def test_wrong_names_and_data_sets_are_refused(planted):
    assert "no experiment 'dept'; did you mean 'depth'?" in planted("experiment show dept").err
    assert "no data set 'tinny'" in planted("experiment run planted.toml --dataset tinny").err
    assert planted("experiment report planted.toml --dataset tinny").status == 2
    assert planted("experiment run planted.toml --budget soon").status == 2


def one_arm(plugin):
    """An experiment with one run."""
    return f"""
name = "of-{plugin}"
title = "{plugin}"
setup = "One arm."
panels = [{{ measure = "test" }}]
[[claims]]
text = "Its training is stable."
kind = "stable"
arms = ["arm"]
[[arms]]
label = "arm"
plugin = "{plugin}"
[scales.tiny]
seeds = 1
"""


def test_runs_that_another_process_makes_come_after_those_of_all_experiments(terminal):
    for plugin in ("mean", "bias"):
        Path(f"{plugin}.toml").write_text(one_arm(plugin))
    tiny, held = store.open_dataset(card.load("tiny")), Event()
    request = new_request(configure("mean", dataset="tiny", flags={}, preset=None), tiny, tiny.split("random90"), 0)

    def hold():
        deadline = time.monotonic() + 30
        with only_process(request, Results(Path("results")), lambda: None):
            held.set()
            while not finished(terminal) and time.monotonic() < deadline:
                time.sleep(0.02)

    other = Thread(target=hold)
    other.start()
    held.wait(30)
    err = terminal("experiment run mean.toml bias.toml --dataset tiny").err
    other.join()
    places = [err.index(text) for text in (
        "of-mean 1/1 'arm' on tiny, random90, seed 0: another process makes this run",
        "of-bias 1/1 'arm' on tiny, random90, seed 0: test RMSE",
        "of-mean 1/1 'arm' on tiny, random90, seed 0: test RMSE",
    )]  # fmt: skip
    assert places == sorted(places)
