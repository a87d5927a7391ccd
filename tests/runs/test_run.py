"""A run: what the harness gives a model, what it stores, and what happens when a model misbehaves."""

import gc
import json
import mmap
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest

from cfbench.contract import Config, DivergedError, Epoch, Plugin
from cfbench.data import card, store
from cfbench.errors import DeviceError, PluginError, PredictionError, RecordError, UnknownNameError, WriteError
from cfbench.runs import arrays, fitting, machine, record, registry, run
from cfbench.runs.job import reopen
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request


class Listener:
    """Remembers what a run reports."""

    def __init__(self):
        self.run, self.epochs, self.waits = "", [], 0

    def wait(self):
        self.waits += 1

    def begin(self, run):
        self.run = run

    def epoch(self, epoch):
        self.epochs.append(epoch)

    def batch(self, epoch, finished, total):
        pass


class Fake:
    """A model whose `fit` and `predict` a test defines."""

    def __init__(self, fit=None, predict=None):
        self._fit, self._predict = fit, predict
        self.pairs = []

    def fit(self, train, valid, context):
        self.parts = (train, valid)
        if self._fit:
            self._fit(context)

    def predict(self, pairs):
        self.pairs.append(pairs)
        return self._predict(pairs) if self._predict else np.full(len(pairs), 3.0, np.float32)

    def state(self):
        return {"three": np.array([3.0])}

    def restore(self, state, train, context):
        assert state["three"] == 3

    parameters = 1


@pytest.fixture
def fake(register):
    """Register a plugin whose model is a Fake; returns the Fake."""

    def add(uses_times=False, uses_titles=False, **behaviour):
        model = Fake(**behaviour)
        plugin = Plugin("a fake", "none", Config, lambda _: model, uses_times=uses_times, uses_titles=uses_titles)
        register("fake", plugin)
        return model

    return add


@pytest.fixture
def tiny(terminal):
    """The prepared tiny data set."""
    return store.open_dataset(card.load("tiny"))


def start(tiny, name, *, seed=0, flags=None, split="random90", listener=None, device="auto"):
    setup = configure(name, dataset="tiny", flags=flags or {}, preset=None, device=device)
    request = new_request(setup, tiny, tiny.split(split), seed)
    return run.start(request, tiny, Results(Path("results")), listener or Listener())


SMALL = {"hidden": "16", "epochs": "8", "batch_size": "0.16", "dropout": "0.3", "lr": "0.01"}


def test_a_model_receives_no_test_rating_before_it_is_scored(tiny, fake):
    model = fake()
    start(tiny, "fake")
    split = tiny.split("random90")
    test = split.test(tiny.ratings)
    test_pairs = set(zip(test.users.tolist(), test.items.tolist(), strict=True))
    for part in model.parts:
        assert not test_pairs & set(zip(part.users.tolist(), part.items.tolist(), strict=True))
    assert [len(part) for part in model.parts] == [split.report["train"], split.report["valid"]]


def test_the_test_part_is_cut_out_only_after_the_fit(tiny, fake, monkeypatch):
    from cfbench.data.split import Split

    order, cut = [], Split.test
    monkeypatch.setattr(Split, "test", lambda self, ratings: order.append("test") or cut(self, ratings))
    fake(fit=lambda _: order.append("fit"))
    start(tiny, "fake")
    assert order[0] == "fit"
    assert "test" in order


def reachable_arrays(*roots):
    """Every array that a chain of references leads to, except through modules, classes and the globals of functions."""
    waiting, seen, found = list(roots), set(), []
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            found.append(one)
            waiting.append(one.base)
        elif isinstance(one, FunctionType):
            waiting += [cell.cell_contents for cell in one.__closure__ or ()]
        else:
            waiting += gc.get_referents(one)
    return found


def is_mapped(array):
    """Whether its numbers are those of a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_while_a_model_fits_no_array_in_memory_within_its_reach_holds_a_test_rating(tiny, fake):
    arrays_in_reach = []
    model = fake(fit=lambda context: arrays_in_reach.extend(reachable_arrays(context, model.parts)))
    start(tiny, "fake")
    split = tiny.split("random90")
    sizes = {split.report["train"], split.report["valid"]}
    floats = [array for array in arrays_in_reach if array.dtype.kind == "f"]
    assert {len(array) for array in floats if not is_mapped(array)} == sizes
    assert {len(array) for array in floats if is_mapped(array)} <= {len(tiny.ratings)}


def test_a_model_receives_times_only_if_its_plugin_declares_that_it_uses_them(tiny, fake):
    for uses_times in (False, True):
        model = fake(uses_times=uses_times)
        stored, _ = start(tiny, "fake")
        assert stored.request.plugin.uses_times == uses_times
        assert [part.times is not None for part in (*model.parts, *model.pairs)] == [uses_times] * 4
    split = tiny.split("random90")
    assert (model.parts[0].times == split.train(tiny.ratings).times).all()
    assert (model.pairs[-1].times == split.test(tiny.ratings).times).all()


def test_a_plugin_that_uses_times_knows_no_date_where_the_data_have_none(terminal, fake):
    Path("dateless.csv").write_text("".join(f"u{k % 20},i{k // 20},{1 + k % 5}\n" for k in range(200)))
    assert terminal("import dateless.csv --name dateless").status == 0
    dataset = store.open_dataset(card.load("dateless"))
    model = fake(uses_times=True)
    setup = configure("fake", dataset="dateless", flags={}, preset=None)
    request = new_request(setup, dataset, dataset.split("random90"), 0)
    stored, _ = run.start(request, dataset, Results(Path("results")), Listener())
    assert not stored.request.plugin.uses_times
    assert [part.times for part in (*model.parts, *model.pairs)] == [None] * 4


def test_a_model_receives_item_titles_only_if_its_plugin_declares_that_it_uses_them(tiny, fake):
    contexts = []
    for uses_titles in (False, True):
        fake(uses_titles=uses_titles, fit=contexts.append)
        start(tiny, "fake")
    without, context = contexts
    assert (without.titles, without.years) == (None, None)
    ids = tiny.catalogue.items["id"].to_list()
    assert context.titles == tuple(f"Film {name[1:]}, The" for name in ids)
    assert (context.years == np.zeros(len(ids))).all()


def test_the_record_describes_the_run_completely(tiny):
    stored, folder = start(tiny, "deepae", seed=3, flags=SMALL)
    assert record.read_record(folder / "record.json") == stored
    request, outcome = stored.request, stored.outcome
    assert request.dataset.fingerprint == tiny.ratings.fingerprint
    assert request.split.fingerprint == tiny.split("random90").fingerprint
    assert request.split.report == tiny.split("random90").report
    assert (request.seed, request.device, request.config["hidden"], request.origins["hidden"]) == (
        3,
        "cpu",
        [16],
        "flag",
    )
    assert (request.origins["refeed"], request.origins["tied"]) == ("preset", "default")
    assert (outcome.status, outcome.epochs) == ("finished", 8)
    n, m, d = tiny.ratings.n_users, tiny.ratings.n_items, 16
    layers = (2 * n) * 16 + 16 + 16 * n + n  # two inputs for each user
    assert outcome.parameters == layers + m * d + d * 16  # and factors of the items that a user rated
    assert outcome.fit_seconds > 0
    assert outcome.fit_cpu_seconds > 0
    assert outcome.predict_seconds > 0
    assert outcome.peak_memory > 10_000_000
    assert {"torch", "numpy", "polars", "cfbench-recsys"} <= set(stored.machine.libraries)
    curve = arrays.read_curve(folder)
    assert [row["epoch"] for row in curve] == list(range(1, 9))
    assert outcome.valid_rmse == min(row["valid_rmse"] for row in curve)
    assert curve[outcome.best_epoch - 1]["valid_rmse"] == outcome.valid_rmse


def test_scores_can_be_recomputed_from_the_stored_predictions(tiny):
    stored, folder = start(tiny, "bias")
    test = tiny.split("random90").test(tiny.ratings)
    errors = arrays.read_predictions(folder).astype(float) - test.ratings
    assert stored.outcome.rmse == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-12)
    assert stored.outcome.mae == pytest.approx(np.abs(errors).mean(), abs=1e-12)


def test_all_files_of_a_run_have_the_permissions_of_the_user(tiny):
    """Also the model: colleagues who share the folder can predict with it."""
    previous = os.umask(0o027)
    try:
        _, folder = start(tiny, "deepae", flags=SMALL)
    finally:
        os.umask(previous)
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {oct(0o640)}


def test_no_rating_is_copied_into_the_results(tiny):
    import polars as pl

    _, folder = start(tiny, "bias")
    assert pl.read_parquet(folder / "predictions.parquet").columns == ["prediction"]


def test_predictions_are_clipped_to_the_scale(tiny, fake):
    fake(predict=lambda pairs: np.linspace(-100, 100, len(pairs), dtype=np.float32))
    _, folder = start(tiny, "fake")
    predictions = arrays.read_predictions(folder)
    assert (predictions.min(), predictions.max()) == (1, 5)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (
            lambda pairs: np.full(len(pairs), np.nan, np.float32),
            r"plugin 'fake': (\d+) of \1 predictions of predict are not finite, the first for user code \d+, item",
        ),
        (lambda pairs: np.zeros(3), r"plugin 'fake': predict returned shape \(3,\), expected \(\d+,\)"),
        (lambda pairs: np.zeros((len(pairs), 1)), r"predict returned shape \(\d+, 1\), expected \(\d+,\)"),
    ],
)
def test_invalid_predictions_fail_the_run_and_the_record_says_so(tiny, fake, predict, message):
    fake(predict=predict)
    with pytest.raises(PredictionError, match=message):
        start(tiny, "fake")
    (failed,) = Results(Path("results")).records("tiny", "random90")
    assert failed.outcome.status == "failed"
    assert not failed.scored


def test_a_plugin_that_crashes_is_recorded_as_failed_with_its_traceback(tiny, fake):
    def crash(context):
        raise ZeroDivisionError("oops\nagain")

    fake(fit=crash)
    line = r"plugin 'fake' failed in fit: ZeroDivisionError: oops again \(test_run.py, line \d+\)"
    with pytest.raises(PluginError, match=rf"^{line}; the traceback is in (\S+)$") as fault:
        start(tiny, "fake")
    assert isinstance(fault.value.__cause__, ZeroDivisionError)
    (failed,) = Results(Path("results")).records("tiny", "random90")
    assert failed.outcome.status == "failed"
    assert re.fullmatch(line, failed.outcome.message)
    assert "in crash" in Path(str(fault.value).rpartition(" ")[2]).read_text()


def test_a_diverged_run_is_scored_by_its_last_good_epoch(tiny, fake):
    def diverge(context):
        context.report(Epoch(1, 5, 1.0, 0.9, 0.1))
        raise DivergedError("training RMSE became nan in epoch 2", usable=True)

    fake(fit=diverge)
    stored, _ = start(tiny, "fake")
    assert stored.outcome.status == "diverged"
    assert stored.outcome.message == "training RMSE became nan in epoch 2"
    assert stored.outcome.best_epoch == 1
    assert stored.scored


def test_deepae_with_a_huge_learning_rate_ends_as_diverged_not_as_a_crash(tiny):
    stored, folder = start(tiny, "deepae", flags=SMALL | {"lr": "1e6"})
    assert stored.outcome.status == "diverged"
    assert not stored.scored
    assert (folder / "record.json").exists()


def test_a_full_disk_while_training_leaves_a_run_that_can_be_resumed(tiny, fake):
    def full(context):
        raise WriteError("no space")

    fake(fit=full)
    with pytest.raises(run.InterruptedRunError, match="no space"):
        start(tiny, "fake")
    assert len(Results(Path("results")).unfinished()) == 1
    fake()
    stored, _ = run.resume(Results(Path("results")).unfinished()[0], Results(Path("results")), Listener())
    assert stored.outcome.status == "finished"


def test_a_results_folder_that_cannot_be_created_is_reported_in_one_line(tiny, fake):
    fake()
    Path("results").write_text("a file")
    with pytest.raises(
        WriteError, match=r"cannot write .*results.*choose another folder with --results or CFBENCH_RESULTS"
    ):
        start(tiny, "fake")


def test_nothing_is_visible_until_a_run_is_complete(tiny, fake):
    seen = []
    fake(fit=lambda _: seen.extend(Path("results").glob("*/*/*/*")))
    start(tiny, "fake")
    assert seen == []
    assert len(list(Path("results").glob("tiny/random90/fake/*/record.json"))) == 1
    assert Results(Path("results")).unfinished() == []


def test_a_run_resumed_after_ctrl_c_ends_in_the_same_bits(tiny):
    class Impatient(Listener):
        def epoch(self, epoch):
            super().epoch(epoch)
            if epoch.epoch == 5:
                raise KeyboardInterrupt

    _, whole = start(tiny, "deepae", flags=SMALL)
    with pytest.raises(run.InterruptedRunError) as fault:
        start(tiny, "deepae", flags=SMALL, listener=Impatient())
    assert fault.value.epoch == 5
    stopped, _ = Results(Path("results")).find(fault.value.run)
    assert stopped.outcome.status == "stopped"
    stored, folder = run.resume(fault.value.run[-4:], Results(Path("results")), Listener())
    assert stored.run == fault.value.run
    assert (folder / "predictions.parquet").read_bytes() == (whole / "predictions.parquet").read_bytes()
    assert arrays.read_predictions(folder).tobytes() == arrays.read_predictions(whole).tobytes()
    assert len(arrays.read_curve(folder)) == 8
    assert not (folder / "checkpoint.safetensors").exists()
    assert Results(Path("results")).unfinished() == []


def interrupt(context):
    raise KeyboardInterrupt


def stop_a_run(tiny, fake):
    """Start a run of the fake that Ctrl-C stops; return its request."""
    fake(fit=interrupt)
    with pytest.raises(run.InterruptedRunError) as fault:
        start(tiny, "fake")
    requests = Results(Path("results")).interrupted()
    return next(request for request in requests if request.run == fault.value.run)


def test_a_running_run_is_not_listed_as_interrupted_and_cannot_be_resumed_twice(tiny, fake):
    results, unfinished = Results(Path("results")), []
    request = stop_a_run(tiny, fake)

    def resume_again(_):
        unfinished.append(results.unfinished())
        with pytest.raises(RecordError, match=f"another process is working on run {request.run}; resume the run once"):
            run.resume(request.run, results, Listener())

    fake(fit=resume_again)
    assert run.resume(request.run, results, Listener())[0].outcome.status == "finished"
    assert unfinished == [[]]


def test_ensure_starts_a_new_run_while_another_process_works_on_the_same_one(tiny, fake):
    results, runs = Results(Path("results")), []
    request = stop_a_run(tiny, fake)
    equal_request = request.model_copy(update={"run": record.new_run_id("fake")})

    def start_equal_run(_):
        if not runs:
            runs.append(None)
            runs.append(run.ensure(equal_request, tiny, results, Listener())[0].run)

    fake(fit=start_equal_run)
    assert run.resume(request.run, results, Listener())[0].run == request.run
    assert runs == [None, equal_request.run]


def test_an_unreadable_unfinished_run_is_skipped(tiny, fake):
    request, results = stop_a_run(tiny, fake), Results(Path("results"))
    for name, text in {"1-foreign": '{"of": "another version"}', "2-damaged": "{", "3-killed": "\0"}.items():
        folder = Path("results", ".unfinished", name)
        folder.mkdir()
        (folder / "request.json").write_text(text)
    fake()
    equal_request = request.model_copy(update={"run": record.new_run_id("fake")})
    finished, existed = run.ensure(equal_request, tiny, results, Listener())
    assert (finished.run, existed) == (request.run, False)


def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_resumed_run_counts_its_resumptions_and_the_cpu_time_of_all_its_fits(tiny, fake):
    def burn_and_stop(context):
        burn(0.2)
        raise KeyboardInterrupt

    results = Results(Path("results"))
    fake(fit=burn_and_stop)
    with pytest.raises(run.InterruptedRunError) as fault:
        start(tiny, "fake")
    with pytest.raises(run.InterruptedRunError):
        run.resume(fault.value.run, results, Listener())
    fake(fit=lambda _: burn(0.2))
    stored, folder = run.resume(fault.value.run, results, Listener())
    assert stored.outcome.resumed == 2
    assert stored.outcome.fit_cpu_seconds > 0.59
    assert not (folder / "resumed").exists()
    assert start(tiny, "fake")[0].outcome.resumed == 0


def test_the_cpu_time_of_a_run_that_was_killed_is_unknown(tiny, fake):
    class Killed(BaseException):
        """As after a kill, nothing is recorded."""

    def die(_):
        raise Killed

    request, results = stop_a_run(tiny, fake), Results(Path("results"))
    fake()
    listener = Listener()
    listener.begin = die
    with pytest.raises(Killed):
        run.resume(request.run, results, listener)
    outcome = run.resume(request.run, results, Listener())[0].outcome
    assert (outcome.status, outcome.resumed, outcome.fit_cpu_seconds) == ("finished", 2, None)


@pytest.mark.slow
def test_the_record_names_the_imported_libraries_and_the_threads(tiny):
    for name, library in {"svd": "scikit-surprise", "implicit-als": "implicit"}.items():
        out, err = spawn("run", name, "--dataset", "tiny", "--json").communicate(timeout=100)
        facts = json.loads(out)["machine"]
        assert {"implicit", "scikit-surprise", "myfm"} & set(facts["libraries"]) == {library}, err
        assert (facts["threads"] is not None) == (name == "implicit-als")
    assert "myfm" in machine.describe_machine(needs=["myfm", "nowhere"]).libraries


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset the peak")
def test_the_peak_memory_is_that_of_the_run_alone(tiny, fake):
    small, large = (lambda _: None), (lambda _: np.ones(300_000_000 // 8).sum())
    peaks = []
    for fit in (large, small):
        fake(fit=fit)
        peaks.append(start(tiny, "fake")[0].outcome.peak_memory)
    assert peaks[0] - peaks[1] > 200_000_000
    code = "import subprocess, sys\nlarge = bytearray(b'x') * 700_000_000\nsys.exit(subprocess.call(sys.argv[1:]))"
    line = [sys.executable, "-c", DRIVER, "run", "bias", "--dataset", "tiny", "--json"]
    child = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=True)
    assert json.loads(child.stdout)["outcome"]["peak_memory"] < 600_000_000


DRIVER = """
import sys
from pathlib import Path
from cfbench import cli
from cfbench.data import card
card.SHIPPED_FOLDER = Path("cards").absolute()
cli.main(sys.argv[1:])
"""
COMMAND = "run deepae --dataset tiny --hidden 16 --batch-size 0.25 --refeed 1 --epochs 40 --patience 0 --lr 0.002"


def spawn(*line, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", before + DRIVER, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_with_sigkill_is_resumed_to_the_same_bits_in_another_process(tiny, terminal):
    whole = terminal(COMMAND)
    assert whole.status == 0, whole.err
    killed = spawn(*COMMAND.split())
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not list(Path("results").glob(".unfinished/*/checkpoint.safetensors")):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=10)
    (name,) = Results(Path("results")).unfinished()
    resumed = spawn("run", "--resume", name)
    out, err = resumed.communicate(timeout=100)
    assert resumed.returncode == 0, err
    assert name in out
    first, second = sorted(Path("results").glob("tiny/random90/deepae/*"), key=lambda path: path.name == name)
    assert second.name == name
    assert arrays.read_predictions(first).tobytes() == arrays.read_predictions(second).tobytes()
    assert len(arrays.read_curve(second)) == 40


def status(process):
    process.communicate(timeout=100)
    return process.returncode


DIE = """
import os, signal
from cfbench.runs import publication
from cfbench.learning import training
def die(*arguments):
    if arguments:
        open(arguments[1], "w").write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED = {
    "while its checkpoint is written": "training.save_file = die\n",
    "before it is moved to its folder": "publication.publish_folder = lambda *_: die()\n",
}


@pytest.mark.slow  # tests/torture kills a run at any moment
@pytest.mark.parametrize("when", KILLED)
def test_a_run_killed_at_a_bad_moment_is_resumed_and_leaves_no_other_files(tiny, when):
    line = ["run", "deepae", "--dataset", "tiny", "--hidden", "8", "--epochs", "3"]
    assert status(spawn(*line, before=DIE + KILLED[when])) == -signal.SIGKILL
    assert list(Path("results").glob("tiny/random90/deepae/*")) == []
    (name,) = Results(Path("results")).unfinished()
    stored, folder = run.resume(name, Results(Path("results")), Listener())
    assert {path.name for path in folder.iterdir()} == {*stored.files, "record.json"}
    assert set(stored.files) == {
        "predictions.parquet",
        "valid_predictions.parquet",
        "curve.parquet",
        "model.safetensors",
    }
    assert list(Path("results", ".unfinished").iterdir()) == []


def test_the_leftovers_of_a_process_killed_while_it_created_a_run_are_removed_by_the_next_run(tiny):
    kill = "from cfbench import files\nfiles.publish_folder = lambda *_, **__: die()\n"
    assert status(spawn("run", "bias", "--dataset", "tiny", before=DIE + kill)) == -signal.SIGKILL
    assert len(list(Path("results", ".unfinished").iterdir())) == 2  # the run's folder and its lock
    assert Results(Path("results")).unfinished() == []
    start(tiny, "bias")
    assert list(Path("results", ".unfinished").iterdir()) == []


def test_the_lock_of_a_process_killed_after_its_run_was_visible_is_removed_by_the_command_that_finds_the_run(terminal):
    assert terminal("run bias").status == 0
    leftover = Path("results", ".unfinished", ".same-0123456789abcdef.cfbench")
    leftover.mkdir()
    (leftover / ".lock").touch()
    assert "already finished" in terminal("run bias --skip-finished").err
    assert not leftover.exists()


def test_a_resumed_run_removes_the_leftovers_of_killed_processes(tiny):
    kill = "from cfbench import files\nfiles.publish_folder = lambda *_, **__: die()\n"
    stored, _ = start(tiny, "bias")
    results = Results(Path("results"))
    results.create(stored.request.model_copy(update={"run": "20990101-000000-bias-aaaa"}))
    assert status(spawn("run", "bias", "--dataset", "tiny", "--seed", "1", before=DIE + kill)) == -signal.SIGKILL
    assert len(list(Path("results", ".unfinished").iterdir())) == 3  # a run's folder, another's leftover and its lock
    run.resume("20990101", results, Listener())
    assert list(Path("results", ".unfinished").iterdir()) == []


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tiny):
    bits = [arrays.read_predictions(start(tiny, "deepae", seed=seed, flags=SMALL)[1]).tobytes() for seed in (1, 1, 2)]
    assert bits[0] == bits[1] != bits[2]


def test_a_stored_run_predicts_the_same_bits_again(tiny):
    for name, flags in (("bias", {}), ("deepae", SMALL)):
        stored, folder = start(tiny, name, flags=flags)
        model, dataset = reopen(stored, folder, Results(Path("results")), "auto")
        test = dataset.split("random90").test(dataset.ratings)
        again = dataset.ratings.scale.clip(fitting.predict(name, model, test.pairs))
        assert again.tobytes() == arrays.read_predictions(folder).tobytes()


def test_a_run_on_other_data_under_the_same_name_is_not_resumed_or_reopened(tiny):
    stored, folder = start(tiny, "bias")
    split = stored.request.split.model_copy(update={"fingerprint": "f" * 64})
    other = stored.model_copy(update={"request": stored.request.model_copy(update={"split": split})})
    with pytest.raises(
        RecordError,
        match=r"but its fingerprint is now .*: the data or the split's definition have changed",
    ):
        reopen(other, folder, Results(Path("results")), "auto")


def test_a_run_whose_data_changed_is_not_resumed_and_stays_resumable(tiny, fake):
    request, results = stop_a_run(tiny, fake), Results(Path("results"))
    file = Path("results", ".unfinished", request.run, "request.json")
    changed = request.split.model_copy(update={"fingerprint": "f" * 64})
    file.write_text(request.model_copy(update={"split": changed}).model_dump_json())
    fake()
    with pytest.raises(run.InterruptedRunError, match=r"the data or the split's definition have changed"):
        run.resume(request.run, results, Listener())
    assert results.unfinished() == [request.run]
    file.write_text(request.model_dump_json())
    assert run.resume(request.run, results, Listener())[0].outcome.status == "finished"


def test_resuming_a_finished_or_unknown_run_says_so(tiny):
    stored, _ = start(tiny, "bias")
    with pytest.raises(RecordError, match=f"run '{stored.run}' is finished; `cfbench show {stored.run}` shows it"):
        run.resume(stored.run, Results(Path("results")), Listener())
    with pytest.raises(UnknownNameError, match="no interrupted run 'nope'; there are none yet"):
        run.resume("nope", Results(Path("results")), Listener())


def test_a_run_is_found_by_any_part_of_its_id_and_only_by_that(tiny):
    results = Results(Path("results"))
    stored, folder = start(tiny, "bias")
    for part in (stored.run, stored.run[:12], stored.run[5:12], "bias", stored.run[-4:], "last"):
        assert results.find(part) == (stored, folder)
    start(tiny, "bias")
    with pytest.raises(UnknownNameError, match="several runs match; type more of the id"):
        results.find("-bias-")
    for pattern in ("**x", "*", "[0-9]*"):
        with pytest.raises(UnknownNameError, match="no interrupted run"):
            run.resume(pattern, results, Listener())


def test_a_plugin_for_the_cpu_refuses_another_device(tiny):
    with pytest.raises(DeviceError, match="bias computes on the CPU only, but --device is 'cuda'; leave out --device"):
        start(tiny, "bias", device="cuda")


def test_a_finished_run_is_found_by_plugin_package_source_config_seed_and_split(tiny, monkeypatch):
    start(tiny, "bias", seed=1)
    results = Results(Path("results"))

    def finished(name="bias", seed=1, flags=None, split="random90"):
        setup = configure(name, dataset="tiny", flags=flags or {}, preset=None)
        return run.finished_run(new_request(setup, tiny, tiny.split(split), seed), tiny, results)

    assert finished() is not None
    assert finished(seed=2) is None
    assert finished(flags={"sweeps": "3"}) is None
    assert finished(split="random90@9") is None
    location = registry.locate("bias")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "locate", lambda name: replace(location, package="cfbench-recsys 99.0"))
        assert finished() is None
    monkeypatch.setattr("cfbench.runs.registry.source_hash", lambda module: "an edited bias")
    assert finished() is None


@pytest.mark.parametrize("name", ["predictions.parquet", "curve.parquet", "model.safetensors"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_file_of_a_run_is_noticed_before_it_is_read(tiny, name, damage):
    _, folder = start(tiny, "deepae", flags=SMALL)
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content) if damage == "changed" else file.unlink()
    readers = {"predictions.parquet": arrays.read_predictions, "curve.parquet": arrays.read_curve}
    with pytest.raises(RecordError, match=rf"{name} is damaged or missing; run the model again"):
        readers.get(name, arrays.read_state)(folder)
