"""Repeat a command of cfbench, and each time let one of its steps on the disk fail, or kill it at a random moment.

    python driver.py one|full|size|kill COUNT SEED COMMAND     in a folder that `prepare` of test_torture.py made

A repetition starts from the same files. The command fails in a child process, and then a second child runs it once more
without a fault. The driver prints one line for each fault that left something wrong, and last the number of faults.

    one     a step raises one of the errors below
    full    from a step on, nothing can be created or flushed, as on a full disk
    size    from a step until the next one, no file can grow; this reaches polars, safetensors and SQLite too
    kill    SIGKILL
"""

import errno
import fcntl
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from visible import data_sets, exports, runs, trials

from cfbench import cli
from cfbench.data import card

MODE, COUNT, SEED, COMMAND = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
ERRORS = [errno.EIO, errno.ENOSPC, errno.EFBIG, errno.ESTALE, errno.EDQUOT, errno.EACCES]
TEMPLATE, WORK = Path("template").absolute(), Path("work").absolute()
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CREATE = {"open", "os.mkdir", "fsync"}
"""The steps that need space."""


class Faults:
    """Counts the steps on the disk of this process, and lets those from number `first` on fail."""

    def __init__(self) -> None:
        self.mode, self.first, self.steps, self.failed = "", 0, 0, ""

    def hook(self, event, arguments):
        if not self.mode:
            return
        place = step_place(event, arguments)
        if place:
            self.step(event, place)

    def step(self, event, place):
        number, self.steps = self.steps, self.steps + 1
        if self.mode == "size":
            limit_size(0 if number == self.first else resource.RLIM_INFINITY)
            hit = number == self.first
        else:
            hit = number >= self.first and event in CREATE if self.mode == "full" else number == self.first
        if not hit:
            return
        self.failed = self.failed or f"{event} {place}"
        os.write(3, b"x")  # so that the driver knows that there was a fault
        if self.mode != "size":
            code = errno.ENOLCK if event == "fcntl.flock" else ERRORS[number % len(ERRORS)]
            code = errno.ENOSPC if self.mode == "full" else code
            raise OSError(code, os.strerror(code), place)


def limit_size(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def step_place(event, arguments):
    """The path inside the work folder on which a step works, or nothing if the event is no such step."""
    if event == "open":
        path = arguments[0] if arguments[2] & WRITES else ""
    elif event in {"os.mkdir", "os.remove", "os.rmdir"}:
        folder = arguments[-1]
        path = arguments[0] if folder == -1 else Path(descriptor_path(folder), os.fsdecode(arguments[0]))
    elif event == "os.rename":
        path = arguments[1]
    elif event in {"fcntl.flock", "fsync"}:
        path = "" if event == "fcntl.flock" and arguments[1] & fcntl.LOCK_UN else descriptor_path(arguments[0])
    else:
        return str(WORK) if event == "ctypes.dlsym" and arguments[1] == "renameat2" else ""
    if not isinstance(path, (str, bytes, os.PathLike)) or not path:
        return ""
    absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (pathlib would take a step itself)
    return absolute if absolute.startswith(str(WORK)) else ""


def descriptor_path(descriptor):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 (as above)
    except OSError:
        return ""


faults = Faults()
real_fsync = os.fsync


def fsync(descriptor):
    faults.hook("fsync", (descriptor,))
    real_fsync(descriptor)


def run_in_child(messages, steps, mode, first):
    """Run the command and exit with its status."""
    os.chdir(WORK)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(messages, 2)
    os.dup2(steps, 3)
    os.closerange(4, 64)
    faults.mode, faults.first = mode, first
    try:
        cli.main(COMMAND.split())
    except SystemExit as end:
        os.write(2, f"\nstep {faults.failed}".encode() if faults.failed else b"")
        if mode == "count":
            Path("../modules").write_text("\n".join(sys.modules))
        os.write(3, f"{faults.steps:>8}".encode())
        os._exit(end.code)
    except BaseException:  # noqa: BLE001 (the driver looks for its traceback)
        os.write(2, traceback.format_exc().encode())


def start(mode="", first=0):
    """Start the command in a child; return its process id, and the ends of the pipes for its messages and its steps."""
    messages, steps = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            run_in_child(messages[1], steps[1], mode, first)
        finally:
            os._exit(99)
    os.close(messages[1])
    os.close(steps[1])
    return child, messages[0], steps[0]


def finish(child, messages, steps):
    """Wait for a child; return its status, what it printed, how many steps it took, and whether one failed."""
    with os.fdopen(messages, encoding="utf-8") as file:
        text = file.read()
    with os.fdopen(steps, "rb") as file:
        report = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, text, int(report[-8:]) if report[-8:].strip().isdigit() else 0, b"x" in report


def begin_again():
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(TEMPLATE, WORK)


def other_files():
    """The files and folders beside those of published runs."""
    paths = {str(path.relative_to(WORK)) for path in WORK.rglob("*")}
    return {path for path in paths if not re.match(r"results/(\.unfinished$|[^.])|.*\.db-(wal|shm)$", path)}


def check_facts(before, after):
    """The data sets are those before or after the command, and nothing is visible that the command does not make."""
    now = facts()
    assert now["data sets"] in (before["data sets"], after["data sets"]), f"data sets after the fault: {now}"
    for kind in ("runs", "trials", "exports"):
        assert before[kind] <= now[kind] <= after[kind], f"{kind} after the fault: {now}"


def check_messages(status, text):
    assert "Traceback" not in text, "a traceback"
    assert status in (0, 1, 2), f"status {status}"
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert status == 0 or len(errors) == 1, f"{len(errors)} lines of errors"


def facts():
    kinds = {"data sets": data_sets, "runs": runs, "trials": trials, "exports": exports}
    return {kind: find(WORK) for kind, find in kinds.items()}


def repeat(make_fault, before, after, expected_files):
    """Run the command with a fault, then without one; return whether there was a fault, and what is wrong."""
    begin_again()
    status, text, _, hit = make_fault()
    try:
        if status == -signal.SIGKILL:
            hit = True
        else:
            check_messages(status, text)
        check_facts(before, after)
        again, text_again, *_ = finish(*start())
        assert again == 0, f"the second command exits with {again}: {text_again}"
        assert facts() == after, f"another result: {facts()}"
        files = other_files()
        assert files == expected_files, f"leftovers {files - expected_files}, missing {expected_files - files}"
    except (AssertionError, OSError, ValueError) as wrong:
        return hit, f"{wrong}\n        status {status}: {' | '.join(text.split(chr(10))[-6:])}"
    return hit, ""


def kill_at(seconds):
    child = start()
    time.sleep(seconds)
    os.kill(child[0], signal.SIGKILL)
    return finish(*child)


def main():
    sys.addaudithook(faults.hook)
    os.fsync = fsync
    card.SHIPPED_FOLDER = WORK / "cards"
    begin_again()
    before = facts()
    status, text, steps, _ = finish(*start("count", -1))
    assert status == 0, text
    after, files = facts(), other_files()
    for name in Path("modules").read_text().splitlines():  # so that the children are quick
        with suppress(ImportError):
            import_module(name)
    begin_again()
    began = time.monotonic()
    finish(*start())
    seconds = time.monotonic() - began
    draw, count = random.Random(SEED), 0
    if MODE == "kill":
        moments = [draw.uniform(0, seconds) for _ in range(3 * COUNT)]
    else:
        moments = range(steps) if steps <= COUNT else sorted(draw.sample(range(steps), COUNT))
    for moment in moments:
        fault = (lambda m=moment: kill_at(m)) if MODE == "kill" else (lambda m=moment: finish(*start(MODE, m)))
        hit, fault_text = repeat(fault, before, after, files)
        count += hit
        if fault_text:
            print(f"{MODE} {moment} of {steps}: {fault_text}", flush=True)
        if MODE == "kill" and count == COUNT:
            break
    print(count)


main()
