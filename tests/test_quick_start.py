"""The quick start of docs/start.md, typed in a fresh clone by a person with nothing but Python, make and a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.online]
ROOT = Path(__file__).parents[1]
INSTALL = "pip install -c constraints.txt ."


@pytest.fixture
def clone(tmp_path):
    """A fresh clone, and a function that types a line in it, in the environment of a new user."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git clone")
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CFBENCH_", "PYTHON", "COV"))}
    folders = [path for path in os.environ["PATH"].split(os.pathsep) if not Path(path, "cfbench").exists()]
    new_user = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.pathsep.join(folders)}

    def type_line(line):
        result = subprocess.run(
            ["sh", "-c", line], cwd=folder, env=kept | new_user, check=False, capture_output=True, text=True
        )
        assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    return type_line


def test_the_demo_trains_two_models_and_its_advice_works(clone):
    page = (ROOT / "docs/start.md").read_text(encoding="utf-8")
    lines = [". .venv/bin/activate", "cfbench show last", "cfbench predict last 196,242"]
    assert all(f"\n    {line}" in page for line in ("make demo", *lines))
    demo = clone(f"make demo PYTHON={sys.executable}")
    assert "MovieLens 100K, split random90" in demo
    assert demo.count("one seed") > 1  # the new run of deepae, and the note below the table
    activate, show, predict = lines
    assert f"{activate[2:].split('/')[0]}/bin/activate" in demo
    assert "deepae" in clone(f"{activate} && {show}")
    assert "Kolya" in clone(f"{activate} && {predict}")
    again = clone(f"make demo PYTHON={sys.executable}")
    assert again.count("\n") < demo.count("\n")  # it installs nothing and skips both runs
    assert clone("git status --porcelain") == ""


def test_pip_alone_installs_it(clone):
    assert f"`{INSTALL}`" in (ROOT / "docs/start.md").read_text(encoding="utf-8")
    clone(f"{sys.executable} -m venv mine && . mine/bin/activate && {INSTALL}")
    assert "deepae" in clone(". mine/bin/activate && cd .. && cfbench plugins")
    assert "test RMSE" in clone(". mine/bin/activate && cd .. && cfbench download ml-100k && cfbench run bias")
