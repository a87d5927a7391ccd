"""The package and its workflows: versions, contents of the wheel, and what the hosted workflows call."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cfbench import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")}


def pinned_versions():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in here}


def direct_dependencies():
    extras = PROJECT["optional-dependencies"].values()
    requirements = map(Requirement, [*PROJECT["dependencies"], *(line for extra in extras for line in extra)])
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


def shell_steps(job):
    return [step["run"] for step in job.get("steps", []) if "run" in step]


def test_the_package_and_pyproject_name_the_same_version():
    assert PROJECT["version"] == __version__


@pytest.mark.parametrize("requirement", direct_dependencies(), ids=str)
def test_constraints_pin_every_direct_dependency_within_its_range(requirement):
    assert requirement.specifier.contains(pinned_versions()[canonicalize_name(requirement.name)])


def test_pre_commit_uses_the_pinned_ruff():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (revision,) = [repo["rev"] for repo in config["repos"] if repo["repo"].endswith("/ruff-pre-commit")]
    assert Version(revision) == pinned_versions()["ruff"]


def test_every_folder_with_modules_is_a_package():
    # setuptools ships only folders with an __init__.py
    folders = {path.parent for pattern in ("*.py", "*/**/*.py") for path in (ROOT / "cfbench").glob(pattern)}
    assert ROOT / "cfbench" / "plugins" in folders
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.slow
@pytest.mark.online
def test_the_wheel_holds_only_cfbench_with_its_plugins_presets_cards_and_template(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("cfbench", "plugins", "datasets"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--outdir", tmp_path, source]
    build = subprocess.run(command, check=False, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    metadata = f"cfbench_recsys-{__version__}.dist-info/"
    folders = os.walk(source / "cfbench", followlinks=True)
    files = {(Path(folder) / name).relative_to(source).as_posix() for folder, _, names in folders for name in names}
    assert {name for name in names if not name.startswith(metadata)} == files
    assert {"cfbench/plugins/deepae.py", "cfbench/plugins/deepae.toml", "cfbench/datasets/ml-100k.toml"} <= files
    assert {"cfbench/py.typed", "cfbench/template/model.py.txt"} <= files


def test_the_workflows_are_ci_package_and_release():
    assert set(WORKFLOWS) == {"ci", "package", "release"}


def test_workflows_call_make_targets_and_scripts_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    commands = "\n".join(step for job in jobs for step in shell_steps(job))
    called = set(re.findall(r"\bmake ([a-z]+)", commands))
    assert {"check", "test", "build"} <= called <= targets
    scripts = re.findall(r"\.ci/\S+", commands)
    assert scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


@pytest.mark.parametrize("workflow", ["ci", "package"])
def test_workflows_test_every_python_that_the_classifiers_name(workflow):
    classifiers = [line.removeprefix("Programming Language :: Python :: ") for line in PROJECT["classifiers"]]
    versions = [version for version in classifiers if re.fullmatch(r"3\.\d+", version)]
    assert WORKFLOWS[workflow]["jobs"]["test"]["strategy"]["matrix"]["python"] == versions
    assert PROJECT["requires-python"] == f">={versions[0]}"


def test_only_the_job_that_publishes_may_write_anything():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}
        for job_name, job in workflow["jobs"].items():
            allowed = {"id-token": "write"} if (name, job_name) == ("release", "publish") else None
            assert job.get("permissions") == allowed


def test_every_job_has_a_time_limit():
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values() if "uses" not in job]
    assert all(job["timeout-minutes"] <= 60 for job in jobs)


def test_a_release_publishes_only_a_package_that_was_built_and_tested():
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["publish"]["needs"] == "package"
    assert jobs["package"]["needs"] == "agree"
    assert WORKFLOWS["package"]["jobs"]["test"]["needs"] == "build"
    assert shell_steps(jobs["publish"]) == []  # a step that runs code could use the token of the job


HOME = PROJECT["urls"]["Homepage"]
RELEASE = {"GITHUB_REF_NAME": f"v{__version__}", "GITHUB_REPOSITORY": HOME.removeprefix("https://github.com/")}


@pytest.mark.parametrize(
    ("environment", "section", "accepted"),
    [
        ({}, __version__, True),
        ({"GITHUB_REF_NAME": "v9.9.9"}, "9.9.9", False),
        ({"GITHUB_REPOSITORY": "somebody/fork"}, __version__, False),
        ({}, "Unreleased", False),
    ],
    ids=["all agree", "another tag", "another repository", "no section in the changelog"],
)
def test_a_release_needs_the_tag_the_repository_and_the_changelog_to_agree(tmp_path, environment, section, accepted):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{section}] - 2026-01-01\n", encoding="utf-8")
    variables = os.environ | {"GITHUB_SERVER_URL": "https://github.com"} | RELEASE | environment
    steps = shell_steps(WORKFLOWS["release"]["jobs"]["agree"])
    statuses = [
        subprocess.run(["bash", "-ec", step], cwd=tmp_path, env=variables, check=False, capture_output=True).returncode
        for step in steps
    ]
    assert (set(statuses) == {0}) == accepted


def test_only_pyproject_names_the_address_of_the_repository():
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob(".github/**/*.*"),
        *ROOT.glob("cfbench/**/*.py"),
    ]
    assert [file for file in documents if HOME.lower() in file.read_text(encoding="utf-8").lower()] == []
    assert all(url.startswith(HOME) for url in PROJECT["urls"].values())


def test_contributing_describes_every_room():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (ROOT / "cfbench").glob("*/__init__.py")]
    assert [room for room in rooms if f"\n| `{room}/` |" not in contributing] == []
