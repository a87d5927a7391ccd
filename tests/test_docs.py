"""The documents name commands, options and make targets that exist; each command line that can run here is typed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import typer

from cfbench import cli
from cfbench.cli import app, console, progress
from cfbench.data import card
from cfbench.runs.results import Results

ROOT = Path(__file__).parents[1]
USERS, ITEMS = 150, 220
"""The first ids of the small data sets, so that user 196 and item 242 of the documents exist."""

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/*.md")])
COMMAND = re.compile(r"(?:^ {4}|`)(cfbench [a-z][^`#\n]*)", re.MULTILINE)


def documented_commands():
    """The command lines of code blocks and of texts between backticks."""
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


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_every_link_in_a_document_leads_to_a_file(file):
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []


NO_CODES = "the run of these tests is one of bias, without codes; see test_embed.py and test_similar.py"
CANNOT_RUN = {
    "cfbench board --dataset ml-1m": "it fills a terminal; see tests/cli/board",
    "cfbench board": "it fills a terminal; see tests/cli/board",
    "cfbench tune PLUGIN --dataset ml-1m --trials 25 --budget 8m --then-run --seeds 3": "see test_workers.py",
    "cfbench embed RUN --out codes.parquet": NO_CODES,
    "cfbench similar RUN --item 50": NO_CODES,
    "cfbench similar RUN --item ID|--user ID": NO_CODES,
    "cfbench embed RUN --plot codes.svg": NO_CODES,
    "cfbench export model last --out model.onnx": "the last run is of no network; see test_model_export.py",
    "cfbench export model RUN --out model.onnx": "the run of these tests is of no network; see test_model_export.py",
    "cfbench export model RUN --out FILE": "the ending of the file says what it holds; see test_model_export.py",
    "cfbench plot curves RUN RUN --out curves.pdf": "bias learns without epochs; see test_plot.py",
    "cfbench run deepae --energy": "codecarbon takes seconds; see test_energy.py",
    "cfbench bench deepae": "it measures for minutes; test_speed.py measures less",
    "cfbench experiment report --format md": "it needs the card of the Netflix Prize; see test_experiment.py",
    "cfbench download netflix": "it downloads 700 MB",
    "cfbench download netflix --from-file PATH": "it needs the Netflix Prize; test_netflix.py reads synthetic archives",
    "cfbench run deepae --dataset netflix --split full --device cuda": "it needs the Netflix Prize and a GPU",
    "cfbench run deepae --refeed 1 --device cuda": "it needs a GPU",
    "cfbench bench deepae --device cuda": "it needs a GPU",
    "cfbench tune --all --budget 30m --then-run --seeds 3": "it takes hours; see tests/cli/test_tune.py",
    "cfbench tune deepae --timeout 2h --workers 4 --fix epochs=40 --range lr=1e-3:1e-1:log": "it takes two hours",
    "cfbench synth netflix --scale 1": "it makes up 100 million ratings",
    "cfbench serve": "it serves until Ctrl-C; see test_serve.py",
    "cfbench serve --dataset ml-1m": "it serves until Ctrl-C; see test_serve.py",
    "cfbench compare --plugin deepae --fail-if-worse 20261124-163217-deepae-3260 --by .001": "it names an own run",
}
NAMES_ONLY = {"check-plugin", "embed", "export", "import", "import-predictions", "new-plugin", "plot", "runs discard",
              "runs rm", "show", "similar", "tune"}  # fmt: skip
"""Documents name these commands without their arguments."""
LONG = re.compile(
    r"\b(deepae|tune|als|svd|synth|check-plugin|bench|jester|recommend|sweep|clusters|ranking|tensorboard|mlflow|plot)\b"
)
"""What tunes, trains with torch, loads a tracker, computes for seconds or draws."""
TRAINS = re.compile(r"cfbench experiment run\b")
"""A grid of an experiment takes from minutes to days; tests/cli/test_experiment.py makes a small one."""
VALUES = {"PLUGIN": "bias", "RUN": "bias", "FILE": "new-user.csv"}
NAMES = {"check-plugin": "bias", "datasets": "ml-1m", "download": "ml-1m", "new-plugin": "another-model",
         "plot": "bias-ml-100k-random90", "plugins": "bias", "run": "bias", "rm": "ml-1m"}  # fmt: skip
IMPORT_N3M = "cfbench import Netflix/N3M --format deeprecommender --name n3m"
EARLIER = {
    "cfbench datasets paper": "cfbench import train.csv --test test.csv --valid valid.csv --name paper",
    "cfbench import-predictions preds.txt --plugin-name reference --dataset n3m": IMPORT_N3M,
}
"""A line that needs another one before it."""
FASTER = {"--trials": "2", "--seeds": "1"}
"""Values that make the same command line shorter."""


def typed(line):
    """The arguments of a documented line, with a value for each placeholder."""
    words = shlex.split(line)[1:]
    name = "bias-ml-100k-random90" if words[:2] == ["studies", "rm"] else NAMES.get(words[0], "")
    if words[:2] == ["datasets", "rm"]:
        name = NAMES["rm"]
    values = VALUES | {"NAME": name}
    if "--fail-if-worse" in words:
        values["RUN"] = "mean"  # which bias beats
    words = [FASTER.get(before, values.get(word, word)) for before, word in zip(["", *words], words, strict=False)]
    words += ["--fix", "epochs=2"] if words[:2] == ["tune", "deepae"] else []
    return words + (["--yes"] if "rm" in words or "discard" in words else [])


def parameters():
    """Each line that can run, marked if it takes long."""
    left_out = CANNOT_RUN.keys() | {f"cfbench {name}" for name in NAMES_ONLY}
    lines = [
        line
        for line in documented_commands()
        if line not in left_out and "|" not in line and not (TRAINS.match(line) and "--dry-run" not in line)
    ]
    return [pytest.param(line, marks=pytest.mark.slow if LONG.search(line) else ()) for line in lines]


def run(*words):
    """Run a command line in this process, and return its exit status."""
    with pytest.raises(SystemExit) as exit_info:
        cli.main([str(word) for word in words])
    return exit_info.value.code


def write_files():
    """Write the files that documents name, from the parts of the small data set."""
    for part in ("train", "valid", "test"):
        assert run("export", "split", "--no-titles", "--part", part, "--out", f"{part}.csv") == 0
    parts = [pl.read_csv(f"{part}.csv").select("user", "item", "rating", part=pl.lit(part))
             for part in ("train", "valid", "test")]  # fmt: skip
    pl.concat(parts).write_csv("ratings.csv")
    parts[2].select("user", "item", prediction=pl.lit(3.0)).write_csv("theirs.csv")
    for part, table in zip(("train", "valid", "test"), parts, strict=True):
        lines = table.select("user", "item", "rating")
        Path(f"Netflix/N3M_{part.upper()}").mkdir(parents=True)
        for file in (f"ml.{part}", f"Netflix/N3M_{part.upper()}/n3m.{part}.txt"):
            lines.write_csv(file, separator="\t", include_header=False)
    predicted = parts[2].select("user", "item", pl.lit(3.0), "rating")
    predicted.write_csv("preds.txt", separator="\t", include_header=False)
    parts[0].select("item", "rating").unique("item").head(3).write_csv("new-user.csv", include_header=False)
    grid = [[99 if (user + item) % 3 == 0 else (user * item) % 5 for item in range(8)] for user in range(30)]
    Path("jester.csv").write_text("".join(f"8,{','.join(map(str, row))}\n" for row in grid), "utf-8")
    experiments = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    (own,) = re.findall(r"```toml\n(name = .*?)```", experiments, re.DOTALL)
    Path("mine.toml").write_text(own, "utf-8")
    Path("night.toml").write_text('datasets = ["ml-100k"]\n[[plugins]]\nname = "bias"\n', "utf-8")


def interrupt_a_run():
    def stop(self, run):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", stop)
        assert run("run", "mean") == 130


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_files_as):
    """A folder with three data sets, a finished and an interrupted run, a study, and the files of the documents."""
    world = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        enter(world, patch)
        names = ("ml-25m", "ml-1m", "ml-100k")
        tiny_files_as(world, names, USERS, ITEMS)
        for name in names:
            assert run("download", name) == 0
        write_files()
        assert run("tune", "bias", "--trials", "1") == 0
        interrupt_a_run()
        for words in (["mean", "--seed", "1"], ["bias"]):
            assert run("run", *words) == 0
    return world


def enter(world, patch):
    patch.setattr(card, "SHIPPED_FOLDER", world / "cards")
    patch.setenv("CFBENCH_DATA", str(world / "home"))
    patch.delenv("CFBENCH_RESULTS", raising=False)
    patch.setenv("COLUMNS", "120")
    patch.chdir(world)
    for cached_console in (console.out, console.err):
        cached_console.cache_clear()


@pytest.mark.parametrize("line", parameters())
def test_a_documented_command_line_works(line, world, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "world"
    shutil.copytree(world, copy)
    enter(copy, monkeypatch)
    words = typed(line)
    if line in EARLIER:
        assert run(*typed(EARLIER[line])) == 0
    if "--resume" in words:
        (stopped,) = Results(Path("results")).unfinished()
        words[words.index("--resume") + 1] = stopped
    assert run(*words) == 0, capsys.readouterr().err


def test_every_line_that_cannot_run_is_still_documented():
    documented = {line.removeprefix("cfbench ") for line in documented_commands()}
    assert {line.removeprefix("cfbench ") for line in CANNOT_RUN} <= documented
    assert NAMES_ONLY - documented <= {"tune"}


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_shell_starts_a_shell_that_finds_cfbench(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "cfbench"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cfbench "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = os.environ | {"SHELL": "/bin/sh", "PYTHONPATH": str(ROOT)}
    shell = subprocess.run(
        ["make", "-s", "-o", ".venv/.user", "shell"], cwd=tmp_path, env=environment, input="command -v cfbench\n",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(program) in shell.stdout
