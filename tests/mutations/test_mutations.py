"""Mutated files: every command that reads one ends in a result or in one-line errors, and changes no other file."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import os
import random
import shutil
import sqlite3
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from cfbench import cli
from cfbench.data import card, store
from cfbench.report.plain_text import CONTROL
from cfbench.runs import run as harness
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

QUICK, MANY = 7, 180
"""Mutations of each kind of file in the quick tests, and in `make torture`."""


@dataclass
class Outcome:
    """How a command ended."""

    status: object
    out: str
    err: str


def command(line: str) -> Outcome:
    """Run a command line in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(line.split())
        except SystemExit as end:
            status = end.code
    for stream in (out, err):
        stream.flush()
    return Outcome(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


class Stop(harness.SilentRunListener):
    """Presses Ctrl-C after an epoch."""

    def epoch(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt


def make_home(folder: Path) -> None:
    """Fill a folder, the current one, with a file of each kind."""
    for line in (
        "download tiny --from-file tiny.zip", "run bias", "run deepae --hidden 8 --epochs 3 --batch-size 16",
        "run ensemble", "tune bias --trials 2", "export predictions last --out predictions.csv",
        "export ratings --out ratings.csv", "import ratings.csv --name mine", "download tiny",
    ):  # fmt: skip
        outcome = command(line)
        assert outcome.status == 0, outcome
    data = store.open_dataset(card.load("tiny"))
    flags = {"hidden": "8", "epochs": "4", "batch_size": "16"}
    setup = configure("deepae", dataset="tiny", flags=flags, preset=None, device="cpu")
    with contextlib.suppress(harness.InterruptedRunError):
        harness.start(new_request(setup, data, data.split("random90"), 0), data, Results(Path("results")), Stop())
    Path("sweep.toml").write_text('datasets = ["tiny"]\nseeds = [0, 1]\n[[plugins]]\nname = "bias"\n', encoding="utf-8")
    presets = Path(os.environ["CFBENCH_DATA"]) / "presets"
    presets.mkdir()
    (presets / "bias.toml").write_text("[mine]\nuser_reg = 1.0\n", encoding="utf-8")
    (study,) = Path("results/.studies").glob("*.db")
    close_databases()
    with contextlib.closing(sqlite3.connect(study)) as database:
        database.execute("PRAGMA journal_mode = DELETE")


def close_databases() -> None:
    """Close the connections that Optuna keeps open, which would write later."""
    gc.collect()


def read_all() -> dict[Path, bytes | str]:
    """The bytes of each file below the current folder; of a link its target."""
    return {
        path: str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(Path().rglob("*"))
        if path.is_symlink() or path.is_file()
    }


class Home:
    """A folder with everything, which is restored after each mutation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = read_all()

    def matching(self, pattern: str) -> list[Path]:
        """The files of a kind."""
        return sorted(path for path in self.files if path.match(pattern))

    def changes(self) -> set[Path]:
        """The files that are new, changed or gone."""
        now = read_all()
        return {path for path in self.files.keys() | now.keys() if self.files.get(path) != now.get(path)}

    def restore(self) -> None:
        """Undo all changes."""
        for path in self.changes():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if path in self.files:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.files[path])


@pytest.fixture(scope="module")
def home(tmp_path_factory, working_in):
    """The home, in which this process works."""
    folder = tmp_path_factory.mktemp("mutations")
    with working_in(folder):
        make_home(folder)
        yield Home(folder)


def correct_checksum(file: Path) -> None:
    """Write the checksum of a mutated file where it belongs, as an attacker would."""
    if not file.is_file():
        return
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if file.name == "tiny.zip":
        place = Path("cards/tiny.toml")
        text = place.read_text(encoding="utf-8")
        start, size = text.index("sha256:") + 7, text.index("bytes = ")
        text = text[:start] + digest + text[start + 64 :]
        place.write_text(text[:size] + f"bytes = {file.stat().st_size}" + text[text.index("\n", size) :], "utf-8")
    elif file.suffix in {".parquet", ".safetensors"} and (record := file.with_name("record.json")).exists():
        facts = json.loads(record.read_text(encoding="utf-8"))
        facts["files"][file.name] = digest
        record.write_text(json.dumps(facts), encoding="utf-8")


READERS = {
    "results/*/*/*/*/record.json": (
        "show RUN", "show RUN --json", "compare", "compare --json", "compare --all-runs --format csv",
        "compare --pareto", "compare --by rating", "diff RUN last", "diff ensemble RUN --json", "predict RUN u1,i2",
        "recommend RUN --user u1", "export predictions RUN --out /dev/null/x.csv", "show last",
        "compare --format latex", "runs", "runs --json",
    ),
    "results/*/*/*/*/*.parquet": (
        "show RUN", "compare", "compare --by user-activity --json", "diff RUN bias", "show RUN --json",
    ),
    "results/*/*/*/*/model.safetensors": (
        "predict RUN u1,i2", "recommend RUN --user u1 -n 3", "predict ensemble u1,i2",
    ),
    "results/.unfinished/*/request.json": ("compare", "show RUN", "runs", "run --resume RUN"),
    "results/.unfinished/*/record.json": ("compare", "show RUN", "runs --json", "run --resume RUN"),
    "results/.unfinished/*/*.safetensors": ("run --resume RUN",),
    "results/.studies/*.db": ("studies", "studies --json", "studies", "studies --json", "tune bias --trials 2"),
    "cards/tiny.toml": ("datasets", "datasets --json", "datasets tiny", "compare", "show bias", "predict bias u1,i2"),
    "home/datasets/*/*": ("datasets", "datasets tiny --json", "compare", "predict bias u1,i2", "datasets mine"),
    "home/presets/*.toml": ("plugins bias", "plugins bias --json", "run bias --preset mine --dataset nope"),
    "sweep.toml": ("sweep sweep.toml --dry-run", "sweep sweep.toml --dry-run --json"),
    "predictions.csv": ("import-predictions predictions.csv --name other",),
    "ratings.csv": ("import ratings.csv --name mine --force",),
    "tiny.zip": ("download tiny --again --from-file tiny.zip",),
}  # fmt: skip
"""Kinds of files, and commands that read them; RUN is the run that a file belongs to."""
WRITERS = {"run --resume": "results/.unfinished", "import": "home", "download": "home", "tune": "results/.studies"}
"""Commands that write results, and the folder in which they may change what exists."""


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def fault_of(home: Home, mutate, pattern: str, seed: int) -> str:
    """Mutate a file, run a command that reads it, and say what is wrong with what it did; empty if nothing is."""
    rng = random.Random(f"{pattern} {seed}")
    file = rng.choice(home.matching(pattern))
    line = rng.choice(READERS[pattern]).replace("RUN", file.parent.name)
    try:
        mutate(file, rng)
        if rng.random() < 0.7:
            correct_checksum(file)
        before = read_all()
        case = f"{pattern} {seed} ({file}): cfbench {line}"
        try:
            outcome = command(line)
        except BaseException as error:  # noqa: BLE001 (whatever reaches the top is a traceback)
            place = traceback.extract_tb(error.__traceback__)[-1]
            return f"{case}: {type(error).__name__} in {place.name}, {place.filename}: {str(error)[:200]}"
        return _wrong(case, line, outcome, before, file)
    finally:
        if file.suffix == ".db":
            close_databases()
        home.restore()


def _wrong(case: str, line: str, outcome: Outcome, before: dict, file: Path) -> str:
    if outcome.status not in {0, 1, 2}:
        return f"{case}: status {outcome.status}"
    if outcome.status and "error: " not in outcome.err and "no score" not in outcome.err:
        return f"{case}: no error, {outcome}"
    if any(len(text) > 2000 for text in outcome.err.splitlines()):
        return f"{case}: an error of {len(outcome.err)} characters"
    if CONTROL.search(outcome.err) or (CONTROL.search(outcome.out) and "csv" not in line):
        return f"{case}: control characters"
    if outcome.status == 0 and "--json" in line:
        json.loads(outcome.out, parse_constant=refuse)
    wrong = {path for path in _changes(before, line) if not str(path).startswith(str(file))}
    return f"{case}: changed {sorted(map(str, wrong))}" if wrong else ""


def _changes(before: dict, line: str) -> set[Path]:
    """The files that a command has changed, but not those that it may change."""
    after = read_all()
    own = next((folder for words, folder in WRITERS.items() if line.startswith(words)), None)
    free = {Path("home/splits"), *([] if own is None else [Path(own)])}  # splits are kept to save time
    added = after.keys() - before.keys() if own else set()
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return {path for path in changed - added if not free.intersection(path.parents)}


def check(home, mutate, pattern, seeds):
    faults = [fault for seed in seeds if (fault := fault_of(home, mutate, pattern, seed))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("pattern", READERS)
def test_mutated_files_end_in_one_line(home, mutate, pattern):
    check(home, mutate, pattern, range(QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("pattern", READERS)
def test_very_many_mutated_files_end_in_one_line(home, mutate, pattern):
    check(home, mutate, pattern, range(QUICK, QUICK + MANY))
