"""A folder that is replaced is the old one or the new one, whatever fails and whenever the process is killed."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from cfbench import folder_exchange
from cfbench.errors import WriteError
from cfbench.files import atomic_folder, remove_leftovers
from cfbench.folder_exchange import put_folder, restore_replaced

NAMES = ("one", "two", "three")


@pytest.fixture(params=["one call", "two renames"])
def exchange(request, monkeypatch):
    """Once with the call that exchanges two folders, and once as on a file system that has none."""
    if request.param == "two renames":
        monkeypatch.setattr(folder_exchange, "_exchange", lambda *_: False)
    return request.param


def fill(folder, text):
    for name in NAMES:
        (folder / name).write_text(text)


def old_folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    fill(path, "old")
    return path


def texts(path):
    return [(path / name).read_text() for name in NAMES]


def replace_by_new(path):
    with atomic_folder(path, replace=True) as hidden:
        fill(hidden, "new")


def test_the_new_folder_takes_the_place_of_the_old_one_and_nothing_else_stays(exchange, tmp_path):
    path = old_folder(tmp_path)
    replace_by_new(path)
    assert texts(path) == ["new"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_there_is_no_moment_without_the_folder_where_one_call_exchanges_both(tmp_path, monkeypatch):
    path = old_folder(tmp_path)
    (tmp_path / "scratch").mkdir()
    new = tmp_path / "scratch" / "folder"
    new.mkdir()
    fill(new, "new")
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.skip("this file system cannot exchange two folders"))
    put_folder(new, path)
    assert (texts(path), texts(new)) == (["new"] * 3, ["old"] * 3)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), OSError(errno.ESTALE, "stale"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", [1, 2])
def test_an_error_of_either_rename_keeps_the_old_folder(exchange, step, error, tmp_path, monkeypatch):
    if exchange == "one call":
        monkeypatch.setattr(folder_exchange, "_exchange", lambda *_: False)
    path, real_rename, calls = old_folder(tmp_path), Path.rename, []

    def rename(self, target):
        calls.append(self)
        if len(calls) == step:
            raise error
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else WriteError):
        replace_by_new(path)
    assert texts(path) == ["old"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_only_copy_stays_in_its_hidden_folder_while_it_cannot_be_moved_back(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_exchange, "_exchange", lambda *_: False)
    path, real_rename, calls = old_folder(tmp_path), Path.rename, []

    def rename(self, target):
        calls.append(self)
        if len(calls) > 1:
            raise OSError(errno.EIO, "the disk answers no more")
        return real_rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(WriteError):
            replace_by_new(path)
        remove_leftovers(tmp_path)
    assert not path.exists()
    remove_leftovers(tmp_path)
    assert texts(path) == ["old"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_another_process_restored_meanwhile_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_exchange, "_exchange", lambda *_: False)
    path, real_rename, restored = old_folder(tmp_path), Path.rename, []

    def rename(self, target):
        if target == path and self.parent.name != "replaced" and not restored:
            restored.append(1)
            restore_replaced(tmp_path)
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    replace_by_new(path)
    assert restored
    assert texts(path) == ["new"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


KILL_AT_EVERY_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from cfbench import folder_exchange
from cfbench.files import atomic_folder, remove_leftovers
import filelock

if sys.argv[2] == "two renames":
    folder_exchange._exchange = lambda *_: False
root, names = Path(sys.argv[1]), ("one", "two", "three")
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "ctypes.dlsym"}
steps_left = -1

def kill_at_last_step(event, arguments):
    global steps_left
    if event in EVENTS and steps_left >= 0:
        if steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps_left -= 1

sys.addaudithook(kill_at_last_step)

def replace_by(text, steps):
    global steps_left
    steps_left = steps
    with atomic_folder(root / "folder", replace=True) as hidden:
        for name in names:
            (hidden / name).write_text(text)

replace_by("0", -1)
step, killed = 0, True
while killed:
    child = os.fork()
    if not child:
        replace_by(str(step + 1), step)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    folder_exchange.restore_replaced(root)   # as every reader does
    texts = {(root / "folder" / name).read_text() for name in names}
    assert len(texts) == 1, texts
    assert texts <= {str(step), str(step + 1), "0"}, (step, texts)
    remove_leftovers(root)
    assert os.listdir(root) == ["folder"], os.listdir(root)
    assert {(root / "folder" / name).read_text() for name in names} == texts
    replace_by(str(step + 1), -1)
    step += 1
print(step)
"""


@pytest.mark.parametrize("way", ["one call", "two renames"])
def test_a_process_killed_at_any_step_leaves_one_whole_folder_and_the_next_one_cleans_up(way, tmp_path):
    (tmp_path / "root").mkdir()
    command = [sys.executable, "-c", KILL_AT_EVERY_STEP, tmp_path / "root", way]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) > 15
