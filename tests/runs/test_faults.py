"""Plugins that each commit one fault: `run` and `check-plugin` say so in one line, and the exit status is 1."""

import ctypes
import json
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from cfbench.contract import DivergedError, Epoch, Plugin
from cfbench.data import card, store
from cfbench.learning import biases
from cfbench.plugins.bias import Bias, BiasConfig
from cfbench.runs.results import Results


class NoError(BaseException):
    pass


class Exits(Bias):
    def fit(self, train, valid, context):
        sys.exit(0)


class ExitsInPredict(Bias):
    def predict(self, pairs):
        sys.exit()


class RaisesNoException(Bias):
    def fit(self, train, valid, context):
        raise NoError("of its\nown")


class WritesIntoTraining(Bias):
    def fit(self, train, valid, context):
        train.ratings[:] -= train.ratings.mean()


class WritesIntoTheBase(Bias):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        valid.ratings.base[:] = 3


class WritesIntoMemory(Bias):
    """As code in C does, and `torch.from_numpy`."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        address = train.users.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        address[0] += 1


class AssignsToConfig(Bias):
    def fit(self, train, valid, context):
        self.given.user_reg = 3


class WritesIntoConfig(Bias):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.given.__dict__["user_reg"] = 3


class ChangesTheSeed(Bias):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        context.seed += 1


class ReturnsNothing(Bias):
    def predict(self, pairs):
        return None


class ReturnsAList(Bias):
    def predict(self, pairs):
        return super().predict(pairs).tolist()


class ReturnsDoubles(Bias):
    def predict(self, pairs):
        return super().predict(pairs).astype(np.float64)


class ReturnsObjects(Bias):
    def predict(self, pairs):
        return super().predict(pairs).astype(object)


class ReturnsText(Bias):
    def predict(self, pairs):
        return super().predict(pairs).astype(str)


class ReturnsAMaskedArray(Bias):
    def predict(self, pairs):
        return np.ma.masked_less(super().predict(pairs), 3)


class ReturnsAColumn(Bias):
    def predict(self, pairs):
        return super().predict(pairs)[:, None]


class ReturnsTooFew(Bias):
    def predict(self, pairs):
        return super().predict(pairs)[1:]


class HasNoState(Bias):
    def state(self):
        return None


class HasObjectsInItsState(Bias):
    def state(self):
        return {"x": np.array([{}])}


class HasListsInItsState(Bias):
    def state(self):
        return {"x": [1.0]}


class HasNumbersAsNames(Bias):
    def state(self):
        return {1: np.zeros(1)}


class CountsNoParameters(Bias):
    parameters = "many"


class ReportsATuple(Bias):
    def fit(self, train, valid, context):
        context.report((1, 0.9))


class ReportsText(Bias):
    def fit(self, train, valid, context):
        context.report(Epoch(1, 1, 0.9, "0.9", 0.1))


class ReportsNaN(Bias):
    def fit(self, train, valid, context):
        context.report(Epoch(1, 1, 0.9, float("nan"), 0.1))


FAULTS = {
    Exits: r"fit ended the program \(SystemExit: 0 \(test_faults.py, line \d+\)\); a plugin must raise",
    ExitsInPredict: r"ended the program \(SystemExit \(test_faults.py, line \d+\)\); a plugin must raise an Exception",
    RaisesNoException: r"fit ended the program \(NoError: of its own \(test_faults.py, line \d+\)\)",
    WritesIntoTraining: r"ValueError: output array is read-only \(test_faults.py, line \d+\)",
    WritesIntoTheBase: "fit changed the validation ratings, which the harness lends; change a copy",
    WritesIntoMemory: "fit changed the training ratings, which the harness lends; change a copy",
    AssignsToConfig: "ValidationError: 1 validation error for BiasConfig user_reg Instance is frozen",
    WritesIntoConfig: "fit changed its config, which the harness lends; change a copy",
    ChangesTheSeed: "fit changed context.seed, which the harness lends; change a copy",
    ReturnsNothing: "predict returned a NoneType, expected a NumPy array",
    ReturnsAList: "predict returned a list, expected a NumPy array",
    ReturnsDoubles: "predict returned float64, expected float32",
    ReturnsObjects: "predict returned object, expected float32",
    ReturnsText: "predict returned <U32, expected float32",
    ReturnsAMaskedArray: "predict returned a MaskedArray, expected a NumPy array",
    ReturnsAColumn: r"predict returned shape \(\d+, 1\), expected \(\d+,\)",
    ReturnsTooFew: r"predict returned shape \(\d+,\), expected \(\d+,\)",
    HasNoState: r"state\(\) returned a NoneType, expected named NumPy arrays",
    HasObjectsInItsState: r"state\(\)\['x'\] holds object, expected numbers of at most 64 bits",
    HasListsInItsState: r"state\(\)\['x'\] is a list, expected a NumPy array",
    HasNumbersAsNames: r"state\(\) has the key 1, expected text",
    CountsNoParameters: "parameters is 'many', expected the number of learned parameters",
    ReportsATuple: "context.report was called with a tuple, expected a cfbench.contract.Epoch",
    ReportsText: "Epoch.valid_rmse is '0.9' in epoch 1, expected a finite number",
    ReportsNaN: "Epoch.valid_rmse is nan in epoch 1, expected a finite number",
}


@pytest.fixture
def add(register):
    """A function that registers a model as the plugin `faulty`."""

    def build(model, config):
        built = model(config)
        built.given = config
        return built

    return lambda model: register("faulty", Plugin("f", "none", BiasConfig, lambda config: build(model, config)))


@pytest.mark.parametrize("model", FAULTS, ids=lambda model: model.__name__)
def test_a_fault_fails_the_run_in_one_line(model, add, terminal):
    add(model)
    result = terminal("run faulty")
    assert result.status == 1
    assert result.out == ""
    _, error = result.err.splitlines()
    assert_matches(rf"^error: plugin 'faulty'(:| failed in) .*{FAULTS[model]}", error)
    (failed,) = Results(Path("results")).records("tiny", "random90")
    assert failed.outcome.status == "failed"
    assert failed.outcome.message in error


@pytest.mark.parametrize("model", FAULTS, ids=lambda model: model.__name__)
def test_a_fault_fails_a_check_in_one_line(model, add, terminal):
    add(model)
    result = terminal("check-plugin faulty")
    assert result.status == 1
    assert_matches(FAULTS[model], "".join(line for line in result.out.splitlines(True) if line.startswith("✗")))


def assert_matches(pattern, text):
    assert re.search(pattern, text), text


class Hangs(Bias):
    def fit(self, train, valid, context):
        context.checkpoint.write_text("half")
        while True:
            pass


class HangsInPredict(Bias):
    def predict(self, pairs):
        while True:
            time.sleep(1)


class CatchesTheFirstInterrupt(Bias):
    def fit(self, train, valid, context):
        with suppress(BaseException):
            time.sleep(100)
        time.sleep(100)


@pytest.mark.parametrize("model", [Hangs, HangsInPredict, CatchesTheFirstInterrupt])
def test_a_run_that_hangs_is_stopped_by_the_time_limit_and_can_be_resumed(model, add, terminal, monkeypatch):
    monkeypatch.setattr("cfbench.runs.time_limit.REPEAT", 0.3)
    add(model)
    result = terminal("run faulty --time-limit 0.5")
    assert result.status == 1
    (name,) = Results(Path("results")).unfinished()
    *_, error = result.err.splitlines()
    command = f"run --resume {name}"
    assert error == (
        f"error: the time limit of 0.5 s is over: stopped after epoch 0; resume it with: cfbench {command}"
    )
    if model is Hangs:
        assert Path("results", ".unfinished", name, "checkpoint.safetensors").read_text() == "half"
    assert Results(Path("results")).find(name)[0].outcome.message == "the time limit of 0.5 s is over"
    assert terminal(f"{command} --time-limit 0.2").status == 1
    add(Bias)
    assert terminal(f"{command} --time-limit 100").status == 0


def test_a_check_that_hangs_is_stopped_by_the_time_limit(add, terminal):
    add(HangsInPredict)
    result = terminal("check-plugin faulty --time-limit 0.1")
    assert result.status == 1
    failed = [line for line in result.out.splitlines() if line.startswith("✗")]
    assert len(failed) > 10
    assert {line.rpartition(": ")[2] for line in failed} == {"the time limit of 0.1 s is over"}


def test_an_empty_state_from_which_nothing_can_be_restored_fails_its_check(add, terminal):
    class HasAnEmptyState(Bias):
        def state(self):
            return {}

    add(HasAnEmptyState)
    result = terminal("check-plugin faulty")
    (failed,) = [line for line in result.out.splitlines() if line.startswith("✗")]
    assert "predicts the same bits after its state was stored and restored: KeyError: 'mean'" in failed
    assert terminal("run faulty").status == 0  # an empty state is no fault of a model that restores itself by fitting
    result = terminal("predict last u1,i1")
    assert result.status == 1
    assert_matches(r"^error: plugin 'faulty' failed in restore: KeyError: 'mean' \(bias.py, line \d+\)$", result.err)


@pytest.mark.parametrize("does", ["prints", "exits"])
def test_a_plugin_that_prints_or_exits_while_it_is_imported(does, own_plugin, start_cfbench):
    text = "sys.exit(0)" if does == "exits" else "print('imported')"
    own_plugin(f"import sys\n{text}\n{PLAIN}")
    out, err = start_cfbench("run", "own", "--json").communicate(timeout=100)
    if does == "prints":
        assert json.loads(out)["outcome"]["status"] == "finished"
        assert "imported" in err
    else:
        assert out == ""
        assert_matches(
            r"^error: .*the import of plugin 'own' ended the program \(SystemExit: 0 \(own.py, line 2\)\)", err
        )


PLAIN = """
from cfbench.contract import Plugin
from cfbench.plugins.bias import Bias, BiasConfig
class Own(Bias):
    pass
PLUGIN = Plugin("own", "none", BiasConfig, Own)
"""
PRINTS = """
import ctypes, logging, os, subprocess, sys
from cfbench.contract import Plugin
from cfbench.plugins.bias import Bias, BiasConfig
print("import")
log = logging.StreamHandler(sys.stdout)
class Own(Bias):
    def __init__(self, config):
        print("build")
        super().__init__(config)
    def fit(self, train, valid, context):
        print("fit")
        os.write(1, b"descriptor\\n")
        ctypes.CDLL(None).printf(b"library\\n")
        log.stream.write("handler\\n")
        sys.__stdout__.write("original\\n")
        subprocess.run(["echo", "child"])
        super().fit(train, valid, context)
    def predict(self, pairs):
        print("predict")
        return super().predict(pairs)
    def state(self):
        print("state")
        return super().state()
    @property
    def parameters(self):
        print("parameters")
        return 3
PLUGIN = Plugin("own", "none", BiasConfig, Own)
"""
FORKS = """
import os
from cfbench.contract import Plugin
from cfbench.plugins.bias import Bias, BiasConfig
class Own(Bias):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        os.fork()
PLUGIN = Plugin("own", "none", BiasConfig, Own)
"""
WAITS_IN_C = """
import itertools
from collections import deque
from cfbench.contract import Plugin
from cfbench.plugins.bias import Bias, BiasConfig
from cfbench.runs import time_limit
time_limit.GRACE = 0.5
class Own(Bias):
    def fit(self, train, valid, context):
        deque(itertools.repeat(None), maxlen=0)
PLUGIN = Plugin("own", "none", BiasConfig, Own)
"""


@pytest.fixture
def own_plugin(terminal, monkeypatch):
    """A function that installs a module as the plugin `own`, for other processes."""
    installed = terminal.folder / "installed"
    facts = installed / "own-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[cfbench.plugins]\nown = own:PLUGIN\n")
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # Python 3.12 warns of a fork beside threads
    return (installed / "own.py").write_text


def test_what_a_plugin_prints_by_any_means_goes_to_standard_error(own_plugin, start_cfbench):
    own_plugin(PRINTS)
    out, err = start_cfbench("run", "own", "--json").communicate(timeout=100)
    assert json.loads(out)["outcome"]["status"] == "finished", err
    by_python = {"import", "build", "fit", "handler", "original", "predict", "state", "parameters"}
    assert by_python | {"descriptor", "library", "child"} <= set(err.split())


def test_the_child_of_a_fork_does_not_become_a_second_harness(own_plugin, start_cfbench):
    own_plugin(FORKS)
    out, err = start_cfbench("run", "own").communicate(timeout=100)
    line = "fit forked, and the child process returned from it too; a child process must end with os._exit"
    assert out == ""
    assert err.count("error: ") == 1
    assert f"error: plugin 'own': {line}\n" in err
    assert [record.outcome.status for record in Results(Path("results")).records("tiny", "random90")] == ["failed"]
    out, _ = start_cfbench("check-plugin", "own").communicate(timeout=100)
    failed = [text for text in out.splitlines() if text.startswith("✗")]
    assert len(failed) > 10
    assert all(text.endswith(line.removeprefix("fit ")) for text in failed)
    assert len(out.splitlines()) == len(set(out.splitlines()))


def test_a_child_that_returns_when_the_run_is_finished_writes_nothing_either(own_plugin, start_cfbench):
    own_plugin(FORKS.replace("os.fork()", "os.fork() or time.sleep(2)").replace(
        "import os", "import os, time\nfrom cfbench.runs import plugin_calls\nplugin_calls.WAIT_FOR_CHILD = 0.1"
    ))  # fmt: skip
    process = start_cfbench("run", "own")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert out.count("test RMSE") == 1
    assert [record.outcome.status for record in Results(Path("results")).records("tiny", "random90")] == ["finished"]


@pytest.mark.slow
def test_a_plugin_that_hangs_in_c_code_is_killed_and_its_run_can_be_resumed(own_plugin, start_cfbench):
    own_plugin(WAITS_IN_C)
    process = start_cfbench("run", "own", "--time-limit", "0.5")
    out, err = process.communicate(timeout=100)
    assert process.returncode != 0
    assert out == ""
    assert err.splitlines()[-1] == (
        "error: the time limit of 0.5 s is over, and the plugin did not stop within 0.5 s more: the process is killed"
    )
    assert len(Results(Path("results")).unfinished()) == 1


class FlattersItsEpoch(Bias):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        for number in (1, 2):
            context.report(Epoch(number, 2, 0.9, 0.5 / number, number / 10))


class FlattersItsCrossFit(Bias):
    valid_rmse = 0.25


def read_doubts():
    (record,) = Results(Path("results")).records("tiny", "random90")
    return record.outcome, [doubt.kind for doubt in record.outcome.doubts]


def true_valid_rmse():
    dataset = store.open_dataset(card.load("tiny"))
    split = dataset.split("random90")
    train, valid = split.train(dataset.ratings), split.valid(dataset.ratings)
    scores = biases.fit(train, user_reg=15, item_reg=10, sweeps=10).predict(valid.pairs)
    return float(np.sqrt(np.mean((valid.scale.clip(scores).astype(float) - valid.ratings) ** 2)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (FlattersItsEpoch, "the model reported a validation RMSE of 0.2500 in its best epoch 2, but that of its"),
        (
            FlattersItsCrossFit,
            "the model reports a validation RMSE of 0.2500 without the rating that is predicted, which",
        ),
    ],
)
def test_a_validation_rmse_that_flatters_the_model_is_replaced_and_marked(model, message, add, terminal):
    add(model)
    result = terminal("run faulty")
    assert result.status == 0
    assert f"doubtful: {message}" in result.err
    outcome, doubts = read_doubts()
    assert outcome.valid_rmse == pytest.approx(true_valid_rmse(), abs=1e-9)
    assert doubts == ["own validation RMSE is wrong"]
    assert message in " ".join(terminal("show last").out.split())
    assert "own validation RMSE is wrong" in terminal("compare --format csv").out
    failed = [line for line in terminal("check-plugin faulty").out.splitlines() if line.startswith("✗")]
    assert any(message[:40] in line for line in failed)


def test_an_honest_model_is_not_marked(add, terminal):
    class Honest(Bias):
        def fit(self, train, valid, context):
            super().fit(train, valid, context)
            for number, error in enumerate((0.9, true_valid_rmse()), 1):
                context.report(Epoch(number, 2, 0.9, error, number / 10))

    add(Honest)
    terminal("run faulty")
    outcome, doubts = read_doubts()
    assert (doubts, outcome.best_epoch) == ([], 2)


def test_a_model_that_keeps_its_last_epoch_and_not_its_best_one_is_recorded_with_the_last_one(add, terminal):
    class KeepsTheLast(Bias):
        def fit(self, train, valid, context):
            super().fit(train, valid, context)
            for number, error in enumerate((0.1, true_valid_rmse()), 1):
                context.report(Epoch(number, 2, 0.9, error, number / 10))

    add(KeepsTheLast)
    terminal("run faulty")
    outcome, doubts = read_doubts()
    assert (doubts, outcome.best_epoch) == ([], 2)
    assert outcome.valid_rmse == pytest.approx(true_valid_rmse(), abs=1e-9)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("valid", "test"), "is below 0.1443, the error of rounding to steps of 0.5: does the model know the test"),
        (("test",), "is far below the validation RMSE of"),
    ],
)
def test_a_score_that_no_honest_model_reaches_is_marked(parts, message, add, terminal):
    dataset = store.open_dataset(card.load("tiny"))
    split = dataset.split("random90")
    known = [getattr(split, part)(dataset.ratings) for part in parts]
    noise = 0.0 if "valid" in parts else 0.2

    class KnowsTheTest(Bias):
        """As if it read the ratings from the data folder."""

        def predict(self, pairs):
            scores = super().predict(pairs)
            for part in known:
                if len(part) == len(pairs) and (part.items == pairs.items).all():
                    scores = part.ratings + np.float32(noise) * np.sign(scores - part.ratings)
            return scores

    add(KnowsTheTest)
    result = terminal("run faulty")
    assert result.status == 0
    assert message in result.err
    assert read_doubts()[1] == ["test RMSE is implausibly low"]
    assert "test RMSE is implausibly low" in terminal("compare --format csv").out


def test_a_run_that_diverged_without_a_score_exits_with_status_1(add, terminal):
    class Diverges(Bias):
        def fit(self, train, valid, context):
            raise DivergedError("training RMSE became nan in epoch 1", usable=False)

    add(Diverges)
    for line in ("run faulty", "run faulty --json", "run faulty --split 5fold"):
        assert terminal(line).status == 1


def test_a_run_that_is_resumed_with_other_code_is_marked(add, terminal, monkeypatch):
    add(Hangs)
    terminal("run faulty --time-limit 0.1")
    (name,) = Results(Path("results")).unfinished()
    add(Bias)
    monkeypatch.setattr("cfbench.runs.registry.source_hash", lambda module: "edited")
    assert terminal(f"run --resume {name}").status == 0
    assert read_doubts()[1] == ["its code changed while it was stopped"]
