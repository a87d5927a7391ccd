"""The application: start-up, help, exit statuses and one-line errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cfbench import __version__
from cfbench.cli import app
from cfbench.data import store


def run_python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def test_importing_cfbench_and_its_command_line_loads_no_heavy_library():
    heavy = ["torch", "optuna", "pandas", "polars", "numpy", "pydantic", "requests", "implicit", "surprise"]
    heavy += ["cfbench.api"]
    code = f"import sys, cfbench, cfbench.cli; print([name for name in {heavy} if name in sys.modules])"
    assert run_python("-c", code).strip() == "[]"


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "run --help",
        "compare --help",
        "run bias --help",
        "run bias --no-such-flag 1",
        "plugins bias",
        "datasets ml-100k",
    ],
)
def test_a_command_that_computes_nothing_loads_no_torch(line):
    code = (
        "import sys\nfrom cfbench.cli import main\n"
        f"try: main({line.split()})\nexcept SystemExit: print('torch' in sys.modules)"
    )
    assert run_python("-c", code).strip().endswith("False")


def test_completion_loads_no_torch():
    """The shell's request sets variables; afterwards `sys.modules` shows what the answer needed."""
    code = (
        "import sys\nfrom cfbench.cli import main\ntry: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    request = {"_CFBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "cfbench run bias --it", "COMP_CWORD": "3"}
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | request, capture_output=True, text=True, check=False
    )
    assert "--item-reg" in process.stdout
    assert process.stderr == "False\n"


def test_python_m_cfbench_runs_the_command_line():
    assert run_python("-m", "cfbench", "--version") == f"cfbench {__version__}\n"


def test_version_is_printed(empty_terminal):
    assert empty_terminal("--version").out == f"cfbench {__version__}\n"


@pytest.mark.parametrize("line", ["", "run"])
def test_a_bare_command_prints_its_help(line, empty_terminal):
    result = empty_terminal(line)
    assert result.status == 0
    assert "Usage:" in result.out


def test_the_help_lists_the_commands_in_their_order(empty_terminal):
    words = empty_terminal("--help").out.split()
    places = [words.index(name) for name in ("download", "datasets", "plugins", "sweep", "compare", "doctor")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_list_of_commands_shows_the_first_line_of_each_help(name):
    assert app.COMMANDS[name] == app.load_command(name).help.splitlines()[0]


@pytest.mark.parametrize(
    "command", [[], *([name] for name in app.COMMANDS), ["run", "deepae"], ["runs", "rm"], ["runs", "discard"]]
)
def test_every_command_and_every_option_has_help(command, empty_terminal):
    result = empty_terminal(" ".join([*command, "--help"]))
    assert result.status == 0
    assert "Usage: cfbench" in result.out
    node = typer.main.get_command(app.app)
    context = node.make_context("cfbench", [], resilient_parsing=True)
    for name in command:
        _, node, _ = node.resolve_command(context, [name])
    assert node.help
    for parameter in node.params:
        assert getattr(parameter, "help", ""), f"{command}: {parameter.name} has no help"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_a_help_text_breaks_lines_at_paragraphs_and_examples_only(name):
    command = app.load_command(name)
    for each in (command, *(getattr(command, "commands", None) or {}).values()):
        for paragraph in each.help.split("\n\n"):
            heading, *examples = paragraph.split("\n")
            assert not examples or heading in {"Example:", "Examples:"}
            assert all(re.match("  (cfbench|python|.venv) ?", example) for example in examples)


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("download tiyn", 2, "no data set 'tiyn'; did you mean 'tiny'?; see `cfbench datasets`"),
        ("run deepea", 2, "no plugin 'deepea'; did you mean 'deepae'?; see `cfbench plugins`"),
        ("run deepae --refed 1", 2, "No such option: --refed"),
        ("--json compare", 2, "--json is no option of cfbench itself: options follow the name of their command"),
        ("run deepae --dropout 2", 2, "--dropout: should be less than 1, got '2'"),
        ("run deepae --preset papr-full", 2, "no preset 'papr-full'; did you mean 'paper-full'?; plugin deepae"),
        ("run bias --split randm90", 2, "no split 'randm90'; did you mean 'random90'?; data set tiny"),
        ("run bias --split random90@x", 2, "no split 'random90@x'"),
        ("run bias --device cuda", 2, "bias computes on the CPU only"),
        ("run --resume nope", 2, "no interrupted run 'nope'; there are none yet"),
        ("run --resume nope bias", 2, "--resume takes no plugin"),
        ("show nope", 2, "no run 'nope'; there are none yet"),
        ("show", 2, "Missing argument 'RUN'; see `cfbench show --help`"),
        ("predict last", 2, "nothing to predict: give USER,ITEM pairs or --file PATH"),
        ("predict last 5", 2, "argument '5': expected USER,ITEM, such as 196,242"),
        ("predict last --file nowhere.csv", 2, "cannot read nowhere.csv"),
        ("comper", 2, "No such command 'comper'. Did you mean 'compare'?"),
        ("download tiny --again --from-file other.zip", 1, "other.zip"),
    ],
)
def test_an_error_is_one_line_on_standard_error(line, status, message, terminal):
    result = terminal(line)
    assert result.status == status
    assert message in result.err
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert result.out == ""


def test_every_wrong_hyper_parameter_gets_its_own_line(terminal):
    result = terminal("run deepae --dropout 2 --lr -1 --hidden x")
    assert result.status == 2
    assert len(result.err.splitlines()) == 3


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system in which no folder can be created")
def test_a_results_folder_that_cannot_be_created_is_a_one_line_error(terminal):
    result = terminal("run bias --results /proc/x")
    assert result.status == 1
    assert "error: cannot write /proc/x" in result.err
    assert "it cannot be created; choose another folder with --results or CFBENCH_RESULTS" in result.err
    assert "Traceback" not in result.err


def test_ctrl_c_in_a_command_that_cannot_be_resumed_exits_quietly_with_130(terminal, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "open_dataset", interrupt)
    result = terminal("compare")
    assert (result.status, result.err) == (130, "")


def test_ctrl_c_before_the_command_starts_exits_quietly_with_130(terminal, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.main, "get_command", interrupt)
    result = terminal("compare")
    assert (result.status, result.out, result.err) == (130, "", "")


def test_a_closed_pipe_is_no_error(terminal, start_cfbench):
    terminal("run bias")
    command = start_cfbench("show", "last")
    command.stdout.close()
    err = command.stderr.read()
    command.stderr.close()
    command.wait(60)
    assert err == ""
