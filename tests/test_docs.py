"""The documents name commands, options and make targets that exist."""

import re
from pathlib import Path

import pytest
import typer

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
