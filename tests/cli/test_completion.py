"""What the shell offers at the end of a line."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cfbench.cli import main
from cfbench.data import card

SHIPPED_FOLDER = card.SHIPPED_FOLDER


def variables(line):
    """The environment variables by which a shell asks what to offer at the end of a line."""
    return {"_CFBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}


def completed(line):
    """The words that the shell offers at the end of a line."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in variables(line).items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit):
            main([])
    assert not err.getvalue()
    return set(out.getvalue().split())


@pytest.fixture
def shipped_cards(empty_terminal, monkeypatch):
    """The data sets that cfbench ships, of which none is downloaded."""
    monkeypatch.setattr(card, "SHIPPED_FOLDER", SHIPPED_FOLDER)


@pytest.mark.usefixtures("empty_terminal")
def test_a_shell_reads_the_words_from_another_process():
    process = subprocess.run(
        [sys.executable, "-m", "cfbench"], env=os.environ | variables("cfbench run b"), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert not process.stderr
    assert set(process.stdout.split()) == completed("cfbench run b") >= {"bias"}


@pytest.mark.usefixtures("empty_terminal")
def test_plugins_are_completed():
    assert {"bias", "deepae"} <= completed("cfbench run ")
    assert completed("cfbench plugins bi") == {"bias"}
    assert "bias" in completed("cfbench check-plugin ")


@pytest.mark.usefixtures("empty_terminal")
def test_the_flags_of_a_plugin_are_completed():
    assert "--item-reg" in completed("cfbench run bias --it")


def test_experiments_are_completed():
    assert completed("cfbench experiment run d") == {"depth", "dropout"}
    assert "refeed-lr" in completed("cfbench experiment show ")


@pytest.mark.parametrize("command", ["show", "predict", "recommend", "export predictions"])
def test_runs_are_completed(terminal, command):
    terminal("run bias")
    (run,) = re.findall("2[0-9]+-[0-9]+-bias-[0-9a-f]+", terminal("show last").out)[:1]
    assert completed(f"cfbench {command} ") == {"last", run}
    assert completed(f"cfbench {command} --results elsewhere {run[:4]}") == set()


def test_interrupted_runs_are_completed(terminal):
    hidden = Path("results/.unfinished/20260101-000000-bias-abcd")
    hidden.mkdir(parents=True)
    (hidden / "request.json").touch()
    assert completed("cfbench run --resume 2") == {hidden.name}
    assert completed("cfbench runs discard 2") == {hidden.name}


def test_finished_runs_are_completed_for_removal(terminal):
    terminal("run bias")
    (run,) = re.findall("2[0-9]+-[0-9]+-bias-[0-9a-f]+", terminal("show last").out)[:1]
    assert completed("cfbench runs rm ") == {"last", run}


@pytest.mark.usefixtures("shipped_cards")
def test_data_sets_are_completed():
    assert "ml-100k" in completed("cfbench run bias --dataset ml-1")
    assert "ml-100k" in completed("cfbench download ml-1")
    assert "ml-100k" in completed("cfbench datasets ml-1")
    assert completed("cfbench datasets r") == {"rm"}
    assert "ml-100k" in completed("cfbench datasets rm ml-1")


@pytest.mark.usefixtures("empty_terminal")
def test_the_presets_of_the_plugin_on_the_line_are_completed():
    assert completed("cfbench run deepae --preset paper-3") == {"paper-3m"}
    assert completed("cfbench tune deepae --preset paper-f") == {"paper-full"}


@pytest.mark.usefixtures("shipped_cards")
def test_the_splits_of_the_data_set_on_the_line_are_completed():
    assert completed("cfbench run bias --dataset ml-100k --split u") == {"u1", "u2", "u3", "u4", "u5"}
    assert completed("cfbench compare --dataset ml-1m --split 5") == {
        "5fold", *(f"5fold-{fold}" for fold in range(1, 6))
    }  # fmt: skip
    assert {"5fold@1", "5fold@7"} <= completed("cfbench run bias --dataset ml-1m --split 5fold@")
    assert completed("cfbench run bias --dataset ml-1m --split nope@") == set()


@pytest.mark.usefixtures("empty_terminal")
def test_the_values_of_options_and_hyper_parameters_are_completed():
    assert completed("cfbench run deepae --activation s") >= {"selu", "sigmoid"}
    assert completed("cfbench run deepae --lr ") == set()
    assert completed("cfbench runs --status in") == {"interrupted"}
    assert completed("cfbench compare --by user") == {"user-activity"}
    assert completed("cfbench compare --columns plugin,fi") == {"plugin,fit"}
    assert completed("cfbench runs ") == {"rm", "discard"}


def test_users_and_items_of_the_run_are_completed(empty_terminal):
    pairs = [(user, item) for user in range(12) for item in range(15) if (user + item) % 3]
    lines = [f"u{user},i{item},{1 + (user * item) % 5}" for user, item in pairs]
    Path("mine.csv").write_text("user,item,rating\n" + "\n".join(lines))
    assert empty_terminal("import mine.csv --name mine").status == 0
    assert empty_terminal("run bias").status == 0
    assert completed("cfbench recommend last --user u1") == {"u1", "u10", "u11"}
    assert completed("cfbench predict last u1") == {"u1,", "u10,", "u11,"}
    assert completed("cfbench predict last u2,i1") == {"u2,i1", *(f"u2,i{item}" for item in range(10, 15))}
    assert completed("cfbench similar last --item i1") == {"i1", *(f"i{item}" for item in range(10, 15))}
    assert completed("cfbench recommend nope --user u1") == set()
    assert completed("cfbench show last ") == completed("cfbench show ")


def test_figures_complete_their_runs_widths_and_slices(terminal):
    terminal("run bias")
    assert completed("cfbench plot ") == {"curves", "board", "pareto", "slices", "study"}
    assert "last" in completed("cfbench plot board ")
    assert completed("cfbench plot curves --width ") == {"single", "double"}
    assert completed("cfbench plot slices --by u") == {"user-activity"}
