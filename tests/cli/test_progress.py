"""Long work is never silent: bars on a terminal, lines elsewhere; --quiet, --verbose and --log."""

import io
import json
import re
import time
from pathlib import Path

import pytest

from cfbench.cli import console, progress
from cfbench.cli.plain import PlainConsole
from cfbench.contract import Config, Context, Epoch, Plugin
from cfbench.data.progress import SilentListener
from cfbench.leaderboard.ranking import load_ranked_board
from cfbench.runs import registry
from cfbench.runs.results import Results
from cfbench.testing import planted

DEEPAE = "run deepae --no-preset --hidden 8 --epochs 3 --batch-size 16"
EPOCH = re.compile(r"deepae epoch (\d)/3 train \d\.\d{4} valid \d\.\d{4} best \d\.\d{4}@\d$")


@pytest.fixture
def screen(monkeypatch):
    """Standard error as a terminal, whose text the test reads."""
    screen = PlainConsole(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(console, "err", lambda: screen)
    return screen.file


def epochs_in(text):
    return [int(found[1]) for line in text.splitlines() if (found := EPOCH.search(line))]


def test_quiet_prints_the_result_and_nothing_else(terminal):
    answer = terminal(f"{DEEPAE} --quiet")
    assert "test RMSE" in answer.out
    assert answer.err == "" or "validation RMSE" in answer.err  # a warning would stay
    assert terminal("compare --quiet").err == ""
    assert terminal("run bias --quiet").err == ""


def test_quiet_keeps_errors_and_warnings(terminal):
    assert terminal("run bias --quiet --split nope").err.startswith("error: no split 'nope'")
    record = next(Path("results").glob("*/*/*/*/record.json"), None)
    assert record is None
    terminal("run bias --quiet")
    (record,) = Path("results").glob("*/*/*/*/record.json")
    record.write_text("{}")
    assert "skipped 1 run" in terminal("compare --quiet").err


def test_verbose_prints_a_line_for_each_epoch(terminal):
    assert epochs_in(terminal(DEEPAE).err) == []  # too quick for a line
    assert epochs_in(terminal(f"{DEEPAE} --verbose").err) == [1, 2, 3]


@pytest.mark.parametrize("option", ["", " --quiet", " --verbose"])
def test_the_log_has_every_message_and_every_epoch_with_the_time(terminal, option):
    answer = terminal(f"{DEEPAE} --log log.txt{option}")
    lines = Path("log.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  \S", line) for line in lines)
    assert epochs_in("\n".join(lines)) == [1, 2, 3]
    texts = [line.partition("  ")[2] for line in lines]
    assert answer.out.strip() in texts
    assert set(answer.err.splitlines()) <= set(texts)
    assert any("rank it with: cfbench compare" in text for text in texts)


def test_a_second_command_appends_to_the_log_and_an_error_is_in_it(terminal):
    terminal("run bias --log log.txt")
    first = Path("log.txt").read_text(encoding="utf-8")
    terminal("run bias --split nope --log log.txt")
    second = Path("log.txt").read_text(encoding="utf-8")
    assert second.startswith(first)
    assert "  error: no split 'nope'" in second[len(first) :]
    terminal("run bias")  # the choice of one command line does not last
    assert Path("log.txt").read_text(encoding="utf-8") == second


def test_a_log_that_cannot_be_opened_is_an_error_before_any_work(terminal):
    answer = terminal("run bias --log nowhere/log.txt")
    assert (answer.status, answer.out) == (1, "")
    message = "error: cannot write nowhere/log.txt: No such file or directory; choose another file with --log\n"
    assert answer.err == message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_log_on_a_full_disk_does_not_stop_the_run(terminal):
    answer = terminal("run bias --log /dev/full")
    assert answer.status == 0
    assert answer.err.count("log /dev/full ends here: No space left on device\n") == 1
    assert "test RMSE" in answer.out


class Sleepy:
    """A model that reports nothing, and fits for more than a second."""

    parameters = 0

    def fit(self, train, valid, context):
        time.sleep(1.3)

    def predict(self, pairs):
        return (pairs.users * 0 + 3).astype("float32")

    def state(self):
        return {}


def test_a_model_without_epochs_is_not_silent_in_a_pipe(terminal, register, monkeypatch):
    register("sleepy", Plugin("sleepy", "none", Config, lambda _: Sleepy()))
    monkeypatch.setattr(progress, "PAUSE", 1.0)
    answer = terminal("run sleepy")
    assert answer.err.splitlines().count("sleepy fitting, 1 s") == 1
    assert "fitting," not in terminal("run sleepy --quiet").err


def test_a_long_epoch_has_a_bar_of_its_batches(screen):
    with progress.RunProgress("deepae") as shown:
        shown.begin("a-run")
        time.sleep(0.15)
        shown.batch(1, 30, 120)
        shown._bars.refresh()
        first = screen.getvalue()
        shown.epoch(Epoch(1, 4, train_rmse=1.0, valid_rmse=1.5, seconds=1.0))
        time.sleep(0.15)
        shown.batch(2, 60, 120)
        (task,) = shown._bars.tasks
        assert (task.completed, task.total) == (1.5, 4)
        shown._bars.refresh()
    assert "deepae epoch 1 batch 30/120" in first
    assert "deepae epoch 2/4 batch 60/120" in screen.getvalue()


def test_deepae_reports_every_batch_of_every_epoch_in_order():
    data = planted(seed=1)
    plugin = registry.load("deepae")
    batches, epochs = [], []
    model = plugin.build(plugin.config(hidden=[4], epochs=2, patience=0, batch_size=16))
    context = Context(batch=lambda *batch: batches.append(batch), report=epochs.append)
    model.fit(data.train, data.valid, context)
    total = batches[0][2]
    assert total > 2
    assert batches == [(epoch, finished, total) for epoch in (1, 2) for finished in range(1, total + 1)]
    again = plugin.build(plugin.config(hidden=[4], epochs=2, patience=0, batch_size=16))
    again.fit(data.train, data.valid, Context())
    assert (again.predict(data.test.pairs) == model.predict(data.test.pairs)).all()


def test_work_on_files_prints_lines_in_a_pipe(capsys, monkeypatch):
    console.err.cache_clear()
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    monkeypatch.setattr(progress, "QUICK", 0.0)
    with progress.FileProgress() as shown:
        shown.progress("reading netflix", 1, 4)
        shown.progress("a.zip", 500_000, 2_000_000)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "reading netflix: 25 %"
    assert re.fullmatch(r"a\.zip: .* of .*, .*/s", second)


def test_a_leaderboard_reports_how_many_of_its_rows_are_scored(terminal):
    class Listener(SilentListener):
        def __init__(self):
            self.positions = []

        def progress(self, name, position, total):
            if name == "scoring models":
                self.positions.append((position, total))

    for plugin in ("bias", "mean"):
        terminal(f"run {plugin}")
    listener = Listener()
    load_ranked_board("tiny", "random90", Results(Path("results")), listener=listener)
    assert listener.positions == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("command", ["download", "import", "run", "sweep", "tune", "compare", "run bias"])
def test_long_commands_have_the_options(terminal, command):
    page = terminal(f"{command} --help").out
    assert all(option in page for option in ("--quiet", "--verbose", "--log"))


def test_json_is_not_mixed_with_messages(terminal):
    assert json.loads(terminal("run bias --json --verbose --log log.txt").out)["outcome"]["status"] == "finished"
