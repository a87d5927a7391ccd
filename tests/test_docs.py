"""The documents name commands, options and make targets that exist, and the wheel has all files."""

import itertools
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
import typer

from cfbench import __version__
from cfbench.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/*.md")])
COMMAND = re.compile(r"(?:^ {4}|`)(cfbench [a-z][^`#\n]*)", re.MULTILINE)


def documented_commands():
    return sorted({match.strip() for file in DOCUMENTS for match in COMMAND.findall(file.read_text(encoding="utf-8"))})


def test_commands_are_found_in_the_documents():
    assert "cfbench run deepae --refeed 1 --device cuda" in documented_commands()


@pytest.mark.parametrize("line", documented_commands())
def test_every_command_in_the_documents_exists_with_its_options(line):
    command = typer.main.get_command(app.app)
    context = command.make_context("cfbench", [], resilient_parsing=True)
    words = line.split()[1:]
    while words and hasattr(command, "resolve_command") and re.fullmatch("[a-z][a-z-]*", words[0]):
        _, command, words = command.resolve_command(context, words)
    options = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options | {"--help"}


def test_every_make_target_in_the_documents_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in DOCUMENTS:
        assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", file.read_text(encoding="utf-8"), re.MULTILINE)) <= targets
    assert {"help", "install", "demo", "test", "check", "bench", "build"} <= targets


def two_numbers(version):
    """The first two numbers of a version, so that versions can be compared: (2, 13) for 2.13.0, (4, 0) for 4."""
    numbers = [*map(int, version.split(".")[:2]), 0]
    return tuple(numbers[:2])


def test_the_constraints_pin_every_direct_dependency_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    requirements = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    for requirement in requirements:
        if requirement.startswith(project["name"]):
            continue
        name, least = re.sub(r"\[\w+\]", "", requirement).split(">=")
        assert two_numbers(pinned[name]) >= two_numbers(least)
    assert pinned["torch"] == "2.13.0"
    assert project["version"] == __version__


@pytest.mark.slow
def test_the_wheel_holds_only_cfbench_with_its_plugins_presets_and_cards(tmp_path):
    import subprocess
    import sys

    subprocess.run([sys.executable, "-m", "build", "--outdir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"cfbench", f"cfbench_recsys-{__version__}.dist-info"}
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "cfbench").rglob("*.py")}
    modules |= {f"cfbench/{p.relative_to(ROOT)}" for p in ROOT.glob("plugins/*.*") if p.suffix in {".py", ".toml"}}
    modules |= {f"cfbench/{p.relative_to(ROOT)}" for p in ROOT.glob("datasets/*.toml")}
    assert modules <= set(names)
