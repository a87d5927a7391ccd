"""The harness: what it gives a model, what it keeps, and how it meets a model that misbehaves."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cfbench.contract import Config, DivergedError, Epoch, Plugin
from cfbench.data import card, store
from cfbench.errors import DeviceError, PredictionError, RecordError, UnknownNameError, WriteError
from cfbench.runs import record, registry, run
from cfbench.runs.record import Results


class Watcher:
    """Hears a run."""

    def __init__(self):
        self.run, self.epochs = "", []

    def begin(self, run):
        self.run = run

    def epoch(self, epoch):
        self.epochs.append(epoch)


class Fake:
    """A model that does as a test says."""

    def __init__(self, fit=None, predict=None):
        self._fit, self._predict = fit, predict

    def fit(self, train, valid, context):
        self.met = (train, valid)
        if self._fit:
            self._fit(context)

    def predict(self, pairs):
        users, items = pairs.users, pairs.items
        return self._predict(users, items) if self._predict else np.full(len(pairs), 3.0, np.float32)

    def state(self):
        return {"three": np.array([3.0])}

    def restore(self, state, train, context):
        assert state["three"] == 3

    parameters = 1


@pytest.fixture
def fake(register):
    """Register a plugin around a Fake; returns the Fake."""

    def add(**behaviour):
        model = Fake(**behaviour)
        register("fake", Plugin("a fake", "none", Config, lambda _: model))
        return model

    return add


@pytest.fixture
def tiny(terminal):
    """The prepared tiny data set."""
    return store.open_dataset(card.load("tiny"))


def start(tiny, name, *, seed=0, flags=None, split="random90", watcher=None, device="auto"):
    setup = run.configure(name, dataset="tiny", flags=flags or {}, preset=None, device=device)
    asked = run.new_request(setup, tiny, tiny.split(split), seed)
    return run.start(asked, tiny, Results(Path("results")), watcher or Watcher())


SMALL = {"hidden": "16", "epochs": "8", "batch_size": "16", "dropout": "0.3", "lr": "0.01"}


def test_a_model_meets_no_test_rating_before_it_is_scored(tiny, fake):
    model = fake()
    start(tiny, "fake")
    split = tiny.split("random90")
    test = split.test(tiny.ratings)
    hidden = set(zip(test.users.tolist(), test.items.tolist(), strict=True))
    for part in model.met:
        assert not hidden & set(zip(part.users.tolist(), part.items.tolist(), strict=True))
    assert [len(part) for part in model.met] == [split.report["train"], split.report["valid"]]


def test_the_test_part_is_not_even_cut_out_until_the_fit_is_over(tiny, fake, monkeypatch):
    from cfbench.data.split import Split

    order, cut = [], Split.test
    monkeypatch.setattr(Split, "test", lambda self, ratings: order.append("test") or cut(self, ratings))
    fake(fit=lambda _: order.append("fit"))
    start(tiny, "fake")
    assert order[0] == "fit"
    assert "test" in order


def test_the_record_tells_the_whole_truth(tiny):
    done, place = start(tiny, "deepae", seed=3, flags=SMALL)
    assert record.read(place / "record.json") == done
    asked, outcome = done.request, done.outcome
    assert asked.dataset.fingerprint == tiny.ratings.fingerprint
    assert asked.split.fingerprint == tiny.split("random90").fingerprint
    assert asked.split.report == tiny.split("random90").report
    assert (asked.seed, asked.device, asked.config["hidden"], asked.origins["hidden"]) == (3, "cpu", [16], "flag")
    assert asked.origins["refeed"] == "default"
    assert (outcome.status, outcome.epochs) == ("finished", 8)
    n = tiny.ratings.n_items
    assert outcome.parameters == 2 * 16 * n + 16 + n
    assert outcome.fit_seconds > 0
    assert outcome.fit_cpu_seconds > 0
    assert outcome.predict_seconds > 0
    assert outcome.peak_memory > 10_000_000
    assert {"torch", "numpy", "polars", "cfbench-recsys"} <= set(done.machine.libraries)
    curve = record.read_curve(place)
    assert [row["epoch"] for row in curve] == list(range(1, 9))
    assert outcome.valid_rmse == min(row["valid_rmse"] for row in curve)
    assert curve[outcome.best_epoch - 1]["valid_rmse"] == outcome.valid_rmse


def test_scores_can_be_recomputed_from_the_kept_predictions(tiny):
    done, place = start(tiny, "bias")
    test = tiny.split("random90").test(tiny.ratings)
    errors = record.read_predictions(place).astype(float) - test.ratings
    assert done.outcome.rmse == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-12)
    assert done.outcome.mae == pytest.approx(np.abs(errors).mean(), abs=1e-12)


def test_no_rating_is_copied_into_the_results(tiny):
    import polars as pl

    _, place = start(tiny, "bias")
    assert pl.read_parquet(place / "predictions.parquet").columns == ["prediction"]


def test_predictions_are_clipped_to_the_scale(tiny, fake):
    fake(predict=lambda users, items: np.linspace(-100, 100, len(users), dtype=np.float32))
    _, place = start(tiny, "fake")
    kept = record.read_predictions(place)
    assert (kept.min(), kept.max()) == (1, 5)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (
            lambda u, i: np.full(len(u), np.nan),
            "plugin 'fake' predicted .* of .* scores as NaN or infinite, the first for user",
        ),
        (lambda u, i: np.zeros(3), r"plugin 'fake' predicted an array of shape \(3,\), expected \(\d+,\)"),
        (lambda u, i: np.zeros((len(u), 1)), r"predicted an array of shape \(\d+, 1\), expected \(\d+,\)"),
    ],
)
def test_predictions_that_are_no_scores_fail_the_run_and_are_recorded(tiny, fake, predict, message):
    fake(predict=predict)
    with pytest.raises(PredictionError, match=message):
        start(tiny, "fake")
    (failed,) = Results(Path("results")).records("tiny", "random90")
    assert failed.outcome.status == "failed"
    assert not failed.scored


def test_a_plugin_that_crashes_is_recorded_as_failed_and_its_error_passes(tiny, fake):
    def crash(context):
        raise ZeroDivisionError("oops")

    fake(fit=crash)
    with pytest.raises(ZeroDivisionError):
        start(tiny, "fake")
    (failed,) = Results(Path("results")).records("tiny", "random90")
    assert (failed.outcome.status, failed.outcome.message) == ("failed", "ZeroDivisionError: oops")


def test_a_diverged_run_is_scored_by_its_last_good_epoch(tiny, fake):
    def diverge(context):
        context.report(Epoch(1, 5, 1.0, 0.9, 0.1))
        raise DivergedError("training RMSE became nan in epoch 2", usable=True)

    fake(fit=diverge)
    done, _ = start(tiny, "fake")
    assert done.outcome.status == "diverged"
    assert done.outcome.message == "training RMSE became nan in epoch 2"
    assert (done.outcome.best_epoch, done.outcome.valid_rmse) == (1, 0.9)
    assert done.scored


def test_deepae_with_a_huge_learning_rate_ends_as_diverged_not_as_a_crash(tiny):
    done, place = start(tiny, "deepae", flags=SMALL | {"lr": "1e6"})
    assert done.outcome.status == "diverged"
    assert not done.scored
    assert (place / "record.json").exists()


def test_a_full_disk_while_training_leaves_a_run_that_can_be_gone_on_with(tiny, fake):
    def full(context):
        raise WriteError("no space")

    fake(fit=full)
    with pytest.raises(WriteError):
        start(tiny, "fake")
    assert len(Results(Path("results")).unfinished()) == 1
    fake()
    done, _ = run.resume(Results(Path("results")).unfinished()[0], Results(Path("results")), Watcher())
    assert done.outcome.status == "finished"


def test_a_results_folder_that_cannot_be_made_is_one_line(tiny, fake):
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


def test_ctrl_c_keeps_what_was_learned_and_resume_ends_in_the_same_bits(tiny):
    class Impatient(Watcher):
        def epoch(self, epoch):
            super().epoch(epoch)
            if epoch.epoch == 5:
                raise KeyboardInterrupt

    _, whole = start(tiny, "deepae", flags=SMALL)
    with pytest.raises(run.InterruptedRunError) as fault:
        start(tiny, "deepae", flags=SMALL, watcher=Impatient())
    assert fault.value.epoch == 5
    stopped, _ = Results(Path("results")).find(fault.value.run)
    assert stopped.outcome.status == "stopped"
    done, place = run.resume(fault.value.run[-4:], Results(Path("results")), Watcher())
    assert done.run == fault.value.run
    assert (place / "predictions.parquet").read_bytes() == (whole / "predictions.parquet").read_bytes()
    assert record.read_predictions(place).tobytes() == record.read_predictions(whole).tobytes()
    assert len(record.read_curve(place)) == 8
    assert not (place / "checkpoint.safetensors").exists()
    assert Results(Path("results")).unfinished() == []


def interrupt(context):
    raise KeyboardInterrupt


def stopped(tiny, fake):
    """The request of a run of the fake that Ctrl-C stopped."""
    fake(fit=interrupt)
    with pytest.raises(run.InterruptedRunError) as fault:
        start(tiny, "fake")
    return next(past for past in Results(Path("results")).interrupted() if past.run == fault.value.run)


def test_a_run_under_way_is_not_told_as_interrupted_nor_gone_on_with_a_second_time(tiny, fake):
    results, met = Results(Path("results")), []
    past = stopped(tiny, fake)

    def look(_):
        met.append((results.unfinished(), run._stopped_twin(past, results)))
        message = rf"run {past.run} is under way in another process; once that has stopped, go on with it"
        with pytest.raises(RecordError, match=message):
            run.resume(past.run, results, Watcher())

    fake(fit=look)
    assert run.resume(past.run, results, Watcher())[0].outcome.status == "finished"
    assert met == [([], None)]


def test_what_cannot_be_read_among_the_unfinished_runs_is_no_hindrance(tiny, fake, monkeypatch):
    past, results = stopped(tiny, fake), Results(Path("results"))
    here = Path("results", ".unfinished")
    for name, text in {"1-foreign": '{"of": "another version"}', "2-damaged": "{", "3-killed": "\0"}.items():
        (here / name).mkdir()
        (here / name / "request.json").write_text(text)
    listed = results._begun()
    monkeypatch.setattr(Results, "_begun", lambda self: ["0-gone", *listed])
    fake()
    asked = past.model_copy(update={"run": record.new_id("fake")})
    done, there = run.ensure(asked, tiny, results, Watcher())
    assert (done.run, there) == (past.run, False)


def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_resumed_run_says_how_often_and_counts_the_processor_time_of_all_its_fits(tiny, fake):
    def burn_and_stop(context):
        burn(0.2)
        raise KeyboardInterrupt

    results = Results(Path("results"))
    fake(fit=burn_and_stop)
    with pytest.raises(run.InterruptedRunError) as fault:
        start(tiny, "fake")
    with pytest.raises(run.InterruptedRunError):
        run.resume(fault.value.run, results, Watcher())
    fake(fit=lambda _: burn(0.2))
    done, place = run.resume(fault.value.run, results, Watcher())
    assert done.outcome.resumed == 2
    assert done.outcome.fit_cpu_seconds > 0.59
    assert not (place / "resumed").exists()
    assert start(tiny, "fake")[0].outcome.resumed == 0


def test_the_processor_time_of_a_run_that_was_killed_is_not_known(tiny, fake):
    def die(context):  # what nothing is recorded of
        raise WriteError("killed")

    past, results = stopped(tiny, fake), Results(Path("results"))
    fake(fit=die)
    with pytest.raises(WriteError):
        run.resume(past.run, results, Watcher())
    fake()
    outcome = run.resume(past.run, results, Watcher())[0].outcome
    assert (outcome.status, outcome.resumed, outcome.fit_cpu_seconds) == ("finished", 2, None)


def test_the_record_names_the_libraries_that_were_used_and_the_threads(tiny):
    for name, library in {"svd": "scikit-surprise", "implicit-als": "implicit"}.items():
        out, err = spawn("run", name, "--dataset", "tiny", "--json").communicate(timeout=100)
        machine = json.loads(out)["machine"]
        assert library in machine["libraries"], err
        assert (machine["threads"] is not None) == (name == "implicit-als")
    bias = json.loads(spawn("run", "bias", "--dataset", "tiny", "--json").communicate(timeout=100)[0])
    assert not {"implicit", "scikit-surprise", "myfm"} & set(bias["machine"]["libraries"])
    assert "myfm" in record.this_machine(None, None, ["myfm", "nowhere"]).libraries


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="tells it on Linux alone")
def test_the_peak_memory_is_of_the_run_alone(tiny, fake):
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
COMMAND = "run deepae --dataset tiny --hidden 32 --batch-size 8 --refeed 1 --epochs 80 --patience 0 --lr 0.002"


def spawn(*line, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", before + DRIVER, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


def test_a_run_killed_with_sigkill_is_resumed_to_the_same_bits_in_another_process(tiny):
    whole = spawn(*COMMAND.split())
    _, err = whole.communicate(timeout=100)
    assert whole.returncode == 0, err
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
    assert record.read_predictions(first).tobytes() == record.read_predictions(second).tobytes()
    assert len(record.read_curve(second)) == 80


def status(process):
    process.communicate(timeout=100)
    return process.returncode


DIE = """
import os, signal
from cfbench.runs import record
from cfbench.learning import training
def die(*arguments):
    if arguments:
        open(arguments[1], "w").write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED = {
    "while its checkpoint is written": "training.save_file = die\n",
    "before it is moved to its place": "record.publish_folder = lambda *_: die()\n",
}


@pytest.mark.parametrize("when", KILLED)
def test_a_run_killed_at_a_bad_moment_is_gone_on_with_and_leaves_nothing_behind(tiny, when):
    line = ["run", "deepae", "--dataset", "tiny", "--hidden", "8", "--epochs", "3"]
    assert status(spawn(*line, before=DIE + KILLED[when])) == -signal.SIGKILL
    assert list(Path("results").glob("tiny/random90/deepae/*")) == []
    (name,) = Results(Path("results")).unfinished()
    done, place = run.resume(name, Results(Path("results")), Watcher())
    assert {path.name for path in place.iterdir()} == {*done.files, "record.json"}
    assert set(done.files) == {
        "predictions.parquet",
        "valid_predictions.parquet",
        "curve.parquet",
        "model.safetensors",
    }
    assert list(Path("results", ".unfinished").iterdir()) == []


def test_what_a_process_killed_while_it_began_a_run_left_is_swept_by_the_next(tiny):
    kill = "from cfbench import files\nfiles.publish_folder = lambda *_, **__: die()\n"
    assert status(spawn("run", "bias", "--dataset", "tiny", before=DIE + kill)) == -signal.SIGKILL
    assert len(list(Path("results", ".unfinished").iterdir())) == 2  # the run, and that it is held
    assert Results(Path("results")).unfinished() == []
    start(tiny, "bias")
    assert list(Path("results", ".unfinished").iterdir()) == []


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tiny):
    kept = [record.read_predictions(start(tiny, "deepae", seed=seed, flags=SMALL)[1]).tobytes() for seed in (1, 1, 2)]
    assert kept[0] == kept[1] != kept[2]


def test_a_stored_run_predicts_the_same_bits_again(tiny):
    for name, flags in (("bias", {}), ("deepae", SMALL)):
        done, place = start(tiny, name, flags=flags)
        model, dataset = run.reopen(done, place, "auto")
        test = dataset.split("random90").test(dataset.ratings)
        again = dataset.ratings.scale.clip(run.predict(name, model, test.pairs))
        assert again.tobytes() == record.read_predictions(place).tobytes()


def test_a_run_on_other_data_under_the_same_name_is_not_resumed_or_reopened(tiny):
    done, place = start(tiny, "bias")
    split = done.request.split.model_copy(update={"fingerprint": "f" * 64})
    other = done.model_copy(update={"request": done.request.model_copy(update={"split": split})})
    with pytest.raises(
        RecordError, match=r"fingerprint ffffffffffff, here it is .*: the data or the split's definition changed"
    ):
        run.reopen(other, place, "auto")


def test_resuming_a_finished_or_unknown_run_says_so(tiny):
    done, _ = start(tiny, "bias")
    with pytest.raises(RecordError, match=f"run '{done.run}' is finished; `cfbench show {done.run}` shows it"):
        run.resume(done.run, Results(Path("results")), Watcher())
    with pytest.raises(UnknownNameError, match="no interrupted run 'nope'; there are none yet"):
        run.resume("nope", Results(Path("results")), Watcher())


def test_a_run_is_found_by_any_part_of_its_id_and_only_by_that(tiny):
    results = Results(Path("results"))
    done, place = start(tiny, "bias")
    for part in (done.run, done.run[:12], done.run[5:12], "bias", done.run[-4:], "last"):
        assert results.find(part) == (done, place)
    start(tiny, "bias")
    with pytest.raises(UnknownNameError, match="the name is not unique; give more of it"):
        results.find("-bias-")
    for pattern in ("**x", "*", "[0-9]*"):
        with pytest.raises(UnknownNameError, match="no interrupted run"):
            run.resume(pattern, results, Watcher())


def test_a_cpu_only_plugin_refuses_a_gpu(tiny):
    with pytest.raises(
        DeviceError, match="device 'cuda' asked for, but bias computes on the CPU only; leave out --device"
    ):
        start(tiny, "bias", device="cuda")


def test_a_finished_twin_is_the_same_plugin_of_the_same_package_config_seed_and_cut(tiny, monkeypatch):
    start(tiny, "bias", seed=1)
    results = Results(Path("results"))

    def twin(name="bias", seed=1, flags=None, split="random90"):
        setup = run.configure(name, dataset="tiny", flags=flags or {}, preset=None)
        return run.finished_twin(run.new_request(setup, tiny, tiny.split(split), seed), results)

    assert twin() is not None
    assert twin(seed=2) is None
    assert twin(flags={"sweeps": "3"}) is None
    assert twin(split="random90@9") is None
    place = registry.find("bias")
    monkeypatch.setattr(registry, "find", lambda name: replace(place, package="cfbench-recsys 99.0"))
    assert twin() is None


@pytest.mark.parametrize("name", ["predictions.parquet", "curve.parquet", "model.safetensors"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_file_of_a_run_is_noticed_before_it_is_read(tiny, name, damage):
    _, place = start(tiny, "deepae", flags=SMALL)
    file = place / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content) if damage == "changed" else file.unlink()
    readers = {"predictions.parquet": record.read_predictions, "curve.parquet": record.read_curve}
    with pytest.raises(RecordError, match=rf"{name} is damaged or missing; the run has to be made anew"):
        readers.get(name, record.read_state)(place)
