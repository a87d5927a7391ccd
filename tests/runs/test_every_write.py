"""Every write of a run fails once, in turn: nothing is lost, one line says why, and the run can be resumed."""

import errno
import os
import sys
from itertools import count
from pathlib import Path

import pytest

from cfbench.runs import arrays
from cfbench.runs.results import Results

pytestmark = pytest.mark.slow  # each failed write takes two or three runs

RESULTS = Results(Path("results"))
NUMBERS = (errno.EIO, errno.ENOSPC, errno.EFBIG, errno.ESTALE)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FileFaults:
    """Lets one change of a file below `folder` fail: the one of the number that is armed."""

    def __init__(self, folder):
        self._folder, self._left = folder, 0
        self.failed = ""

    def arm(self, number):
        self._left, self.failed = number, ""

    def disarm(self):
        self._left = 0

    def hook(self, event, arguments):
        if self._left and self._changes_a_file(event, arguments):
            self._left -= 1
            if not self._left:
                self.failed = f"{event} {arguments[0]}"
                number = NUMBERS[len(self.failed) % len(NUMBERS)]
                raise OSError(number, os.strerror(number), str(arguments[0]))

    def _changes_a_file(self, event, arguments):
        if event == "open":
            changes = isinstance(arguments[0], str) and bool(arguments[2] & WRITING)
        else:
            changes = event in {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
        return changes and Path(arguments[0]).absolute().is_relative_to(self._folder)


@pytest.fixture(scope="module")
def hooked():
    """The list of active faults: an audit hook cannot be removed."""
    active = []
    sys.addaudithook(lambda event, arguments: [each.hook(event, arguments) for each in active] and None)
    return active


@pytest.fixture
def faults(hooked, terminal):
    """Faults of the files in the results folder."""
    faults = FileFaults(terminal.folder / "results")
    hooked.append(faults)
    yield faults
    hooked.remove(faults)


@pytest.mark.parametrize("command", ["run bias", "run deepae --hidden 4 --epochs 2 --batch-size 64"])
def test_a_run_survives_the_failure_of_each_of_its_writes(command, terminal, faults):
    terminal(command)
    (first,) = RESULTS.records("tiny", "random90")
    expected = arrays.read_predictions(RESULTS.place(first.request)).tobytes()
    for number in count(1):
        before = {record.run for record in RESULTS.records("tiny", "random90")}
        faults.arm(number)
        result = terminal(command)
        faults.disarm()
        if not faults.failed:
            break
        assert "Traceback" not in result.err
        assert result.status == 0 or result.err.splitlines()[-1].startswith("error: ")
        for name in RESULTS.unfinished():
            assert f"run --resume {name}" in result.err.splitlines()[-1]
            assert terminal(f"run --resume {name}").status == 0, faults.failed
        new = [record for record in RESULTS.records("tiny", "random90") if record.run not in before]
        assert new or result.status
        for record in new:
            folder = RESULTS.place(record.request)
            assert {path.name for path in folder.iterdir()} == {*record.files, "record.json"}, faults.failed
            assert arrays.read_predictions(folder).tobytes() == expected
        assert RESULTS.unfinished() == []
    assert number > 10
