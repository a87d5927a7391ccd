"""A command that a message advises works when it is pasted: program, folders and quotes are those of this process."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cfbench import advice


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("CFBENCH_RESULTS", raising=False)


def test_the_default_results_are_not_named_and_others_have_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert advice.command("show", "last", results=Path("results")) == "cfbench show last"
    assert advice.command("show", "last", results=Path("mine")) == f"cfbench show last --results {tmp_path / 'mine'}"
    monkeypatch.setenv("CFBENCH_RESULTS", "elsewhere")  # it would send the pasted command to another folder
    assert advice.command("runs", results=Path("results")) == f"cfbench runs --results {tmp_path / 'results'}"


def test_the_data_set_and_the_split_follow_the_name_of_the_plugin():
    line = advice.command("run", "als", "--seed", "1", dataset="ml-1m", split="random90@7")
    assert line == "cfbench run als --dataset ml-1m --split random90@7 --seed 1"


def test_words_are_quoted_for_a_shell_and_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = advice.command("sweep", Path("a night.toml"), "--range=x=a|b; rm -r $HOME")
    assert shlex.split(line) == ["cfbench", "sweep", str(tmp_path / "a night.toml"), "--range=x=a|b; rm -r $HOME"]
    arguments = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
    ).stdout
    assert arguments.splitlines() == shlex.split(line)


@pytest.mark.parametrize("path", ["/nowhere", "", ".:bin", "/usr/bin"])
def test_a_program_that_the_shell_would_not_find_has_its_path(tmp_path, monkeypatch, path):
    program = tmp_path / "my env" / "bin" / "cfbench"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho it runs\n")
    program.chmod(0o755)
    monkeypatch.chdir(program.parent)
    monkeypatch.setattr(sys, "argv", ["./cfbench"])
    monkeypatch.setenv("PATH", path)
    line = advice.command("doctor")
    assert shlex.split(line) == [str(program), "doctor"]
    assert subprocess.run(["/bin/sh", "-c", line], cwd="/", capture_output=True, check=True).stdout == b"it runs\n"


def test_another_program_of_the_same_name_on_the_path_is_not_meant(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cfbench").write_text("#!/bin/sh\n")
        (tmp_path / name / "cfbench").chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "second" / "cfbench")])
    monkeypatch.setenv("PATH", str(tmp_path / "first"))
    assert advice.command("doctor") == f"{tmp_path / 'second' / 'cfbench'} doctor"
    monkeypatch.setenv("PATH", str(tmp_path / "second"))
    assert advice.command("doctor") == "cfbench doctor"


def test_a_python_without_the_program_starts_the_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert advice.command("doctor") == f"{tmp_path / 'python'} -m cfbench doctor"
    assert advice.pip_install("some[extra]") == f"{tmp_path / 'python'} -m pip install 'some[extra]'"
