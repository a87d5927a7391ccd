"""Files and folders appear whole or not at all, whatever fails; the machine's faults are told in one line."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from cfbench import files
from cfbench.errors import DataError, WriteError
from cfbench.files import (
    atomic_file,
    atomic_folder,
    format_bytes,
    held_lock,
    is_locked,
    make_folder,
    publish_folder,
    remove_leftovers,
    require_space,
    write_atomically,
    write_errors,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failing(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("content", [b"new\x00\xff", "new, ü"])
def test_what_is_written_is_there_and_nothing_beside_it(content, tmp_path):
    write_atomically(tmp_path / "deep" / "file", content)
    expected = content if isinstance(content, bytes) else content.encode()
    assert (tmp_path / "deep" / "file").read_bytes() == expected
    write_atomically(tmp_path / "deep" / "file", b"newer")
    assert (tmp_path / "deep" / "file").read_bytes() == b"newer"
    assert names(tmp_path / "deep") == ["file"]


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_fault_half_way_leaves_the_old_file_and_nothing_beside_it(fault, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(fault), atomic_file(path) as beside:  # noqa: PT012 (what is there before the fault matters)
        beside.write_text("ne")
        raise fault
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("where", ["write_bytes", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_at_whatever_step_it_shows(where, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os if where == "fsync" else Path, where, failing(errno.ENOSPC))
    with pytest.raises(WriteError, match="no space left on the disk"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_process_that_dies_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import os, sys; from pathlib import Path; from cfbench.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as beside: beside.write_text('ne'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


HOLD = {
    "file": "with atomic_file(path) as beside:\n    beside.write_text('half')\n    wait()\n"
    "    beside.write_text('whole')",
    "folder": "with atomic_folder(path) as hidden:\n    (hidden / 'one').write_text('half')\n    wait()\n"
    "    (hidden / 'one').write_text('whole')",
}


@pytest.fixture
def start():
    """Begin writing a path in a process of its own, which stops half way until it is given a line."""
    begun = []

    def start(what, path):
        code = (
            "import sys; from pathlib import Path; from cfbench.files import atomic_folder, atomic_file\n"
            "path = Path(sys.argv[1])\n"
            "def wait():\n    print('half', flush=True)\n    sys.stdin.readline()\n" + HOLD[what]
        )
        command = [sys.executable, "-c", code, path]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout.readline() == "half\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("what", HOLD)
def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(what, tmp_path, start):
    killed, living = start(what, tmp_path / "killed"), start(what, tmp_path / "living")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert [name.split(".")[1] for name in names(tmp_path)] == ["killed", "living"]
    write_atomically(tmp_path / "other", "another thing in the same folder")
    assert [name.split(".")[1:2] for name in names(tmp_path)] == [["living"], []]
    living.communicate("\n")
    assert living.returncode == 0
    assert names(tmp_path) == ["living", "other"]
    made = tmp_path / "living"
    assert (made / "one" if what == "folder" else made).read_text() == "whole"


def test_what_was_swept_before_it_was_locked_is_begun_again(tmp_path, monkeypatch):
    real, swept = files.mkdtemp, []

    def make_and_lose(**options):
        place = real(**options)
        remove_leftovers(tmp_path)
        swept.append(not Path(place).exists())
        return place

    monkeypatch.setattr(files, "mkdtemp", make_and_lose)
    write_atomically(tmp_path / "file", "whole")
    assert all(swept)
    assert (tmp_path / "file").read_text() == "whole"
    assert names(tmp_path) == ["file"]


def test_where_there_are_no_locks_nothing_is_swept_and_all_is_written(tmp_path, monkeypatch, start):
    killed = start("file", tmp_path / "killed")
    killed.kill()
    killed.wait()
    monkeypatch.setattr(filelock.FileLock, "_acquire", failing(errno.ENOLCK))
    write_atomically(tmp_path / "file", "whole")
    with atomic_folder(tmp_path / "folder") as hidden:
        (hidden / "one").write_text("1")
    assert [name.split(".")[1:2] for name in names(tmp_path)] == [["killed"], [], []]


def test_a_hidden_thing_of_somebody_else_is_never_swept(tmp_path):
    for name in (".theirs", ".theirs.new", ".theirs.abcdefgh.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / ".theirs.cfbench").write_text("a file")
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "not there")
    assert len(names(tmp_path)) == 4


def test_threads_that_write_the_same_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file"
    contents = [letter * 100_000 for letter in "abcd"]

    def write(content):
        for _ in range(20):
            write_atomically(path, content)
            assert path.read_text() in contents

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, contents)) == [None] * 4
    assert names(tmp_path) == ["file"]


def test_a_folder_appears_with_all_its_files_and_not_before(tmp_path):
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path) as hidden:
        (hidden / "one").write_text("1")
        (hidden / "two").write_text("2")
        assert not path.exists()
        (place,) = path.parent.iterdir()
        assert hidden.parent == place
        assert place.name.startswith(".folder.")
    assert names(path) == ["one", "two"]
    assert names(tmp_path / "deep") == ["folder"]
    assert path.stat().st_mode == path.parent.stat().st_mode


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_fault_half_way_leaves_no_folder(fault, tmp_path):
    with pytest.raises(fault), atomic_folder(tmp_path / "folder") as hidden:  # noqa: PT012 (as above)
        (hidden / "one").write_text("1")
        raise fault
    assert names(tmp_path) == []


@pytest.mark.parametrize("where", ["fsync", "rename"])
def test_a_full_disk_at_the_end_leaves_no_folder(where, tmp_path, monkeypatch):
    monkeypatch.setattr(os if where == "fsync" else Path, where, failing(errno.ENOSPC))
    with (
        pytest.raises(WriteError, match=r"no space .* choose another folder with CFBENCH_DATA$"),
        atomic_folder(tmp_path / "folder", "CFBENCH_DATA") as hidden,
    ):
        (hidden / "one").write_text("1")
    assert names(tmp_path) == []


def test_a_folder_is_flushed_to_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    hidden, path, steps = make_folder(tmp_path / ".hidden"), tmp_path / "made" / "folder", []
    for name in ("one", "two"):
        (hidden / name).write_text(name)
    real_fsync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append("flush"), real_fsync(number)))
    monkeypatch.setattr(Path, "rename", lambda self, to: (steps.append("rename"), real_rename(self, to)))
    publish_folder(hidden, path)
    assert steps == ["flush", "flush", "rename"]
    assert names(path) == ["one", "two"]
    assert not hidden.exists()


@pytest.mark.parametrize("where", ["", "fsync"])
def test_a_folder_gives_way_to_a_whole_one_alone(where, tmp_path, monkeypatch):
    path = make_folder(tmp_path / "folder")
    (path / "one").write_text("old")
    if where:
        monkeypatch.setattr(os, where, failing(errno.ENOSPC))
    with (
        pytest.raises(WriteError, match="no space left") if where else nullcontext(),
        atomic_folder(path, replace=True) as hidden,
    ):
        (hidden / "one").write_text("new")
        assert (path / "one").read_text() == "old"
    assert (path / "one").read_text() == ("old" if where else "new")
    assert names(tmp_path) == ["folder"]


def test_a_folder_with_files_is_not_replaced(tmp_path):
    path = make_folder(tmp_path / "folder")
    (path / "mine").write_text("precious")
    with (
        pytest.raises(WriteError, match=r"folder: a folder with files in it stands there; remove it"),
        atomic_folder(path) as hidden,
    ):
        (hidden / "one").write_text("1")
    assert names(tmp_path) == ["folder"]
    assert names(path) == ["mine"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "no space left on the disk; free some, or choose another folder"),
        (errno.EDQUOT, "your disk quota is used up; free some space, or choose another folder"),
        (errno.EACCES, "you may not write there; change its permissions, or choose another folder"),
        (errno.EPERM, "you may not write there; change its permissions, or choose another folder"),
        (errno.EROFS, "the file system is read-only; choose another folder"),
    ],
)
def test_faults_of_the_machine_say_where_what_and_what_to_do(number, advice, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", failing(number))
    with pytest.raises(WriteError) as fault:
        write_atomically(tmp_path / "file", "new", "--results or CFBENCH_RESULTS")
    assert str(fault.value) == f"cannot write {tmp_path / 'file'}: {advice} with --results or CFBENCH_RESULTS"
    assert isinstance(fault.value.__cause__, OSError)
    assert names(tmp_path) == []


def test_paths_that_cannot_be_are_told_with_the_setting_that_moves_them(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path, message in {
        tmp_path / "file": "a file stands where a folder is needed; choose another folder with X",
        tmp_path / "file" / "below": "a part of that path is a file, not a folder; choose another folder with X",
        tmp_path / ("long" * 100): "a name in that path is too long; choose another folder with X",
    }.items():
        with pytest.raises(WriteError) as fault:
            make_folder(path, "X")
        assert str(fault.value) == f"cannot write {path}: {message}"
    with pytest.raises(WriteError, match=r"a folder stands where a file is needed; .* choose another place with X"):
        write_atomically(tmp_path / "folder", "new", "X")
    with pytest.raises(WriteError, match="a file stands where a folder is needed; choose another folder with X"):
        write_atomically(tmp_path / "file" / "below", "new", "X")
    with pytest.raises(WriteError, match="a file stands where"), atomic_folder(tmp_path / "file" / "below"):
        pass


def test_what_is_held_is_held_once_and_leaves_nothing(tmp_path):
    thing = tmp_path / "folder" / "thing"
    assert not is_locked(thing)
    with held_lock(thing) as mine:
        assert (mine, is_locked(thing)) == (True, True)
        remove_leftovers(thing.parent)
        with held_lock(thing) as second:
            assert not second
        assert is_locked(thing)
    assert not is_locked(thing)
    assert names(thing.parent) == []


def test_what_a_killed_process_held_is_free(tmp_path):
    thing = tmp_path / "thing"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom cfbench.files import held_lock\n"
        "with held_lock(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, thing], check=False).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 1
    assert not is_locked(thing)
    with held_lock(thing) as mine:
        assert mine
    assert names(tmp_path) == []


def test_where_there_are_no_locks_nothing_keeps_from_holding(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock.FileLock, "acquire", failing(errno.ENOLCK))
    with held_lock(tmp_path / "thing") as mine:
        assert mine
    assert names(tmp_path) == []


def test_the_current_folder_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WriteError, match="a folder stands where a file is needed"):
        write_atomically(Path(), "new")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a device that is always full")
def test_a_library_that_tells_of_a_full_disk_in_its_own_way_is_understood(tmp_path):
    import polars as pl

    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(WriteError, match="no space left on the disk"),
        write_errors(tmp_path / "file"),
    ):
        pl.DataFrame({"column": range(100_000)}).write_parquet(full)


def test_other_faults_pass_as_they_are(tmp_path):
    for fault in (OSError(errno.EIO, "broken disk"), ValueError("x"), DataError("polars says (os error 28)")):
        with pytest.raises(type(fault)) as passed, write_errors(tmp_path):
            raise fault
        assert passed.value is fault


def test_too_little_space_is_told_with_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_500_000))
    require_space(tmp_path, 1_500_000)
    with pytest.raises(WriteError) as fault:
        require_space(tmp_path, 4_924_029, "CFBENCH_DATA")
    assert str(fault.value) == (
        f"not enough disk space in {tmp_path}: 4.9 MB needed, 1.5 MB free; "
        "free some, or choose another folder with CFBENCH_DATA"
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (4_924_029, "4.9 MB"),
        (697_552_028, "697.6 MB"), (2_081_556_480, "2.1 GB"), (5.4e12, "5.4 TB"), (5.4e15, "5400.0 TB"),
    ],
)  # fmt: skip
def test_sizes_are_written_for_people(count, text):
    assert format_bytes(count) == text
