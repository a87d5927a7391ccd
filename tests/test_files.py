"""Files and folders appear complete or not at all, whatever fails; errors of the machine become one line."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from cfbench import files
from cfbench.errors import DataError, WriteError
from cfbench.files import (
    atomic_file,
    atomic_folder,
    folder_bytes,
    format_bytes,
    is_locked,
    make_folder,
    publish_folder,
    remove_folder,
    remove_leftovers,
    require_space,
    try_lock,
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
def test_write_atomically_leaves_the_file_and_nothing_else(content, tmp_path):
    write_atomically(tmp_path / "deep" / "file", content)
    expected = content if isinstance(content, bytes) else content.encode()
    assert (tmp_path / "deep" / "file").read_bytes() == expected
    write_atomically(tmp_path / "deep" / "file", b"newer")
    assert (tmp_path / "deep" / "file").read_bytes() == b"newer"
    assert names(tmp_path / "deep") == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_half_way_leaves_only_the_old_file(error, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path) as unfinished:  # noqa: PT012 (what was written before the error matters)
        unfinished.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["write_bytes", "fsync", "replace"])
def test_a_full_disk_leaves_only_the_old_file_at_any_step(step, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os if step == "fsync" else Path, step, failing(errno.ENOSPC))
    with pytest.raises(WriteError, match="no space left on the disk"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_process_that_dies_half_way_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import os, sys; from pathlib import Path; from cfbench.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as unfinished: unfinished.write_text('ne'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


WRITE_IN_TWO_STEPS = {
    "file": "with atomic_file(path) as unfinished:\n    unfinished.write_text('half')\n    wait()\n"
    "    unfinished.write_text('whole')",
    "folder": "with atomic_folder(path) as hidden:\n    (hidden / 'one').write_text('half')\n    wait()\n"
    "    (hidden / 'one').write_text('whole')",
}


@pytest.fixture
def start():
    """Start a process that writes half of a file or folder and then waits for a line of input."""
    processes = []

    def start(kind, path):
        code = (
            "import sys; from pathlib import Path; from cfbench.files import atomic_folder, atomic_file\n"
            "path = Path(sys.argv[1])\n"
            "def wait():\n    print('half', flush=True)\n    sys.stdin.readline()\n" + WRITE_IN_TWO_STEPS[kind]
        )
        command = [sys.executable, "-c", code, path]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "half\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", WRITE_IN_TWO_STEPS)
def test_leftovers_of_a_killed_process_are_removed_and_those_of_a_running_one_stay(kind, tmp_path, start):
    killed, running = start(kind, tmp_path / "killed"), start(kind, tmp_path / "running")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert [name.split(".")[1] for name in names(tmp_path)] == ["killed", "running"]
    write_atomically(tmp_path / "other", "another thing in the same folder")
    assert [name.split(".")[1:2] for name in names(tmp_path)] == [["running"], []]
    running.communicate("\n")
    assert running.returncode == 0
    assert names(tmp_path) == ["other", "running"]
    result = tmp_path / "running"
    assert (result / "one" if kind == "folder" else result).read_text() == "whole"


def test_a_folder_that_is_removed_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    real_mkdtemp, removed = files.mkdtemp, []

    def create_and_remove(**options):
        folder = real_mkdtemp(**options)
        remove_leftovers(tmp_path)
        removed.append(not Path(folder).exists())
        return folder

    monkeypatch.setattr(files, "mkdtemp", create_and_remove)
    write_atomically(tmp_path / "file", "whole")
    assert removed
    assert all(removed)
    assert (tmp_path / "file").read_text() == "whole"
    assert names(tmp_path) == ["file"]


def test_without_file_locks_nothing_is_removed_and_everything_is_written(tmp_path, monkeypatch, start):
    killed = start("file", tmp_path / "killed")
    killed.kill()
    killed.wait()
    monkeypatch.setattr(filelock.FileLock, "_acquire", failing(errno.ENOLCK))
    write_atomically(tmp_path / "file", "whole")
    with atomic_folder(tmp_path / "folder") as hidden:
        (hidden / "one").write_text("1")
    assert [name.split(".")[1:2] for name in names(tmp_path)] == [["killed"], [], []]


@pytest.mark.parametrize("step", ["unlink", "rmdir"])
def test_a_disk_that_fails_once_when_a_hidden_folder_is_removed_leaves_nothing(step, tmp_path, monkeypatch):
    real, failures = getattr(os, step), []

    def fail_once(path, *arguments, **options):
        if not failures:
            failures.append(path)
            raise OSError(errno.EIO, "failed once")
        real(path, *arguments, **options)

    monkeypatch.setattr(os, step, fail_once)
    write_atomically(tmp_path / "file", "whole")
    with try_lock(tmp_path / "locked"):
        failures.clear()
    assert failures
    assert names(tmp_path) == ["file"]


def test_hidden_files_of_other_programs_are_never_removed(tmp_path):
    for name in (".other", ".other.new", ".other.abcdefgh.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / ".other.cfbench").write_text("a file")
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "missing")
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


def test_a_folder_appears_with_all_its_files_and_not_earlier(tmp_path):
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path) as hidden:
        (hidden / "one").write_text("1")
        (hidden / "two").write_text("2")
        assert not path.exists()
        (scratch,) = path.parent.iterdir()
        assert hidden.parent == scratch
        assert scratch.name.startswith(".folder.")
    assert names(path) == ["one", "two"]
    assert names(tmp_path / "deep") == ["folder"]
    assert path.stat().st_mode == path.parent.stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_half_way_leaves_no_folder(error, tmp_path):
    with pytest.raises(error), atomic_folder(tmp_path / "folder") as hidden:  # noqa: PT012 (as above)
        (hidden / "one").write_text("1")
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_full_disk_at_the_last_step_leaves_no_folder(step, tmp_path, monkeypatch):
    monkeypatch.setattr(os if step == "fsync" else Path, step, failing(errno.ENOSPC))
    with (
        pytest.raises(WriteError, match=r"no space .* choose another folder with CFBENCH_DATA$"),
        atomic_folder(tmp_path / "folder", "CFBENCH_DATA") as hidden,
    ):
        (hidden / "one").write_text("1")
    assert names(tmp_path) == []


def test_a_folder_is_flushed_to_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
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


def test_a_folder_is_replaced_when_the_new_one_is_complete(tmp_path):
    path = make_folder(tmp_path / "folder")
    (path / "one").write_text("old")
    with atomic_folder(path, replace=True) as hidden:
        (hidden / "one").write_text("new")
        assert (path / "one").read_text() == "old"
    assert (path / "one").read_text() == "new"
    assert names(tmp_path) == ["folder"]


def test_a_folder_is_not_replaced_when_the_disk_is_full(tmp_path, monkeypatch):
    path = make_folder(tmp_path / "folder")
    (path / "one").write_text("old")
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(WriteError, match="no space left"), atomic_folder(path, replace=True) as hidden:
        (hidden / "one").write_text("new")
    assert (path / "one").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_without_replace_an_existing_folder_with_files_is_refused(tmp_path):
    path = make_folder(tmp_path / "folder")
    (path / "old").write_text("precious")
    with (
        pytest.raises(WriteError, match=r"folder: a folder with files exists there; remove it"),
        atomic_folder(path) as hidden,
    ):
        (hidden / "one").write_text("1")
    assert names(tmp_path) == ["folder"]
    assert names(path) == ["old"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "no space left on the disk; free some, or choose another folder"),
        (errno.EDQUOT, "your disk quota is used up; free some space, or choose another folder"),
        (errno.EACCES, "you may not write there; change its permissions, or choose another folder"),
        (errno.EPERM, "you may not write there; change its permissions, or choose another folder"),
        (errno.EROFS, "the file system is read-only; choose another folder"),
        (errno.EIO, "the disk or its connection fails; check it, or choose another folder"),
        (errno.EFBIG, "the file is larger than the file system or `ulimit -f` allows; choose another folder"),
        (errno.ESTALE, "the network file system has lost the file; try again, or choose another folder"),
        (errno.ENOLCK, "the file system gives no lock; try again, or choose another folder"),
        (errno.ENODEV, "no such device; choose another folder"),
    ],
)
def test_errors_of_the_machine_say_where_what_and_what_to_do(number, advice, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", failing(number))
    with pytest.raises(WriteError) as caught:
        write_atomically(tmp_path / "file", "new", "--results or CFBENCH_RESULTS")
    assert str(caught.value) == f"cannot write {tmp_path / 'file'}: {advice} with --results or CFBENCH_RESULTS"
    assert isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file", "a file exists where a folder is needed"),
        ("file/below", "a part of that path is a file, not a folder"),
        ("long" * 100, "a name in that path is too long"),
    ],
)
def test_a_folder_that_cannot_be_created_is_named_with_the_setting_that_moves_it(tmp_path, path, message):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError) as caught:
        make_folder(tmp_path / path, "X")
    assert str(caught.value) == f"cannot write {tmp_path / path}: {message}; choose another folder with X"


def test_a_file_that_cannot_be_created_is_named_with_the_setting_that_moves_it(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=r"a folder exists where a file is needed; .* choose another folder with X"):
        write_atomically(tmp_path / "folder", "new", "X")
    with pytest.raises(WriteError, match="a file exists where a folder is needed; choose another folder with X"):
        write_atomically(tmp_path / "file" / "below", "new", "X")
    with pytest.raises(WriteError, match="a file exists where"), atomic_folder(tmp_path / "file" / "below"):
        pass


def test_a_lock_is_held_by_one_and_leaves_no_files(tmp_path):
    path = tmp_path / "folder" / "run"
    assert not is_locked(path)
    with try_lock(path) as first:
        assert (first, is_locked(path)) == (True, True)
        remove_leftovers(path.parent)
        with try_lock(path) as second:
            assert not second
        assert is_locked(path)
    assert not is_locked(path)
    assert names(path.parent) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "run"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom cfbench.files import try_lock\n"
        "with try_lock(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 1
    assert not is_locked(path)
    with try_lock(path) as acquired:
        assert acquired
    assert names(tmp_path) == []


def test_without_file_locks_try_lock_succeeds(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock.FileLock, "acquire", failing(errno.ENOLCK))
    with try_lock(tmp_path / "run") as acquired:
        assert acquired
    assert names(tmp_path) == []


def test_the_current_folder_cannot_be_written_as_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WriteError, match="a folder exists where a file is needed"):
        write_atomically(Path(), "new")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a device that is always full")
def test_a_full_disk_is_recognised_in_the_error_text_of_polars(tmp_path):
    import polars as pl

    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(WriteError, match="no space left on the disk"),
        write_errors(tmp_path / "file"),
    ):
        pl.DataFrame({"column": range(100_000)}).write_parquet(full)


@pytest.mark.parametrize(
    "error", [OSError("without a number"), ValueError("x"), DataError("polars says (os error 28)")]
)
def test_other_errors_pass_unchanged(error, tmp_path):
    with pytest.raises(type(error)) as caught, write_errors(tmp_path):
        raise error
    assert caught.value is error


def test_too_little_space_is_reported_with_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_500_000))
    require_space(tmp_path, 1_500_000)
    with pytest.raises(WriteError) as caught:
        require_space(tmp_path, 4_924_029, "CFBENCH_DATA")
    assert str(caught.value) == (
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
def test_sizes_are_readable(count, text):
    assert format_bytes(count) == text


def test_a_removed_folder_disappears_at_once_and_what_a_kill_leaves_is_swept(tmp_path, monkeypatch):
    folder, hidden = tmp_path / "a" / "run", tmp_path / "hidden"
    folder.mkdir(parents=True)
    (folder / "file").write_text("12345")
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("123")
    assert folder_bytes(folder) == 8
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as if the process was killed here
        remove_folder(folder, hidden)
    assert not folder.exists()
    assert folder_bytes(hidden) == 8
    remove_leftovers(hidden)
    assert folder_bytes(hidden) == 0
    with pytest.raises(WriteError):  # it is gone
        remove_folder(folder, hidden)


def test_a_lock_that_many_processes_wait_for_is_held_by_one_at_a_time(tmp_path):
    holders, crowds = [], []

    def hold_lock(process):
        times = 0
        while times < 5:
            with try_lock(tmp_path / "run") as acquired:
                if acquired:
                    holders.append(process)
                    crowds.append(len(holders))
                    time.sleep(0.01)
                    holders.remove(process)
                    times += 1

    with ThreadPoolExecutor(6) as pool:  # the locks exclude threads as they exclude processes
        list(pool.map(hold_lock, range(6)))
    assert crowds == [1] * 30
