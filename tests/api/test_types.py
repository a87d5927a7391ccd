"""Type checkers see everything that a user's script uses, and report what is not there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [Path(__file__).with_name("user_script.py"), *sorted((ROOT / "examples").glob("*.py"))]
WRONG = 'import cfbench\n\ncfbench.laod("x")\ncfbench.compare("x", metric="rmsee")\ncfbench.run("x", "y").scores.rmes\n'
"""Three errors, on lines 3, 4 and 5."""


@pytest.fixture
def wrong(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(WRONG, encoding="utf-8")
    return file


@pytest.mark.slow
def test_mypy_finds_no_error_in_users_scripts_and_every_error_in_a_wrong_one(tmp_path, wrong):
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\nplugins = pydantic.mypy\n"
        "[mypy-surprise.*]\nignore_missing_imports = True\n",
        encoding="utf-8",
    )

    def check(*files):
        command = [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", *files]
        environment = os.environ | {"MYPYPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    answer = check(*SCRIPTS)
    assert answer.returncode == 0, answer.stdout
    lines = check(wrong).stdout.splitlines()
    assert [line.split(":")[1] for line in lines if ": error:" in line] == ["3", "4", "5"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="needs pyright: pip install pyright")
def test_pyright_finds_no_error_in_users_scripts_and_every_error_in_a_wrong_one(tmp_path, wrong):
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "reportMissingTypeStubs": False}
    lenient = ["MissingTypeStubs", "UnknownMemberType", "UnknownVariableType", "UnknownArgumentType",
               "UninitializedInstanceVariable"]  # fmt: skip
    settings |= {f"report{name}": False for name in lenient}  # of NumPy and of scikit-surprise
    for script in SCRIPTS:
        shutil.copy(script, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable, "-p", tmp_path]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [each for each in json.loads(answer.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    found = [(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in errors]
    assert sorted(set(found)) == [(wrong.name, 3), (wrong.name, 4), (wrong.name, 5)], errors
