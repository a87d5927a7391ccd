"""`cfbench new-plugin`: the package that it writes, and the plugin in docs/plugins.md."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cfbench.cli.new_plugin import FILES
from cfbench.contract import Context, FoldIn, Model, Plugin
from cfbench.runs import registry
from cfbench.testing import CHECKS

ROOT = Path(__file__).parents[2]
PRESETS = "[tiny]\nshrink = 9.0\n[other]\nshrink = 1.0\n"


def python_path(*folders):
    """The environment of a process that imports from `folders` before everything that this process imports from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, folders), *sys.path])}


@pytest.fixture
def new_package(terminal, monkeypatch):
    """A terminal where the package of `new-plugin` is in there/own and has an entry point, as if it were installed."""
    result = terminal("new-plugin shrunken-mean --into there/own")
    assert result.status == 0, result.err
    monkeypatch.syspath_prepend(Path("there/own").absolute())
    point = EntryPoint("shrunken-mean", "cfbench_shrunken_mean.model:PLUGIN", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.locations.cache_clear()
    yield terminal
    monkeypatch.undo()
    registry.locations.cache_clear()
    for name in [name for name in sys.modules if name.startswith("cfbench_shrunken_mean")]:
        del sys.modules[name]


def test_the_new_plugin_passes_every_check_that_applies_to_it(new_package):
    results = json.loads(new_package("check-plugin shrunken-mean --json").out)
    assert [row["check"] for row in results if not row["holds"]] == [
        "can be listed without the libraries it needs",
        "gives the same bits for any seed, if it declares that nothing is random",
        "predicts with and without times, if it uses them",
        "has vectors of users or items that its stored state gives again, if it has any",
        "reports its epochs in order, with true validation errors",
        "reports an honest error if it is fitted to the validation ratings",
        "resumes from a checkpoint to the same bits",
        "fits a given number of epochs exactly as validation chose them",
    ]
    assert all(row["holds"] in (True, None) for row in results)


def test_the_new_plugin_is_listed_run_and_asked_for_recommendations(new_package):
    assert "Shrunken mean: the mean" in new_package("run --help").out
    record = json.loads(new_package("run shrunken-mean --shrink 2 --json").out)
    assert record["request"]["config"] == {"shrink": 2.0}
    assert record["outcome"]["rmse"] < 0.9
    assert "shrunken-mean" in registry.fold_in_plugins()
    Path("ratings.csv").write_text("i3,5\n")
    assert new_package("recommend last --ratings ratings.csv").status == 0


@pytest.mark.parametrize(
    ("flags", "shrink", "message"),
    [("", 9, "preset tiny"), ("--no-preset", 5, "no preset"), ("--preset other", 1, "preset other")],
)
def test_the_preset_named_like_the_data_set_is_the_default(new_package, flags, shrink, message):
    Path("there/own/cfbench_shrunken_mean/model.toml").write_text(PRESETS)
    result = new_package(f"run shrunken-mean {flags} --json")
    assert json.loads(result.out)["request"]["config"] == {"shrink": shrink}
    assert message in result.err


def test_the_page_of_the_new_plugin_shows_its_hyper_parameter_and_presets(new_package):
    Path("there/own/cfbench_shrunken_mean/model.toml").write_text(PRESETS)
    words = " ".join(new_package("plugins shrunken-mean").out.split())
    assert "shrink 5.0 number of ratings at the mean that are added to each item and user (≥ 0;" in words
    assert "tiny shrink 9.0 other shrink 1.0" in words


def test_a_preset_out_of_range_fails_the_check(new_package):
    Path("there/own/cfbench_shrunken_mean/model.toml").write_text("[tiny]\nshrink = -1\n")
    result = new_package("check-plugin shrunken-mean")
    assert result.status == 1
    assert "✗" in result.out
    assert "allow: shrink in the preset: should be greater than or equal to 0, got -1" in result.out


@pytest.mark.usefixtures("new_package")
def test_every_file_of_the_template_is_written_and_complete():
    written = {str(path.relative_to("there/own")) for path in Path("there/own").rglob("*") if path.is_file()}
    written = {name for name in written if "__pycache__" not in name}
    assert written == {place.format(package="cfbench_shrunken_mean") for place in FILES.values()}
    assert {f"{name}.txt" for name in FILES} == {path.name for path in (ROOT / "cfbench/template").iterdir()}
    for name in written:
        assert "$" not in Path("there/own", name).read_text()


@pytest.mark.usefixtures("new_package")
def test_the_written_package_passes_ruff():
    for arguments in (["check"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
        process = subprocess.run(line, cwd="there/own", capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("new_package")
def test_the_written_package_passes_its_own_tests():
    metadata = Path("there/own/cfbench_shrunken_mean-0.1.0.dist-info")
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: cfbench-shrunken-mean\nVersion: 0.1.0\n")
    entry_point = "[cfbench.plugins]\nshrunken-mean = cfbench_shrunken_mean.model:PLUGIN\n"
    (metadata / "entry_points.txt").write_text(entry_point)
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    env = python_path(Path("there/own").absolute())
    process = subprocess.run(line, cwd="there/own", env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout
    assert f"{len(CHECKS) + 2} passed" in process.stdout


@pytest.mark.parametrize("name", ["a", "x1-y2", "class", "a-very-long-name-of-exactly-forty-letters"[:40]])
def test_every_allowed_name_makes_a_package_that_can_be_imported(name, terminal):
    assert terminal(f"new-plugin {name}").status == 0
    module = f"cfbench_{name.replace('-', '_')}.model"
    code = f"import sys; sys.path.insert(0, 'cfbench-{name}'); import {module} as model; model.PLUGIN"
    subprocess.run([sys.executable, "-c", code], check=True, env=python_path())


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("new-plugin Shrunken", 2, "'Shrunken' cannot be the name of a plugin; use a-z, 0-9 and -, such as"),
        ("new-plugin ../x", 2, "'../x' cannot be the name of a plugin"),
        ("new-plugin a_b", 2, "'a_b' cannot be the name of a plugin"),
        ("new-plugin a-", 2, "'a-' cannot be the name of a plugin"),
        (f"new-plugin {41 * 'a'}", 2, "cannot be the name of a plugin"),
        ("new-plugin bias", 2, "plugin 'bias' already exists, in cfbench-recsys"),
        ("new-plugin own --into cards", 2, "cards already exists; choose another folder with --into"),
        ("new-plugin own --into tiny.zip", 2, "tiny.zip already exists"),
        ("new-plugin own --into tiny.zip/x", 1, "tiny.zip"),
        ("check-plugin bais", 2, "no plugin 'bais'; did you mean 'bias'?"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(line, status, message, terminal):
    result = terminal(line)
    assert result.status == status
    assert message in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""


@pytest.mark.slow
def test_a_new_plugin_that_is_installed_in_another_environment_runs_and_passes_its_checks(
    terminal, tmp_path, start_cfbench
):
    assert terminal("new-plugin shrunken-mean").status == 0
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "scratch"], check=True)
    python = tmp_path / "scratch" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (packages,) = tmp_path.glob("scratch/[Ll]ib/**/site-packages")
    base = [str(ROOT), *(path for path in sys.path if "site-packages" in path)]
    (packages / "base.pth").write_text("\n".join(base))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "./cfbench-shrunken-mean"], check=True, capture_output=True)

    def output_of(*line):
        command = start_cfbench(*line, python=python)
        out, err = command.communicate()
        assert command.returncode == 0, out + err
        return out

    facts = json.loads(output_of("plugins", "shrunken-mean", "--json"))
    assert (facts["package"], facts["trouble"]) == ("cfbench-shrunken-mean 0.1.0", "")
    assert list(facts["presets"]) == ["ml-100k"]
    assert "test RMSE" in output_of("run", "shrunken-mean")
    assert "failed" not in output_of("check-plugin", "shrunken-mean")
    assert len(output_of("recommend", "last", "--user", "u1").splitlines()) == 11
    strict = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "-p", "cfbench_shrunken_mean"]
    env = os.environ | {"MYPYPATH": os.pathsep.join([str(ROOT), str(tmp_path / "cfbench-shrunken-mean")])}
    process = subprocess.run(strict, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout


def code_blocks(language):
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "example", [pytest.param(0, id="item-mean"), pytest.param(1, id="factors", marks=pytest.mark.slow)]
)
def test_each_plugin_in_the_documentation_passes_every_check(example, tmp_path):
    names = {"__name__": "page"}
    *examples, tests = code_blocks("python")
    exec(compile(examples[example], "docs/plugins.md", "exec"), names)
    exec(compile(tests, "docs/plugins.md", "exec"), names)
    for number, sentence in enumerate(CHECKS):
        (tmp_path / str(number)).mkdir()
        names["test_the_plugin_passes_the_check"](sentence, tmp_path / str(number))


def test_the_entry_point_and_the_presets_in_the_documentation_are_valid():
    names = {"__name__": "page"}
    exec(compile(code_blocks("python")[0], "docs/plugins.md", "exec"), names)
    announcement, presets = map(tomllib.loads, code_blocks("toml"))
    assert announcement["project"]["entry-points"] == {
        registry.ENTRY_POINTS: {"item-mean": "my_package.item_mean:PLUGIN"}
    }
    for preset in presets.values():
        registry.make_config(names["PLUGIN"], preset, {})


def test_the_documentation_names_every_part_of_the_contract():
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    for part in (*vars(Model), *vars(FoldIn), *Plugin.__dataclass_fields__, *Context.__dataclass_fields__):
        if not part.startswith("_"):
            assert part in page
