"""Let several processes run cfbench's commands at random for a while in one folder, and kill some of them.

    python soak.py SECONDS SEED     in a folder that `prepare` of test_torture.py made

Then every interrupted run is resumed, and every command runs once more, alone. What is visible must be whole, no
message may be a traceback, and no leftovers may stay. It prints a line for each fault, and last the number of commands.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from visible import data_sets, runs, trials

SECONDS, SEED = float(sys.argv[1]), int(sys.argv[2])
WORK = Path("work").absolute()
PROCESSES = 4
KILLED = 0.4
"""The share of the commands that are killed or interrupted by Ctrl-C."""
PROGRAM = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
from cfbench import cli
from cfbench.data import card
card.SHIPPED_FOLDER = Path("cards").absolute()
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main(sys.argv[1:])
"""
COMMANDS = [
    "download tiny --again --from-file tiny.zip",
    "import a.csv --name mine --force",
    "import b.csv --name mine --force",
    "run bias --dataset tiny --skip-finished",
    "run bias --dataset tiny --split random80 --seed 1 --skip-finished",
    "run deepae --dataset tiny --hidden 8 --epochs 20 --patience 0 --skip-finished",
    "tune bias --dataset tiny --trials 3",
    "sweep s.toml",
    "compare --dataset tiny",
    "export split --dataset tiny --out out.csv",
    "runs",
    "datasets",
    "studies",
]


def start(line):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *line.split()],
        cwd=WORK, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def complaint(line, status, text, *, alone=False):
    """What is wrong with the end of a command; empty if nothing is."""
    errors = [each for each in text.splitlines() if each.startswith("error: ")]
    if "Traceback" in text:
        return f"{line}: a traceback: {text[-600:]}"
    if status not in ({0} if alone else {0, 1, 130, -signal.SIGKILL, -signal.SIGINT}):
        return f"{line}: status {status}: {text[-300:]}"
    if status == 1 and len(errors) != 1:
        return f"{line}: {len(errors)} lines of errors: {text[-300:]}"
    return ""


class Actor(threading.Thread):
    """Runs one command after the other until the end."""

    def __init__(self, seed, end):
        super().__init__()
        self._random, self._end = random.Random(seed), end
        self.count, self.faults = 0, []

    def run(self):
        while time.monotonic() < self._end:
            line = self._random.choice(COMMANDS)
            process = start(line)
            if self._random.random() < KILLED:
                time.sleep(self._random.uniform(0.2, 6))
                process.send_signal(self._random.choice([signal.SIGKILL, signal.SIGINT]))
            _, text = process.communicate()
            fault = complaint(line, process.returncode, text)
            self.faults += [fault] if fault else []
            self.count += 1


def run_alone(line):
    process = start(line)
    _, text = process.communicate()
    return complaint(line, process.returncode, text, alone=True)


def wrong_things():
    """Repair and repeat everything; give what is wrong."""
    for folder in WORK.glob("results/.unfinished/[!.]*"):
        if folder.exists():
            yield run_alone(f"run --resume {folder.name}")
    for line in COMMANDS:
        yield run_alone(line)
    try:
        names = {name for name, _ in data_sets(WORK)}
        assert names == {"tiny", "mine"}, f"the data sets are {names}"
        assert {plugin for plugin, *_ in runs(WORK)} == {"bias", "mean", "deepae"}
        assert len(trials(WORK)) >= 3
    except (AssertionError, OSError, ValueError) as wrong:
        yield str(wrong)
    hidden = [str(path.relative_to(WORK)) for path in WORK.rglob(".*") if re.search(r"\.cfbench$", path.name)]
    unfinished = [path.name for path in WORK.glob("results/.unfinished/*")]
    yield f"leftovers: {hidden} {unfinished}" if hidden or unfinished else ""


def main():
    shutil.copytree("template", WORK)
    end = time.monotonic() + SECONDS
    actors = [Actor(f"{SEED} {number}", end) for number in range(PROCESSES)]
    for actor in actors:
        actor.start()
    for actor in actors:
        actor.join()
    for fault in [fault for actor in actors for fault in actor.faults] + [each for each in wrong_things() if each]:
        print(fault.replace(os.linesep, " | "))
    print(sum(actor.count for actor in actors))


main()
