"""`cfbench plugins`: what is listed, what is wrong with it, and one plugin in detail; and the shell's completion."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cfbench.plugins.bias import PLUGIN as BIAS
from cfbench.runs import registry


@pytest.fixture
def several(terminal, monkeypatch):
    """A sound plugin, one whose library is missing, one that cannot be imported, one with broken presets."""
    modules = {
        "needy": "PLUGIN = replace(BIAS, title='a needy model', needs={'nobodys': 'cfbench-recsys[bayes]'})",
        "failing": "raise RuntimeError('it fell over')",
        "presetless": "PLUGIN = BIAS",
    }
    before = '"""About it."""\nfrom dataclasses import replace\nfrom cfbench.plugins.bias import PLUGIN as BIAS\n'
    for name, text in modules.items():
        Path(f"{name}_of_tests.py").write_text(before + text)
    Path("presetless_of_tests.toml").write_text("lr = ")
    monkeypatch.syspath_prepend(Path.cwd())
    known = {name: registry.PluginLocation(name, f"{name}_of_tests", package="their-package 1.0") for name in modules}
    known["bias"] = replace(registry.locate("bias"), shadowed=("another 2.0",))
    monkeypatch.setattr(registry, "locations", lambda: known)
    yield terminal
    for name in modules:
        sys.modules.pop(f"{name}_of_tests", None)


def test_what_cannot_be_used_is_listed_with_the_reason(several):
    said = several("plugins")
    assert said.status == 0
    words = " ".join(said.out.split())
    assert "needs nobodys, not installed here; install with: pip install 'cfbench-recsys[bayes]'" in words
    assert "a needy model" in words
    assert "'failing' cannot be imported: RuntimeError: it fell over; it comes from their-package 1.0" in words
    assert "presets of plugin 'presetless'" in words
    assert "another 2.0 offers a plugin of this name too; it is passed over" in words
    assert "Koren" in words
    told = {row["name"]: row for row in json.loads(several("plugins --json").out)}
    assert told["bias"]["trouble"] == ""
    assert told["needy"]["missing"] == {"nobodys": "cfbench-recsys[bayes]"}
    assert told["failing"]["title"] == "About it."
    assert told["failing"]["package"] == "their-package 1.0"
    assert all(told[name]["trouble"] for name in ("needy", "failing", "presetless"))


@pytest.mark.parametrize("line", ["run needy", "run needy --help", "check-plugin needy"])
def test_what_cannot_be_used_says_so_in_one_line_when_asked_for(several, line):
    said = several(line)
    assert (said.status, said.out) == (1, "")
    assert said.err == (
        "error: plugin 'needy' needs nobodys, not installed here; install with: pip install 'cfbench-recsys[bayes]'\n"
    )


def test_a_stored_run_whose_plugin_can_no_longer_be_used_says_so_when_it_is_asked(terminal, monkeypatch):
    from cfbench.plugins import bias

    terminal("run bias")
    monkeypatch.setattr(bias, "PLUGIN", replace(BIAS, needs={"nobodys": "nobodys"}))
    for line in ("predict last u1,i1", "recommend last --user u1"):
        assert (
            "plugin 'bias' needs nobodys, not installed here; install with: pip install nobodys" in terminal(line).err
        )


def test_a_broken_plugin_does_not_keep_the_help_of_run_from_being_shown(several):
    said = several("run --help")
    assert said.status == 0
    assert "failing" in said.out


def test_one_plugin_is_shown_with_its_hyper_parameters_ranges_and_presets(terminal):
    words = " ".join(terminal("plugins deepae").out.split())
    for part in (
        "deepae: deep autoencoder with dense re-feeding", "Kuchaiev", "from cfbench-recsys",
        "computes on the CPU or a GPU", "dropout 0.8 rate on the code (≥ 0; < 1; tuned over 0–0.9)",
        "hidden 512,512,1024 sizes of the encoder's layers", "paper-full hidden 512,512,1024; dropout 0.8;",
    ):  # fmt: skip
        assert part in words
    told = json.loads(terminal("plugins deepae --json").out)
    assert told["hyper_parameters"]["dropout"]["tunable"] == {
        "low": 0, "high": 0.9, "log": False, "step": None, "choices": [],
    }  # fmt: skip
    assert told["presets"]["paper-full"]["hidden"] == [512, 512, 1024]


def test_a_plugin_in_trouble_is_shown_as_far_as_it_is_known(several):
    said = several("plugins failing")
    assert said.status == 0
    assert "failing: About it." in said.out
    assert "it fell over" in said.out


def test_an_unknown_plugin_has_a_near_miss(terminal):
    assert "no plugin 'bais'; did you mean 'bias'?" in terminal("plugins bais").err


@pytest.mark.parametrize("line", ["plugins", "plugins deepae", "check-plugin bias"])
def test_pages_fit_80_columns_and_have_no_colours_when_piped(terminal, monkeypatch, line):
    from cfbench.cli import console

    monkeypatch.setenv("COLUMNS", "80")
    console.out.cache_clear()
    said = terminal(line)
    assert "\x1b" not in said.out
    if line == "plugins":
        assert max(map(len, said.out.splitlines())) <= 80


def completed(line):
    """What the shell offers at the end of a line."""
    env = os.environ | {
        "_CFBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1),
    }  # fmt: skip
    code = "from cfbench import cli; cli.main()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert not done.stderr
    return set(done.stdout.split())


def test_the_shell_completes_plugins_runs_and_data_sets(terminal):
    terminal("run bias")
    (run,) = re.findall("2[0-9]+-[0-9]+-bias-[0-9a-f]+", terminal("show last").out)[:1]
    assert {"bias", "deepae"} <= completed("cfbench run ")
    assert completed("cfbench run b") >= {"bias"}
    assert "--item-reg" in completed("cfbench run bias --it")
    assert completed("cfbench plugins bi") == {"bias"}
    assert "bias" in completed("cfbench check-plugin ")
    for command in ("show", "predict", "recommend"):
        assert completed(f"cfbench {command} ") == {"last", run}
    assert completed(f"cfbench show --results elsewhere {run[:4]}") == set()
    assert "ml-100k" in completed("cfbench run bias --dataset ml-1")
    assert completed("cfbench run deepae --preset paper-3") == {"paper-3m"}
    assert completed("cfbench tune deepae --preset paper-f") == {"paper-full"}
    assert completed("cfbench run bias --dataset ml-100k --split u") == {"u1", "u2", "u3", "u4", "u5"}
    assert completed("cfbench compare --dataset ml-1m --split 5") == {f"5fold-{fold}" for fold in range(1, 6)}
    assert completed("cfbench bench deepae --device cu") == {"cuda", "cuda:0"}


def test_the_shell_completes_interrupted_runs(terminal):
    hidden = Path("results/.unfinished/20260101-000000-bias-abcd")
    hidden.mkdir(parents=True)
    (hidden / "request.json").touch()
    assert completed("cfbench run --resume 2") == {hidden.name}
