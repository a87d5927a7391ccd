"""A plugin of one's own: written by `new-plugin`, held to the suite by `check-plugin`, found, run, asked."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from cfbench.cli.new_plugin import FILES
from cfbench.contract import Context, FoldIn, Model, Plugin
from cfbench.plugins.bias import Bias, BiasConfig
from cfbench.runs import registry
from cfbench.testing import CHECKS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def own(terminal, monkeypatch):
    """The package that `new-plugin` writes, announced as if it were installed."""
    said = terminal("new-plugin shrunken-mean --into there/own")
    assert said.status == 0, said.err
    monkeypatch.syspath_prepend(Path("there/own").absolute())
    point = EntryPoint("shrunken-mean", "cfbench_shrunken_mean.model:PLUGIN", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.locations.cache_clear()
    yield terminal
    monkeypatch.undo()
    registry.locations.cache_clear()
    for name in [name for name in sys.modules if name.startswith("cfbench_shrunken_mean")]:
        del sys.modules[name]


def test_the_new_plugin_is_found_holds_runs_and_recommends(own):
    held = json.loads(own("check-plugin shrunken-mean --json").out)
    assert [row["check"] for row in held if not row["holds"]] == [
        "can be listed without the libraries it needs",
        "predicts with and without times, if it uses them",
        "reports its epochs in order, with true validation errors",
        "resumes from a checkpoint to the same bits",
    ]
    assert all(row["holds"] in (True, None) for row in held)
    assert "Shrunken mean: the mean" in own("run --help").out
    run = json.loads(own("run shrunken-mean --shrink 2 --json").out)
    assert run["request"]["config"] == {"shrink": 2.0}
    assert run["outcome"]["rmse"] < 0.9
    assert "shrunken-mean" in registry.fold_in_plugins()
    Path("mine.csv").write_text("i3,5\n")
    assert own("recommend last --ratings mine.csv").status == 0


def test_the_preset_of_the_new_plugin_is_used_on_its_data_set_unless_told_otherwise(own):
    Path("there/own/cfbench_shrunken_mean/model.toml").write_text("[tiny]\nshrink = 9.0\n[other]\nshrink = 1.0\n")
    for line, shrink, said_so in (
        ("run shrunken-mean", 9, "preset tiny"), ("run shrunken-mean --no-preset", 5, "no preset"),
        ("run shrunken-mean --preset other", 1, "preset other"),
    ):  # fmt: skip
        said = own(f"{line} --json")
        assert json.loads(said.out)["request"]["config"] == {"shrink": shrink}
        assert said_so in said.err
    words = " ".join(own("plugins shrunken-mean").out.split())
    assert "shrink 5.0 number of ratings at the mean that are added to each item and user (≥ 0;" in words
    assert "tiny shrink 9.0 other shrink 1.0" in words


def test_a_bad_preset_does_not_hold(own):
    Path("there/own/cfbench_shrunken_mean/model.toml").write_text("[tiny]\nshrink = -1\n")
    said = own("check-plugin shrunken-mean")
    assert said.status == 1
    assert "✗" in said.out
    assert "allow: ConfigError: shrink in the preset: should be greater than or equal to 0, got -1" in said.out


def test_every_file_of_the_template_is_written_and_no_name_is_left_open(own):
    written = {str(path.relative_to("there/own")) for path in Path("there/own").rglob("*") if path.is_file()}
    written = {name for name in written if "__pycache__" not in name}
    assert written == {place.format(package="cfbench_shrunken_mean") for place in FILES.values()}
    assert {f"{name}.txt" for name in FILES} == {path.name for path in (ROOT / "cfbench/template").iterdir()}
    for name in written:
        assert "$" not in Path("there/own", name).read_text()


def test_the_written_package_passes_ruff_and_its_own_tests(own):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path("there/own").absolute()), *sys.path])}
    for arguments in (["check"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
        done = subprocess.run(line, cwd="there/own", env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    announced = "cfbench_shrunken_mean-0.1.0.dist-info"
    Path("there/own", announced).mkdir()
    Path("there/own", announced, "METADATA").write_text("Name: cfbench-shrunken-mean\nVersion: 0.1.0\n")
    Path("there/own", announced, "entry_points.txt").write_text(
        "[cfbench.plugins]\nshrunken-mean = cfbench_shrunken_mean.model:PLUGIN\n"
    )
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(line, cwd="there/own", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{len(CHECKS) + 2} passed" in done.stdout


@pytest.mark.parametrize("name", ["a", "x1-y2", "class", "a-very-long-name-of-exactly-forty-letters"[:40]])
def test_what_can_be_a_name_makes_a_package_that_can_be_imported(name, terminal):
    assert terminal(f"new-plugin {name}").status == 0
    module = f"cfbench_{name.replace('-', '_')}.model"
    code = f"import sys; sys.path.insert(0, 'cfbench-{name}'); import {module} as model; model.PLUGIN"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("new-plugin Shrunken", 2, "a plugin cannot be called 'Shrunken'; a name is of a-z, 0-9 and -, such as"),
        ("new-plugin ../x", 2, "a plugin cannot be called '../x'"),
        ("new-plugin a_b", 2, "a plugin cannot be called 'a_b'"),
        ("new-plugin a-", 2, "a plugin cannot be called 'a-'"),
        (f"new-plugin {41 * 'a'}", 2, "a plugin cannot be called"),
        ("new-plugin bias", 2, "there is a plugin 'bias' already, of cfbench-recsys"),
        ("new-plugin mine --into cards", 2, "cards is there already; choose another folder with --into"),
        ("new-plugin mine --into tiny.zip", 2, "tiny.zip is there already"),
        ("new-plugin mine --into tiny.zip/x", 1, "tiny.zip"),
        ("check-plugin bais", 2, "no plugin 'bais'; did you mean 'bias'?"),
    ],
)
def test_what_cannot_be_made_or_checked_is_one_line_that_says_so(line, status, message, terminal):
    said = terminal(line)
    assert said.status == status
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


class Nans(Bias):
    def predict(self, pairs):
        return np.where(pairs.items == 59, np.nan, super().predict(pairs)).astype(np.float32)


class Crashes(Bias):
    def fit(self, train, valid, context):
        raise ZeroDivisionError("by\nzero")


def test_a_plugin_that_breaks_a_rule_is_told_which_and_why_and_ends_with_1(terminal, register):
    register("fake", Plugin("a fake", "none", BiasConfig, Nans))
    said = terminal("check-plugin fake")
    assert said.status == 1
    lines = said.out.splitlines()
    assert len(lines) == len(CHECKS) + 2
    (broken,) = [line for line in lines if line.startswith("✗")]
    sentence = "predicts any pair, also of users and items without training ratings"
    assert broken.endswith(f"{sentence}: 80 of 4800 predictions of predict are not finite")
    assert "21 hold, 5 have nothing to check, 1 do not hold, in " in lines[-1]


def test_a_plugin_that_crashes_is_told_so_in_a_line_a_check(terminal, register):
    register("fake", Plugin("a fake", "none", BiasConfig, Crashes))
    held = json.loads(terminal("check-plugin fake --json").out)
    broken = {row["reason"] for row in held if row["holds"] is False}
    assert broken == {"ZeroDivisionError: by zero"}


def test_the_lines_of_check_plugin_fit_80_columns_of_a_terminal(monkeypatch):
    import io

    from rich.console import Console

    from cfbench.cli import check_plugin, console

    narrow = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", lambda: narrow)
    for sentence in CHECKS:
        check_plugin._show({"check": sentence, "holds": False, "reason": "[x] " + "because " * 20, "seconds": 1234.5})
    lines = narrow.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "[x] because" in lines[1]


@pytest.mark.slow
def test_a_new_plugin_installed_in_an_environment_of_its_own_runs_and_holds(terminal, tmp_path):
    assert terminal("new-plugin shrunken-mean").status == 0
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "scratch"], check=True)
    python = tmp_path / "scratch" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (packages,) = tmp_path.glob("scratch/[Ll]ib/**/site-packages")
    base = [str(ROOT), *(path for path in sys.path if "site-packages" in path)]
    (packages / "base.pth").write_text("\n".join(base))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "./cfbench-shrunken-mean"], check=True, capture_output=True)
    driver = (
        "import sys\nfrom pathlib import Path\nfrom cfbench import cli\nfrom cfbench.data import card\n"
        "card._FOLDER = Path('cards').absolute()\ncli.main(sys.argv[1:])"
    )

    def typed(*line):
        done = subprocess.run([python, "-c", driver, *line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    facts = json.loads(typed("plugins", "shrunken-mean", "--json"))
    assert (facts["package"], facts["trouble"]) == ("cfbench-shrunken-mean 0.1.0", "")
    assert list(facts["presets"]) == ["ml-100k"]
    assert "test RMSE" in typed("run", "shrunken-mean")
    assert "do not hold" not in typed("check-plugin", "shrunken-mean")
    assert len(typed("recommend", "last", "--user", "u1").splitlines()) == 11
    strict = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "-p", "cfbench_shrunken_mean"]
    env = os.environ | {"MYPYPATH": os.pathsep.join([str(ROOT), str(tmp_path / "cfbench-shrunken-mean")])}
    done = subprocess.run(strict, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def blocks_of_the_page(language):
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", [0, 1], ids=["item-mean", "factors"])
def test_each_plugin_in_the_documentation_passes_every_check(example, tmp_path):
    names = {"__name__": "page"}
    *examples, tests = blocks_of_the_page("python")
    exec(compile(examples[example], "docs/plugins.md", "exec"), names)
    exec(compile(tests, "docs/plugins.md", "exec"), names)
    for number, sentence in enumerate(CHECKS):
        (tmp_path / str(number)).mkdir()
        names["test_the_plugin_passes_the_check"](sentence, tmp_path / str(number))


def test_the_entry_point_and_the_presets_in_the_documentation_are_valid():
    names = {"__name__": "page"}
    exec(compile(blocks_of_the_page("python")[0], "docs/plugins.md", "exec"), names)
    announcement, presets = map(tomllib.loads, blocks_of_the_page("toml"))
    assert announcement["project"]["entry-points"] == {
        registry.ENTRY_POINTS: {"item-mean": "my_package.item_mean:PLUGIN"}
    }
    for preset in presets.values():
        registry.configure(names["PLUGIN"], preset, {})


def test_the_documentation_names_every_part_of_the_contract():
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    for part in (*vars(Model), *vars(FoldIn), *Plugin.__dataclass_fields__, *Context.__dataclass_fields__):
        if not part.startswith("_"):
            assert part in page
