"""`cfbench plugins`: the list, the page of one plugin, and plugins that cannot be used."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cfbench.cli import console
from cfbench.plugins import bias
from cfbench.plugins.bias import PLUGIN as BIAS
from cfbench.runs import registry


@pytest.fixture
def broken(terminal, monkeypatch):
    """A terminal with four plugins: bias, one without its library, one that raises, one with broken presets."""
    modules = {
        "needy": "PLUGIN = replace(BIAS, title='a needy model', needs={'nobodys': 'cfbench-recsys[bayes]'})",
        "failing": "raise RuntimeError('it fell over')",
        "presetless": "PLUGIN = BIAS",
    }
    head = '"""About it."""\nfrom dataclasses import replace\nfrom cfbench.plugins.bias import PLUGIN as BIAS\n'
    for name, text in modules.items():
        Path(f"{name}_of_tests.py").write_text(head + text)
    Path("presetless_of_tests.toml").write_text("lr = ")
    monkeypatch.syspath_prepend(Path.cwd())
    places = {name: registry.PluginLocation(name, f"{name}_of_tests", package="their-package 1.0") for name in modules}
    places["bias"] = replace(registry.locate("bias"), shadowed=("another 2.0",))
    monkeypatch.setattr(registry, "locations", lambda: places)
    yield terminal
    for name in modules:
        sys.modules.pop(f"{name}_of_tests", None)


def test_the_list_has_every_plugin_with_its_paper(terminal):
    assert "Kuchaiev" in terminal("plugins").out
    assert {row["name"] for row in json.loads(terminal("plugins --json").out)} >= {"bias", "deepae"}


def test_the_list_says_why_a_plugin_cannot_be_used(broken):
    result = broken("plugins")
    assert result.status == 0
    words = " ".join(result.out.split())
    assert "needs nobodys, not installed here; install with: pip install 'cfbench-recsys[bayes]'" in words
    assert "a needy model" in words
    assert "'failing' cannot be imported: RuntimeError: it fell over; it comes from their-package 1.0" in words
    assert "presets of plugin 'presetless'" in words
    assert "another 2.0 also offers a plugin of this name, which cfbench ignores" in words
    assert "Koren" in words


def test_the_list_as_json_has_what_can_be_read_of_a_broken_plugin(broken):
    rows = {row["name"]: row for row in json.loads(broken("plugins --json").out)}
    assert rows["bias"]["trouble"] == ""
    assert rows["needy"]["missing"] == {"nobodys": "cfbench-recsys[bayes]"}
    assert rows["failing"]["title"] == "About it."
    assert rows["failing"]["package"] == "their-package 1.0"
    assert all(rows[name]["trouble"] for name in ("needy", "failing", "presetless"))


@pytest.mark.parametrize("line", ["run needy", "run needy --help", "check-plugin needy"])
def test_a_command_that_needs_a_missing_library_is_a_one_line_error(broken, line):
    result = broken(line)
    assert (result.status, result.out) == (1, "")
    assert result.err == (
        "error: plugin 'needy' needs nobodys, not installed here; install with: pip install 'cfbench-recsys[bayes]'\n"
    )


@pytest.mark.parametrize("line", ["predict last u1,i1", "recommend last --user u1"])
def test_a_stored_run_whose_plugin_lacks_its_library_is_an_error(terminal, monkeypatch, line):
    terminal("run bias")
    monkeypatch.setattr(bias, "PLUGIN", replace(BIAS, needs={"nobodys": "nobodys"}))
    assert "plugin 'bias' needs nobodys, not installed here; install with: pip install nobodys" in terminal(line).err


def test_a_broken_plugin_does_not_break_the_help_of_run(broken):
    result = broken("run --help")
    assert result.status == 0
    assert "failing" in result.out


def test_the_page_of_a_plugin_shows_hyper_parameters_ranges_and_presets(terminal):
    words = " ".join(terminal("plugins deepae").out.split())
    for part in (
        "deepae: deep autoencoder with dense re-feeding", "Kuchaiev", "from cfbench-recsys",
        "computes on the CPU or a GPU", "dropout 0.8 rate on the code (≥ 0; < 1; tuned over 0–0.9)",
        "hidden 512,512,1024 sizes of the encoder's layers", "paper-full hidden 512,512,1024; dropout 0.8;",
    ):  # fmt: skip
        assert part in words


def test_the_page_of_a_plugin_as_json_has_search_ranges_and_presets(terminal):
    page = json.loads(terminal("plugins deepae --json").out)
    assert page["hyper_parameters"]["dropout"]["tunable"] == {
        "low": 0, "high": 0.9, "log": False, "step": None, "choices": [],
    }  # fmt: skip
    assert page["presets"]["paper-full"]["hidden"] == [512, 512, 1024]


def test_the_page_of_a_broken_plugin_shows_what_can_be_read(broken):
    result = broken("plugins failing")
    assert result.status == 0
    assert "failing: About it." in result.out
    assert "it fell over" in result.out


def test_an_unknown_plugin_gets_the_nearest_name(terminal):
    assert "no plugin 'bais'; did you mean 'bias'?" in terminal("plugins bais").err


@pytest.mark.parametrize("line", ["plugins", "plugins deepae"])
def test_a_pipe_gets_no_colours(terminal, line):
    assert "\x1b" not in terminal(line).out


def test_the_list_fits_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    console.out.cache_clear()
    assert max(map(len, terminal("plugins").out.splitlines())) <= 80
