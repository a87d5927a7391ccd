"""The commands that messages advise: each one works when it is pasted into a shell, in any folder.

A command has the path of its program where the shell would not find it, and the folder of the runs where it is not the
default one. It names its data set and its split, because the current data set may have changed when it is pasted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from itertools import takewhile
from pathlib import Path

RESULTS_VARIABLE = "CFBENCH_RESULTS"
DEFAULT_RESULTS = Path("results")
"""The folder of the runs, unless `--results` or the variable names another."""


def command(
    *words: str | Path, dataset: str | None = None, split: str | None = None, results: Path | None = None
) -> str:
    """Return the command line of cfbench with these words and options, quoted for a shell; paths become absolute."""
    texts = list(map(_word, words))
    names = list(takewhile(lambda text: not text.startswith("-"), texts))
    where = ["--dataset", dataset] if dataset else []
    where += ["--split", split] if split else []
    line = [*_program("cfbench"), *names, *where, *texts[len(names) :]]
    if results is not None and (results != DEFAULT_RESULTS or os.environ.get(RESULTS_VARIABLE)):
        line += ["--results", str(results.absolute())]
    return shlex.join(line)


def pip_install(*words: str | Path) -> str:
    """Return the command line that installs these packages where cfbench is installed."""
    return shlex.join([*_program("pip"), "install", *map(_word, words)])


def _word(word: str | Path) -> str:
    return str(word.absolute()) if isinstance(word, Path) else word


def _program(name: str) -> list[str]:
    """The words that start a program of this Python environment: its name if the shell finds it, else its path."""
    called, beside = Path(sys.argv[0]).absolute(), Path(sys.executable).with_name(name)
    script = called if called.name == name and called.is_file() else beside
    if not script.is_file():
        return [sys.executable, "-m", name]
    found = shutil.which(name)
    is_found = found is not None and Path(found).is_absolute() and Path(found).samefile(script)
    return [name if is_found else str(script)]
