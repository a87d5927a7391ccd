"""Kills and races of imports and downloads: the old data set or the new one is there, whole and with its own card."""

import subprocess
import sys
import threading

import pytest

from cfbench.data import card, importing, store
from cfbench.data.importing import ImportOptions
from cfbench.data.progress import SilentListener
from cfbench.errors import UsageError

STOP_AT_EVERY_STEP = """
import errno, os, signal, sys
from pathlib import Path
from cfbench import cli, folder_exchange
from cfbench.data import card, store
from cfbench.files import remove_leftovers
import cfbench.cli.download, cfbench.cli.import_, cfbench.data.importing
import filelock, numpy, polars, polars.io.plugins, pooch, rich.console, tomlkit

fault, way, commands = sys.argv[1], sys.argv[2], [line.split() for line in sys.argv[3:]]
home = Path(os.environ["CFBENCH_DATA"])
card.SHIPPED_FOLDER = Path("cards").absolute()
if way == "two renames":
    folder_exchange._exchange = lambda *_: False
EVENTS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "ctypes.dlsym"}
steps_left = None

def stop_at_last_step(event, arguments):
    global steps_left
    writes = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax"
    is_step = writes or event in EVENTS
    if steps_left is None or not is_step or not (event == "ctypes.dlsym" or str(home) in str(arguments[0])):
        return
    steps_left -= 1
    if steps_left == -1 and fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if steps_left == -1:
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number))

def run(command, steps):
    '''Run a command in a child, to which the fault happens before its step number `steps`; return whether it did.'''
    global steps_left
    child = os.fork()
    if not child:
        steps_left = steps
        os.dup2(os.open("errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        try:
            cli.main(command)
        except SystemExit as end:
            os._exit(end.code + (10 if steps is not None and steps_left < 0 else 0))
    status = os.waitpid(child, 0)[1]
    code, errors = os.waitstatus_to_exitcode(status), Path("errors").read_text()
    assert code in {-signal.SIGKILL, 0, 10, 11}, (command, steps, code, errors)
    assert "Traceback" not in errors, errors
    assert errors.count("error: ") == (code == 11), errors
    return code != 0

def facts():
    '''The card's origin, and the fingerprint of the ratings that are opened with it.'''
    (name,) = {part for command in commands for part in command} & {"mine", "tiny"}
    found = card.load(name)
    ratings = store.open_dataset(found).ratings
    assert float(ratings.ratings.sum()) > 0
    return found.origin, ratings.fingerprint

sys.addaudithook(stop_at_last_step)
expected = []
for command in commands:
    assert not run(command, None)
    expected.append(facts())
assert not run(commands[0], None)
step = 0
while run(commands[(step + 1) % len(commands)], step):
    assert facts() in expected, (step, facts())
    step += 1
assert not run(commands[0], None)
assert facts() == expected[0]
left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.name.startswith((".", "_")))
assert not left, left
print(step)
"""


@pytest.fixture
def stop_at_steps(empty_terminal):
    """Run commands that replace a data set, with a fault at every step; return the number of steps."""

    def run(fault, way, *commands):
        for name, ratings in (("a", "1234"), ("b", "4321")):
            rows = "".join(f"u{k},i{k},{rating}\n" for k, rating in enumerate(ratings))
            (empty_terminal.folder / f"{name}.csv").write_text(rows)
        command = [sys.executable, "-c", STOP_AT_EVERY_STEP, fault, way, *commands]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr + finished.stdout
        return int(finished.stdout)

    return run


IMPORTS = ("import a.csv --name mine --force", "import b.csv --name mine --force")
DOWNLOADS = ("download tiny --again --from-file tiny.zip",)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["one call", "two renames"])
@pytest.mark.parametrize("fault", ["kill", "EIO"])
@pytest.mark.parametrize("commands", [IMPORTS, DOWNLOADS], ids=["import", "download"])
def test_a_fault_at_any_step_leaves_a_whole_data_set_with_its_card(stop_at_steps, fault, way, commands):
    assert stop_at_steps(fault, way, *commands) > 20


def move_card_back(home, title):
    """Make the folders look as after a kill between the two last steps of an import: the card is beside its ratings."""
    path = home / "cards" / "mine.toml"
    new = path.read_text().replace('title = "mine"', f'title = "{title}"')
    (home / "datasets" / "mine" / card.NEW_CARD).write_text(new)
    return path


def test_the_card_of_an_import_killed_before_its_last_step_is_the_new_one(terminal):
    (terminal.folder / "a.csv").write_text("u,i,1\nv,j,2\n")
    terminal("import a.csv --name mine")
    path = move_card_back(terminal.folder / "home", "new")
    assert (card.load("mine").title, "new" in path.read_text()) == ("new", True)
    path.unlink()
    assert "mine" not in card.names()
    assert len(list((terminal.folder / "home").rglob(card.NEW_CARD))) == 0


def test_a_new_card_that_cannot_be_moved_is_read_where_it_is(terminal):
    (terminal.folder / "a.csv").write_text("u,i,1\nv,j,2\n")
    terminal("import a.csv --name mine")
    path = move_card_back(terminal.folder / "home", "new")
    path.unlink()
    path.mkdir()
    assert card.load("mine").title == "new"
    assert "new" in terminal("datasets mine").out


def test_a_data_set_that_a_killed_process_moved_away_is_back_for_the_next_command(terminal):
    datasets = terminal.folder / "home" / "datasets"
    hidden = datasets / ".tiny.abcdefgh.cfbench" / "replaced"
    hidden.mkdir(parents=True)
    (datasets / "tiny").rename(hidden / "tiny")
    assert "not available" not in terminal("datasets tiny").out
    assert store.is_ready(card.load("tiny"))


FILES = {name: f"u{name},i,{rating}\nv{name},j,9\n" for rating, name in enumerate("abcdefgh", 1)}


def test_one_of_two_imports_of_the_same_name_succeeds_and_the_other_is_refused(empty_terminal, monkeypatch):
    barrier, real_read, ends = threading.Barrier(2), importing.read_rows, []

    def read_together(*arguments):
        rows = real_read(*arguments)
        barrier.wait(20)  # so that both have found the name free before one of them writes
        return rows

    def run(name):
        try:
            importing.import_file(ImportOptions(empty_terminal.folder / f"{name}.csv", "mine"), SilentListener())
            ends.append(name)
        except UsageError as error:
            ends.append(str(error))

    for name in "ab":
        (empty_terminal.folder / f"{name}.csv").write_text(FILES[name])
    monkeypatch.setattr(importing, "read_rows", read_together)
    threads = [threading.Thread(target=run, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    winner, refusal = sorted(ends, key=len)
    assert refusal.startswith("there is a data set 'mine' already")
    assert store.open_dataset(card.load("mine")).catalogue.users["id"][0] == f"u{winner}"


@pytest.mark.slow
def test_one_of_eight_processes_that_import_the_same_name_succeeds(empty_terminal, start_cfbench):
    for name, content in FILES.items():
        (empty_terminal.folder / f"{name}.csv").write_text(content)
    processes = {name: start_cfbench("import", f"{name}.csv", "--name", "mine") for name in FILES}
    errors = {name: process.communicate()[1] for name, process in processes.items()}
    (winner,) = (name for name, process in processes.items() if process.returncode == 0)
    assert store.open_dataset(card.load("mine")).catalogue.users["id"][0] == f"u{winner}"
    del errors[winner]
    lines = {error.strip().splitlines()[-1].partition(";")[0] for error in errors.values()}
    assert lines == {"error: there is a data set 'mine' already"}
